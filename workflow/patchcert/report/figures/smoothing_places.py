"""The figure of what mask smoothing certifies at given places, by the noise's standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import legend
from patchcert.report.results import in_order
from patchcert.report.smoothing import PLACES, settings_of
from patchcert.report.smoothing_marks import (
    any_content_handles,
    draw_any_content,
    draw_curve,
    draw_limits,
    draw_published,
    panels_of,
    published_handles,
    radius_axes,
    sigma_colours,
    sigma_handles,
)
from patchcert.report.style import entitle, styled
from patchcert.report.terms import patch_area


def draw(smoothing: pd.DataFrame, radii: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """R-accuracy against the radius, a panel a place and a line a standard deviation.

    Counterpart of Figures 2b, 2c, 2e and 2f of the mask-guided randomized smoothing paper.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them.
        radii: R-accuracies by certificate and radius, likewise.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    settings, places = settings_of(radii, "sigma", "place"), in_order(radii["place"])
    with styled(style) as colours:
        looks = sigma_colours(radii, colours)
        figure, panels = panels_of(settings, len(places))
        stated, drawn = [], []
        for row, setting in zip(panels, settings, strict=True):
            for panel, place in zip(row, places, strict=True):
                shares, curves = (frame[frame["place"] == place] for frame in (setting.of(smoothing), setting.of(radii)))
                draw_limits(panel, setting.of(smoothing), setting.facts["patch"])
                for sigma, colour in looks.items():
                    if (curves["sigma"] == sigma).any():
                        draw_curve(panel, curves[curves["sigma"] == sigma], colour)
                drawn.append(draw_any_content(panel, [(shares[shares["sigma"] == sigma], looks[sigma]) for sigma in looks]))
                stated.append(draw_published(panel, ledger, setting.facts, place))
                entitle(panel, setting.name, PLACES[place])
                radius_axes(panel, setting.of(radii), patch_area(setting.facts["patch"]))
        legend(figure, [*sigma_handles(looks), *any_content_handles(drawn), *published_handles(stated)])
    return figure
