"""What BagCert's tables, figures and findings share: its frames in short form, names of runs, and published values.

The frames are long, one row a run and metric or part, with ``FACTS``, ``defense``, the ``receptive_field`` in pixels and the
training's ``margin``, each NaN where there is none, and the ``output`` of the region scorer, ``votes`` for smoothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchcert.report.published import beside
from patchcert.report.results import spoken

PAPER = "bagcert"
CLEAN, ATTACKED, STRONG, WEAK = "clean", "attacked", "condition_3_2", "condition_3_3"
"""Metrics of the frames: accuracies on clean and on attacked images, and what each condition certifies."""
USUAL = {"receptive_field": 7.0, "margin": 0.5}
"""The paper's configuration; its figures vary one or the other."""
LONG = {"receptive_field": "receptive field {:g} px", "margin": "margin M = {:g}"}

_RUN = ["dataset", "model", "training", "patch"]
KINDS = ("block", "column")
"""What derandomized smoothing keeps."""


def scorers(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of BagCert itself, without those of derandomized smoothing."""
    return frame[frame["defense"] == "bagcert"]


def smoothed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of derandomized smoothing."""
    return frame[frame["defense"] == "derandomized_smoothing"]


def smoothing(model: str) -> str:
    """What derandomized smoothing keeps of an image, ``block`` or ``column``; empty for other models."""
    return next((kind for kind in KINDS if f"{kind}_smoothing" in model), "")


def spoken_smoothing(model: str) -> str:
    """A model of derandomized smoothing for readers."""
    return f"smoothing by {smoothing(model)}s"


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, a row a run in the frame's order: its facts, and a column for each metric."""
    wide = frame.pivot_table(index=_RUN, columns="metric", values="percent").reset_index()
    return frame[[*_RUN, "defense", "receptive_field", "margin"]].drop_duplicates(_RUN).merge(wide, on=_RUN)


def panel_name(frame: pd.DataFrame, dataset: str, patch: str) -> str:
    """The title of the panel of one patch, with the dataset where there are several."""
    return f"{patch} px patch" if frame["dataset"].nunique() == 1 else f"{spoken(dataset)}, {patch} px patch"


def published(ledger: pd.DataFrame, table: str, metric: str, run: Mapping[str, Any]) -> pd.DataFrame:
    """The exact values of a table or section of the paper that belong beside a run.

    Args:
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        table: ``Table 1`` or ``Section 4``, for instance.
        metric: as the ledger names it.
        run: its ``FACTS``.
    """
    wanted = {"paper": PAPER, "table": table, "metric": metric, "relation": "="}
    wanted["defense"] = "derandomized_smoothing" if smoothing(run["model"]) else PAPER
    return beside(ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1)], run)
