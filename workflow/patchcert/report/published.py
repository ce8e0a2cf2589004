"""Published values beside ours: those of one setting, and those of one table or figure as points side by side.

The ledger is the study's view of it, as :func:`patchcert.report.settings.of_study` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchcert.report.ledger import PER_CENT
from patchcert.report.settings import told

PAPERS = {
    "patchcleanser": "PC",
    "greedy_cutout": "GC",
    "multilabel_patchcleanser": "ML",
    "bagcert": "BC",
    "mask_guided_randomized_smoothing": "MRS",
}
"""Short names of the papers."""

COUNTERPART = "cifar10"
"""The dataset whose values stand beside ours where ours is none of the papers'."""


def beside(rows: pd.DataFrame, facts: Mapping[Any, Any] | pd.Series, *, any_masks: bool = False) -> pd.DataFrame:
    """Those of the ledger's rows that belong beside a certificate with these facts, counterparts under any masks if asked."""
    fit = [(each.under_any_masks() if any_masks else each).fits(facts) for each in rows["here"]]
    return rows[pd.Series(fit, index=rows.index, dtype=bool)]


def accuracies(ledger: pd.DataFrame, facts: Mapping[Any, Any], metric: str) -> pd.DataFrame:
    """Measured accuracies of double masking, or of the undefended classifier, that belong beside a certificate.

    They are those that tables print; the texts repeat them, or are about some of the images. A value that one paper prints in
    several tables is returned once.

    Args:
        ledger: the study's.
        facts: of the certificate.
        metric: as in :data:`patchcert.metrics.METRICS`.
    """
    wanted = {"metric": metric, "unit": PER_CENT, "relation": "="}
    wanted["defense"] = "undefended" if metric == "undefended_clean" else "double_masking"
    rows = ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1) & ledger["table"].str.startswith("Table")]
    # the last of them: PatchCleanser's Table 5 compares trainings, as a study does, and repeats what Table 2 says of one
    return beside(rows, facts).drop_duplicates(["paper", "published"], keep="last")


def dataset_beside(ledger: pd.DataFrame, ours: str, otherwise: str = COUNTERPART) -> str:
    """The papers' dataset whose values stand beside those of a dataset of ours: the same one, or :data:`COUNTERPART`."""
    same = [not setting.counterpart and ours in setting.datasets for setting in ledger["here"]]
    return str(next(iter(ledger.loc[same, "dataset"]), otherwise))


def patches_here(rows: pd.DataFrame, dataset: str) -> pd.Series:
    """What the patches of the ledger's rows are called in the images of a dataset of ours; empty where there is none."""
    return pd.Series([named.get(dataset, "") for named in rows["patch_here"]], index=rows.index, dtype=str)


def of_whom(rows: pd.DataFrame, otherwise: str) -> str:
    """What a legend says that published values are of, as :func:`patchcert.report.settings.told` does."""
    return told(all(setting.counterpart for setting in rows["here"]), otherwise)


def in_table(ledger: pd.DataFrame, table: str, dataset: str, share: str = "", *, paper: str = "patchcleanser") -> pd.DataFrame:
    """The values that one table, figure or section of a paper gives, exact or about; bounds are left out.

    Args:
        ledger: the study's.
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
    texts = [f"{row.published:.1f} ({PAPERS.get(row.paper, row.paper)} {row.table})" for row in values.itertuples()]
    return pd.Series(texts, index=values.index, dtype=str)
