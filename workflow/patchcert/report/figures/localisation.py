"""The figure of where mask smoothing finds the patch, by the strength of the attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from patchcert.report.marks import Line, averaged, legend, percent_axis, with_intervals
from patchcert.report.smoothing import OUTCOMES, settings_of, strength
from patchcert.report.smoothing_marks import panels_of
from patchcert.report.style import entitle, styled

COLOURS = {"covered": "#0072b2", "elsewhere": "#e69f00", "undisturbed": "0.85", "ambiguous": "0.55"}
"""Of the outcomes: what may be certified, what is not although there is a mask, and greys for no mask."""
_SUCCESS = Line({}, "attack succeeds, of the images that were right", "black", "X")


def draw(localisation: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """What localisation makes of attacked images, stacked, and how often the attack succeeds, by its gradient steps.

    Args:
        localisation: ``percent`` by run, ``steps`` and ``metric``; the outcomes are shares of all images, ``succeeded`` is one
            of those that the classifier has right without the attack.
        style: the ``report`` block of the configuration.
    """
    settings = settings_of(localisation)
    with styled(style):
        figure, panels = panels_of(settings, 1)
        for (panel,), setting in zip(panels, settings, strict=True):
            _bars(panel, setting.of(localisation))
            entitle(panel, setting.name)
            percent_axis(panel, "y", "attacked images (%)")
        bars = [Patch(color=COLOURS[name], label=said) for name, said in OUTCOMES.items()]
        legend(figure, [*bars, _SUCCESS.handle()])
    return figure


def _bars(axes: Axes, localisation: pd.DataFrame) -> None:
    steps = sorted(localisation["steps"].unique())
    places, bottom = np.arange(len(steps)), np.zeros(len(steps))
    for outcome, colour in COLOURS.items():
        heights = averaged(localisation, "steps", outcome).set_index("steps").loc[steps, "percent"].to_numpy()
        axes.bar(places, heights, 0.7, bottom=bottom, color=colour, zorder=1)
        bottom = bottom + heights
    success = averaged(localisation, "steps", "succeeded").set_index("steps").loc[steps]
    with_intervals(axes, places, success, _SUCCESS, zorder=3, markersize=6)
    axes.set_xticks(places, [strength(step) for step in steps])
    axes.set_xlabel("gradient steps of the attack at each of its places")
    axes.grid(visible=False, axis="x")
