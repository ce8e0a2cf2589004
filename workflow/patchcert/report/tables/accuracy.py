"""The table of clean and certified accuracy by model and training strategy."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named, with_published
from patchcert.report.results import FACTS, in_order


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy by model and training strategy, for each mask budget.

    Counterpart of PatchCleanser, Table 5, and Greedy Cutout, Table 1.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    table = with_published(results[results["metric"] != "undefended_clean"], ledger)
    compact = []
    row_facts = [fact for fact in FACTS if fact != "budget"]
    for facts, part in table.groupby(row_facts, sort=False):
        row = named(dict(zip(row_facts, facts, strict=True)), results)
        for budget in in_order(table["budget"]):
            for metric, name in (("defended_clean", "clean"), ("certified", "certified")):
                found = part[(part["budget"] == budget) & (part["metric"] == metric)].iloc[0]
                row[f"{budget}: {name}, %"] = cell(found)
            row[f"{budget}: published certified, %"] = found["published"]
        compact.append(row)
    return table, pd.DataFrame(compact)
