"""The figure of precision against recall of the multi-label defense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchcert.report.marks import legend, percent_axis
from patchcert.report.multilabel import NAMES, ROWS, published, titles
from patchcert.report.style import WIDTH, entitle, styled

DASHES: dict[str, Any] = {"undefended": "-", "defended": "-", "certified": "-", "located": "--"}


def draw(points: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Precision against recall over all thresholds of the grid, a panel a run; dots mark the chosen threshold.

    Counterpart of Multi-Label PatchCleanser, Figure 3, of which no values are printed; diamonds are those of its Table I.

    Args:
        points: as :func:`patchcert.report.results.read_multilabel` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    runs = [run for _, run in points.groupby(["dataset", "model", "training", "seed"], sort=False)]
    diamonds = False
    with styled(style) as colours:
        columns = min(3, len(runs))
        rows = -(-len(runs) // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(WIDTH, 2.8 * rows + 0.9), squeeze=False, sharex=True, sharey=True)
        for panel in panels.flat[len(runs) :]:
            panel.set_visible(False)
        for panel, run, title in zip(panels.flat, runs, titles(runs), strict=False):
            for number, setting in enumerate(NAMES):
                curve(panel, run[run["setting"] == setting], {"color": colours[number], "linestyle": DASHES[setting]})
                values = published(ledger, "Table I", ROWS.get(setting, ""), run.iloc[0])
                if values:
                    diamonds = True
                    place = values["overall_recall"], values["overall_precision"]
                    panel.plot(*place, "D", color=colours[number], markerfacecolor="none", markersize=6)
            percent_axis(panel, "x", "recall (%)")
            percent_axis(panel, "y", "precision (%)")
            panel.label_outer()
            entitle(panel, title)
        handles = settings_handles(colours, NAMES)
        handles.append(Line2D([], [], marker="o", linestyle="none", color="0.3", label=f"threshold {points['at'].iloc[0]:g}"))
        if diamonds:
            label = "published, MSCOCO 2014, TResNet-L, threshold 0.8"
            handles.append(Line2D([], [], marker="D", linestyle="none", color="0.3", markerfacecolor="none", label=label))
        legend(figure, handles)
    return figure


def curve(panel: Axes, part: pd.DataFrame, look: Mapping[str, Any], at: float | None = None) -> None:
    """Draw one curve, per cent, by its threshold; with a dot at the chosen one."""
    across, up = (100 * part[name].astype(float).to_numpy() for name in ("recall", "precision"))
    panel.plot(across, up, linewidth=1.2, **look)
    chosen = (part["threshold"] == (part["at"] if at is None else at)).to_numpy()
    panel.plot(across[chosen], up[chosen], "o", color=look["color"], markersize=5)


def settings_handles(colours: list[Any], names: Mapping[str, str]) -> list[Line2D]:
    """Legend entries of the settings."""
    return [
        Line2D([], [], color=colours[number], linestyle=DASHES[setting], label=name)
        for number, (setting, name) in enumerate(names.items())
    ]
