"""What the report's tables share: published values beside ours, cells with intervals, Markdown."""

from __future__ import annotations

from typing import Any

import pandas as pd

from patchcert.report.published import accuracies, quoted
from patchcert.report.results import spoken


def with_published(results: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Results with the published values that belong beside each row as text, ``77.8 (GC Table 1)`` for instance, or empty."""
    found = [accuracies(ledger, row, row["metric"]) for row in results.to_dict("records")]
    return results.assign(published=["; ".join(quoted(values)) for values in found])


def named(facts: dict[str, Any], results: pd.DataFrame) -> dict[str, Any]:
    """The facts that a reader needs to tell rows apart: model and training, and of the others those that vary."""
    return {
        fact: spoken(value) if isinstance(value, str) else value
        for fact, value in facts.items()
        if fact in ("model", "training") or results[fact].nunique() > 1
    }


def cell(row: pd.Series | dict[str, float]) -> str:
    """A share with its interval, ``77.8 [73.4, 81.6]`` for instance."""
    return f"{row['percent']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"


def as_markdown(compact: pd.DataFrame) -> str:
    """A compact table as Markdown, numbers to the right; texts stay as they are, so that 50.0 does not become 50."""
    texts = compact.fillna("").astype(str)
    numbers = [texts[name].str.fullmatch(r"-?[\d.]*").all() for name in texts]
    aligned = ["right" if each else "left" for each in numbers]
    return f"{texts.to_markdown(index=False, disable_numparse=True, colalign=aligned)}\n"
