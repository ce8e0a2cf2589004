"""The table of where mask smoothing finds the patch, by the strength of the attack."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.smoothing import OUTCOMES, strength

NAMES = (
    {"succeeded": "attack succeeds, of the images that were right, %"}
    | {name: f"{said}, %" for name, said in OUTCOMES.items()}
    | {"covered_if_succeeded": "mask covers the patch, of the images where it succeeds, %"}
)
RUN = ["dataset", "model", "training", "seed", "patch"]


def make(localisation: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How often an attack succeeds and what localisation makes of its images, a row a number of gradient steps.

    Args:
        localisation: shares by run, ``steps`` and ``metric``.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells, empty where there is no image to count.
    """
    compact = []
    for facts, part in localisation.sort_values("steps", kind="stable").groupby([*RUN, "steps"], sort=False):
        *run, steps = facts
        by_metric = part.set_index("metric")
        compact.append(
            named(dict(zip(RUN, run, strict=True)), localisation)
            | {"attack": strength(steps)}
            | {name: cell(row) if (row := by_metric.loc[metric])["total"] else "" for metric, name in NAMES.items()}
        )
    return localisation, pd.DataFrame(compact)
