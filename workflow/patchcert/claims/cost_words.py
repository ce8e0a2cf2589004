"""What published numbers cost, in words, as ``reports/costs.csv`` has it; :mod:`patchcert.claims.costs` counts it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

COSTS = "reports/costs.csv"
GIGABYTE = 10**9
WORDS = {10**12: "trillion", 10**9: "billion", 10**6: "million"}
LETTERS = {10**12: "T", 10**9: "G", 10**6: "M", 10**3: "k"}
TIMINGS = "timings alone"
"""What numbers cost whose passes are not counted beforehand."""


class Told(NamedTuple):
    """What a number costs, in words: its forward passes alone, in few, and all of it."""

    passes: str
    whole: str


def read_costs(path: str | Path) -> dict[str, Told]:
    """What :func:`patchcert.claims.costs.planned_costs` counted, in words, by the ids of the numbers."""
    return {str(row["id"]): worded(row) for row in pd.read_csv(path).to_dict("records")}


def worded(row: Mapping[Any, Any]) -> Told:
    """The costs of one number in words, of a row of :func:`patchcert.claims.costs.costs`."""
    if row["forward"]:
        passes = f"{'at most ' if row['at_most'] else ''}{_rounded(row['forward'], WORDS)} forward passes"
        short = f"{'≤ ' if row['at_most'] else ''}{_rounded(row['forward'], LETTERS)} passes"
    else:
        passes = short = TIMINGS
    backward = f" ({_rounded(row['work'], WORDS)} with backward ones, each as two)" if row["work"] > row["forward"] else ""
    parts = [f"{row['downloaded'] / GIGABYTE:,.1f} GB of downloads", passes + backward]
    parts += [f"{row['written'] / GIGABYTE:,.1f} GB of disk", *(["and sizes that are unknown"] if row["unknown"] else [])]
    return Told(short, f"{row['jobs']:,} jobs, {', '.join(parts)}")


def _rounded(number: float, names: Mapping[int, str]) -> str:
    """A number of passes, a large one with three digits."""
    for size, name in names.items():
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"
