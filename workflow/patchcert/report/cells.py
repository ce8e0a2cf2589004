"""What the report's tables share: published values beside ours, cells with intervals, Markdown."""

from __future__ import annotations

from typing import Any

import pandas as pd

from patchcert.report.ledger import counterparts
from patchcert.report.results import spoken

PAPERS = {
    "patchcleanser": "PC",
    "greedy_cutout": "GC",
    "multilabel_patchcleanser": "ML",
    "bagcert": "BC",
    "mask_guided_randomized_smoothing": "MRS",
}


def with_published(results: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Results with the published counterparts of each row as text, ``77.8 (GC Table 1)`` for instance, or empty."""
    masked = results["metric"] != "undefended_clean"
    return results.assign(
        published=[
            _published(ledger, row.model, row.training, row.metric, (row.patch, row.budget) if has_masks else ("", ""))
            for row, has_masks in zip(results.itertuples(), masked, strict=True)
        ]
    )


def _published(ledger: pd.DataFrame, model: str, training: str, metric: str, masks: tuple[str, str]) -> str:
    found = counterparts(ledger, model, training, metric, *masks)
    return "; ".join(f"{row.published:.1f} ({PAPERS.get(row.paper, row.paper)} {row.table})" for row in found.itertuples())


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
