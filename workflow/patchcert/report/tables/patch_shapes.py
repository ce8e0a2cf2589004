"""The table of clean and certified accuracy by what the attacker may place."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.published import in_table, quoted
from patchcert.report.results import FACTS
from patchcert.report.terms import ACCURACIES, spoken_patch


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy against patches of every shape, against two patches and against one.

    Counterpart of PatchCleanser, Table 4. A published value stands beside each of our runs against the corresponding patches,
    whatever its model and number of masks, because it is the order of the rows that is compared.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    values = in_table(ledger, "Table 4", "cifar10")
    theirs = dict(zip(zip(values["default_patch"], values["metric"], strict=True), quoted(values), strict=True))
    ours = results[results["metric"].isin(ACCURACIES)]
    table = ours.assign(published=[theirs.get(key, "") for key in zip(ours["patch"], ours["metric"], strict=True)])
    compact = []
    for facts, part in table.groupby(FACTS, sort=False):
        run = dict(zip(FACTS, facts, strict=True))
        row = {"attacker places": spoken_patch(run.pop("patch"))} | named(run, results)
        by_metric = part.set_index("metric")
        row |= {f"{name}, %": cell(by_metric.loc[metric]) for metric, name in ACCURACIES.items()}
        row |= {f"published {name}, %": by_metric.loc[metric, "published"] for metric, name in ACCURACIES.items()}
        compact.append(row)
    return table, pd.DataFrame(compact)
