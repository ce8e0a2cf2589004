"""Shares and their Wilson intervals, against the closed formula."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.metrics import Share, accuracies, share

NORMAL = {0.95: 1.959963984540054, 0.99: 2.5758293035489004, 0.9: 1.6448536269514722}


def wilson(hits: int, total: int, confidence: float) -> tuple[float, float]:
    """The score interval as Wilson wrote it, per cent."""
    z = NORMAL[confidence]
    rate = hits / total
    middle = rate + z**2 / (2 * total)
    half = z * math.sqrt(rate * (1 - rate) / total + z**2 / (4 * total**2))
    return 100 * (middle - half) / (1 + z**2 / total), 100 * (middle + half) / (1 + z**2 / total)


def flags(hits: int, total: int) -> np.ndarray:
    return np.arange(total) < hits


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (0, 10, 0.0, 27.7533),
        (5, 10, 23.6593, 76.3407),
        (10, 10, 72.2467, 100.0),
        (1, 1, 20.6543, 100.0),
        (81, 263, 25.5286, 36.6213),
    ],
)
def test_shares_by_hand(hits: int, total: int, low: float, high: float) -> None:
    found = share(flags(hits, total))
    assert (found.percent, found.hits, found.total) == (pytest.approx(100 * hits / total), hits, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_the_ends_are_exact_where_none_or_all_hit() -> None:
    assert share(flags(0, 10)).low == 0
    assert share(flags(10, 10)).high == 100


@given(st.integers(1, 400), st.data(), st.sampled_from(sorted(NORMAL)))
def test_intervals_are_wilsons(total: int, data: st.DataObject, confidence: float) -> None:
    hits = data.draw(st.integers(0, total))
    found = share(flags(hits, total), confidence)
    low, high = wilson(hits, total, confidence)
    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)
    assert found.low <= found.percent <= found.high


def test_a_share_is_of_plain_numbers() -> None:
    found = share(pd.Series([True, False]))
    assert found == Share(50.0, found.low, found.high, 1, 2)
    assert [type(part) for part in found] == [float, float, float, int, int]


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        ([], r"^hits: float64 of shape \(0,\); write one true or false for each image, at least one$"),
        (np.zeros(0, dtype=bool), r"^hits: bool of shape \(0,\); "),
        ([0, 1], r"^hits: int64 of shape \(2,\); "),
        ([[True]], r"^hits: bool of shape \(1, 1\); "),
        (True, r"^hits: bool of shape \(\); "),
    ],
)
def test_bad_hits(hits, message: str) -> None:
    with pytest.raises(InputError, match=message):
        share(hits)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [1, 2, 3, 4, 5],
            "undefended": [1, 2, 3, 9, 5],
            "defended": [1, 2, 0, 4, 4],
            "certified": [True, False, False, False, False],
            "near_flip": [False, True, False, True, False],
        }
    )


def test_accuracies_by_hand(frame: pd.DataFrame) -> None:
    found = accuracies(frame)
    assert list(found) == ["undefended_clean", "defended_clean", "certified", "near_flips"]
    assert [(found[name]["hits"], found[name]["total"], found[name]["percent"]) for name in list(found)[:3]] == [
        (4, 5, 80.0),
        (3, 5, 60.0),
        (1, 5, 20.0),
    ]
    assert found["near_flips"] == 2
    assert type(found["near_flips"]) is int
    for name in list(found)[:3]:
        assert list(found[name]) == ["percent", "low", "high", "hits", "total"]
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(wilson(found[name]["hits"], 5, 0.95))


def test_the_confidence_reaches_the_intervals(frame: pd.DataFrame) -> None:
    found = accuracies(frame, confidence=0.99)["certified"]
    assert (found["low"], found["high"]) == pytest.approx(wilson(1, 5, 0.99))


def test_no_record_has_no_accuracy(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"at least one$"):
        accuracies(frame.iloc[:0])
