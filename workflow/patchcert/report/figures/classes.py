"""The figure of certified accuracy and object size by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert.report.marks import CERTIFIED, Line, averaged, certified_shares, errors, legend, lines, percent_axis
from patchcert.report.style import WIDTH, styled

MANY = 40
"""From this many classes on there is a line in place of bars, and no class is named."""


def draw(images: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified accuracy by class, best class first, above the mean object size of each class.

    Counterpart of PatchCleanser, Figure 13. The order is that of the mean over all runs.

    Args:
        images: one row an image and run, with ``image_id``, ``label``, ``object_size`` in per cent of the image's pixels (NaN
            where it is unknown) and ``certified`` (true or false).
        style: the ``report`` block of the configuration.
    """
    order = images.groupby("label")["certified"].mean().sort_values(ascending=False, kind="stable").index
    places = pd.Series(range(1, len(order) + 1), index=order)
    sizes = images.drop_duplicates(["dataset", "image_id"]).groupby("label")["object_size"].mean().reindex(order)
    panels_wanted = 2 if sizes.notna().any() else 1
    with styled(style) as colours:
        figure, panels = plt.subplots(
            panels_wanted,
            1,
            figsize=(WIDTH, 2.2 + 1.6 * panels_wanted),
            sharex=True,
            squeeze=False,
            height_ratios=[3, 2][:panels_wanted],
        )
        top, bottom = panels[0, 0], panels[-1, 0]
        runs = lines(images, (), colours)
        for number, run in enumerate(runs):
            rows = averaged(certified_shares(run.of(images), "label"), "label", "certified")
            rows = rows.assign(place=rows["label"].map(places)).sort_values("place")
            if len(order) < MANY:
                _bars(top, rows, run, number, len(runs))
            else:
                top.fill_between(rows["place"], rows["low"], rows["high"], color=run.colour, alpha=0.25, linewidth=0)
                top.plot(rows["place"], rows["percent"], color=run.colour, linewidth=1.2)
        percent_axis(top, "y", CERTIFIED)
        top.set_ylim(bottom=0)
        if panels_wanted == 2:
            _sizes(bottom, places, sizes)
        if len(order) < MANY:
            bottom.set_xticks(places, [str(label) for label in order])
            bottom.set_xlabel("class, in falling order of certified accuracy")
        else:
            bottom.set_xlabel("rank of the class, in falling order of certified accuracy")
        for panel in panels[:, 0]:
            panel.grid(axis="x", visible=False)
        legend(figure, [run.handle(marker="s", linestyle="none") for run in runs])
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, run: Line, number: int, runs: int) -> None:
    """One run's bars with their intervals; the bars of all runs together are centred on the class."""
    width = 0.8 / runs
    across = rows["place"] + (number - (runs - 1) / 2) * width
    axes.bar(across, rows["percent"], width, color=run.colour, zorder=2)
    axes.errorbar(across, rows["percent"], errors(rows), fmt="none", ecolor="0.25", elinewidth=0.8, capsize=2, zorder=3)


def _sizes(axes: Axes, places: pd.Series, sizes: pd.Series) -> None:
    if len(sizes) < MANY:
        axes.bar(places, sizes, 0.8, color="0.6", zorder=2)
    else:
        axes.plot(places, sizes, color="0.4", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean object size\n(% of the pixels)")
