"""Verdicts on statements: what each run's numbers say to a statement, and whether it holds there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from patchcert.report.results import FACTS, spoken

SIMILAR = 5
"""Points by which certified accuracies that are called similar differ at most, per cent."""

Run = tuple[str, ...]
"""What tells a run from the others, for readers: its model, and those of its further facts that vary."""


class Finding(NamedTuple):
    """A statement, its verdict on this run, and the numbers behind the verdict."""

    statement: str
    verdict: str
    evidence: str


class Answer(NamedTuple):
    """What one run says to a statement: its numbers in words, each with whether the statement holds there."""

    run: Run
    numbers: list[tuple[str, bool]]


def of_metric(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric."""
    return results[results["metric"] == metric]


def runs_of(frame: pd.DataFrame, *along: str) -> dict[Run, pd.DataFrame]:
    """The rows of each run, in order; runs that differ along some facts or in their seed alone are one."""
    facts = [fact for fact in FACTS if fact not in ("seed", *along)]
    told = [fact for fact in facts if fact == "model" or frame[fact].nunique() > 1]
    return {
        tuple(_fact(fact, value) for fact, value in zip(facts, values, strict=True) if fact in told): rows
        for values, rows in frame.groupby(facts, sort=False)
    }


def _fact(fact: str, value: str) -> str:
    return f"{fact} {value}" if fact in ("patch", "budget") else spoken(value)


def values_along(frame: pd.DataFrame, along: str, order: Sequence[str], column: str = "percent") -> dict[Run, pd.Series]:
    """Means over the seeds along a fact, for each run that has them all; rounded, since a mean is not exact."""
    means = {run: rows.groupby(along)[column].mean().reindex(order) for run, rows in runs_of(frame, along).items()}
    return {run: values.round(6) for run, values in means.items() if values.notna().all()}


def never_rises(values: pd.Series) -> pd.Series:
    """Where a value is not above the one before it."""
    return ~(values.diff() > 0)


def ends_lower(values: pd.Series) -> pd.Series:
    """Whether the last value is below the first, said of the last."""
    holds = values.notna()
    holds.iloc[-1] = values.iloc[-1] < values.iloc[0]
    return holds


def falls(values: pd.Series) -> pd.Series:
    """Where a value is not above the one before it, the last one also below the first."""
    return never_rises(values) & ends_lower(values)


def asked(statement: str, values: Mapping[Run, pd.Series], holds: Callable[[pd.Series], pd.Series]) -> list[Finding]:
    """A finding that holds of a run where it holds of all its values, or none where no run has two."""
    return finding(statement, answers_of(values, holds))


def answers_of(values: Mapping[Run, pd.Series], holds: Callable[[pd.Series], pd.Series]) -> list[Answer]:
    """What each run says with its values; one value says nothing."""
    return [
        Answer(run, [(f"{number:.1f} ({name})", held) for (name, number), held in zip(each.items(), holds(each), strict=True)])
        for run, each in values.items()
        if len(each) > 1
    ]


def finding(statement: str, answers: Sequence[Answer]) -> list[Finding]:
    """A finding, or none where no run has an answer."""
    if not answers:
        return []
    held = [all(holds for _, holds in answer.numbers) for answer in answers]
    if len(held) > 1:
        runs = "runs" if any(len(answer.run) > 1 for answer in answers) else "models"
        verdict = f"holds for {sum(held)} of {len(held)} {runs}"
    else:
        verdict = "holds" if held[0] else "does not hold"
    evidence = [
        f"{', '.join(answer.run)}: {', '.join(text if holds else f'{text} (does not hold)' for text, holds in answer.numbers)}"
        for answer in answers
    ]
    return [Finding(statement, verdict, "; ".join(evidence))]
