"""The table of what mask smoothing certifies at given places."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.smoothing import ANSWERED, EMPIRICAL, PLACES, UNDEFENDED, UNRESTRICTED
from patchcert.report.terms import ONE_PLACE

NAMES = {
    UNDEFENDED: "without noise, %",
    EMPIRICAL: "under noise, %",
    ANSWERED: f"certified, R > 0, % {ONE_PLACE}",
    UNRESTRICTED: f"certified, any content, % {ONE_PLACE}",
}
RUN = ["dataset", "model", "training", "seed", "patch"]


def make(smoothing: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies with and without a certificate, a row a place and standard deviation, with how far a radius can reach.

    Counterpart of Figure 2 of the mask-guided randomized smoothing paper.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    table, compact = smoothing[smoothing["metric"].isin(NAMES)], []
    for facts, part in table.groupby([*RUN, "place", "sigma"], sort=False):
        *run, place, sigma = facts
        by_metric = part.set_index("metric")
        reach = by_metric.iloc[0]
        compact.append(
            named(dict(zip(RUN, run, strict=True)), table)
            | {"mask at": PLACES[place], "sigma": f"{sigma:g}"}
            | {name: cell(by_metric.loc[metric]) for metric, name in NAMES.items()}
            | {"any content from": f"{reach['largest_norm']:.1f}", "largest radius": f"{reach['largest_radius']:.1f}"}
        )
    return table, pd.DataFrame(compact)
