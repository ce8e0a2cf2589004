"""How a published number is read from what certificates amount to.

A reading takes the measures of each certificate of a claim, as the modules of :mod:`patchcert.evaluation` give them, or the
rows of times of a run, each with the certificate's facts, in the order of the claim's facts, and returns the number in the
ledger's unit. Measures that lack what it needs raise ``KeyError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from patchcert.report.ledger import PER_CENT

Measures = Mapping[str, Any]
Reading = Callable[[Sequence[Measures]], float]

NEAR_GUESSED = 20
"""Accuracy among ten classes that is called chance level at most, per cent: twice that of guessing."""
TIMED_IMAGES = 10_000
"""Images for whose certificates BagCert's paper gives times."""


def share(metric: str, combine: Callable[[Sequence[float]], float] = fmean) -> Reading:
    """An accuracy, per cent; of several certificates their mean, or what else combines them."""
    return lambda measured: combine([each[metric]["percent"] for each in measured])


def gain(metric: str, other: str, combine: Callable[[Sequence[float]], float] = fmean) -> Reading:
    """The points by which one accuracy is above another, on average over the certificates, or as else combined."""
    return lambda measured: combine([each[metric]["percent"] - each[other]["percent"] for each in measured])


def difference(larger: Reading, smaller: Reading) -> Reading:
    """How far one number is above another, in their unit."""
    return lambda measured: larger(measured) - smaller(measured)


def portion(part: Reading, whole: Reading) -> Reading:
    """One number in per cent of another; NaN where that is 0."""

    def read(measured: Sequence[Measures]) -> float:
        of = whole(measured)
        return 100 * part(measured) / of if of else math.nan

    return read


def largest(found: Sequence[Reading]) -> Reading:
    """The largest of several numbers."""
    return lambda measured: max(read(measured) for read in found)


def chance_level(metric: str) -> Reading:
    """The number of runs whose accuracy is no more than :data:`NEAR_GUESSED`."""
    return lambda measured: float(sum(each[metric]["percent"] <= NEAR_GUESSED for each in measured))


def of_label(label: int) -> Reading:
    """The certified accuracy of the images of one class, per cent."""
    return lambda measured: fmean(each["certified_by_label"][str(label)] for each in measured)


def largest_radius(measured: Sequence[Measures]) -> float:
    """The radius of samples that all agree, in standard deviations of the noise."""
    return fmean(each["largest_radius"] / each["sigma"] for each in measured)


def tolerated_noise(sigma: float) -> Reading:
    """The strongest noise under which certificates are no fewer than under that of the training, in multiples of it.

    They are no fewer where their interval reaches the share that the noise of the training, ``sigma``, has.
    """

    def read(measured: Sequence[Measures]) -> float:
        shares = {each["sigma"]: each["unrestricted"] for each in measured}
        return max(float(each) / sigma for each, share in shares.items() if share["high"] >= shares[sigma]["percent"])

    return read


def cell(table: str, column: str, unit: str, **row: Any) -> Reading:
    """One cell of a table of multi-label measures, in the ledger's unit; a fraction of 0/0 is NaN."""

    def read(measured: Sequence[Measures]) -> float:
        found = [
            each for measures in measured for each in measures[table] if all(_same(each.get(key), row[key]) for key in row)
        ]
        if not found:
            raise KeyError(table)
        values = [math.nan if each[column] is None else float(each[column]) for each in found]
        return fmean(values) * (100 if unit == PER_CENT else 1)

    return read


def _same(value: Any, wanted: Any) -> bool:
    return math.isclose(value, wanted) if isinstance(wanted, float) and value is not None else bool(value == wanted)


def area_of_extreme_class(setting: str, best: bool) -> Reading:
    """The area of the class whose certified area is the largest, or the smallest."""

    def read(measured: Sequence[Measures]) -> float:
        areas = []
        for measures in measured:
            rows = [row for row in measures["classes"] if row["area"] is not None]
            certified = {row["class"]: row["area"] for row in rows if row["setting"] == "certified"}
            if not certified:
                raise KeyError("classes")
            chosen = (max if best else min)(certified, key=lambda number: (certified[number], number))
            areas += [row["area"] for row in rows if row["setting"] == setting and row["class"] == chosen]
        return fmean(areas)

    return read


def most_robust(measured: Sequence[Measures]) -> float:
    """The largest share of images that a detector certifies at any threshold, per cent."""
    curve = measured[0]["curve"]
    return float(max(100 * hits / total for hits, total in zip(curve["certified"], curve["total"], strict=True)))


def as_accurate(column: str) -> Reading:
    """A detector's share of images, per cent, at the threshold where it is as accurate as the classifier that stands second."""

    def read(measured: Sequence[Measures]) -> float:
        detector, classifier = measured
        curve, clean = detector["curve"], classifier["defended_clean"]["percent"]
        shares = [100 * hits / total for hits, total in zip(curve["clean"], curve["total"], strict=True)]
        nearest = min(range(len(shares)), key=lambda place: (abs(shares[place] - clean), place))
        return 100 * float(curve[column][nearest]) / float(curve["total"][nearest])

    return read


def milliseconds(patch: str, budget: str, algorithm: str) -> Reading:
    """The time of one answer, as :func:`patchcert.study.times.inference_times` measures it."""

    def read(measured: Sequence[Measures]) -> float:
        wanted = {"patch": patch, "budget": budget, "algorithm": algorithm}
        times = [row["milliseconds"] for each in measured for row in each["rows"] if wanted.items() <= row.items()]
        if not times:
            raise KeyError(algorithm)
        return fmean(times)

    return read


def passes(training: str) -> Reading:
    """The forward passes that a training strategy takes to choose the masks of an image."""

    def read(measured: Sequence[Measures]) -> float:
        taken = [row["passes"] for each in measured for row in each["rows"] if row["training"] == training]
        if not taken:
            raise KeyError(training)
        return fmean(taken)

    return read


def certification_seconds(measured: Sequence[Measures]) -> float:
    """Seconds for :data:`TIMED_IMAGES` certificates against the first patch that was timed, forward passes and the rest."""
    rows = measured[0]["rows"]
    took: list[float] = [row["milliseconds"] for row in rows if row["patch"] == rows[0]["patch"]]
    return sum(took) * TIMED_IMAGES / 1000


def millions_of_parameters(measured: Sequence[Measures]) -> float:
    """The size of a network."""
    return float(measured[0]["rows"][0]["parameters"]) / 1e6
