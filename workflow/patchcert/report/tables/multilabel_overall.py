"""The table of multi-label precision and recall at one threshold."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.multilabel import NAMES, ROWS, percent, published, quoted

COLUMNS = {
    "class_precision": "class precision, %",
    "class_recall": "class recall, %",
    "precision": "overall precision, %",
    "recall": "overall recall, %",
}
PUBLISHED = ("class_precision", "class_recall", "overall_precision", "overall_recall")


def make(points: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Precision and recall at the chosen threshold, over all labels and averaged over classes.

    Counterpart of Multi-Label PatchCleanser, Table I. In the long table stand also the averages in the way of common evaluation
    code, over all classes and with 0/0 as 0 (``class_precision_published`` and ``class_recall_published``).

    Returns:
        The long table, and the compact one.
    """
    table = points[points["threshold"] == points["at"]].drop(columns="at")
    compact = []
    for _, row in table[table["setting"].isin(ROWS)].iterrows():
        values = published(ledger, "Table I", ROWS[row["setting"]], row)
        compact.append(
            named({fact: row[fact] for fact in ("dataset", "model", "training", "seed")}, points)
            | {"setting": NAMES[row["setting"]]}
            | {name: percent(row[column]) for column, name in COLUMNS.items()}
            | {"published, %": quoted([values.get(metric) for metric in PUBLISHED], "Table I")}
        )
    return table, pd.DataFrame(compact)
