"""What the papers found, asked of this run's numbers: statements with their verdicts, whichever way they fall."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from patchcert.report.results import in_order, spoken

COST = 2
"""Points of clean accuracy that a training may cost at most, per cent."""


class Finding(NamedTuple):
    """A statement, its verdict on this run, and the numbers behind the verdict."""

    statement: str
    verdict: str
    evidence: str


def findings(results: pd.DataFrame, strategies: dict[str, str]) -> list[Finding]:
    """The papers' findings with their verdicts, for every dataset, patch and mask budget that was run.

    A model counts where it was trained in every way that a statement compares; a statement with no such model is left out.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, one seed or several (then their mean counts).
        strategies: the strategy of each training.
    """
    trainings = in_order(results["training"])
    plain, random, greedy = (
        [name for name in trainings if strategies[name] == strategy] for strategy in ("plain", "random_cutout", "greedy_cutout")
    )
    found = []
    for (dataset, patch), part in results.groupby(["dataset", "patch"], sort=False):
        place = f" on {spoken(dataset)}" if results["dataset"].nunique() > 1 else ""
        place += f" against {patch} patches" if results["patch"].nunique() > 1 else ""
        for budget in in_order(part["budget"]):
            certified = _by_training(part, "certified", budget)
            where = f"with {budget} masks{place}"
            if plain and random:
                found += _order(certified, [plain[0], random[0]], where, "PatchCleanser, Table 5")
                for name in greedy:
                    found += _order(certified, [plain[0], random[0], name], where, "Greedy Cutout, Tables 1 and 3")
        if plain:
            clean = _by_training(part, "defended_clean", in_order(part["budget"])[-1])
            found += _clean_cost(clean, plain[0], place)
    return found


def _by_training(results: pd.DataFrame, metric: str, budget: str) -> pd.DataFrame:
    """Per cent, a row a model and a column a training, NaN where a model was not trained so."""
    chosen = results[(results["metric"] == metric) & (results["budget"] == budget)]
    means = chosen.groupby(["model", "training"], sort=False)["percent"].mean().unstack("training")
    return means.reindex(index=in_order(chosen["model"]), columns=in_order(chosen["training"]))


def _order(certified: pd.DataFrame, rising: list[str], where: str, source: str) -> list[Finding]:
    rows = certified.reindex(columns=rising).dropna()
    holds = (rows.diff(axis=1).iloc[:, 1:] > 0).all(axis=1)
    evidence = [
        f"{spoken(model)} {', '.join(f'{value:.1f}' for value in rows.loc[model])}{'' if held else ' (does not hold)'}"
        for model, held in holds.items()
    ]
    statement = f"Certified accuracy {where} rises: {' < '.join(map(spoken, rising))} ({source})"
    return _finding(statement, holds, evidence)


def _clean_cost(clean: pd.DataFrame, plain: str, place: str) -> list[Finding]:
    costs = clean.drop(columns=plain).rsub(clean[plain], axis=0).dropna(how="all").round(6)
    worst, holds = costs.max(axis=1), costs.max(axis=1) <= COST
    evidence = [
        f"{spoken(model)} {_points(cost)} ({spoken(costs.loc[model].idxmax())}){'' if holds[model] else ' (does not hold)'}"
        for model, cost in worst.items()
    ]
    statement = f"Training on masked images costs at most {COST} points of defended clean accuracy{place}"
    return _finding(statement, holds, evidence)


def _points(cost: float) -> str:
    return f"loses {cost:.1f} points at most" if cost > 0 else f"gains {-cost + 0:.1f} points at least"


def _finding(statement: str, holds: pd.Series, evidence: list[str]) -> list[Finding]:
    if not evidence:
        return []
    models = "model" if len(holds) == 1 else "models"
    return [Finding(statement, f"holds for {int(holds.sum())} of {len(holds)} {models}", "; ".join(evidence))]
