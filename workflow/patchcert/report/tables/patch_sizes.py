"""The table of clean and certified accuracy by patch size, with prior defenses below."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named, with_published
from patchcert.report.published import dataset_beside, in_table, patches_here, quoted
from patchcert.report.results import FACTS, in_order
from patchcert.report.terms import ACCURACIES


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy by model and training, for each patch size; then the prior defenses' published values.

    Counterpart of PatchCleanser, Table 2. A prior defense's values stand in the published columns of the patch of the same
    size, those for the same datasets as ours, or else for CIFAR-10; a defense with none for any of our patches is left out.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.

    Returns:
        The long table, our rows and then those of prior defenses, and the compact one with ``percent [low, high]`` cells.
    """
    ours = with_published(results[results["metric"].isin(ACCURACIES)], ledger)
    patches = in_order(ours["patch"])
    prior = _prior(ledger, ours)
    compact = []
    row_facts = [fact for fact in FACTS if fact != "patch"]
    for facts, part in ours.groupby(row_facts, sort=False):
        row = named(dict(zip(row_facts, facts, strict=True)), results)
        for found in part.to_dict("records"):
            name = f"{found['patch']}: {{}}{ACCURACIES[found['metric']]}, %"
            row |= {name.format(""): cell(found), name.format("published "): found["published"]}
        compact.append(row)
    for (dataset, name), part in prior.groupby(["dataset", "model"], sort=False):
        values = {f"{found.patch}: published {ACCURACIES[found.metric]}, %": found.published for found in part.itertuples()}
        compact.append(named({"dataset": dataset, "model": f"published: {name}"}, results) | values)
    facts_first = [key for key in compact[0] if ":" not in key]
    columns = [
        f"{patch}: {whose}{metric}, %" for patch in patches for whose in ("", "published ") for metric in ACCURACIES.values()
    ]
    # whole numbers stay whole beside the rows that lack them
    ours = ours.astype(dict.fromkeys(ours.select_dtypes("integer").columns, "Int64"))
    return pd.concat([ours, prior], ignore_index=True), pd.DataFrame(compact, columns=[*facts_first, *columns])


def _prior(ledger: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Published values of defenses other than double masking, for our datasets and patches of our sizes."""
    found = []
    for dataset, part in ours.groupby("dataset", sort=False):
        values = in_table(ledger, "Table 2", dataset_beside(ledger, str(dataset)))
        values = values[values["defense"] != "double_masking"]
        values = values.assign(model=values["name"], patch=patches_here(values, str(dataset)), published=quoted(values))
        found.append(values.loc[values["patch"].isin(part["patch"]), ["dataset", "model", "patch", "metric", "published"]])
    return pd.concat(found, ignore_index=True).drop_duplicates()
