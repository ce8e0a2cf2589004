"""How fast multi-label certificates are, measured against a plain loop over pairs of masks: ``python -m
patchcert.multilabel_bench``.

Scores are random: speed hardly depends on them. The plain loop certifies a few images; what it finds must be what the
certificates from row extrema say of them. Each contender runs in a process of its own, so that peaks of memory are its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import bench_table
from patchcert.curves import totals
from patchcert.defenses.multilabel import Extrema
from patchcert.defenses.sweeps import BLOCK, sweep

PLAIN_LOOP, FROM_PAIRS, SWEEP = "plain loop over pairs", "row extrema of pairs, and sweep", "sweep over row extrema"
POSITIVES = 0.036
"""Share of labels that are 1: 2.9 of 80 classes, about what COCO has."""
NAMES = ("single", "lowest", "highest")
MEBIBYTE = 2**20


class Size(NamedTuple):
    """How much is certified."""

    images: int
    masks: int
    classes: int
    thresholds: int

    @property
    def grid(self) -> NDArray[np.float64]:
        """The thresholds, evenly from 0 up."""
        return np.arange(self.thresholds) / self.thresholds


class Measured(NamedTuple):
    """Seconds, the process's peak of memory at the end and before, MiB, and FN and FP of the located worst case, [2, T]."""

    seconds: float
    peak: float
    before: float
    found: NDArray[np.int64]


NUMBERS = {
    "images": (40000, "images of the sweep"),
    "masks": (36, "masks"),
    "classes": (80, "classes"),
    "thresholds": (100, "thresholds from 0 up"),
    "plain_images": (4, "images of the plain loop"),
}
"""The options that are whole numbers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it if asked to; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m patchcert.multilabel_bench", description=(__doc__ or "").split("\n\n")[0])

    def measure(options: argparse.Namespace) -> pd.DataFrame:
        size = Size(options.images, options.masks, options.classes, options.thresholds)
        return compare_with_plain_loop(size, options.plain_images)

    return bench_table.run(parser, NUMBERS, measure, arguments)


def compare_with_plain_loop(size: Size, plain_images: int) -> pd.DataFrame:
    """Time both on the same few images, and the sweep on all.

    Returns:
        ``contender``, ``images``, ``seconds``, ``microseconds`` (an image and threshold), ``peak_mib`` (of the process, files
        that it mapped included), ``before_mib`` (its peak before the work) and ``mapped_mib`` (the mapped files' size).

    Raises:
        RuntimeError: the two do not agree on the few images.
    """
    few = size._replace(images=plain_images)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pairs(root / "few", few)
        write_extrema(root / "all", size)
        runs = {
            (PLAIN_LOOP, few): _alone(plain_loop, root / "few", few),
            (FROM_PAIRS, few): _alone(pairs_sweep, root / "few", few),
            (SWEEP, size): _alone(located_sweep, root / "all", size),
        }
    if not np.array_equal(runs[PLAIN_LOOP, few].found, runs[FROM_PAIRS, few].found):
        raise RuntimeError("the plain loop and the sweep do not agree")
    return pd.DataFrame(
        {
            "contender": contender,
            "images": each.images,
            "seconds": run.seconds,
            "microseconds": 1e6 * run.seconds / (each.images * each.thresholds),
            "peak_mib": run.peak,
            "before_mib": run.before,
            "mapped_mib": 4 * each.images * each.masks * each.classes * (3 if contender == SWEEP else each.masks) / MEBIBYTE,
        }
        for (contender, each), run in runs.items()
    )


def plain_loop(folder: Path, size: Size) -> NDArray[np.int64]:
    """Algorithms 2, 4 and 5 as they are written, over every ordered pair for each threshold; classes at once, as arrays."""
    scores, labels = np.load(folder / "pairs.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    found = np.zeros((2, size.thresholds), dtype=np.int64)
    for image, truth in zip(scores, labels, strict=True):
        for number, threshold in enumerate(size.grid.astype(np.float32)):
            certified = np.ones(size.classes, dtype=np.bool_)
            marked = np.zeros((size.masks, size.classes), dtype=np.bool_)
            for first in range(size.masks):
                for second in range(size.masks):
                    failed = (image[first, second] > threshold) != truth
                    certified &= ~failed
                    marked[first] |= failed
                    marked[second] |= failed
            for count, kind in zip(found, (truth, ~truth), strict=True):
                count[number] += marked[:, kind & ~certified].sum(axis=1).max()
    return found


def located_sweep(folder: Path, size: Size) -> NDArray[np.int64]:
    """The whole sweep with all attackers; of it the false negatives and false positives of the located worst case."""
    extrema = Extrema(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES})
    return _located(extrema, np.load(folder / "labels.npy"), size)


def pairs_sweep(folder: Path, size: Size) -> NDArray[np.int64]:
    """The same from the scores that the plain loop reads."""
    scores = np.load(folder / "pairs.npy", mmap_mode="r")
    return _located(Extrema.from_pairs(scores), np.load(folder / "labels.npy"), size)


def _located(extrema: Extrema, labels: NDArray[np.bool_], size: Size) -> NDArray[np.int64]:
    counts = totals(sweep(extrema, labels, size.grid).located, labels, size.grid)
    return np.stack([counts.fn, counts.fp])


def write_pairs(folder: Path, size: Size) -> None:
    """Random scores under every two masks, and labels, as .npy files."""
    folder.mkdir()
    random = np.random.default_rng(0)
    scores = random.random((size.images, size.masks, size.masks, size.classes), dtype=np.float32)
    np.save(folder / "pairs.npy", np.maximum(scores, scores.transpose(0, 2, 1, 3)))
    np.save(folder / "labels.npy", random.random((size.images, size.classes)) < POSITIVES)


def write_extrema(folder: Path, size: Size) -> None:
    """Random extrema and labels as .npy files, block by block: around one score of the image and class, as real ones are."""
    folder.mkdir()
    random = np.random.default_rng(1)
    shape = (size.images, size.masks, size.classes)
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape) for name in NAMES
    }
    for begin in range(0, size.images, BLOCK):
        images = slice(begin, begin + BLOCK)
        part = files["single"][images].shape
        middle = random.random((part[0], 1, part[2]), dtype=np.float32)
        files["lowest"][images] = middle * random.random(part, dtype=np.float32)
        files["highest"][images] = np.minimum(middle + (1 - middle) * random.random(part, dtype=np.float32), 1)
        single = random.random(part, dtype=np.float32)
        files["single"][images] = np.clip(single, files["lowest"][images], files["highest"][images])
    for mapped in files.values():
        mapped.flush()
    np.save(folder / "labels.npy", random.random((size.images, size.classes)) < POSITIVES)


def _alone(work: Callable[[Path, Size], NDArray[np.int64]], folder: Path, size: Size) -> Measured:
    spawn = multiprocessing.get_context("spawn")  # a process that is forked would start with this one's memory
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, work, folder, size).result()


def _measure(work: Callable[[Path, Size], NDArray[np.int64]], folder: Path, size: Size) -> Measured:
    before = _peak()
    began = time.perf_counter()
    found = work(folder, size)
    return Measured(time.perf_counter() - began, _peak(), before, found)


def _peak() -> float:
    # not getrusage, whose peak a process takes over from the one that started it
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
