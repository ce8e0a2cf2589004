"""What it costs to regenerate each published number alone, from nothing: ``reports/costs.csv``, of the paper study.

``python -m patchcert.claims.costs`` writes it, from one plan of all numbers in a clone in which nothing has run; a test holds
it to the plan. What is still to be done for some of them in a clone says ``patchcert plan``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from patchcert import InputError
from patchcert.claims.record import path_of
from patchcert.claims.targets import Target, target
from patchcert.datasets.sources import Source, read_sources
from patchcert.planning.costs import Costs
from patchcert.planning.jobs import PlannedJob, planned_jobs
from patchcert.provenance import whole_file
from patchcert.report.ledger import read_ledger
from patchcert.study.config import configuration

PUBLISHED, STUDY, COSTS = "config/published.csv", "config/paper.yaml", "reports/costs.csv"
GIGABYTE = 10**9
WORDS = {10**12: "trillion", 10**9: "billion", 10**6: "million"}
LETTERS = {10**12: "T", 10**9: "G", 10**6: "M", 10**3: "k"}
TIMINGS = "timings alone"
"""What numbers cost whose passes are not counted beforehand."""
AMOUNTS = ("jobs", "downloaded", "forward", "work", "written")
COLUMNS = ("id", *AMOUNTS, "at_most", "unknown")
"""As :class:`patchcert.study.plan.Row` has them: jobs, bytes, forward passes, the same with backward ones, bytes, and whether
the passes may be fewer; and how many sizes or passes are unknown, and in none of these."""


class Told(NamedTuple):
    """What a number costs, in words: its forward passes alone, in few, and all of it."""

    passes: str
    whole: str


def costs(jobs: Sequence[PlannedJob], sources: Mapping[str, Sequence[Source]]) -> pd.DataFrame:
    """The costs of every number that is planned: those of its job and of all that it waits for.

    Args:
        jobs: of one plan, numbers among them.
        sources: the registry.

    Returns:
        :data:`COLUMNS`, a row a number.
    """
    cost_of, makes = Costs(jobs, sources), {path: place for place, job in enumerate(jobs) for path in job.outputs}
    each = [cost_of.of(job) for job in jobs]
    waits = [{makes[path] for path in job.inputs if path in makes} for job in jobs]
    rows = []
    for place, job in enumerate(jobs):
        if job.rule == "claim":
            parts = [each[part] for part in _all_before(place, waits)]
            row = {"id": job.wildcards["claim"], "jobs": len(parts)}
            row |= {name: sum(getattr(part, name) for part in parts) for name in AMOUNTS[1:]}
            unknown = {lacking for part in parts for lacking in part.unknown}
            rows.append(row | {"at_most": any(part.at_most for part in parts), "unknown": len(unknown)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _all_before(place: int, waits: Sequence[set[int]]) -> set[int]:
    """A job and all that it waits for, by their places."""
    found, ahead = set[int](), {place}
    while ahead:
        found |= ahead
        ahead = {before for part in ahead for before in waits[part]} - found
    return found


def planned_costs(root: Path = Path()) -> pd.DataFrame:
    """The costs of every number that the paper study regenerates, in the order of the published numbers.

    Raises:
        InputError: as :func:`patchcert.planning.jobs.planned_jobs` does, or some of it has been made already.
    """
    config = configuration(STUDY, root)
    rows = read_ledger(root / PUBLISHED).to_dict("records")
    asked = [row["id"] for row in rows if isinstance(target(row, config), Target)]
    jobs = planned_jobs([path_of(config, identity) for identity in asked], STUDY, root)
    if [job.rule for job in jobs].count("claim") < len(asked):
        raise InputError(f"costs: some numbers of {STUDY} are there already; count in a clone in which nothing has run")
    return costs(jobs, read_sources(root / "config/sources.csv")).set_index("id").loc[asked].reset_index()


def read_costs(path: str | Path) -> dict[str, Told]:
    """What :func:`planned_costs` counted, in words, by the ids of the numbers."""
    return {str(row["id"]): worded(row) for row in pd.read_csv(path).to_dict("records")}


def worded(row: Mapping[Any, Any]) -> Told:
    """The costs of one number in words, of a row of :func:`costs`."""
    if row["forward"]:
        passes = f"{'at most ' if row['at_most'] else ''}{_rounded(row['forward'], WORDS)} forward passes"
        short = f"{'≤ ' if row['at_most'] else ''}{_rounded(row['forward'], LETTERS)} passes"
    else:
        passes = short = TIMINGS
    backward = f" ({_rounded(row['work'], WORDS)} with backward ones, each as two)" if row["work"] > row["forward"] else ""
    parts = [f"{row['downloaded'] / GIGABYTE:,.1f} GB of downloads", passes + backward]
    parts += [f"{row['written'] / GIGABYTE:,.1f} GB of disk", *(["and sizes that are unknown"] if row["unknown"] else [])]
    return Told(short, f"{row['jobs']:,} jobs, {', '.join(parts)}")


def _rounded(number: float, names: Mapping[int, str]) -> str:
    """A number of passes, a large one with three digits."""
    for size, name in names.items():
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


if __name__ == "__main__":
    with whole_file(COSTS) as temporary:
        planned_costs().to_csv(temporary, index=False)
