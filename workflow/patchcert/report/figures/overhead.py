"""The figure of accuracy against time an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert.report.marks import (
    CERTIFIED,
    CLEAN,
    Line,
    averaged,
    by_masks,
    diamond_handle,
    diamonds,
    double_masked,
    grey_handle,
    label_points,
    legend,
    lines,
    on_devices,
    percent_axis,
    time_axis,
    with_intervals,
)
from patchcert.report.published import in_table, side_by_side
from patchcert.report.style import WIDTH, styled
from patchcert.report.terms import ACCURACIES, masks_in

_STAR: dict[str, Any] = {"marker": "*", "markersize": 8, "linestyle": "none"}

Point = tuple[float, float, str]


def draw(results: pd.DataFrame, times: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean and certified accuracy against time an image: ours at the left, a point a mask budget, published at the right.

    Counterpart of PatchCleanser, Figure 5. The accuracies of the defenses that the figure only times are those of Table 2.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        times: one row a run and algorithm, with ``milliseconds`` an image and the ``device``.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    results, published = double_masked(results), _published(ledger)
    with styled(style) as colours:
        figure, panels = plt.subplots(2, 2, figsize=(WIDTH, 6), sharex="col", sharey=True)
        runs = lines(results, ("budget",), colours)
        labels: list[tuple[Axes, list[Point]]] = []
        for (ours, theirs), (metric, name) in zip(panels, (("defended_clean", CLEAN), ("certified", CERTIFIED)), strict=True):
            labels.append((ours, [point for run in runs for point in _doubly(ours, run, results, times, metric)]))
            labels.append((theirs, _theirs(theirs, published, metric)))
            percent_axis(ours, "y", name)
        for run in runs:
            _undefended(panels[0, 0], run, results, times)
        for panel in panels.flat:
            panel.margins(x=0.12)
        panels[0, 0].set_title("ours; numbers: masks", loc="left")
        panels[0, 1].set_title("published, ImageNet, 2 % patch", loc="left")
        time_axis(panels[1, 0], f"time an image (ms)\n{on_devices(times)}")
        time_axis(panels[1, 1], "time an image (ms)\non the authors' GPU")
        star = grey_handle("undefended classifier", **_STAR)
        legend(figure, [*(run.handle() for run in runs), star, diamond_handle("published, full-size models")])
        for panel, points in labels:
            label_points(panel, points, style["font_size"] - 1)
    return figure


def _doubly(axes: Axes, run: Line, results: pd.DataFrame, times: pd.DataFrame, metric: str) -> list[Point]:
    """Double masking's line, a point a budget that was timed; gives the points with their number of masks."""
    cost = run.of(times[times["algorithm"] == "double_masking"]).groupby("budget")["milliseconds"].mean()
    rows = by_masks(averaged(run.of(results), "budget", metric))
    rows = rows[rows["budget"].isin(cost.index)]
    across = rows["budget"].map(cost)
    with_intervals(axes, across, rows, run)
    return list(zip(across, rows["percent"], rows["masks"].map(str), strict=True))


def _undefended(axes: Axes, run: Line, results: pd.DataFrame, times: pd.DataFrame) -> None:
    """The classifier without a defense, for which there is neither patch nor budget."""
    classifier = replace(run, facts={fact: run.facts[fact] for fact in ("dataset", "model", "training")})
    cost = classifier.of(times[times["algorithm"] == "undefended"])["milliseconds"]
    if len(cost):
        rows = averaged(run.of(results), "model", "undefended_clean")
        with_intervals(axes, [cost.mean()], rows, run, **_STAR)


def _published(ledger: pd.DataFrame) -> pd.DataFrame:
    stated = pd.concat([in_table(ledger, "Figure 5", "imagenet"), in_table(ledger, "Table 2", "imagenet", "2 %")])
    timed = side_by_side(stated, ["inference_time", *ACCURACIES]).dropna(subset="inference_time")
    return timed.sort_values("inference_time", kind="stable")


def _theirs(axes: Axes, published: pd.DataFrame, metric: str) -> list[Point]:
    """The published points, those of one model under several mask budgets joined; gives the points with their names."""
    shown = published.dropna(subset=metric)
    for _, points in shown.groupby("name", sort=False):
        diamonds(axes, points["inference_time"], points[metric], "-")
    names = [f"{row.name}, {masks_in(row.budget)} masks" if row.budget else row.name for row in shown.itertuples(index=False)]
    return list(zip(shown["inference_time"], shown[metric], names, strict=True))
