"""The table of different defenses against the same patch on the same images."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.results import spoken

NAMES = {"bagcert": "BagCert"}
RUN = ["dataset", "model", "training", "seed"]


def make(
    results: pd.DataFrame, times: pd.DataFrame, conditions: pd.DataFrame, region_times: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean and certified accuracy of each defense, with the time of an answer and what a certificate takes.

    Args:
        results: of the defenses that mask images, as :func:`patchcert.report.results.read_results` gives them.
        times: of their answers, as :func:`patchcert.report.results.read_times` gives them.
        conditions: of region scorers, as :func:`patchcert.report.results.scorers` gives them.
        region_times: of these, likewise.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    masked = results[results["metric"].isin(["defended_clean", "certified"])]
    names = {"condition_3_2": "certified", "clean": "defended_clean"}
    voted = conditions[conditions["metric"].isin(names)].assign(metric=conditions["metric"].map(names))
    table = pd.concat([masked, voted], ignore_index=True)
    compact = []
    for facts, part in table.groupby(["defense", *RUN, "patch", "budget"], sort=False):
        told = dict(zip(["defense", *RUN, "patch", "budget"], facts, strict=True))
        by_metric = part.set_index("metric")
        compact.append(
            {"defense": NAMES.get(told["defense"], spoken(told["defense"]))}
            | named({fact: told[fact] for fact in [*RUN, "patch"]}, table)
            | {"masks": "" if told["budget"] == "none" else told["budget"]}
            | {"clean, %": cell(by_metric.loc["defended_clean"]), "certified, %": cell(by_metric.loc["certified"])}
            | (_by_parts(told, region_times) if told["budget"] == "none" else _by_masks(told, times, by_metric))
        )
    return table, pd.DataFrame(compact)


def _by_masks(told: dict[str, object], times: pd.DataFrame, by_metric: pd.DataFrame) -> dict[str, str]:
    wanted = pd.Series({fact: told[fact] for fact in [*RUN, "patch", "budget"]} | {"algorithm": told["defense"]})
    row = times[(times[wanted.index] == wanted).all(axis=1)].iloc[0]
    return {
        "an answer, ms": f"{row['milliseconds']:.2f}",
        "a certificate": f"{by_metric.loc['certified', 'passes']:.0f} forward passes",
        "on": row["device"],
    }


def _by_parts(told: dict[str, object], region_times: pd.DataFrame) -> dict[str, str]:
    wanted = pd.Series({fact: told[fact] for fact in [*RUN, "patch"]})
    rows = region_times[(region_times[wanted.index] == wanted).all(axis=1)].set_index("part")
    return {
        "an answer, ms": f"{rows.loc['forward', 'milliseconds']:.2f}",
        "a certificate": f"{rows.loc['certificate', 'milliseconds']:.2f} ms",
        "on": rows.loc["forward", "device"],
    }
