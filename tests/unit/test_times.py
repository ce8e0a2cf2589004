"""Times of one answer, on a clock that the classifier itself drives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from patchcert.defenses import challenger, double_masking
from patchcert.masks import Grid, MaskSet
from patchcert.study import times
from patchcert.study.times import WARM_UP, inference_times

from .scripted import Scripted, row_of_masks
from .worlds import Recorder

torch.set_num_threads(1)

TICK = 1 / 1024
"""Seconds that a forward pass takes on the clock; a power of two, so that sums are exact."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until somebody adds to ``seconds``."""
    hands = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(times, "time", SimpleNamespace(perf_counter=lambda: hands.seconds))
    return hands


def ticking(model: nn.Module, clock: SimpleNamespace) -> nn.Module:
    """The model, for which every row of a batch takes a tick."""

    def tick(module: nn.Module, shown: tuple[torch.Tensor, ...]) -> None:
        clock.seconds += TICK * len(shown[0])

    model.register_forward_pre_hook(tick)
    return model


def by_key(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], tuple[float, float, int]]:
    return {(row["patch"], row["budget"], row["algorithm"]): (row["milliseconds"], row["calls"], row["images"]) for row in rows}


def test_a_constant_classifier_takes_one_pass_a_mask(clock: SimpleNamespace) -> None:
    model = ticking(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), clock)
    nn.init.zeros_(model[1].weight)
    whole = row_of_masks(3)
    narrow = MaskSet(whole.image_size, (Grid((1, 2), (1, 2), (0,), (0, 1)),))
    rows = inference_times(model, torch.randn(8, 1, 1, 4), {("1x1", "1x3"): whole, ("1x2", "1x2"): narrow})
    assert [list(row) for row in rows] == [["patch", "budget", "algorithm", "milliseconds", "calls", "images"]] * 5
    tick = 1000 * TICK
    assert by_key(rows) == {
        ("", "", "undefended"): (tick, 1, 5),
        ("1x1", "1x3", "double_masking"): (3 * tick, 3, 5),
        ("1x1", "1x3", "challenger"): (3 * tick, 3, 5),
        ("1x2", "1x2", "double_masking"): (2 * tick, 2, 5),
        ("1x2", "1x2", "challenger"): (2 * tick, 2, 5),
    }


def disagreeing(images: int) -> np.ndarray:
    """Labels of images of which each takes another number of passes, [N, 4, 4]."""
    random = np.random.default_rng(6)
    labels = np.triu(random.integers(0, 3, (images, 4, 4)))
    return labels + np.triu(labels, 1).transpose(0, 2, 1)


def passes_of(labels: np.ndarray) -> dict[str, list[int]]:
    """Forward passes that each algorithm takes for each image alone, as it asks for them one by one."""
    found: dict[str, list[int]] = {"double_masking": [], "challenger": [4 + games for games in challenger.decide(labels).games]}
    for image in labels:
        asked = Recorder(image[None])
        double_masking.infer_online(asked, 1, 4)
        found["double_masking"].append(len({tuple(sorted(pair)) for call in asked.calls for _, *pair in call}))
    return found


def test_times_are_medians_and_calls_are_means_of_the_images_after_the_warm_up(clock: SimpleNamespace) -> None:
    labels = disagreeing(10)
    labels[:WARM_UP] = 0  # these take fewer passes than the others
    script = ticking(Scripted(row_of_masks(4), labels), clock)
    found = by_key(inference_times(script, script.images, {("1x1", "1x4"): row_of_masks(4)}))
    assert WARM_UP == 3
    for algorithm, passes in passes_of(labels).items():
        counted = passes[3:]
        assert len(set(counted)) > 1
        assert np.mean(counted) != np.mean(passes)
        assert found["1x1", "1x4", algorithm] == (np.median(counted) * 1000 * TICK, np.mean(counted), 7)
    assert set(script.batches) == {1}


@pytest.mark.parametrize("images", [1, 2, 3, 4])
def test_of_few_images_the_last_is_counted(clock: SimpleNamespace, images: int) -> None:
    labels = disagreeing(images)
    script = ticking(Scripted(row_of_masks(4), labels), clock)
    found = by_key(inference_times(script, script.images, {("1x1", "1x4"): row_of_masks(4)}))
    for algorithm, passes in passes_of(labels).items():
        assert found["1x1", "1x4", algorithm] == (passes[-1] * 1000 * TICK, passes[-1], 1)
    assert found["", "", "undefended"] == (1000 * TICK, 1, 1)


def test_everything_is_timed_image_by_image_in_turn(clock: SimpleNamespace) -> None:
    script = Scripted(row_of_masks(3), np.zeros((4, 3, 3), dtype=int))
    inference_times(script, script.images, {("1x1", "1x3"): row_of_masks(3), ("1x1", "again"): row_of_masks(3)})
    assert [image for image, _ in script.seen] == np.repeat(np.arange(4), 1 + 4 * 3).tolist()


def test_arguments_of_the_engine_reach_it(clock: SimpleNamespace) -> None:
    script = Scripted(row_of_masks(3), np.zeros((4, 3, 3), dtype=int))
    shown: list[tuple[bool, float]] = []
    script.forward = lambda batch: (  # type: ignore[method-assign]
        shown.append((torch.is_autocast_enabled("cpu"), float(batch.min()))) or torch.eye(1, 2)
    )
    inference_times(script, script.images, {("1x1", "1x3"): row_of_masks(3)}, fill=-7.0, dtype="bfloat16")
    assert all(autocast for autocast, _ in shown)
    assert [darkest for _, darkest in shown[:7]] == [1.0] + [-7.0] * 6
