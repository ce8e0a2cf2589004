"""The table of time and forward passes an image."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.results import FACTS

ALGORITHMS = {"undefended": "undefended", "double_masking": "double masking", "challenger": "challenger masking"}


def make(times: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Time and forward passes an image of the undefended classifier and of both inference algorithms, for each mask budget.

    Counterpart of the times in PatchCleanser, Figures 4, 5 and 10.

    Args:
        times: one row a run and algorithm, with ``milliseconds``, the median an image, ``calls``, the mean number of forward
            passes an image, ``images``, how many were timed, and ``device``; patch and budget of the undefended classifier are
            empty.

    Returns:
        The long table, as it came, and the compact one: run by run, the undefended classifier first.
    """
    masking = times[times["algorithm"] != "undefended"]
    ranks = times["algorithm"].map(list(ALGORITHMS).index)
    compact = []
    for _, part in times.assign(rank=ranks).groupby(["dataset", "model", "training", "seed"], sort=False):
        for row in part.sort_values("rank", kind="stable").to_dict("records"):
            facts = {fact: row[fact] for fact in FACTS if fact != "budget"}
            compact.append(
                named(facts, masking)
                | {
                    "algorithm": ALGORITHMS[row["algorithm"]],
                    "masks": row["budget"],
                    "time an image, ms": f"{row['milliseconds']:.2f}",
                    "forward passes an image": f"{row['calls']:.1f}",
                    "images": row["images"],
                    "device": row["device"],
                }
            )
    return times, pd.DataFrame(compact)
