"""Recording with DVC, and restoring in a second clone, against a plain folder as the remote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_study import CONFIG, ROOT, Study

pytestmark = pytest.mark.workflow


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@localhost")


def call(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def under_dvc(study: Study, remote: Path) -> None:
    """Put a study that has run under git and DVC, its data and checkpoints at the root as in the default study."""
    for name in ("data.dvc", "checkpoints.dvc"):
        (study.folder / name).unlink(missing_ok=True)
    call(study.folder, "git", "init", "--quiet", "--initial-branch=main")
    dvc = (sys.executable, "-m", "dvc")
    call(study.folder, *dvc, "init", "--quiet")
    for key in ("core.analytics", "core.autostage"):
        call(study.folder, *dvc, "config", key, "false")
    call(study.folder, *dvc, "remote", "add", "--default", "plain", str(remote))


def test_version_and_restore_spare_a_second_clone_the_training(fresh: Study, tmp_path: Path, isolated: None):
    config = yaml.safe_load((ROOT / CONFIG).read_text())
    config["directories"] = {}
    config["runs"] = [{"dataset": "digits", "models": ["small_resnetv2"], "trainings": ["plain", "random_cutout"]}]
    config["analyses"] = {}
    (fresh.folder / CONFIG).write_text(yaml.safe_dump(config))
    fresh.run("trained")
    under_dvc(fresh, tmp_path / "remote")
    fresh.run("version")
    assert fresh.plan("trained") == {}
    assert (fresh.folder / "data.dvc").is_file()
    assert (fresh.folder / "checkpoints.dvc").is_file()
    call(fresh.folder, "git", "add", "--all")
    call(fresh.folder, "git", "commit", "--quiet", "--message", "Record")

    second = Study(tmp_path / "second")
    call(tmp_path, "git", "clone", "--quiet", str(fresh.folder), str(second.folder))
    assert second.plan()["train"] == 2
    second.run("restore")
    jobs = second.plan()
    assert (jobs["fetch"], jobs["train"], jobs["predict"]) == (0, 0, 4)
    weights = "checkpoints/digits/small_resnetv2/random_cutout/seed-0/weights.safetensors"
    assert (second.folder / weights).read_bytes() == (fresh.folder / weights).read_bytes()
    second.run("evaluated")
    metrics = "results/metrics/grid/double_masking.json"
    fresh.run("evaluated")
    assert (second.folder / metrics).read_bytes() == (fresh.folder / metrics).read_bytes()
    # what was restored is known to snakemake: an edit that concerns it retrains
    second.edit_config("trainings.random_cutout.learning_rate", 0.0005)
    assert second.plan()["train"] == 1


@pytest.mark.parametrize("target", ["version", "restore"])
def test_versioning_where_dvc_is_not_initialised_says_what_to_do(finished: Study, target: str):
    done = finished.run(target, check=False)
    assert done.returncode != 0
    assert "dvc init" in done.stdout + done.stderr
