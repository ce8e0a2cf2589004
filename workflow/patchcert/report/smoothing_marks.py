"""How figures draw the R-accuracy of mask smoothing: step functions over the radius, and where any content is certified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from patchcert.report.marks import averaged, diamond_handle, diamonds, errors, grey_handle, percent_axis
from patchcert.report.published import of_whom
from patchcert.report.smoothing import R_ACCURACY, UNRESTRICTED, Setting, curve, published
from patchcert.report.style import WIDTH
from patchcert.report.terms import ONE_PLACE, patch_area

RADIUS = "radius R (l2 norm, pixel values in [0, 1])"
ANY_CONTENT = f"any content {ONE_PLACE}"
_ASIDE = 5
"""Between points of several curves at one place, points of 1/72 inch."""
_TEXT = 14
"""Where texts beside limits begin, per cent: above the accuracy of most classifiers under attack."""
_LIMIT: dict[str, Any] = {"color": "0.25", "linewidth": 0.9, "zorder": 1}


def panels_of(settings: Sequence[Setting], columns: int, height: float = 3.0) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a row of panels for each setting."""
    size = (WIDTH, height * len(settings) + 0.8)
    figure, panels = plt.subplots(len(settings), columns, figsize=size, sharey=True, squeeze=False)
    return figure, panels.tolist()


def draw_curve(axes: Axes, radii: pd.DataFrame, colour: Any, scale: float = 1, **look: Any) -> None:
    """Draw the mean R-accuracy of certificates that differ in their seeds alone, over radii divided by ``scale``."""
    mean = curve(radii)
    usual = {"color": colour, "linewidth": 1.3, "drawstyle": "steps-post"}
    axes.plot(mean.radii / scale, mean.percent, **usual | look)


def draw_any_content(axes: Axes, certificates: Sequence[tuple[pd.DataFrame, Any]], scale: float = 1) -> bool:
    """Draw what is certified against any content, with its interval, at the norm that this takes; whether there is a point.

    Args:
        axes: where the curves are.
        certificates: shares that differ in their seeds alone, and the colour of their curve; those whose radii do not reach so
            far have no point, and the others stand side by side.
        scale: what the radii are divided by.
    """
    reached = [
        (averaged(shares, "largest_norm", UNRESTRICTED), colour)
        for shares, colour in certificates
        if (shares["largest_norm"] < shares["largest_radius"]).any()
    ]
    look: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none", "elinewidth": 0.8, "capsize": 2, "zorder": 3}
    for number, (shares, colour) in enumerate(reached):
        aside = _ASIDE * (number - (len(reached) - 1) / 2)
        look["transform"] = offset_copy(axes.transData, axes.get_figure(root=True), x=aside, units="points")
        axes.errorbar(shares["largest_norm"] / scale, shares["percent"], yerr=errors(shares), color=colour, **look)
    return bool(reached)


def draw_limits(axes: Axes, smoothing: pd.DataFrame, patch: str) -> None:
    """Draw where any content of a patch is certified, and the number of its pixels, which is what the paper asks for."""
    for place, text, dashes in (
        (smoothing["largest_norm"].iloc[0], ANY_CONTENT, "-"),
        (patch_area(patch), f"paper: R = {patch_area(patch)}", ":"),
    ):
        axes.axvline(place, linestyle=dashes, **_LIMIT)
        look: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "bottom", "fontsize": "small", "color": "0.25"}
        look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        look["zorder"] = _LIMIT["zorder"] + 0.5
        axes.annotate(text, (place, _TEXT), xytext=(-2, 0), textcoords="offset points", **look)


def draw_published(axes: Axes, ledger: pd.DataFrame, facts: Mapping[str, Any], *places: str) -> pd.DataFrame:
    """Draw the paper's R-accuracies of a dataset and patch, and give them as :func:`patchcert.report.smoothing.published`."""
    stated = published(ledger, facts, *places)
    diamonds(axes, stated["radius"], stated["published"])
    return stated


def published_handles(stated: Sequence[pd.DataFrame]) -> list[Line2D]:
    """What stands in a legend for the paper's values, if there are any."""
    drawn = pd.concat(list(stated)) if any(map(len, stated)) else pd.DataFrame()
    return [diamond_handle(f"published, {of_whom(drawn, 'full-size network')}")] if len(drawn) else []


def any_content_handles(drawn: Sequence[bool]) -> list[Line2D]:
    """What stands in a legend for the points of :func:`draw_any_content`, if there are any."""
    label = f"certified against any content {ONE_PLACE}"
    return [grey_handle(label, marker="o", linestyle="none")] if any(drawn) else []


def sigma_colours(radii: pd.DataFrame, colours: Sequence[Any]) -> dict[float, Any]:
    """A colour of the palette for each standard deviation of the noise, in rising order."""
    return dict(zip(sorted(radii["sigma"].unique()), colours, strict=False))


def sigma_handles(looks: Mapping[float, Any]) -> list[Line2D]:
    """What stands in a legend for the curves of each standard deviation."""
    return [curve_handle(f"sigma {sigma:g}", colour) for sigma, colour in looks.items()]


def curve_handle(name: str, colour: Any) -> Line2D:
    """What stands for a curve in a legend."""
    return Line2D([], [], label=name, color=colour, linewidth=1.3)


def radius_axes(axes: Axes, radii: pd.DataFrame, *beyond: float) -> None:
    """Label a panel of R-accuracy, and let its radii go as far as the samples allow, and to what has to be seen beyond."""
    farthest = max([radii["largest_radius"].max(), *beyond])
    axes.set_xlim(-0.02 * farthest, 1.05 * farthest)
    place = axes.get_subplotspec()
    assert place is not None
    axes.set_xlabel(RADIUS.replace(" (", "\n(") if place.get_gridspec().ncols > 2 else RADIUS)
    percent_axis(axes, "y", R_ACCURACY if place.is_first_col() else "")
