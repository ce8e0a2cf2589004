"""Published values as points: those of one table or figure, side by side."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import PAPERS


def in_table(ledger: pd.DataFrame, table: str, dataset: str, share: str = "", *, paper: str = "patchcleanser") -> pd.DataFrame:
    """The values that one table, figure or section of a paper gives, exact or about; bounds are left out.

    Args:
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        table: ``Table 2`` or ``Figure 5``, for instance.
        dataset: as the ledger names it.
        share: how the patch's text begins, ``2 %`` for instance.
        paper: as the ledger names it.

    Returns:
        Rows of the ledger, with the defense's short ``name`` in the paper, ``PC-ViT`` for instance.
    """
    chosen = (ledger["paper"] == paper) & (ledger["table"] == table) & (ledger["dataset"] == dataset)
    chosen &= ledger["relation"].isin(["=", "~"]) & ledger["patch"].str.startswith(share)
    return ledger[chosen].assign(name=lambda rows: rows["row"].str.split(",").str[0])


def side_by_side(rows: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """One row for each of the ledger's rows and mask budgets, with a column a metric, NaN where nothing was published.

    Args:
        rows: as :func:`in_table` gives them, of one table or several; where a metric stands there twice, the first counts.
        metrics: which columns to give.

    Returns:
        ``name``, ``row``, ``budget`` and the metrics, in the ledger's order.
    """
    setting = ["name", "row", "mask_budget"]
    points = rows[setting].drop_duplicates()
    for metric in metrics:
        found = rows[rows["metric"] == metric].drop_duplicates(setting)
        points = points.merge(found[[*setting, "published"]].rename(columns={"published": metric}), on=setting, how="left")
    return points.rename(columns={"mask_budget": "budget"})


def quoted(values: pd.DataFrame) -> pd.Series:
    """Each of the ledger's values as a table's cell, ``62.1 (PC Table 2)`` for instance."""
    texts = [f"{row.published:.1f} ({PAPERS[row.paper]} {row.table})" for row in values.itertuples()]
    return pd.Series(texts, index=values.index, dtype=str)
