"""The table of all training strategies on one model: what each costs and what it is certified for."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named, with_published
from patchcert.report.results import in_order

RUN = ["dataset", "model", "training"]


def make(
    results: pd.DataFrame, ledger: pd.DataFrame, trainings: pd.DataFrame, training_times: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Passes and time of each strategy beside its clean and certified accuracy, for each mask budget.

    Counterpart of Greedy Cutout, Tables 3 and A1.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    shown = with_published(results[results["metric"] != "undefended_clean"], ledger)
    costs = trainings.groupby(RUN, sort=False)[["extra_passes", "copies", "epochs"]].mean().reset_index()
    costs = costs.merge(training_times.drop(columns=["copies", "passes"]), on=RUN, how="left")
    costs["milliseconds"] = costs["search_ms"] + costs["step_ms"]
    table = shown.merge(costs, on=RUN, how="left")
    finest = in_order(table["budget"])[-1]
    compact = []
    for facts, part in table.groupby(RUN, sort=False):
        first = part.iloc[0]
        row = named(dict(zip(RUN, facts, strict=True)), table)
        row |= {
            "epochs": f"{first['epochs']:.0f}",
            "passes of the search, an image and epoch": f"{first['extra_passes']:g}",
            "copies of an image": f"{first['copies']:.0f}",
            "training step, ms an image": f"{first['milliseconds']:.2f}",
        }
        clean = part[(part["budget"] == finest) & (part["metric"] == "defended_clean")].iloc[0]
        row[f"{finest}: clean, %"] = cell(clean)
        for budget in in_order(table["budget"]):
            found = part[(part["budget"] == budget) & (part["metric"] == "certified")].iloc[0]
            row |= {f"{budget}: certified, %": cell(found), f"{budget}: published certified, %": found["published"]}
        compact.append(row)
    return table, pd.DataFrame(compact)
