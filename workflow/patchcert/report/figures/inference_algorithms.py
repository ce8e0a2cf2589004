"""The figure of double masking against challenger masking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import (
    CLEAN,
    accuracy_over_costs,
    averaged,
    by_masks,
    cost_axes,
    draw_costs,
    grey_handle,
    legend,
    lines,
    mask_axis,
    with_intervals,
)
from patchcert.report.style import styled

_LOOKS: dict[str, dict[str, Any]] = {
    "double_masking": {"linestyle": "-"},
    "challenger": {"linestyle": ":", "markerfacecolor": "white"},
}
_NAMES = {"double_masking": "double masking", "challenger": "challenger masking"}


def draw(results: pd.DataFrame, times: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean accuracy, time and forward passes of both inference algorithms against the number of masks.

    Both have the same certificates. Counterpart of PatchCleanser, Figure 10.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, with the column ``defense``: ``double_masking`` or
            ``challenger``.
        times: one row a run and algorithm, with ``milliseconds`` and ``calls`` an image and the ``device``.
        style: the ``report`` block of the configuration.
    """
    masking = times[times["algorithm"].isin(_LOOKS)]
    with styled(style) as colours:
        figure, accuracy, time, passes = accuracy_over_costs()
        runs = lines(pd.concat([results, masking]), ("budget",), colours)
        for run in runs:
            for algorithm, look in _LOOKS.items():
                rows = run.of(results[results["defense"] == algorithm])
                rows = by_masks(averaged(rows, "budget", "defended_clean"))
                with_intervals(accuracy, rows["masks"], rows, run, **look)
                draw_costs(time, passes, masking[masking["algorithm"] == algorithm], run, **look)
        mask_axis(accuracy, results["budget"])
        accuracy.set_ylabel(CLEAN)
        cost_axes(time, passes, masking)
        algorithms = [grey_handle(name, marker="o", **_LOOKS[algorithm]) for algorithm, name in _NAMES.items()]
        legend(figure, [*(run.handle(linestyle="none") for run in runs), *algorithms])
    return figure
