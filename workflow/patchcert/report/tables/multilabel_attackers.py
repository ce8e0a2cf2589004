"""The table of what different attackers leave of precision and recall."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.multilabel import percent, published, quoted

PROCEDURES = {
    "worst_case": "New certification procedure (worst case)",
    "fn": "New certification procedure (FN attack)",
    "fp": "New certification procedure (FP attack)",
}
"""The rows of the paper's table."""
SPOKEN = {
    "certified": "each label by itself",
    "worst_case": "one place for false negatives, one for false positives",
    "fn": "after false negatives",
    "fp": "after false positives",
    "joint": "one place, after what the column says",
}


def make(points: pd.DataFrame, attackers: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Certified precision, recall and F1 over all labels at the chosen threshold, by what the attacker may do.

    Counterpart of Multi-Label PatchCleanser, Table III, with what is beyond it: the attacker at one and the same place, and
    patches smaller than the masks were made for.

    Returns:
        The long table, at all thresholds of the grid, and the compact one.
    """
    keys = ["dataset", "model", "training", "seed", "patch", "budget"]
    compact = []
    for facts, run in attackers[attackers["threshold"] == attackers["at"]].groupby(keys, sort=False):
        told = dict(zip(keys, facts, strict=True))
        of_run = (points[keys] == pd.Series(told)).all(axis=1)
        old = points[of_run & (points["setting"] == "certified") & (points["threshold"] == points["at"])].iloc[0]
        rows = [("certified", told["patch"], old, "Old certification procedure")]
        rows += [(row["attacker"], row["actual_patch"], row, PROCEDURES.get(row["attacker"], "")) for _, row in run.iterrows()]
        for attacker, patch, row, procedure in rows:
            values = published(ledger, "Table III", procedure, row) if patch == told["patch"] else {}
            compact.append(
                named({fact: told[fact] for fact in ("dataset", "model", "training", "seed")}, attackers)
                | {
                    "patch": patch,
                    "the attacker": SPOKEN[attacker],
                    "precision, %": percent(row["precision"]),
                    "recall, %": percent(row["recall"]),
                    "F1, %": percent(row["f1"]),
                    "class recall, %": percent(row["class_recall"]),
                    "published precision, recall, %": quoted(
                        [values.get(metric) for metric in ("overall_precision", "overall_recall")], "Table III"
                    ),
                }
            )
    return attackers.drop(columns="at"), pd.DataFrame(compact)
