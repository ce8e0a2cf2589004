"""Jobs that are killed with SIGKILL, and go on: the end is that of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

RUN = "digits/small_resnetv2/plain/seed-0"
KILLER = '''
import os, pathlib, re, signal

replace = pathlib.Path.replace
def replace_and_die(self, target):
    """Kill this process once, right after a file of the given name stands for the given time."""
    moved = replace(self, target)
    count = pathlib.Path(os.environ["KILL_MARKER"])
    if re.search(os.environ["KILL_PATTERN"], str(target)):
        with count.open("a") as stream:
            stream.write("x")
        if count.stat().st_size == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return moved
pathlib.Path.replace = replace_and_die
'''


KILLED = [
    (
        f"build/ci/checkpoints/{RUN}/weights.safetensors",
        r"\.scratch/train/train-\w+\.pt$",
        "train",
        "resumed after epoch 2",
    ),
    (
        f"build/ci/results/predictions/{RUN}/patch-5x5/masks-3x3/predictions.npz",
        r"\.scratch/predict/\w+/block-\d+\.npz$",
        "predict",
        "2 of 3 blocks were done before",
    ),
]
"""What is asked for, after which file the job of which rule is killed, and what it says when it goes on."""


def test_killed_jobs_go_on_and_the_study_ends_the_same(fresh, finished_once, tmp_path: Path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(KILLER)
    for target, pattern, rule, resumed in KILLED:
        fresh.environment = {
            "PYTHONPATH": f"{hooks}:{fresh.folder / 'workflow'}",
            "KILL_PATTERN": pattern,
            "KILL_MARKER": str(tmp_path / rule),
        }
        # nothing but the target, since the jobs that do not need the killed one would go on
        stopped = fresh.run(target, "--cores", "1", check=False)
        assert stopped.returncode != 0
        assert f"Error in rule {rule}" in stopped.stdout + stopped.stderr
        assert list((fresh.folder / "build/ci/results/.scratch").glob(f"{rule}/*"))

        fresh.environment = {}
        again = fresh.run(target)
        assert resumed in again.stdout + again.stderr

    fresh.run()
    assert fresh.outcome() == finished_once.outcome()
    assert fresh.plan() == {}
    assert not list((fresh.folder / "build/ci/results/.scratch").glob("*/*"))
