"""The figure of accuracy against the size of the patch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchcert.masks import Size
from patchcert.report.ledger import patch_side_percent
from patchcert.report.marks import (
    CERTIFIED,
    CLEAN,
    averaged,
    diamond_handle,
    diamonds,
    legend,
    lines,
    percent_axis,
    with_intervals,
)
from patchcert.report.published import in_table
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import side_percent, size_of

PAPERS = "PC-ViT"
"""The model of the paper's analysis."""

_GREY: dict[str, Any] = {"color": "0.5", "markersize": 3.5, "linewidth": 0.6}
_GREY_MARKERS = "ov^P*X"


def draw(results: pd.DataFrame, ledger: pd.DataFrame, image_sizes: Mapping[str, Size], style: Mapping[str, Any]) -> Figure:
    """Clean and certified accuracy against the side of the patch, up to patches that hide most of the image.

    Counterpart of PatchCleanser, Figures 7 and 8; its published values are those of Table 2 and of the text.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, ``patch`` one square or rectangle.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        image_sizes: rows and columns of each dataset's images, pixels.
        style: the ``report`` block of the configuration.
    """
    published = _published(ledger)
    rivals = in_order(published.loc[published["defense"] != "double_masking", "name"])
    priors = {name: _GREY | {"marker": marker} for name, marker in zip(rivals, itertools.cycle(_GREY_MARKERS), strict=False)}
    with styled(style) as colours:
        figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.4), sharex=True)
        runs = lines(results, ("patch",), colours)
        for panel, (metric, label) in zip(panels, (("defended_clean", CLEAN), ("certified", CERTIFIED)), strict=True):
            for run in runs:
                rows = averaged(run.of(results), "patch", metric)
                size = size_of(image_sizes, run.facts["dataset"])
                rows = rows.assign(side=[side_percent(patch, size) for patch in rows["patch"]]).sort_values("side")
                with_intervals(panel, rows["side"], rows, run)
            shown = published[published["metric"] == metric]
            for name, look in priors.items():
                prior = shown[shown["name"] == name]
                panel.plot(prior["side"], prior["published"], **look)
            own = shown[shown["name"] == PAPERS]
            diamonds(panel, own["side"], own["published"])
            percent_axis(panel, "y", label)
            panel.set_xlabel("side of the patch (% of the image's side)")
            _pixels_above(panel, {size_of(image_sizes, dataset) for dataset in results["dataset"]})
        handles = [Line2D([], [], label=f"published, {name}", **look) for name, look in priors.items()]
        legend(figure, [*(run.handle() for run in runs), diamond_handle(f"published, ImageNet, {PAPERS}"), *handles])
    return figure


def _published(ledger: pd.DataFrame) -> pd.DataFrame:
    stated = pd.concat([in_table(ledger, table, "imagenet") for table in ("Table 2", "Figure 7", "Figure 8")])
    return stated.assign(side=stated["patch"].map(patch_side_percent).astype(float)).sort_values("side", kind="stable")


def _pixels_above(axes: Axes, image_sizes: set[Size]) -> None:
    """A second scale in pixels above the panel, where all images have one size."""
    if len(image_sizes) == 1:
        side = math.sqrt(math.prod(image_sizes.pop()))

        def to_pixels(percent: Any) -> Any:
            return percent * side / 100

        def to_percent(pixels: Any) -> Any:
            return 100 * pixels / side

        axes.secondary_xaxis("top", functions=(to_pixels, to_percent)).set_xlabel(f"side of our patch (px of {side:g})")
