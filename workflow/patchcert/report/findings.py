"""What the papers found, asked of this run's numbers: statements with their verdicts, whichever way they fall."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from patchcert.report.results import in_order, spoken


class Finding(NamedTuple):
    """A statement, its verdict on this run, and the numbers behind the verdict."""

    statement: str
    verdict: str
    evidence: str


def findings(results: pd.DataFrame, strategies: dict[str, str]) -> list[Finding]:
    """The papers' findings with their verdicts, for every mask budget that was run.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, one seed or several (then their mean counts).
        strategies: the strategy of each training.
    """
    percent = results.groupby(["metric", "budget", "model", "training"], sort=False)["percent"].mean()
    trainings = in_order(results["training"])
    plain = [name for name in trainings if strategies[name] == "plain"]
    random = [name for name in trainings if strategies[name] == "random_cutout"]
    greedy = [name for name in trainings if strategies[name] == "greedy_cutout"]
    found = []
    for budget in in_order(results["budget"]):
        certified = percent.loc["certified", budget].unstack("training").reindex(in_order(results["model"]))
        if plain and random:
            found += [_order(certified, [plain[0], random[0]], budget, "PatchCleanser, Table 5")]
        if plain and random and greedy:
            found += [_order(certified, [plain[0], random[0], name], budget, "Greedy Cutout, Table 1 and 3") for name in greedy]
    if plain and len(trainings) > 1:
        clean = percent.loc["defended_clean", in_order(results["budget"])[-1]].unstack("training")
        found.append(_clean_cost(clean, plain[0]))
    return found


def _order(certified: pd.DataFrame, rising: list[str], budget: str, source: str) -> Finding:
    rows = certified[rising].dropna()
    holds = (rows.diff(axis=1).iloc[:, 1:] > 0).all(axis=1)
    evidence = "; ".join(
        f"{spoken(model)} {', '.join(f'{value:.1f}' for value in rows.loc[model])}{'' if held else ' (does not hold)'}"
        for model, held in holds.items()
    )
    statement = f"Certified accuracy with {budget} masks rises: {' < '.join(map(spoken, rising))} ({source})"
    return Finding(statement, f"holds for {int(holds.sum())} of {len(holds)} models", evidence)


def _clean_cost(clean: pd.DataFrame, plain: str) -> Finding:
    drop = (clean.drop(columns=plain).rsub(clean[plain], axis=0)).max(axis=1)
    evidence = "; ".join(f"{spoken(model)} {value:.1f} points at most" for model, value in drop.items())
    held = drop <= 2
    return Finding(
        "Training on masked images costs at most 2 points of defended clean accuracy",
        f"holds for {int(held.sum())} of {len(held)} models",
        evidence,
    )
