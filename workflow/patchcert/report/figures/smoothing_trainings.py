"""The figure of what mask smoothing certifies by the squares of noise that the network was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import legend
from patchcert.report.results import in_order
from patchcert.report.smoothing import settings_of
from patchcert.report.smoothing_marks import (
    any_content_handles,
    curve_handle,
    draw_any_content,
    draw_curve,
    panels_of,
    radius_axes,
)
from patchcert.report.style import entitle, styled
from patchcert.report.terms import patch_area


def draw(smoothing: pd.DataFrame, radii: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """R-accuracy against the radius, a panel a mask size and a line a range of sides that a training drew its squares from.

    Counterpart of Figure 4 of the mask-guided randomized smoothing paper, of which no values are printed.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them.
        radii: R-accuracies by certificate and radius, likewise.
        style: the ``report`` block of the configuration.
    """
    settings, patches = settings_of(radii, "training", "patch"), sorted(in_order(radii["patch"]), key=patch_area)
    with styled(style) as colours:
        looks = dict(zip(in_order(radii["noise_sides"]), colours, strict=False))
        figure, panels = panels_of(settings, len(patches))
        drawn = []
        for row, setting in zip(panels, settings, strict=True):
            for panel, patch in zip(row, patches, strict=True):
                shares, curves = (frame[frame["patch"] == patch] for frame in (setting.of(smoothing), setting.of(radii)))
                for sides, colour in looks.items():
                    if (curves["noise_sides"] == sides).any():
                        draw_curve(panel, curves[curves["noise_sides"] == sides], colour)
                drawn.append(draw_any_content(panel, [(shares[shares["noise_sides"] == each], looks[each]) for each in looks]))
                entitle(panel, setting.name, f"{patch} px mask")
                radius_axes(panel, setting.of(radii))
        handles = [curve_handle(f"trained on {sides} px", colour) for sides, colour in looks.items()]
        legend(figure, [*handles, *any_content_handles(drawn)])
    return figure
