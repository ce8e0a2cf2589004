"""The table of clean and certified accuracy by what the attacker may place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.published import beside, quoted
from patchcert.report.results import FACTS
from patchcert.report.terms import ACCURACIES, spoken_patch


def make(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy against patches of every shape, against two patches and against one.

    Counterpart of PatchCleanser, Table 4. A counterpart stands beside our run whatever its number of masks, because it is the
    order of the rows that is compared.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    values = ledger[(ledger["paper"] == "patchcleanser") & (ledger["table"] == "Table 4")]
    ours = results[results["metric"].isin(ACCURACIES)]
    table = ours.assign(published=[_published(values, row) for row in ours.to_dict("records")])
    compact = []
    for facts, part in table.groupby(FACTS, sort=False):
        run = dict(zip(FACTS, facts, strict=True))
        row = {"attacker places": spoken_patch(run.pop("patch"))} | named(run, results)
        by_metric = part.set_index("metric")
        row |= {f"{name}, %": cell(by_metric.loc[metric]) for metric, name in ACCURACIES.items()}
        row |= {f"published {name}, %": by_metric.loc[metric, "published"] for metric, name in ACCURACIES.items()}
        compact.append(row)
    return table, pd.DataFrame(compact)


def _published(values: pd.DataFrame, run: Mapping[Any, Any]) -> str:
    return "; ".join(quoted(beside(values[values["metric"] == run["metric"]], run, any_masks=True)))
