"""How a measured value compares with a published number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WITHIN, OUTSIDE, ORDER_ONLY, COUNTERPART = "within tolerance", "out of tolerance", "order only", "counterpart"
NOT_RUN, OF_OTHERS, NOT_REPRODUCIBLE = "not run", "quoted", "not reproducible"
STATUSES = (WITHIN, OUTSIDE, ORDER_ONLY, COUNTERPART, NOT_RUN, OF_OTHERS, NOT_REPRODUCIBLE)
"""What became of a published number. ``order only``: measured, a time of other hardware; ``counterpart``: measured, on other
images with another classifier, for which no tolerance is."""


def status(row: Mapping[str, Any], value: float) -> str:
    """How a measured value compares with a number of the ledger: :data:`WITHIN`, :data:`OUTSIDE` or :data:`ORDER_ONLY`.

    Args:
        row: of :func:`patchcert.report.ledger.read_ledger`.
        value: in the row's unit.
    """
    if math.isnan(row["tolerance"]):
        return ORDER_ONLY
    difference, tolerance = value - row["published"], row["tolerance"] + 1e-9  # decimals that have no binary form
    holds = {">": difference >= -tolerance, "<": difference <= tolerance}.get(row["relation"], abs(difference) <= tolerance)
    return WITHIN if holds else OUTSIDE
