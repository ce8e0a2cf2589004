"""One published number as a target: what it plans, and that it is told when something upstream has changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_study import ROOT, Study, fresh_copy

from patchcert.claims.targets import Target, target
from patchcert.report.ledger import read_ledger
from patchcert.study.config import complete

pytestmark = pytest.mark.workflow

NUMBER = "greedy_cutout_table1_cifar10_resnet_pc_3x3_robust"
PREDICTIONS = "build/ci/results/predictions/digits/small_resnetv2/random_cutout/seed-0/patch-5x5/masks-3x3/predictions.npz"


def records(config: str, folder: str) -> list[str]:
    """The records of all numbers that a configuration can regenerate."""
    completed = complete(yaml.safe_load((ROOT / config).read_text()))
    rows = read_ledger(ROOT / "config/published.csv").to_dict("records")
    return [f"{folder}/claims/{row['id']}.json" for row in rows if isinstance(target(row, completed), Target)]


def patchcert(study: Study, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patchcert.cli", *arguments]
    return subprocess.run(command, cwd=study.folder, env=study.variables(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("config", "folder", "count"),
    [("config/paper.yaml", "build/paper/results", 790), ("config/study.yaml", "results", 193)],
)
def test_every_number_is_planned_from_jobs_of_the_study(tmp_path: Path, config: str, folder: str, count: int) -> None:
    study = fresh_copy(tmp_path / "study")
    study.config = config
    asked = records(config, folder)
    jobs = study.jobs(*asked)
    assert len(asked) == sum(rule == "claim" for rule, _ in jobs) == count
    known = study.jobs("all", "strategies", "bagcert", "smoothing")
    assert not any(rule == "claim" for rule, _ in known)
    assert {job for job in jobs if job[0] != "claim"} <= known


def test_the_committed_costs_are_those_of_the_plan(tmp_path: Path) -> None:
    """After a change of the plan ``python -m patchcert.claims.costs`` writes them anew."""
    study = fresh_copy(tmp_path / "study")
    written = (study.folder / "reports/costs.csv").read_text()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "patchcert.claims.costs"],
        cwd=study.folder,
        env=study.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (study.folder / "reports/costs.csv").read_text() == written


def test_one_number_is_regenerated_alone_and_verified(fresh: Study) -> None:
    record = f"build/ci/results/claims/{NUMBER}.json"
    fresh.run(record)
    logs = {path.name for path in (fresh.folder / "build/ci/results/logs").iterdir()}
    assert logs == {"fetch", "prepare", "train", "predict", "gather_predictions", "certify", "claim"}
    found = json.loads((fresh.folder / record).read_text())
    (certificate,) = found["certificates"]
    assert certificate["facts"]["training"] == "random_cutout"
    assert (found["published"], found["status"], found["study"]) == (73.0, "counterpart", "ci")
    assert PREDICTIONS in found["provenance"]["files"]["predictions"]

    verify = ("claims", "verify", NUMBER, "--config", "config/ci.yaml")
    held = patchcert(fresh, *verify)
    assert held.returncode == 0, held.stderr
    assert "recomputed from its certificates" in held.stdout
    assert record in patchcert(fresh, "claims", NUMBER, "--config", "config/ci.yaml").stdout

    path = fresh.folder / PREDICTIONS
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    failed = patchcert(fresh, *verify)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[1:] == [f"  predictions: {PREDICTIONS}"]


def test_a_number_that_there_is_not_is_told_the_nearest_ones(fresh: Study) -> None:
    failed = fresh.run(f"build/ci/results/claims/{NUMBER}_accuracy.json", "--dry-run", check=False)
    assert failed.returncode != 0
    assert f"did you mean {NUMBER}" in failed.stdout + failed.stderr
