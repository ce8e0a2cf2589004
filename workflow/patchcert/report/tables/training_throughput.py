"""The table of what training steps take beside their passes."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named


def make(training_times: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Search and step of every strategy, and how much longer they take than the step and the search's forward passes alone.

    Returns:
        The times as they were measured, and the compact table.
    """
    compact = [
        {
            **named({"dataset": row.dataset, "model": row.model, "training": row.training}, training_times),
            "passes of the search": f"{row.passes:g}",
            "search, ms an image": f"{row.search_ms:.2f}",
            "step, ms an image": f"{row.step_ms:.2f}",
            "one forward pass, ms": f"{row.forward_ms:.3f}",
            "times step and passes alone": f"{row.ratio:.2f}",
        }
        for row in training_times.itertuples()
    ]
    return training_times, pd.DataFrame(compact)
