"""The figure of clean accuracy against what BagCert's two conditions certify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert.report.bagcert import LONG, PAPER, STRONG, WEAK, means, panel_name, scorers, smoothed, spoken_smoothing
from patchcert.report.bagcert_marks import coloured, darker, look
from patchcert.report.marks import CERTIFIED, CLEAN, diamond_handle, diamonds, grey_handle, label_points, legend
from patchcert.report.published import dataset_beside, in_table, of_whom, patches_here, side_by_side
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import ACCURACIES

MARKS: dict[str, dict[str, Any]] = {WEAK: {"marker": "o", "markersize": 4}, STRONG: {"marker": "*", "markersize": 9}}
"""Markers of the conditions, as in the paper."""


def draw(conditions: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean against certified accuracy by both conditions, joined for each run; colours are receptive fields, numbers M.

    Smoothing has markers of its own, hollow for condition 3.3 and filled for 3.2. Counterpart of BagCert, Figure 2; published
    values are those that the text of section 4 gives for the same dataset, or else CIFAR-10, and a patch of the same size.

    Args:
        conditions: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    runs = means(conditions)
    places = runs[["dataset", "patch"]].drop_duplicates()
    with styled(style) as colours:
        figure, panels = plt.subplots(len(places), 1, figsize=(WIDTH, 4.2 * len(places) + 1.2), squeeze=False)
        fields = coloured(runs, colours)
        theirs = {name: in_table(ledger, "Section 4", dataset_beside(ledger, name), paper=PAPER) for name in places["dataset"]}
        labels = []
        for panel, (dataset, patch) in zip(panels.flat, places.itertuples(index=False), strict=True):
            part = runs[(runs["dataset"] == dataset) & (runs["patch"] == patch)]
            for row in part.itertuples():
                _draw(panel, row, look(row.model, fields, row.receptive_field))
            own = scorers(part)
            points = list(zip(own["clean"], own[STRONG], own["margin"].map("{:g}".format), strict=True))
            others = [*zip(part["clean"], part[WEAK], strict=True), *smoothed(part)[["clean", STRONG]].to_numpy()]
            stated = _published(theirs[dataset], dataset, patch)
            diamonds(panel, stated["defended_clean"], stated["certified"])
            points += [(row.defended_clean, row.certified, row.row) for row in stated.itertuples()]
            panel.set(xlabel=CLEAN, ylabel=CERTIFIED)
            panel.set_title(f"{panel_name(runs, dataset, patch)}; numbers: margin M", loc="left")
            panel.margins(0.08)
            shades = [darker(fields[field]) for field in own["receptive_field"]] + ["black"] * len(stated)
            labels.append((panel, points, others, shades))
        looks = [(LONG["receptive_field"].format(field), {"color": colour} | MARKS[STRONG]) for field, colour in fields.items()]
        looks += [(spoken_smoothing(model), look(model, fields)) for model in in_order(smoothed(runs)["model"])]
        looks += [("certified by condition 3.2", MARKS[STRONG]), ("certified by condition 3.3", MARKS[WEAK])]
        handles = [grey_handle(name, **shown | {"linestyle": "none"}) for name, shown in looks]
        legend(figure, [*handles, diamond_handle(f"published, {of_whom(pd.concat(theirs.values()), 'CIFAR-10, full-size')}")])
        for panel, points, others, shades in labels:
            label_points(panel, points, style["font_size"] - 1, others, shades)
    return figure


def _draw(axes: Axes, row: Any, shown: Mapping[str, Any]) -> None:
    """Draw the points of both conditions and the line between them."""
    heights = [getattr(row, metric) for metric in MARKS]
    axes.plot([row.clean] * 2, heights, color=shown["color"], linewidth=0.7)
    for metric, height in zip(MARKS, heights, strict=True):
        own = {"marker": shown["marker"], "markersize": 6} if "marker" in shown else MARKS[metric]
        face = "white" if "marker" in shown and metric == WEAK else shown["color"]
        axes.plot(row.clean, height, color=shown["color"], markerfacecolor=face, linestyle="none", zorder=3, **own)


def _published(stated: pd.DataFrame, dataset: str, patch: str) -> pd.DataFrame:
    stated = stated[(stated["defense"] == "bagcert") & (patches_here(stated, dataset) == patch)]
    return side_by_side(stated, list(ACCURACIES)).dropna()
