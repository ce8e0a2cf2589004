"""The figure of clean, attacked and certified accuracy of BagCert's models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from patchcert.report.bagcert import ATTACKED, CLEAN, LONG, STRONG, panel_name, scorers, smoothed, smoothing
from patchcert.report.marks import Line, averaged, legend, percent_axis, with_intervals
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled

NAMES = {CLEAN: "clean images", ATTACKED: "attacked images", STRONG: "certified by condition 3.2"}
"""What readers call the accuracies, from the highest to the lowest."""
MARKERS = {CLEAN: "o", ATTACKED: "X", STRONG: "*"}


def draw(attacks: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean, attacked and certified accuracy against the receptive field, a panel a margin, and one for smoothing.

    The truth lies between the attack, which may be too weak, and the certificate, which may be too careful: in the shaded
    band. Counterpart of BagCert, Figures 6 and 7, of which no values are printed.

    Args:
        attacks: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them, all on the same images.
        style: the ``report`` block of the configuration.
    """
    own = scorers(attacks)
    rows_of = list(attacks[["dataset", "patch"]].drop_duplicates().itertuples(index=False))
    parts = {LONG["margin"].format(margin): own[own["margin"] == margin] for margin in sorted(own["margin"].unique())}
    parts |= {"smoothing": smoothed(attacks)} if len(smoothed(attacks)) else {}
    named = {part: _named(rows) for part, rows in parts.items()}
    with styled(style) as colours:
        runs = [Line({}, name, colours[number], MARKERS[metric]) for number, (metric, name) in enumerate(NAMES.items())]
        figure, panels = plt.subplots(
            len(rows_of),
            len(parts),
            figsize=(WIDTH, 3.2 * len(rows_of) + 0.8),
            sharey=True,
            squeeze=False,
            width_ratios=[5 if part == "smoothing" else max(3, rows["name"].nunique()) for part, rows in named.items()],
        )
        for row, (dataset, patch) in zip(panels, rows_of, strict=True):
            for panel, (part, rows) in zip(row, named.items(), strict=True):
                here = rows[(rows["dataset"] == dataset) & (rows["patch"] == patch)]
                _panel(panel, here, runs)
                panel.set_title(part, loc="left")
                panel.set_xlabel("kept part" if part == "smoothing" else "receptive field (px)")
                percent_axis(panel, "y", f"{panel_name(attacks, dataset, patch)}: accuracy (%)")
                panel.label_outer(remove_inner_ticks=True)
        band = Patch(color="0.85", label="neither certified nor broken")
        legend(figure, [*(run.handle(linestyle="none" if not run.facts else "-") for run in runs), band])
    return figure


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the ``name`` of each model on the horizontal axis, in the order of receptive fields."""
    names = [smoothing(row.model) or f"{row.receptive_field:g}" for row in rows.itertuples()]
    return rows.assign(name=names).sort_values("receptive_field", kind="stable")


def _panel(axes: Axes, rows: pd.DataFrame, runs: list[Line]) -> None:
    names = in_order(rows["name"])
    places = range(len(names))
    shares = {metric: averaged(rows, "name", metric).set_index("name").loc[names] for metric in NAMES}
    joined = "none" if len(smoothed(rows)) else "-"
    for place, low, high in zip(places, shares[STRONG]["percent"], shares[ATTACKED]["percent"], strict=True):
        axes.bar(place, high - low, 0.5, bottom=low, color="0.85", zorder=1)
    for (metric, values), run in zip(shares.items(), runs, strict=True):
        with_intervals(axes, places, values, run, linestyle=joined, markersize=8 if metric == STRONG else 5)
    axes.set_xticks(places, names)
    axes.set_xlim(-0.6, len(names) - 0.4)
