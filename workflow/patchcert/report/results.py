"""Measured accuracies as one table, for tables, figures and findings to choose from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from patchcert.provenance import read_json

FACTS = ["dataset", "model", "training", "seed", "patch", "budget"]
SHARE = ["percent", "low", "high", "hits", "total"]
METRICS = ("undefended_clean", "defended_clean", "certified")


def read_results(path: str | Path) -> pd.DataFrame:
    """Long form of a metrics file, one row a run and metric.

    The columns are ``FACTS``, ``metric``, ``SHARE`` and ``near_flips``.
    """
    rows = [
        {fact: run[fact] for fact in FACTS} | {"metric": metric} | run[metric] | {"near_flips": run["near_flips"]}
        for run in read_json(path)["runs"]
        for metric in METRICS
    ]
    return pd.DataFrame(rows, columns=[*FACTS, "metric", *SHARE, "near_flips"])


def in_order(values: pd.Series) -> list[str]:
    """Distinct values in the order in which they first occur, which is the configuration's."""
    return list(dict.fromkeys(values))


def spoken(name: str) -> str:
    """A name for readers: ``greedy_cutout_6x6`` as ``greedy cutout 6x6``."""
    return name.replace("_", " ")
