"""The ledger's published numbers, ``config/published.csv``.

What a study has measured for them stands beside them in the ledger that it writes, ``reports/claims.csv``
(:func:`patchcert.claims.measured.survey`).

A row is one number of one paper. ``table``, ``row`` and ``column`` say where it stands, a figure or a section included, in the
words of the paper; ``dataset``, ``model``, ``training``, ``patch``, ``mask_budget`` and ``threshold`` (of the scores of several
labels) say in the words of the project what it was measured on, and are empty where they do not apply. ``relation`` tells a
measured value (``=``) from one that a text bounds from below (``>``) or above (``<``) or rounds (``~``). A number of somebody
else's defense, quoted or measured again, has that defense and no model; where a paper does not name its model there is none
either. ``quoted_from`` is the source that the paper names for a number that it only repeats, and empty for its own.
``tolerance``, in the row's unit, is how far another run may be from the number, and ``tolerance_reason`` says why, or why no
run is held against it. The last three columns name the run of the default study whose result belongs beside the number;
``default_training`` is empty where the number is the same for every training, as a time is, or the model has only one.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from patchcert import InputError
from patchcert.metrics import METRICS

PUBLISHED = "config/published.csv"
COLUMNS = (
    "id",
    "paper",
    "table",
    "row",
    "column",
    "defense",
    "metric",
    "unit",
    "published",
    "relation",
    "dataset",
    "model",
    "training",
    "patch",
    "mask_budget",
    "threshold",
    "tolerance",
    "tolerance_reason",
    "quoted_from",
    "default_model",
    "default_training",
    "default_patch",
)
DEFENSES = (
    "undefended",
    "double_masking",
    "minority_reports",
    "interval_bound_propagation",
    "clipped_bagnet",
    "derandomized_smoothing",
    "patchguard_bagnet",
    "patchguard_derandomized_smoothing",
    "smoothed_vision_transformer",
    "bagcert",
    "multilabel",
    "mask_smoothing",
)
RELATIONS = ("=", ">", "<", "~")
PER_CENT, MILLISECONDS, FRACTION = "per cent", "milliseconds", "fraction"
RATIOS = ("overall_precision", "overall_recall", "class_precision", "class_recall")
SMOOTHED = ("empirical", "answered", "unrestricted")
UNITS = dict.fromkeys((*METRICS, *RATIOS, "condition_3_3", "area_share", *SMOOTHED), PER_CENT) | {
    "inference_time": MILLISECONDS,
    "area_under_curve": FRACTION,
    "certification_time": "seconds",
    "parameters": "millions",
    **dict.fromkeys(("clean_gain", "clean_loss", "certified_gain", "precision_gain", "recall_gain", "recall_loss"), "points"),
    **dict.fromkeys(("certified_ratio", "tolerated_noise"), "times"),
    "search_passes": "passes",
    "training_time": "hours",
    "unstable_runs": "runs",
    "largest_radius": "sigmas",
}
"""Units by metric. ``condition_3_3`` is what BagCert's weaker condition certifies, ``certified`` what the stronger one does,
and ``certified_gain`` what lies between them, or between two defenses, as ``certified_ratio`` does; ``area_share`` is of the
undefended classifier's area. ``certification_time`` is that of all images of a test set, and ``search_passes`` are what a
training strategy takes to choose the masks of an image. ``tolerated_noise`` is in multiples of the noise of the training. What
mask smoothing certifies, for one place of each image, is never ``certified``: ``answered`` and ``unrestricted`` are its
R-accuracies at 0 and where a patch may show anything, and ``empirical`` asks for no certificate. The ``column`` says whether
the place is ``center``, ``grad_cam`` or found in ``attacked`` images, where no number bounds all attackers."""
LIMITS = {PER_CENT: (0, 100), FRACTION: (0, 1), "points": (0, 100)}
AMOUNTS = (MILLISECONDS, "seconds", "hours", "millions", "sigmas", "times")
"""Units of what is never 0."""
COUNTS = ("runs", "passes")
ORDER_ONLY, NOT_MEASURED = "time of other hardware: order only", "not measured here"
UNCOMPARED = (ORDER_ONLY, NOT_MEASURED)
"""Reasons why a number has no tolerance: no run of ours is held against it."""
BY_SEED, ROUNDED, SAMPLED = (
    "training differs by seed",
    "bound or rounded in text",
    "sampling, 1.96 standard errors of {:,} images",
)
REASONS = (BY_SEED, ROUNDED, "rounded as printed", "same weights, other preprocessing", *UNCOMPARED)
"""Reasons of tolerances, beside :data:`SAMPLED`. Where training differs, the tolerance of a kind of accuracy is the most by
which two papers' runs of one setting differ; where so few images were drawn that their sampling says more, it is that, from the
number with two images more on either side (Agresti and Coull, 1998); a number that is rounded has half its last digit more."""
_WORDS = "[a-z0-9]+(_[a-z0-9]+)*"
_MEASURES = ", ".join(f"{unit} for {metric}" for metric, unit in UNITS.items() if unit != PER_CENT)


def read_ledger(path: str | Path) -> pd.DataFrame:
    """The ledger, one row a published number.

    ``published`` and ``tolerance`` are float64 in the row's ``unit``, the latter NaN where there is none; the rest is text.

    Raises:
        InputError: other columns; an id that is repeated or not of lower-case words; a defense, metric or relation outside
            :data:`DEFENSES`, :data:`UNITS` and :data:`RELATIONS`; a unit that is not the metric's; a number outside its
            :data:`LIMITS`, an amount that is not above 0, or a number of runs below it; a reason of a tolerance outside
            :data:`REASONS`, or one that does not fit its tolerance or the row's source.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise InputError(f"{path}: columns {', '.join(table.columns)}; write {', '.join(COLUMNS)}")
    repeated = table.loc[table["id"].duplicated(), "id"].tolist()
    if repeated:
        raise InputError(f"{path}: id {repeated[0]!r} stands twice; give each number an id of its own")
    for column, wrong, remedy in _faults(table):
        if wrong.any():
            first = table[wrong].iloc[0]
            raise InputError(f"{path}: {first['id']}, column {column}: {first[column]!r}; write {remedy}")
    return table.assign(**{column: pd.to_numeric(table[column]) for column in ("published", "tolerance")})


def _faults(table: pd.DataFrame) -> list[tuple[str, pd.Series, str]]:
    """What a cell can have wrong: its column, which rows have the fault, and what to write instead."""
    published, unit = pd.to_numeric(table["published"], errors="coerce"), table["unit"]
    threshold, scores = table["threshold"], pd.to_numeric(table["threshold"], errors="coerce")
    counted = ~published.between(0, math.inf, inclusive="left")
    return [
        ("id", ~table["id"].str.fullmatch(_WORDS).astype(bool), "lower-case words joined by underscores"),
        ("defense", ~table["defense"].isin(DEFENSES), f"one of {', '.join(DEFENSES)}"),
        ("metric", ~table["metric"].isin(UNITS), f"one of {', '.join(UNITS)}"),
        ("relation", ~table["relation"].isin(RELATIONS), f"one of {', '.join(RELATIONS)}"),
        ("unit", unit != table["metric"].map(UNITS), f"{PER_CENT} for accuracies and ratios, {_MEASURES}"),
        *(
            ("published", (unit == name) & ~published.between(*limits), f"{name}, from {limits[0]} to {limits[1]}")
            for name, limits in LIMITS.items()
        ),
        *(("published", (unit == name) & (counted | (published == 0)), f"{name}, above 0") for name in AMOUNTS),
        *(("published", (unit == name) & counted, f"{name}, 0 or more") for name in COUNTS),
        ("threshold", (threshold != "") & ~scores.between(0, 1), "a score from 0 to 1, or nothing"),
        *_tolerance_faults(table),
    ]


def _tolerance_faults(table: pd.DataFrame) -> list[tuple[str, pd.Series, str]]:
    tolerance, reason = pd.to_numeric(table["tolerance"], errors="coerce"), table["tolerance_reason"]
    known = reason.isin(REASONS) | reason.str.fullmatch(SAMPLED.replace("{:,}", r"\d{1,3}(,\d{3})*"))
    uncompared, quoted = reason.isin(UNCOMPARED), table["quoted_from"] != ""
    named = table["quoted_from"] == table["quoted_from"].str.strip()
    return [
        ("tolerance_reason", ~known, f"one of {'; '.join((*REASONS, SAMPLED.format(500)))}"),
        ("tolerance_reason", quoted & ~uncompared, f"{NOT_MEASURED}, or empty quoted_from: a quoted number has no tolerance"),
        ("tolerance", uncompared & (table["tolerance"] != ""), "nothing: its reason says that no run is compared"),
        (
            "tolerance",
            ~uncompared & ~tolerance.between(0, math.inf, inclusive="neither"),
            "a number above 0, in the row's unit",
        ),
        ("quoted_from", ~named, "the source that the paper names, without spaces around it, or nothing"),
    ]


def patch_side_percent(patch: str) -> float | None:
    """A square patch's side in per cent of a square image's side, 14.29 for ``2 % (32x32 of 224x224)`` for instance.

    Where there are several such patches it is the side of each; a text that names no square has None.
    """
    square = re.search(r"\((\d+)x\1 of (\d+)x\2\)", patch)
    return 100 * int(square[1]) / int(square[2]) if square else None
