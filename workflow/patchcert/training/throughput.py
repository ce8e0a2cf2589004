"""What a training step costs beyond its passes: each strategy's step against the step and forward passes alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from patchcert.datasets.index import Pictures
from patchcert.masking import usual_batch_size
from patchcert.training.strategy import searching
from patchcert.training.trainer import Learner

ROUNDS = 5
FORWARD_BATCHES = 8


def step_times(learners: Mapping[str, Learner], images: Pictures, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Times of one training step of every strategy, a row each.

    The strategies take turns, round by round after one that does not count, so that a slow spell of the machine falls on all of
    them. In a turn come the search for masks, the step on the masked copies, and forward passes alone: the classifier and its
    loss on a batch that is masked already, of the size that the search uses.

    Args:
        learners: by the name of the training; each is trained on the way.
        images: training images; a batch of them is used.
        rounds: turns that count.

    Returns:
        ``training``, ``copies``, ``passes`` (of the search, an image), ``search_ms``, ``step_ms`` (milliseconds an image,
        medians), ``forward_ms`` (one pass of one image), and ``ratio``: search and step together, divided by the step and
        ``passes`` forward passes; the median of the ratios within a round.
    """
    took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in learners}
    passes: dict[str, float] = {}
    with tqdm(total=(rounds + 1) * len(learners), unit="turn", desc="timing", disable=None) as progress:
        for number in range(rounds + 1):
            for name, learner in learners.items():
                rows = np.arange(min(learner.run.settings["batch_size"], len(images)))
                before = learner.plan.passes
                times = _turn(learner, images, rows)
                passes[name] = (learner.plan.passes - before) / len(rows)
                if number:
                    took[name].append(times)
                progress.update()
    return [
        {
            "training": name,
            "copies": learners[name].plan.copies,
            "passes": passes[name],
            "search_ms": 1000 * statistics.median(search for search, _, _ in times),
            "step_ms": 1000 * statistics.median(step for _, step, _ in times),
            "forward_ms": 1000 * statistics.median(forward for _, _, forward in times),
            "ratio": statistics.median((search + step) / (step + passes[name] * forward) for search, step, forward in times),
        }
        for name, times in took.items()
    ]


def _turn(learner: Learner, images: Pictures, rows: NDArray[np.int64]) -> tuple[float, float, float]:
    """Seconds an image of the search and of the step, and of one forward pass of one image."""
    batch, truth = learner.inputs(images, rows)
    generator = torch.Generator().manual_seed(0)
    learner.model.train()
    sizes: list[int] = []
    watch = learner.model.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    search, boxes = _clocked(learner, lambda: learner.search(batch, truth, generator))
    watch.remove()
    step, _ = _clocked(learner, lambda: learner.step(batch, truth, boxes, generator))
    size = max(sizes, default=usual_batch_size(batch.device))
    which = torch.arange(size, device=batch.device) % len(rows)
    copies, labels = batch[which].contiguous(memory_format=torch.channels_last), truth[which]

    def alone() -> None:
        with searching(learner.model):
            for _ in range(FORWARD_BATCHES):
                losses = learner.plan.loss(learner.model(copies).float(), labels)
            losses.cpu()

    forward, _ = _clocked(learner, alone)
    return search / len(rows), step / len(rows), forward / (FORWARD_BATCHES * size)


def _clocked(learner: Learner, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, until the device has done it, and what it gives."""
    waits = torch.device(learner.run.device).type == "cuda"
    began = time.perf_counter()
    given = work()
    if waits:
        torch.cuda.synchronize()
    return time.perf_counter() - began, given
