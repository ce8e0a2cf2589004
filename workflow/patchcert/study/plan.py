"""What a target of a study will cost before it is run: jobs, downloads, passes, device hours and disk, stage by stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from patchcert.datasets.sources import Source, read_sources
from patchcert.planning.costs import CLASSIFYING, Costs
from patchcert.planning.jobs import PlannedJob, planned_jobs
from patchcert.planning.rates import Rates, read_rates

STAGES = ("fetch", "prepare", "train", "predict", "attack", "certify", "evaluate", "report")
SOURCES = Path("config/sources.csv")
GIGABYTE = 10**9
HEADERS = ("stage", "model", "jobs", "downloads, GB", "forward passes", "with backward", "device hours", "disk, GB")


@dataclass
class Row:
    """What the jobs of a stage cost, of those stages that run a classifier one row a model.

    Attributes:
        stage: one of :data:`STAGES`.
        model: the classifier; empty where there is none.
        jobs: number of jobs.
        downloaded: bytes.
        forward: forward passes of images and masked copies.
        work: the same, a backward pass counted as two forward ones.
        hours: of the device, for all of this work; None where a rate is not known.
        written: bytes.
        at_most: whether the passes may be fewer.
    """

    stage: str
    model: str = ""
    jobs: int = 0
    downloaded: int = 0
    forward: int = 0
    work: int = 0
    hours: float | None = 0.0
    written: int = 0
    at_most: bool = False


@dataclass(frozen=True)
class Plan:
    """Costs of a target.

    Attributes:
        targets: what was asked for; the bare study if it is empty.
        device: which the hours are of.
        rows: by stage and model; a stage without jobs has one with none.
        unknown: what the numbers lack, in words.
    """

    targets: tuple[str, ...]
    device: str
    rows: tuple[Row, ...]
    unknown: tuple[str, ...]

    @property
    def total(self) -> Row:
        """The sum of the rows; its hours are those that are known, None if none is."""
        summed = Row("total", at_most=any(row.at_most for row in self.rows))
        for name in ("jobs", "downloaded", "forward", "work", "written"):
            setattr(summed, name, sum(getattr(row, name) for row in self.rows))
        known: list[float] = [row.hours for row in self.rows if row.work and row.hours is not None]
        summed.hours = sum(known) if known or not summed.work else None
        return summed

    def as_json(self) -> str:
        """Everything, in bytes, passes and hours."""
        return json.dumps(asdict(self) | {"total": asdict(self.total)}, indent=2)

    def as_text(self) -> str:
        """A table, its total, and what is unknown."""
        table = [_cells(row) for row in (*self.rows, self.total)]
        if self.total.hours and any(row.hours is None for row in self.rows):
            table[-1][HEADERS.index("device hours")] += " and unknown"
        align = ["left" if name in ("stage", "model") else "right" for name in HEADERS]
        lines = [tabulate(table, HEADERS, disable_numparse=True, colalign=align)]
        if self.total.work:
            hours = f"Device hours are of: {self.device}. " if self.total.hours is not None else ""
            lines.append(f"\n{hours}With backward: a backward pass counts as two forward ones.")
        if self.total.at_most:
            lines.append("<=: certificates, attacks and samples stop where an image is settled, and take less.")
        lines += ["\nUnknown, and in no number above:", *(f"- {each}" for each in self.unknown)] if self.unknown else []
        return "\n".join(lines)


def plan(
    targets: Sequence[str] = (),
    configfile: str | Path | None = None,
    rates: Path | None = None,
    device: str | None = None,
) -> Plan:
    """What is still to be done for some targets of the study in the current folder, without data and without running anything.

    Args:
        targets: as snakemake takes them.
        configfile: the study's configuration.
        rates: see :func:`patchcert.planning.rates.read_rates`.
        device: which the hours are of, likewise.

    Raises:
        InputError: see :func:`patchcert.planning.jobs.planned_jobs` and :func:`patchcert.planning.rates.read_rates`.
    """
    known = read_rates(rates, device)
    jobs = planned_jobs(targets, configfile)
    return Plan(tuple(targets), known.device, *counted(jobs, read_sources(SOURCES), known))


def counted(
    jobs: Sequence[PlannedJob], sources: Mapping[str, Sequence[Source]], rates: Rates
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Rows and what they lack of a :class:`Plan`.

    Args:
        jobs: all that are to run.
        sources: the registry.
        rates: what is known of the device.
    """
    costs, rows, unknown = Costs(jobs, sources), dict[tuple[str, str], Row](), dict[str, None]()
    for job in jobs:
        model = job.wildcards.get("model", "") if job.stage in CLASSIFYING else ""
        row, cost = rows.setdefault((job.stage, model), Row(job.stage, model)), costs.of(job)
        row.jobs += 1
        row.downloaded += cost.downloaded
        row.forward += cost.forward
        row.work += cost.work
        row.written += cost.written
        row.at_most |= cost.at_most
        unknown |= dict.fromkeys(cost.unknown)
        if cost.work:
            size = tuple(job.params["dataset"]["image_size"])
            rate = rates.of(model, cost.precision, size)
            if rate is None:
                unknown[f"hours of {model} in {cost.precision}, {size[0]}x{size[1]} pixels: no rate is known"] = None
            row.hours = None if rate is None or row.hours is None else row.hours + cost.work / rate / 3600
    return tuple(_ordered(rows)), tuple(sorted(unknown))


def _ordered(rows: Mapping[tuple[str, str], Row]) -> Iterable[Row]:
    for stage in dict.fromkeys((*STAGES, *(stage for stage, _ in rows))):
        of_stage = [row for (found, _), row in rows.items() if found == stage]
        yield from sorted(of_stage, key=lambda row: row.model) or [Row(stage)]


def _cells(row: Row) -> list[str]:
    sign = "<= " if row.at_most else ""
    known = "no rate known" if row.hours is None else f"{sign}{row.hours:,.2f}"
    hours = known if row.work else ""
    passes = [f"{sign}{number:,}" if number else "" for number in (row.forward, row.work)]
    return [row.stage, row.model, f"{row.jobs:,}", _gigabytes(row.downloaded), *passes, hours, _gigabytes(row.written)]


def _gigabytes(size: int) -> str:
    return f"{size / GIGABYTE:,.3f}" if size else ""
