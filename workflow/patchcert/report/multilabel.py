"""What the tables and figures of the multi-label defense share: names for readers, and the published values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from patchcert.report.published import PAPERS, beside
from patchcert.report.results import spoken

PAPER = "multilabel_patchcleanser"
NAMES = {
    "undefended": "undefended clean",
    "defended": "defended clean",
    "certified": "certified robust",
    "located": "certified, one place an image",
}
"""The paper's names of the settings; it draws no curve of the last."""
ROWS = {"undefended": "Undefended clean", "defended": "Defended clean", "certified": "Certified robust"}
"""What the settings are called in the paper's tables."""


def titles(runs: Sequence[pd.DataFrame]) -> list[str]:
    """What tells each of some runs from the others, for the panel that shows it; nothing where there is one run."""
    facts = pd.DataFrame([run.iloc[0][["dataset", "model", "training", "seed"]] for run in runs])
    told = facts.loc[:, facts.nunique() > 1]
    return [", ".join(spoken(str(value)) for value in row) for row in told.to_numpy()]


def published(ledger: pd.DataFrame, table: str, row: str, run: Mapping[Any, Any] | pd.Series) -> dict[str, float]:
    """The values of a row of the paper's table by their metrics, if they belong beside the run; else none.

    Args:
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        table: ``Table I``, for instance.
        row: as the paper calls it.
        run: its ``FACTS``.
    """
    chosen = (ledger["paper"] == PAPER) & (ledger["table"] == table) & (ledger["row"] == row)
    found = beside(ledger[chosen], run)
    return dict(zip(found["metric"], found["published"], strict=True))


def quoted(values: list[float | None], table: str, digits: int = 1) -> str:
    """Published values as one cell, ``47.4, 38.6 (ML Table III)`` for instance; empty where there are none."""
    if not values or None in values:
        return ""
    return f"{', '.join(f'{value:.{digits}f}' for value in values)} ({PAPERS[PAPER]} {table})"


def percent(value: float | None) -> str:
    """A fraction as per cent, ``47.4``; a dash for 0/0."""
    return "-" if value is None or pd.isna(value) else f"{100 * value:.1f}"


def fraction(value: float | None) -> str:
    """An area, ``0.370``; a dash where there is none."""
    return "-" if value is None or pd.isna(value) else f"{value:.3f}"
