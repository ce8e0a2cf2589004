"""The figure of Minority Reports' certified against clean accuracy, beside double masking's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert.report.marks import (
    averaged,
    diamond_handle,
    diamonds,
    double_masked,
    errors,
    grey_handle,
    label_points,
    legend,
    lines,
    percent_axis,
    with_intervals,
)
from patchcert.report.published import in_table, side_by_side
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import ACCURACIES

_BOTH = list(ACCURACIES)
_POINT: dict[str, Any] = {"linestyle": "none", "markersize": 6}


def draw(reports: pd.DataFrame, results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified against clean accuracy of Minority Reports at every threshold, and of double masking.

    Counterpart of PatchCleanser, Figure 9. What is certified differs: Minority Reports gives the right label or an alert, so
    that an attacker may have it alert always; double masking gives the right label.

    Args:
        reports: one row a run and threshold, with the counts ``clean``, ``certified`` and ``total``.
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    results = double_masked(results)
    published = in_table(ledger, "Figure 9", "imagenet")
    with styled(style) as colours:
        figure, panel = plt.subplots(figsize=(WIDTH, 4.6))
        runs = lines(pd.concat([reports, results]), (), colours)
        for run in runs:
            for _, curve in run.of(reports).sort_values("threshold").groupby("seed"):
                clean, certified = (100 * curve[name] / curve["total"] for name in ("clean", "certified"))
                panel.plot(clean, certified, color=run.colour, linewidth=1.2)
            across, up = (averaged(run.of(results), "model", metric) for metric in _BOTH)
            with_intervals(panel, across["percent"], up, run, xerr=errors(across), **_POINT)
        percent_axis(panel, "x", "clean accuracy; an alert counts as wrong (%)")
        percent_axis(panel, "y", "certified accuracy (%)")
        handles = [run.handle(linestyle="none") for run in runs]
        legend(
            figure,
            [
                *handles,
                grey_handle("Minority Reports, every threshold; certified: right or an alert"),
                grey_handle("double masking; certified: right, never an alert", marker="o", **_POINT),
                diamond_handle("published, ImageNet, 2 % patch (dotted: certified accuracy alone)"),
            ],
        )
        label_points(panel, _published(panel, published), style["font_size"] - 1)
    return figure


def _published(axes: Axes, published: pd.DataFrame) -> list[tuple[float, float, str]]:
    """Diamonds where both accuracies were published, dotted lines where the certified one was; gives them with their names."""
    values = side_by_side(published, _BOTH)
    both, alone = values.dropna(), values[values["defended_clean"].isna()]
    diamonds(axes, both["defended_clean"], both["certified"])
    rounded = set(published.loc[published["relation"] == "~", "row"])
    points = [
        (
            clean,
            certified,
            " and ".join(part["name"]) + (f", about ({clean:g}, {certified:g})" if rounded & set(part["row"]) else ""),
        )
        for (clean, certified), part in both.groupby(_BOTH)
    ]
    for row in alone.itertuples():
        axes.axhline(row.certified, color="black", linestyle=":", linewidth=0.8)
        points.append((0, row.certified, f"{row.row}: {row.certified:g} %"))
    return points
