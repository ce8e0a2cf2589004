"""The table of undefended classifiers' clean accuracy."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named, with_published
from patchcert.report.results import spoken


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean accuracy of the undefended classifiers, without any mask. Counterpart of PatchCleanser, Table 3.

    Returns:
        The long table, and the compact one: a row a model, a column a training.
    """
    undefended = results[results["metric"] == "undefended_clean"]
    table = with_published(undefended.drop_duplicates(["dataset", "model", "training", "seed"]), ledger).drop(
        columns=["patch", "budget", "near_flips"]
    )
    compact = []
    for (dataset, model, seed), part in table.groupby(["dataset", "model", "seed"], sort=False):
        row = named({"dataset": dataset, "model": model, "seed": seed}, results)
        row |= {f"{spoken(found.training)}, %": cell(found._asdict()) for found in part.itertuples()}
        row["published, %"] = "; ".join(text for text in part["published"] if text)
        compact.append(row)
    columns = dict.fromkeys(key for row in compact for key in row if key != "published, %")
    return table, pd.DataFrame(compact, columns=[*columns, "published, %"])
