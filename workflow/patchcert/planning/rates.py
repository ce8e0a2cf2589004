"""How many images a second classifiers take: what was measured, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from patchcert import InputError
from patchcert.masks import Size, size_from_text
from patchcert.provenance import read_json

COLUMNS = ("model", "device", "images_per_second")
ALONE = "forward passes alone"
"""Whose rate counts, of those that ``patchcert bench`` compares."""


class Rate(NamedTuple):
    """Forward passes a second of a classifier on a device; None stands for every precision or image size."""

    model: str
    device: str
    images_per_second: float
    precision: str | None = None
    image_size: Size | None = None


@dataclass(frozen=True)
class Rates:
    """Rates on one device, named by ``device``; ``known`` in the order in which they are looked through."""

    device: str
    known: tuple[Rate, ...] = ()

    def of(self, model: str, precision: str, image_size: Size) -> float | None:
        """Images a second; None where nobody measured it.

        A rate is one of an architecture: the tag after the point of timm's names says which weights it has, and no more.
        """
        for rate in self.known:
            alike = rate.model in (model, model.split(".")[0])
            if alike and rate.precision in (None, precision) and rate.image_size in (None, image_size):
                return rate.images_per_second
        return None


def read_rates(file: Path | None = None, device: str | None = None, benchmarks: Path = Path("reports/benchmarks")) -> Rates:
    """The rates that are known on one device, those of the user before those of the benchmarks.

    Args:
        file: the user's CSV table with the columns ``model``, ``device`` and ``images_per_second`` (forward passes of images
            through the classifier, in the precision and image size of the study).
        device: as the table or the benchmarks name it; by default the only device of the table, or of the benchmarks.
        benchmarks: folder of folders that ``patchcert bench`` wrote.

    Raises:
        InputError: the table is none, a rate is no number above 0, or the device is unknown or one of several.
    """
    own = _own(file) if file else []
    measured = [rate for folder in sorted(benchmarks.glob("*/")) for rate in _measured(folder)]
    devices = list(dict.fromkeys(rate.device for rate in [*own, *measured]))
    if device is None:
        candidates = list(dict.fromkeys(rate.device for rate in own or measured))
        if len(candidates) > 1:
            raise InputError(f"--device: rates of several are known; write one of {', '.join(candidates)}")
        device = next(iter(candidates), "")
    elif device not in devices:
        raise InputError(f"--device: no rate is known for {device!r}; write one of {', '.join(devices)}, or add it to --rates")
    return Rates(device, tuple(rate for rate in [*own, *measured] if rate.device == device))


def _own(file: Path) -> list[Rate]:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"--rates: {file}: cannot be read ({error}); write a CSV table with {','.join(COLUMNS)}") from error
    if set(table.columns) != set(COLUMNS):
        raise InputError(f"--rates: {file}: the columns are {','.join(table.columns)}; write {','.join(COLUMNS)}")
    numbers = pd.to_numeric(table["images_per_second"], errors="coerce")
    for row, (text, number) in enumerate(zip(table["images_per_second"], numbers, strict=True), 2):
        if not 0 < number < float("inf"):
            raise InputError(f"--rates: {file}: row {row}: images_per_second is {text!r}; write a number above 0")
    if (again := table.duplicated(["model", "device"])).any():
        model, device = table.loc[again, ["model", "device"]].iloc[0]
        raise InputError(f"--rates: {file}: {model} on {device} stands there twice; keep one row")
    return [Rate(row.model, row.device, number) for row, number in zip(table.itertuples(), numbers, strict=True)]


def _measured(folder: Path) -> list[Rate]:
    """What ``patchcert bench`` measured, without ``torch.compile``; nothing of a folder that something else wrote."""
    if not ((folder / "speed.csv").is_file() and (folder / "device.json").is_file()):
        return []
    facts, table = read_json(folder / "device.json"), pd.read_csv(folder / "speed.csv")
    rows = table[(table["contender"] == ALONE) & ~table["compiled"]]
    size = size_from_text(facts["image_size"])
    return [Rate(row.model, facts["device"], row.passes_per_second, row.dtype, size) for row in rows.itertuples()]
