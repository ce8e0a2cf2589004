"""The ledger of published numbers, ``reports/claims.csv``, and the lookup of what was published for a setting of ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from patchcert import InputError

COLUMNS = (
    "id",
    "paper",
    "table",
    "row",
    "column",
    "metric",
    "unit",
    "published",
    "dataset",
    "model",
    "training",
    "patch",
    "mask_budget",
    "default_model",
    "default_training",
    "default_patch",
)


def read_ledger(path: str | Path) -> pd.DataFrame:
    """The ledger, one row a published number; ``published`` is float64 in per cent, the rest text.

    Raises:
        InputError: other columns, a repeated id, or a number outside 0 to 100 per cent.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise InputError(f"{path}: columns {', '.join(table.columns)}; write {', '.join(COLUMNS)}")
    repeated = table.loc[table["id"].duplicated(), "id"].tolist()
    if repeated:
        raise InputError(f"{path}: id {repeated[0]!r} stands twice; give each number an id of its own")
    published = pd.to_numeric(table["published"], errors="coerce")
    wrong = table.loc[~published.between(0, 100), ["id", "published"]]
    if len(wrong):
        raise InputError(f"{path}: {wrong.iloc[0, 0]} has {wrong.iloc[0, 1]!r}; write per cent, from 0 to 100")
    return table.assign(published=published)


def counterparts(
    ledger: pd.DataFrame, model: str, training: str, metric: str, patch: str = "", budget: str = ""
) -> pd.DataFrame:
    """Published numbers whose counterpart in the default study is this model, training and metric.

    Args:
        ledger: as :func:`read_ledger` gives it.
        model: small model.
        training: training of the default study.
        metric: as in :data:`patchcert.report.results.METRICS`.
        patch: size of our patch, ``5x5`` for instance; empty where there are no masks.
        budget: mask budget, ``6x6`` for instance; empty where there are no masks.
    """
    wanted = {"default_model": model, "default_training": training, "metric": metric, "default_patch": patch}
    wanted["mask_budget"] = budget
    return ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1)]
