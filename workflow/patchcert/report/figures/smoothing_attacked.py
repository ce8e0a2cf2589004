"""The figure of what mask smoothing certifies of attacked images, where it finds the patch itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import averaged, grey_handle, legend
from patchcert.report.smoothing import ATTACKED, EMPIRICAL, UNDEFENDED, settings_of
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

LEVELS = {EMPIRICAL: ("smoothed answer right", "--"), UNDEFENDED: ("right without the defense", ":")}
"""Accuracies on the attacked images that ask for no certificate, with their dashes."""


def draw(smoothing: pd.DataFrame, radii: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """R-accuracy on attacked images against the radius, a line a standard deviation, and the accuracies without certificate.

    Counterpart of Figures 2a and 2d of the mask-guided randomized smoothing paper.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them; of the places,
            ``attacked`` is shown.
        radii: R-accuracies by certificate and radius, likewise.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    smoothing, radii = (frame[frame["place"] == ATTACKED] for frame in (smoothing, radii))
    settings = settings_of(radii, "sigma", "place")
    with styled(style) as colours:
        looks = sigma_colours(radii, colours)
        figure, panels = panels_of(settings, 1)
        stated, drawn = [], []
        for (panel,), setting in zip(panels, settings, strict=True):
            shares, curves = setting.of(smoothing), setting.of(radii)
            draw_limits(panel, shares, setting.facts["patch"])
            for sigma, colour in looks.items():
                own = shares[shares["sigma"] == sigma]
                if len(own):
                    draw_curve(panel, curves[curves["sigma"] == sigma], colour)
                    (level,) = averaged(own, "place", EMPIRICAL)["percent"]
                    panel.axhline(level, color=colour, linestyle=LEVELS[EMPIRICAL][1], linewidth=1)
            drawn.append(draw_any_content(panel, [(shares[shares["sigma"] == sigma], looks[sigma]) for sigma in looks]))
            # without noise there is no sigma: every certificate has the same value
            (level,) = averaged(shares, "place", UNDEFENDED)["percent"]
            panel.axhline(level, color="0.25", linestyle=LEVELS[UNDEFENDED][1], linewidth=1.3)
            stated.append(draw_published(panel, ledger, setting.facts, ATTACKED))
            entitle(panel, setting.name)
            radius_axes(panel, curves, patch_area(setting.facts["patch"]))
        levels = [grey_handle(name, linestyle=dashes) for name, dashes in LEVELS.values()]
        legend(figure, [*sigma_handles(looks), *levels, *any_content_handles(drawn), *published_handles(stated)])
    return figure
