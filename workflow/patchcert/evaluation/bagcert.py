"""Certificates of region scores as records, one row an image and patch, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.defenses import bagcert
from patchcert.defenses.asking import checked_truth
from patchcert.metrics import share
from patchcert.region_scores import RegionScores

METRICS = {"clean": "answer", "condition_3_2": "certified_3_2", "condition_3_3": "certified_3_3"}
"""What is told of a run, and the records' column that it comes from."""


def records(scores: RegionScores, labels: NDArray[np.int64], threats: Mapping[str, Any]) -> pd.DataFrame:
    """What is answered and certified of each image against each patch.

    An unsure score counts against the label: other hardware or another batch size might decide it otherwise.

    Args:
        scores: the stored region scores.
        labels: true labels, int64 [N].
        threats: the affected outputs of all places (:data:`patchcert.defenses.bagcert.Affected`) by the patch's text.

    Returns:
        Columns ``image_id``, ``label``, ``answer`` (label), ``patch``, ``lead_3_2`` and ``lead_3_3`` (least lead that a patch
        leaves, in votes, with unsure ones against the label), ``certified_3_2``, ``certified_3_3``, and ``near_flip``:
        certified by condition 3.2 but for unsure scores.
    """
    truth = checked_truth(labels, len(scores.image_ids))
    tables = []
    for images, values, unsure in scores.blocks():
        mine, answer = truth[images], bagcert.infer(values)
        as_said = bagcert.sweep(values, mine, list(threats.values()))
        at_worst = bagcert.sweep(_at_worst(values, unsure, mine), mine, list(threats.values())) if unsure.any() else as_said
        for patch, said, worst in zip(threats, as_said, at_worst, strict=True):
            certified = worst.condition_3_2 > 0
            tables.append(
                pd.DataFrame(
                    {
                        "image_id": scores.image_ids[images],
                        "label": mine,
                        "answer": answer,
                        "patch": patch,
                        "lead_3_2": worst.condition_3_2,
                        "lead_3_3": worst.condition_3_3,
                        "certified_3_2": certified,
                        "certified_3_3": worst.condition_3_3 > 0,
                        "near_flip": (said.condition_3_2 > 0) & ~certified,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _at_worst(scores: NDArray[Any], unsure: NDArray[np.bool_], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Scores with the unsure ones against the label: 0 of its own class, and 1 of the others."""
    against = np.ones(scores.shape[:2], dtype=scores.dtype)
    against[np.arange(len(labels)), labels] = 0
    return np.where(unsure, against[:, :, None, None], scores)


def measures(records: pd.DataFrame, patch: str, confidence: float) -> dict[str, Any]:
    """What the certificates of one run against one patch amount to.

    Args:
        records: as :func:`records` gives them.
        patch: the patch's text.
        confidence: level of the Wilson intervals.

    Returns:
        ``clean``, ``condition_3_2`` and ``condition_3_3`` as the fields of :class:`patchcert.metrics.Share`, and the number
        of ``near_flips``.
    """
    chosen = records[records["patch"] == patch]
    right = chosen.assign(answer=chosen["answer"] == chosen["label"])
    found = {name: share(right[column].to_numpy(dtype=bool), confidence)._asdict() for name, column in METRICS.items()}
    return found | {"near_flips": int(chosen["near_flip"].sum())}


def attack_measures(records: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """What one attack amounts to: ``clean``, ``attacked`` and ``condition_3_2``, each as a :class:`patchcert.metrics.Share`."""
    columns = ("clean", "attacked", "condition_3_2")
    return {name: share(records[name].to_numpy(dtype=bool), confidence)._asdict() for name in columns}
