"""The figure of accuracy when the patch is smaller than estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.masks import Size
from patchcert.report.marks import DASHES, averaged, legend, lines, metric_handles, percent_axis, with_intervals
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import patch_area, size_of


def draw(results: pd.DataFrame, image_sizes: Mapping[str, Size], style: Mapping[str, Any]) -> Figure:
    """Clean and certified accuracy against the estimated area of the patch; the actual patch is the smallest estimate.

    A mask set for a patch hides every smaller one too, so that an estimate's certificate holds for the actual patch.
    Counterpart of PatchCleanser, Figure 6.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, each ``patch`` an estimate.
        image_sizes: rows and columns of each dataset's images, pixels.
        style: the ``report`` block of the configuration.
    """
    actual = {dataset: min(in_order(part["patch"]), key=patch_area) for dataset, part in results.groupby("dataset", sort=False)}
    with styled(style) as colours:
        figure, panel = plt.subplots(figsize=(WIDTH, 3.8))
        runs = lines(results, ("patch",), colours)
        for run in runs:
            smallest = patch_area(actual[run.facts["dataset"]])
            for metric, dashes in DASHES.items():
                rows = averaged(run.of(results), "patch", metric)
                rows = rows.assign(area=100 * rows["patch"].map(patch_area) / smallest).sort_values("area")
                with_intervals(panel, rows["area"], rows, run, linestyle=dashes)
        sizes = [f"{patch} of {'x'.join(map(str, size_of(image_sizes, dataset)))} px" for dataset, patch in actual.items()]
        panel.set_xlabel(f"estimated area of the patch (% of the actual patch, {'; '.join(dict.fromkeys(sizes))})")
        percent_axis(panel, "y", "accuracy (%)")
        legend(figure, [*(run.handle() for run in runs), *metric_handles()])
    return figure
