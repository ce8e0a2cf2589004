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
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled


def draw(conditions: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """What condition 3.2 certifies against the side of a square patch: by receptive field on the left, by margin on the right.

    Counterpart of BagCert, Figure 3; published values are those that any paper gives of BagCert on CIFAR-10.

    Args:
        conditions: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them; of the patches, the
            squares are shown.
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        style: the ``report`` block of the configuration.
    """
    sizes = {patch: size_from_text(patch) for patch in in_order(conditions["patch"])}
    sides = {patch: float(rows) for patch, (rows, columns) in sizes.items() if rows == columns}
    stated = _published(ledger)
    with styled(style) as colours:
        figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.4), sharex=True, sharey=True)
        handles = draw_varied(panels, conditions[conditions["patch"].isin(sides)], sides, colours)
        for panel in panels:
            diamonds(panel, stated["side"], stated["published"])
            panel.set_xlabel("side of the patch (px)")
            panel.set_xticks(sorted(sides.values()))
            percent_axis(panel, "y", CERTIFIED)
            panel.label_outer()
        legend(figure, [*handles, diamond_handle("published, CIFAR-10, full-size")])
    return figure


def _published(ledger: pd.DataFrame) -> pd.DataFrame:
    """What BagCert is said to certify, by the ``side`` of a square patch in pixels of an image of 32x32."""
    wanted = {"defense": "bagcert", "metric": "certified", "relation": "=", "dataset": "cifar10", "unit": PER_CENT}
    found = ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    sides = found["patch"].str.extract(r"\((\d+)x\1 of 32x32\)", expand=False).astype(float)
    return found.assign(side=sides).dropna(subset="side").drop_duplicates(["side", "published"])
