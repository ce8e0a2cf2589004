"""The report's tables: long CSV for machines, compact Markdown for readers, published values beside ours."""

from __future__ import annotations

from typing import Any

import pandas as pd

from patchcert.report.ledger import counterparts
from patchcert.report.results import FACTS, in_order, spoken

PAPERS = {"patchcleanser": "PC", "greedy_cutout": "GC"}


def with_published(results: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Results with the published counterparts of each row as text, ``77.8 (GC Table 1)`` for instance, or empty."""
    masked = results["metric"] != "undefended_clean"
    return results.assign(
        published=[
            _published(ledger, row.model, row.training, row.metric, row.budget if has_masks else "")
            for row, has_masks in zip(results.itertuples(), masked, strict=True)
        ]
    )


def _published(ledger: pd.DataFrame, model: str, training: str, metric: str, budget: str) -> str:
    found = counterparts(ledger, model, training, metric, budget)
    return "; ".join(f"{row.published:.1f} ({PAPERS.get(row.paper, row.paper)} {row.table})" for row in found.itertuples())


def accuracy(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy by model and training strategy, for each mask budget.

    Counterpart of PatchCleanser, Table 5, and Greedy Cutout, Table 1.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    table = with_published(results[results["metric"] != "undefended_clean"], ledger)
    compact = []
    for facts, part in table.groupby([fact for fact in FACTS if fact != "budget"], sort=False):
        row = _named(dict(zip([fact for fact in FACTS if fact != "budget"], facts, strict=True)), results)
        for budget in in_order(table["budget"]):
            for metric, name in (("defended_clean", "clean"), ("certified", "certified")):
                cell = part[(part["budget"] == budget) & (part["metric"] == metric)].iloc[0]
                row[f"{budget}: {name}, %"] = _cell(cell)
            row[f"{budget}: published certified, %"] = cell["published"]
        compact.append(row)
    return table, pd.DataFrame(compact)


def vanilla(results: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
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
        row = _named({"dataset": dataset, "model": model, "seed": seed}, results)
        row |= {f"{spoken(cell.training)}, %": _cell(cell._asdict()) for cell in part.itertuples()}
        row["published, %"] = "; ".join(text for text in part["published"] if text)
        compact.append(row)
    columns = dict.fromkeys(key for row in compact for key in row if key != "published, %")
    return table, pd.DataFrame(compact, columns=[*columns, "published, %"])


def _named(facts: dict[str, Any], results: pd.DataFrame) -> dict[str, Any]:
    """The facts that a reader needs to tell rows apart: model and training, and of the others those that vary."""
    return {
        fact: spoken(value) if isinstance(value, str) else value
        for fact, value in facts.items()
        if fact in ("model", "training") or results[fact].nunique() > 1
    }


def _cell(row: pd.Series | dict[str, float]) -> str:
    return f"{row['percent']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"


def as_markdown(compact: pd.DataFrame) -> str:
    """A compact table as Markdown."""
    return f"{compact.fillna('').to_markdown(index=False)}\n"
