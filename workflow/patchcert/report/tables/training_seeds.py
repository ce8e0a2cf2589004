"""The table of the main training strategies over seeds: mean and standard deviation."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named, with_published
from patchcert.report.results import in_order


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy by model and training, over the seeds of training.

    Counterpart of Greedy Cutout, Tables 1 and 2, which give one run each.

    Returns:
        The long table with ``mean``, ``deviation`` (of the sample, per cent) and ``seeds``, and the compact one.
    """
    facts = ["dataset", "model", "training", "patch", "budget", "metric"]
    shown = results[results["metric"] != "undefended_clean"]
    spread = shown.groupby(facts, sort=False)["percent"].agg(mean="mean", deviation="std", seeds="count").reset_index()
    table = with_published(spread, ledger)
    compact = []
    run = ["dataset", "model", "training", "patch"]
    for told, part in table.groupby(run, sort=False):
        row = named(dict(zip(run, told, strict=True)), table) | {"seeds": f"{part['seeds'].min()}"}
        for budget in in_order(table["budget"]):
            for metric, name in (("defended_clean", "clean"), ("certified", "certified")):
                found = part[(part["budget"] == budget) & (part["metric"] == metric)].iloc[0]
                row[f"{budget}: {name}, %"] = (
                    f"{found['mean']:.1f}" if found["seeds"] == 1 else f"{found['mean']:.1f} ± {found['deviation']:.1f}"
                )
            row[f"{budget}: published certified, %"] = found["published"]
        compact.append(row)
    return table, pd.DataFrame(compact)
