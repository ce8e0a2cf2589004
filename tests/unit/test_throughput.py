"""Times of training steps: who is timed, and what is counted; never how fast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from patchcert.datasets.index import Images
from patchcert.study.config import complete
from patchcert.training import throughput
from patchcert.training.throughput import step_times
from patchcert.training.trainer import Run, learner_of

from .configurations import MINIMAL

torch.set_num_threads(1)


def test_every_strategy_is_timed_with_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "FORWARD_BATCHES", 1)
    masks = {"patch_size": [5, 5], "mask_budgets": [[2, 2]]}
    blocks = {
        "plain": {"strategy": "plain"},
        "greedy": {"strategy": "greedy_cutout", **masks},
        "gutout": {"strategy": "gutout", **masks},
    }
    common = {"epochs": 1, "learning_rate": 0.01, "batch_size": 8}
    config = complete(MINIMAL | {"trainings": {name: block | common for name, block in blocks.items()}})
    learners = {
        name: learner_of(Run("small_resnetv2", settings, 0, (32, 32), 10, data="", code=""))
        for name, settings in config["trainings"].items()
    }
    pixels = np.random.default_rng(0).integers(0, 255, (20, 3, 32, 32), dtype=np.uint8)
    images = Images(np.array([str(number) for number in range(20)]), pixels, np.arange(20) % 10)
    found = step_times(learners, images, rounds=2)
    assert [(row["training"], row["passes"], row["copies"]) for row in sorted(found, key=lambda row: row["passes"])] == [
        ("plain", 0, 1),
        ("gutout", 4, 1),
        ("greedy", 7, 1),
    ]
    assert all(row["step_ms"] > 0 and row["forward_ms"] > 0 and row["ratio"] > 0 for row in found)
    # each learner made one search in each of three rounds
    assert {name: learner.plan.passes for name, learner in learners.items()} == {
        "plain": 0,
        "greedy": 3 * 7 * 8,
        "gutout": 3 * 4 * 8,
    }
