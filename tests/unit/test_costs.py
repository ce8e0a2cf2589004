"""What published numbers cost: everything that a number waits for, once, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from patchcert.claims import costs as of_numbers
from patchcert.claims.cost_words import Told, read_costs, worded
from patchcert.claims.costs import COLUMNS, costs
from patchcert.claims.targets import Target, target
from patchcert.planning.costs import Cost
from patchcert.planning.jobs import PlannedJob
from patchcert.report.ledger import read_ledger
from patchcert.study.config import configuration

ROOT = Path(__file__).parents[2]
COST_OF = {
    "fetch": Cost(downloaded=2_000_000_000, written=2_000_000_000, unknown=("size of a file",)),
    "train": Cost(forward=1_000, work=3_000, written=10),
    "predict": Cost(forward=50, work=50, written=5, at_most=True),
    "claim": Cost(),
}


class OfRules:
    """Costs by a job's rule alone."""

    def __init__(self, *asked: Any) -> None:
        """Ask for nothing."""

    def of(self, job: PlannedJob) -> Cost:
        return COST_OF[job.rule]


def job(rule: str, inputs: str, output: str, **wildcards: str) -> PlannedJob:
    return PlannedJob(rule, rule, wildcards, {}, tuple(inputs.split()), (output,))


JOBS = [
    job("claim", "predictions other log", "two.json", claim="two"),
    job("predict", "weights pixels", "predictions"),
    job("predict", "weights", "other"),
    job("train", "pixels", "weights"),
    job("fetch", "", "pixels"),
    job("claim", "pixels there_already", "one.json", claim="one"),
]


def test_a_number_costs_all_that_it_waits_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_numbers, "Costs", OfRules)
    found = costs(JOBS, {}).set_index("id").T.to_dict("list")
    # two predictions wait for one training, and they and the training for one download
    assert found == {
        "two": [5, 2_000_000_000, 1_100, 3_100, 2_000_000_020, True, 1],
        "one": [2, 2_000_000_000, 0, 0, 2_000_000_000, False, 1],
    }


@pytest.mark.parametrize(
    ("amounts", "told"),
    [
        (
            (18, 155_000_000_000, 46_961_670, 72_485_010, 1_040_000_000, True, 2),
            Told(
                "≤ 47 M passes",
                "18 jobs, 155.0 GB of downloads, at most 47 million forward passes (72.5 million with backward ones, "
                "each as two), 1.0 GB of disk, and sizes that are unknown",
            ),
        ),
        (
            (1_234, 0, 999, 999, 0, False, 0),
            Told("999 passes", "1,234 jobs, 0.0 GB of downloads, 999 forward passes, 0.0 GB of disk"),
        ),
        (
            (3, 0, 2_500_000_000_000, 2_500_000_000_000, 0, False, 0),
            Told("2.5 T passes", "3 jobs, 0.0 GB of downloads, 2.5 trillion forward passes, 0.0 GB of disk"),
        ),
        ((3, 0, 0, 0, 0, False, 0), Told("timings alone", "3 jobs, 0.0 GB of downloads, timings alone, 0.0 GB of disk")),
    ],
)
def test_costs_in_words(tmp_path: Path, amounts: tuple[float, ...], told: Told) -> None:
    row = dict(zip(COLUMNS, ("number", *amounts), strict=True))
    assert worded(row) == told
    pd.DataFrame([row]).to_csv(tmp_path / "costs.csv", index=False)
    assert read_costs(tmp_path / "costs.csv") == {"number": told}


def test_the_committed_costs_are_of_every_number_that_the_paper_study_regenerates() -> None:
    config = configuration("config/paper.yaml", ROOT)
    rows = read_ledger(ROOT / "config/published.csv").to_dict("records")
    assert list(read_costs(ROOT / "reports/costs.csv")) == [
        row["id"] for row in rows if isinstance(target(row, config), Target)
    ]
