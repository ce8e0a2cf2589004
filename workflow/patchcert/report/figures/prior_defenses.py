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
from patchcert.report.published import dataset_beside, in_table, side_by_side
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import ACCURACIES

NAMES = {"imagenet": "ImageNet", "imagenette": "ImageNette", "cifar10": "CIFAR-10"}
"""The datasets of the paper's table, for readers."""
SHARES = {"imagenet": "2 %", "imagenette": "2 %", "cifar10": "2.4 %"}
"""The patch of each that is nearest to 2 % of the image."""


def draw(results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean against certified accuracy: published defenses, and our models, a row a dataset and a panel a patch size.

    Counterpart of PatchCleanser, Figure 2; the published values are those of its Table 2 for a patch of about 2 % of the
    image, on the same dataset where the table has it, or else on ImageNet.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    parts = {dataset: results[results["dataset"] == dataset] for dataset in in_order(results["dataset"])}
    widths = [3, *[2] * max(part["patch"].nunique() for part in parts.values())]
    with styled(style) as colours:
        figure, panels = plt.subplots(
            *(len(parts), len(widths)),
            figsize=(WIDTH, 4 if len(parts) == 1 else 2.6 * len(parts) + 1.4),
            sharex=True,
            sharey=True,
            squeeze=False,
            width_ratios=widths,
        )
        runs, labels = lines(results, ("patch",), colours), []
        for (theirs, *ours), (dataset, part) in zip(panels, parts.items(), strict=True):
            where, published = _published(ledger, dataset)
            diamonds(theirs, published["defended_clean"], published["certified"])
            theirs.set_title(f"published, {where} patch" if len(parts) == 1 else f"published,\n{where} patch", loc="left")
            labels.append(
                (theirs, [(row.defended_clean, row.certified, row.name) for row in published.itertuples(index=False)])
            )
            patches = in_order(part["patch"])
            for panel in ours[len(patches) :]:
                panel.set_visible(False)
            for panel, patch in zip(ours, patches, strict=False):
                for run in runs:
                    own = run.of(part[part["patch"] == patch])
                    clean, certified = (averaged(own, "patch", metric) for metric in ACCURACIES)
                    with_intervals(panel, clean["percent"], certified, run, xerr=errors(clean), linestyle="none", markersize=5)
                panel.set_title(f"ours, {patch} px" if len(parts) == 1 else f"{spoken(dataset)},\n{patch} px", loc="left")
        for panel in panels.flat:
            percent_axis(panel, "x", CLEAN)
            percent_axis(panel, "y", CERTIFIED)
            panel.label_outer()
        legend(figure, [*(run.handle(linestyle="none") for run in runs), diamond_handle("published, full-size models")])
        for theirs, points in labels:
            label_points(theirs, points, style["font_size"] - 1)
    return figure


def _published(ledger: pd.DataFrame, dataset: str) -> tuple[str, pd.DataFrame]:
    """Dataset and patch of what stands beside a dataset of ours, for readers, and the defenses' accuracies on it."""
    same = dataset_beside(ledger, dataset, otherwise="imagenet")
    theirs = same if same in NAMES else "imagenet"
    rows = in_table(ledger, "Table 2", theirs, SHARES[theirs])
    return f"{NAMES[theirs]}, {SHARES[theirs]}", side_by_side(rows, list(ACCURACIES)).dropna()
