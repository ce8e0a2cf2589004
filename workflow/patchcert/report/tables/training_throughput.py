"""The table of what training steps take beside their passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.published import PAPERS

PASSES = "search_passes"


def make(training_times: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Search and step of every strategy, and how much longer they take than the step and the search's forward passes alone.

    Counterpart of the passes of Tables 3 and A1 of the Greedy Cutout paper.

    Returns:
        The times as they were measured, with the published passes, and the compact table.
    """
    printed = ledger[(ledger["metric"] == PASSES) & ledger["table"].str.startswith("Table")]
    table = training_times.assign(published=[_published(printed, row) for row in training_times.to_dict("records")])
    compact = [
        {
            **named({"dataset": row.dataset, "model": row.model, "training": row.training}, training_times),
            "passes of the search": f"{row.passes:g}",
            "published passes": row.published,
            "search, ms an image": f"{row.search_ms:.2f}",
            "step, ms an image": f"{row.step_ms:.2f}",
            "one forward pass, ms": f"{row.forward_ms:.3f}",
            "times step and passes alone": f"{row.ratio:.2f}",
        }
        for row in table.itertuples()
    ]
    return table, pd.DataFrame(compact)


def _published(printed: pd.DataFrame, run: Mapping[Any, Any]) -> str:
    """What was printed for a model and its training, on whatever images: the passes are the same on all."""
    fit = [setting.fits({**run, "dataset": next(iter(setting.datasets))}) for setting in printed["here"]]
    return "; ".join(f"{row.published:g} ({PAPERS[row.paper]} {row.table})" for row in printed[fit].itertuples())
