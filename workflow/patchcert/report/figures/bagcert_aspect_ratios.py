"""The figure of what BagCert certifies against rectangles of one area, from the widest to the highest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.masks import size_from_text
from patchcert.report.bagcert import PAPER
from patchcert.report.bagcert_marks import draw_varied
from patchcert.report.marks import CERTIFIED, diamond_handle, diamonds, grey_handle, legend, percent_axis
from patchcert.report.published import dataset_beside, patches_here
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import patch_area

PIXELS = 24
"""The area of the paper's rectangles."""
_BOUND: dict[str, Any] = {"color": "black", "linestyle": "-.", "linewidth": 0.9}


def draw(conditions: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """What condition 3.2 certifies against rectangles of 24 pixels: by receptive field on the left, by margin on the right.

    Counterpart of BagCert, Figure 4; published values are what the text says of column smoothing, and its lower bound for
    BagCert. Where there are several datasets each has a row of panels.

    Args:
        conditions: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them; of the patches, those
            of 24 pixels are shown.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    patches = sorted((patch for patch in in_order(conditions["patch"]) if patch_area(patch) == PIXELS), key=size_from_text)
    places = {patch: float(number) for number, patch in enumerate(patches)}
    datasets = in_order(conditions["dataset"])
    limits: list[float] = []
    with styled(style) as colours:
        figure, panels = plt.subplots(len(datasets), 2, figsize=(WIDTH, 4.4 * len(datasets)), sharey=True, squeeze=False)
        handles = draw_varied(panels, conditions[conditions["patch"].isin(patches)], places, colours)
        for row, dataset in zip(panels, datasets, strict=True):
            bounds, stated = _published(ledger, dataset)
            across = stated["patch"].map(places)
            limits += bounds
            for panel in row:
                for bound in bounds:
                    panel.axhline(bound, **_BOUND)
                diamonds(panel, across.dropna(), stated.loc[across.notna(), "published"])
                panel.set_xticks(list(places.values()), patches)
                panel.set_xlabel("rows x columns of the patch (px)")
                percent_axis(panel, "y", CERTIFIED)
                panel.label_outer()
        handles += [grey_handle(f"published, BagCert ≥ {bound:g} %", **_BOUND) for bound in dict.fromkeys(limits)]
        legend(figure, [*handles, diamond_handle("published, by columns")])
    return figure


def _published(ledger: pd.DataFrame, dataset: str) -> tuple[list[float], pd.DataFrame]:
    """The lower bounds for BagCert against every rectangle, and what column smoothing certifies by our patch."""
    own = ledger[(ledger["paper"] == PAPER) & (ledger["dataset"] == dataset_beside(ledger, dataset))]
    bounds = own[own["patch"].str.startswith(f"any rectangle of {PIXELS} px") & (own["relation"] == ">")]
    stated = own[(own["table"] == "Section 4") & own["relation"].isin(["=", "~"])]
    stated = stated[(stated["defense"] == "derandomized_smoothing") & (stated["metric"] == "certified")]
    return bounds["published"].tolist(), stated.assign(patch=patches_here(stated, dataset))
