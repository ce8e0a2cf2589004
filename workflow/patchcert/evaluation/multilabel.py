"""Certificates of Multi-Label PatchCleanser as records, one row an image and class, and what they amount to.

Every answer is a score that exceeds the threshold or does not (:mod:`patchcert.curves`), so that one row holds the answers and
certificates of an image and class at every threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.curves import (
    Counts,
    area_under_curve,
    class_average,
    class_totals,
    f1,
    precision,
    recall,
    totals,
    turning_points,
)
from patchcert.defenses.places import places
from patchcert.defenses.sweeps import GRID, Sweep, sweep
from patchcert.masks import MaskSet, Size
from patchcert.scores import ScorePredictions

SETTINGS = ("undefended", "defended", "certified", "located")
"""Whose answers: without masks, under masks, in the worst case of each class by itself, and in that of one place an image."""
BY_CLASS = SETTINGS[:-1]
"""Settings in which the counts of a single class mean something."""
SUCCESSOR_RECALL = 0.25
"""Where the range of recall begins over which the paper's successor averages precision."""
JOINT = "joint"
"""An attacker with one place an image for both kinds of error."""


class Certificates(NamedTuple):
    """What is known of a run's answers under attack.

    Attributes:
        records: one row an image and class: ``image_id``, ``class`` (from 0), ``present``, and an answer score for each of
            ``SETTINGS``, of which ``located`` is for totals only.
        attackers: one row for each patch, threshold of the grid and attacker: ``actual_patch``, ``threshold``, ``attacker``
            (``worst_case``, ``fn``, ``fp`` or ``joint``), ``tp``, ``fp``, ``fn``, ``precision``, ``recall``, ``f1`` and
            ``class_recall``. The joint attacker has a metric in mind: what is in its row cannot be had all at once, and it has
            no counts; the others have no ``class_recall``.
    """

    records: pd.DataFrame
    attackers: pd.DataFrame


def certificates(
    predictions: ScorePredictions,
    labels: NDArray[np.bool_],
    masks: MaskSet,
    patches: Sequence[Size],
    *,
    numerical_margin: float,
) -> Certificates:
    """Certify the answers of a run.

    Scores in whose last bits other hardware or another batch size may differ are taken for the worse: a lowest score counts for
    less, and a highest one for more, by ``numerical_margin``.

    Args:
        predictions: scores and their row extrema; they may be memory-mapped.
        labels: bool [N, C].
        masks: the mask set of the predictions.
        patches: the patch that the masks were made for, and smaller ones that they cover, pixels: the masks that hide a smaller
            patch are several at some places, so that it can do less.
        numerical_margin: of scores, 0 to 1.

    Raises:
        InputError: a patch that the masks do not cover, or labels that do not fit the scores.
    """
    sweeps = [
        sweep(predictions.extrema, labels, covering_sets=places(masks, patch), numerical_margin=numerical_margin)
        for patch in patches
    ]
    tables = [
        _attackers(each, labels).assign(actual_patch="x".join(map(str, patch)))
        for each, patch in zip(sweeps, patches, strict=True)
    ]
    images, classes = labels.shape
    records = pd.DataFrame(
        {
            "image_id": predictions.image_ids.repeat(classes),
            "class": np.tile(np.arange(classes), images),
            "present": labels.ravel(),
            "undefended": predictions.unmasked.ravel(),
            "defended": sweeps[0].defended.ravel(),
            "certified": sweeps[0].certified.ravel(),
            "located": sweeps[0].located.ravel(),
        }
    )
    return Certificates(records, pd.concat(tables, ignore_index=True))


def _attackers(found: Sweep, labels: NDArray[np.bool_]) -> pd.DataFrame:
    """What each attacker leaves, one row a threshold and attacker, as :class:`Certificates` describes it."""
    counted = {"worst_case": totals(found.located, labels, GRID), "fn": found.fn_attacker, "fp": found.fp_attacker}
    tables = [
        pd.DataFrame(
            {
                "threshold": GRID,
                "attacker": attacker,
                **{name: getattr(counts, name) for name in ("tp", "fp", "fn")},
                **_ratios(counts),
            }
        )
        for attacker, counts in counted.items()
    ]
    joint = {name: getattr(found, name) for name in ("precision", "recall", "f1", "class_recall")}
    return pd.concat([*tables, pd.DataFrame({"threshold": GRID, "attacker": JOINT, **joint})], ignore_index=True)


def _ratios(counts: Counts) -> dict[str, NDArray[np.float64]]:
    return {"precision": precision(counts), "recall": recall(counts), "f1": f1(counts)}


def measures(certificates: Certificates, threshold: float) -> dict[str, list[dict[str, Any]]]:
    """What the certificates of one run amount to, as tables of flat rows. Ratios are fractions; None stands for 0/0.

    Args:
        certificates: of one run.
        threshold: the threshold at which single numbers are given, 0 to 1.

    Returns:
        ``points``: precision, recall and F1 of the sums, and averaged over classes, of each of ``SETTINGS`` at the threshold
        and on the grid; ``areas``: areas under the curves, over every threshold (``exact``), over the grid, and with recall
        from 25 % on; ``attackers``: the rows of the attackers at the threshold and on the grid; ``classes``: number of
        positives, areas and ratios at the threshold of each class; ``class_points``: the curves of the best and the worst
        class.
    """
    records, attackers = certificates
    classes = int(records["class"].max()) + 1
    truth = records["present"].to_numpy().reshape(-1, classes)
    scores = {name: records[name].to_numpy(dtype=np.float32).reshape(-1, classes) for name in SETTINGS}
    by_class = _classes({name: scores[name] for name in BY_CLASS}, truth, threshold)
    ranked = sorted((row for row in by_class if row["setting"] == "certified" and row["area"] is not None), key=_area)
    shown = [ranked[-1]["class"], ranked[0]["class"]] if ranked else []
    return _without_nan(
        {
            "points": [row for name in SETTINGS for row in _points(name, scores[name], truth, threshold)],
            "areas": [_areas(name, scores[name], truth) for name in SETTINGS],
            "attackers": attackers.to_dict(orient="records"),
            "classes": by_class,
            "class_points": [
                {"class": number, "setting": name, **row}
                for number in shown
                for name in BY_CLASS
                for row in _curve(scores[name][:, [number]], truth[:, [number]])
            ],
        }
    )


def _points(setting: str, scores: NDArray[np.float32], truth: NDArray[np.bool_], threshold: float) -> list[dict[str, Any]]:
    cuts = np.unique(np.append(GRID, threshold))
    overall = _ratios(totals(scores, truth, cuts))
    columns: dict[str, Any] = {"setting": [setting] * len(cuts), "threshold": cuts, **overall}
    if setting in BY_CLASS:
        occurs = truth.any(axis=0)
        for name, ratios in _ratios(class_totals(scores, truth, cuts)).items():
            for suffix, published in (("", False), ("_published", True)):
                columns[f"class_{name}{suffix}"] = class_average(ratios, occurs, published=published).value
    return _rows(columns)


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in pd.DataFrame(columns).to_dict(orient="records")]


def _areas(setting: str, scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> dict[str, Any]:
    exact, grid = totals(scores, truth, turning_points(scores)), totals(scores, truth, GRID)
    return {
        "setting": setting,
        "exact": area_under_curve(recall(exact), precision(exact)),
        "grid": area_under_curve(recall(grid), precision(grid)),
        "exact_from_25": area_under_curve(recall(exact), precision(exact), SUCCESSOR_RECALL),
    }


def _classes(scores: Mapping[str, NDArray[np.float32]], truth: NDArray[np.bool_], threshold: float) -> list[dict[str, Any]]:
    rows = []
    for number in np.flatnonzero(truth.any(axis=0)).tolist():
        label = truth[:, [number]]
        for setting, values in scores.items():
            column = values[:, [number]]
            exact, at = totals(column, label, turning_points(column)), totals(column, label, [threshold])
            rows.append(
                {
                    "class": number,
                    "setting": setting,
                    "positives": int(label.sum()),
                    "area": area_under_curve(recall(exact), precision(exact)),
                    "precision": float(precision(at)[0]),
                    "recall": float(recall(at)[0]),
                }
            )
    return rows


def _curve(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> list[dict[str, Any]]:
    counts = totals(scores, truth, GRID)
    return _rows({"threshold": GRID, **_ratios(counts)})


def _area(row: Mapping[str, Any]) -> float:
    return float(row["area"])


def _without_nan(tables: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """JSON has no NaN: None in its place."""
    return {
        name: [
            {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()} for row in rows
        ]
        for name, rows in tables.items()
    }
