"""What it costs to regenerate each published number alone, from nothing: ``reports/costs.csv``, of the paper study.

``python -m patchcert.claims.costs`` writes it, from one plan of all numbers in a clone in which nothing has run; a test holds
it to the plan. What is still to be done for some of them in a clone says ``patchcert plan``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from patchcert import InputError
from patchcert.claims.cost_words import COSTS
from patchcert.claims.record import path_of
from patchcert.claims.targets import Target, target
from patchcert.datasets.sources import Source, read_sources
from patchcert.planning.costs import Costs
from patchcert.planning.jobs import PlannedJob, planned_jobs
from patchcert.provenance import whole_file
from patchcert.report.ledger import PUBLISHED, read_ledger
from patchcert.study.config import configuration

STUDY = "config/paper.yaml"
AMOUNTS = ("jobs", "downloaded", "forward", "work", "written")
COLUMNS = ("id", *AMOUNTS, "at_most", "unknown")
"""As :class:`patchcert.study.plan.Row` has them: jobs, bytes, forward passes, the same with backward ones, bytes, and whether
the passes may be fewer; and how many sizes or passes are unknown, and in none of these."""


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


if __name__ == "__main__":
    with whole_file(COSTS) as temporary:
        planned_costs().to_csv(temporary, index=False)
