"""The figure of what BagCert certifies against ever larger square patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.masks import size_from_text
from patchcert.report.bagcert_marks import draw_varied
from patchcert.report.ledger import PER_CENT
from patchcert.report.marks import CERTIFIED, diamond_handle, diamonds, legend, percent_axis
from patchcert.report.published import dataset_beside, of_whom, patches_here
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled


def draw(conditions: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """What condition 3.2 certifies against the side of a square patch: by receptive field on the left, by margin on the right.

    Counterpart of BagCert, Figure 3; published values are those that any paper gives of BagCert on the same dataset, or
    else on CIFAR-10. Where there are several datasets each has a row of panels.

    Args:
        conditions: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them; of the patches, the
            squares are shown.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    sizes = {patch: size_from_text(patch) for patch in in_order(conditions["patch"])}
    sides = {patch: float(rows) for patch, (rows, columns) in sizes.items() if rows == columns}
    datasets = in_order(conditions["dataset"])
    stated = {dataset: _published(ledger, dataset) for dataset in datasets}
    with styled(style) as colours:
        figure, panels = plt.subplots(
            len(datasets), 2, figsize=(WIDTH, 4.4 * len(datasets)), sharex=True, sharey=True, squeeze=False
        )
        handles = draw_varied(panels, conditions[conditions["patch"].isin(sides)], sides, colours)
        for row, dataset in zip(panels, datasets, strict=True):
            for panel in row:
                diamonds(panel, stated[dataset]["side"], stated[dataset]["published"])
                panel.set_xlabel("side of the patch (px)")
                panel.set_xticks(sorted(sides.values()))
                percent_axis(panel, "y", CERTIFIED)
                panel.label_outer()
        legend(figure, [*handles, diamond_handle(f"published, {of_whom(pd.concat(stated.values()), 'CIFAR-10, full-size')}")])
    return figure


def _published(ledger: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """What BagCert is said to certify, by the ``side`` of a square patch in pixels of our images."""
    wanted = {"defense": "bagcert", "metric": "certified", "relation": "=", "unit": PER_CENT}
    wanted["dataset"] = dataset_beside(ledger, dataset)
    found = ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    sides = patches_here(found, dataset).str.extract(r"^(\d+)x\1$", expand=False).astype(float)
    return found.assign(side=sides).dropna(subset="side").drop_duplicates(["side", "published"])
