"""The figure of what mask smoothing certifies with ever larger masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import label_points, legend
from patchcert.report.results import in_order
from patchcert.report.smoothing import CENTER, settings_of
from patchcert.report.smoothing_marks import (
    any_content_handles,
    curve_handle,
    draw_any_content,
    draw_curve,
    draw_published,
    panels_of,
    published_handles,
    radius_axes,
)
from patchcert.report.style import entitle, styled
from patchcert.report.terms import patch_area


def draw(smoothing: pd.DataFrame, radii: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """R-accuracy against the radius, a line a mask size; a point where any content is certified, if the radius reaches it.

    Counterpart of Figure 3 of the mask-guided randomized smoothing paper; published values are those of its text.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them.
        radii: R-accuracies by certificate and radius, likewise.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    settings, patches = settings_of(radii, "patch"), sorted(in_order(radii["patch"]), key=patch_area)
    norms = smoothing.groupby("patch")["largest_norm"].first()
    with styled(style) as colours:
        looks = dict(zip(patches, colours, strict=False))
        figure, panels = panels_of(settings, 1, 3.6)
        stated, labels, drawn = [], [], []
        for (panel,), setting in zip(panels, settings, strict=True):
            shares, curves = setting.of(smoothing), setting.of(radii)
            points = []
            for patch, colour in looks.items():
                if (curves["patch"] == patch).any():
                    draw_curve(panel, curves[curves["patch"] == patch], colour)
                    drawn.append(draw_any_content(panel, [(shares[shares["patch"] == patch], colour)]))
                    found = draw_published(panel, ledger, setting.facts | {"patch": patch}, CENTER, "")
                    points += [(row.radius, row.published, f"published, {patch}") for row in found.itertuples()]
                    stated.append(found)
            entitle(panel, setting.name)
            radius_axes(panel, curves, *(radius for radius, *_ in points))
            labels.append((panel, points))
        handles = [curve_handle(f"{patch} px (any content: R > {norms[patch]:.1f})", colour) for patch, colour in looks.items()]
        legend(figure, [*handles, *any_content_handles(drawn), *published_handles(stated)])
        for panel, points in labels:
            label_points(panel, points, style["font_size"] - 1)
    return figure
