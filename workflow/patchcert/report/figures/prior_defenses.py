"""The figure of clean against certified accuracy, of published defenses and of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import (
    CERTIFIED,
    CLEAN,
    averaged,
    diamond_handle,
    diamonds,
    errors,
    label_points,
    legend,
    lines,
    percent_axis,
    with_intervals,
)
from patchcert.report.published import in_table, side_by_side
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import ACCURACIES


def draw(results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean against certified accuracy: published defenses on ImageNet, and our models, a panel a patch size.

    Counterpart of PatchCleanser, Figure 2; the published values are those of its Table 2 for a patch of 2 % of the image.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        style: the ``report`` block of the configuration.
    """
    published = side_by_side(in_table(ledger, "Table 2", "imagenet", "2 %"), list(ACCURACIES)).dropna()
    patches = in_order(results["patch"])
    with styled(style) as colours:
        widths = [3, *(2 for _ in patches)]
        figure, panels = plt.subplots(1, len(widths), figsize=(WIDTH, 4), sharex=True, sharey=True, width_ratios=widths)
        theirs, *ours = panels
        diamonds(theirs, published["defended_clean"], published["certified"])
        theirs.set_title("published, ImageNet, 2 % patch", loc="left")
        runs = lines(results, ("patch",), colours)
        for panel, patch in zip(ours, patches, strict=True):
            for run in runs:
                own = run.of(results[results["patch"] == patch])
                clean, certified = (averaged(own, "patch", metric) for metric in ACCURACIES)
                with_intervals(panel, clean["percent"], certified, run, xerr=errors(clean), linestyle="none", markersize=5)
            panel.set_title(f"ours, {patch} px", loc="left")
        for panel in panels:
            percent_axis(panel, "x", CLEAN)
            percent_axis(panel, "y", CERTIFIED)
            panel.label_outer()
        legend(figure, [*(run.handle(linestyle="none") for run in runs), diamond_handle("published, full-size models")])
        points = [(row.defended_clean, row.certified, row.name) for row in published.itertuples(index=False)]
        label_points(theirs, points, style["font_size"] - 1)
    return figure
