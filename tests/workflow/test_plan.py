"""`patchcert plan`: what snakemake would run, counted before it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from workflow_study import Study

from patchcert.study.plan import STAGES

pytestmark = pytest.mark.workflow


def asked(study: Study, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patchcert.cli", "plan", *arguments, "--configfile", str(study.config)]
    return subprocess.run(command, cwd=study.folder, env=study.variables(), capture_output=True, text=True, check=False)


def plan(study: Study, *targets: str) -> dict[str, Any]:
    done = asked(study, *targets, "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def by_stage(content: dict[str, Any], key: str) -> dict[str, int]:
    return {stage: sum(row[key] for row in content["rows"] if row["stage"] == stage) for stage in STAGES}


def test_the_paper_study_is_planned_without_data_and_has_every_stage(fresh: Study) -> None:
    fresh.config = "config/paper.yaml"
    content = plan(fresh, "all", "strategies", "bagcert", "smoothing")
    assert min(by_stage(content, "jobs").values()) > 0
    assert min(by_stage(content, "work")[stage] for stage in ("train", "predict", "attack")) > 0
    # ImageNet alone is 154.6 GB
    assert 154_644_969_749 < by_stage(content, "downloaded")["fetch"] < 200 * 10**9
    assert "size of tresnet_l_coco2014 2021, MS_COCO_TRresNet_L_448_86.6.pth" in content["unknown"]
    assert not [each for each in content["unknown"] if each.startswith("training images") or "timm" in each]
    assert not (fresh.folder / "data").exists()


def test_a_target_of_one_analysis_costs_less_and_what_is_done_costs_nothing(fresh: Study) -> None:
    whole, one = plan(fresh), plan(fresh, "build/ci/reports/figures/mask_set.png")
    # 30 images under 45 pairs and as they are; 4 epochs of 200 images, and a look at 50 after each
    assert by_stage(one, "forward") | {"train": 800 + 200, "predict": 30 * 46} == by_stage(one, "forward")
    assert (
        one["total"]["jobs"] == sum(by_stage(one, "jobs").values()) == len(fresh.jobs("build/ci/reports/figures/mask_set.png"))
    )
    assert all(one["total"][key] < whole["total"][key] for key in ("jobs", "forward", "work", "written"))
    fresh.run("build/ci/results/prepared/digits/index.parquet")
    left = plan(fresh, "build/ci/reports/figures/mask_set.png")
    assert by_stage(left, "jobs") == by_stage(one, "jobs") | {"fetch": 0, "prepare": 0}
    assert left["total"]["forward"] == one["total"]["forward"]


@pytest.mark.parametrize(
    ("change", "target", "told"),
    [
        (
            None,
            "nonsense",
            "patchcert: plan: no rule makes all of nonsense; write paths of files that the study makes, or targets: ",
        ),
        (("epochs: 4", "epochs: many"), "all", "patchcert: plan: snakemake cannot plan this study:"),
    ],
    ids=["target", "configuration"],
)
def test_what_snakemake_refuses_is_said_once(fresh: Study, change: Any, target: str, told: str) -> None:
    if change:
        fresh.replace("config/ci.yaml", *change)
    done = asked(fresh, target)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr
