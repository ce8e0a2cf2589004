"""The table of areas under the precision-recall curves."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.multilabel import NAMES, ROWS, fraction, published, quoted


def make(areas: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Area under each curve as a fraction of the ideal one's: over every threshold, over the paper's grid of them, and of the
    exact curve over recall from 25 to 100 % alone, as the paper's successor has it.

    Counterpart of Multi-Label PatchCleanser, Table II.

    Returns:
        The long table, and the compact one.
    """
    table = areas.drop(columns="at")
    compact = []
    for _, row in table.iterrows():
        values = published(ledger, "Table II", ROWS.get(row["setting"], ""), row)
        compact.append(
            named({fact: row[fact] for fact in ("dataset", "model", "training", "seed")}, areas)
            | {
                "setting": NAMES[row["setting"]],
                "area, every threshold": fraction(row["exact"]),
                "area, 100 thresholds": fraction(row["grid"]),
                "area, recall from 25 %": fraction(row["exact_from_25"]),
                "published": quoted([values.get("area_under_curve")], "Table II", digits=3),
            }
        )
    return table, pd.DataFrame(compact)
