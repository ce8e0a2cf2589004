"""The figure of accuracy, time and forward passes against the number of masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import (
    DASHES,
    accuracy_over_costs,
    averaged,
    by_masks,
    cost_axes,
    diamond_handle,
    diamonds,
    double_masked,
    draw_costs,
    legend,
    lines,
    mask_axis,
    metric_handles,
    percent_axis,
    with_intervals,
)
from patchcert.report.published import in_table, side_by_side
from patchcert.report.style import styled


def draw(results: pd.DataFrame, times: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean and certified accuracy, and time and forward passes of double masking, against the number of masks.

    Counterpart of PatchCleanser, Figure 4; its published values are those that the text gives with Figures 4 and 5.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        times: one row a run and algorithm, with ``milliseconds`` and ``calls`` an image and the ``device``.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    results, doubly = double_masked(results), times[times["algorithm"] == "double_masking"]
    stated = pd.concat([in_table(ledger, figure, "imagenet") for figure in ("Figure 4", "Figure 5")])
    told = side_by_side(stated[(stated["name"] == "PC-ViT") & (stated["mask_budget"] != "")], list(DASHES))
    with styled(style) as colours:
        figure, accuracy, time, passes = accuracy_over_costs()
        runs = lines(pd.concat([results, doubly]), ("budget",), colours)
        for run in runs:
            for metric, dashes in DASHES.items():
                rows = by_masks(averaged(run.of(results), "budget", metric))
                with_intervals(accuracy, rows["masks"], rows, run, linestyle=dashes)
            draw_costs(time, passes, doubly, run)
        for metric, dashes in DASHES.items():
            published = by_masks(told.dropna(subset=metric))
            diamonds(accuracy, published["masks"], published[metric], dashes)
        mask_axis(accuracy, pd.concat([results["budget"], told["budget"]]))
        percent_axis(accuracy, "y", "accuracy (%)")
        cost_axes(time, passes, doubly)
        legend(
            figure,
            [*(run.handle() for run in runs), *metric_handles(), diamond_handle("published, ImageNet, PC-ViT, 2 % patch")],
        )
    return figure
