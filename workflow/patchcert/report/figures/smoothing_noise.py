"""The figure of what mask smoothing certifies under ever stronger noise, the network staying as it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from patchcert.report.marks import legend
from patchcert.report.smoothing import CENTER, settings_of
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

_SMALLEST = 0.1
"""Where the logarithmic axis begins, in standard deviations of the weakest noise."""


def draw(smoothing: pd.DataFrame, radii: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """R-accuracy by the noise's standard deviation: against the radius on the left, against radius / sigma on the right.

    The left says what stronger noise reaches, on a logarithmic axis; the right what it costs, since there all curves end at the
    same place. Counterpart of Figure 5 of the mask-guided randomized smoothing paper.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them.
        radii: R-accuracies by certificate and radius, likewise.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    settings = settings_of(radii, "sigma")
    with styled(style) as colours:
        looks = sigma_colours(radii, colours)
        figure, panels = panels_of(settings, 2, 3.2)
        stated, drawn = [], []
        for (left, right), setting in zip(panels, settings, strict=True):
            shares, curves = setting.of(smoothing), setting.of(radii)
            draw_limits(left, shares, setting.facts["patch"])
            for sigma, colour in looks.items():
                own, points = (frame[frame["sigma"] == sigma] for frame in (curves, shares))
                for panel, scale in ((left, 1.0), (right, sigma)):
                    if len(own):
                        draw_curve(panel, own, colour, scale)
                        drawn.append(draw_any_content(panel, [(points, colour)], scale))
            stated.append(draw_published(left, ledger, setting.facts, CENTER, ""))
            for panel in (left, right):
                entitle(panel, setting.name)
                radius_axes(panel, curves, patch_area(setting.facts["patch"]))
            left.set(xscale="log", xlim=(_SMALLEST * min(looks), 1.1 * curves["largest_radius"].max()))
            left.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            left.xaxis.set_major_formatter("{x:g}")
            left.xaxis.set_minor_locator(NullLocator())
            farthest = (curves["largest_radius"] / curves["sigma"]).max()
            right.set(xlim=(-0.02 * farthest, 1.05 * farthest), xlabel="radius / sigma")
        legend(figure, [*sigma_handles(looks), *any_content_handles(drawn), *published_handles(stated)])
    return figure
