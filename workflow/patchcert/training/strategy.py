"""What a training strategy is: which masked copies of a batch a classifier is shown, and the search helpers they share.

A strategy draws random numbers only from the generator it is given, looks at the classifier only in evaluation mode and
without gradients, and leaves labels, dtype and the value range of the images alone. Each is a module of
``patchcert.training.strategies``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from patchcert import plugins
from patchcert.device import masked_copies
from patchcert.masks import Size

STRATEGIES = "patchcert.training.strategies"
SEARCH_BATCH_SIZE = 64


class Strategy(ABC):
    """What a training strategy can be asked.

    Attributes:
        copies: training images made of each image.
        extra_passes: forward passes an image that the search for masks takes, beside the training step's own.
    """

    copies: int = 1
    extra_passes: int = 0

    def __init__(self, image_size: Size) -> None:
        """Take the rows and columns of the images, pixels."""
        self.image_size = image_size

    @abstractmethod
    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Pixels to blank out for training, bool [copies, n, H, W], given images [n, C, H, W] and labels [n]."""

    @abstractmethod
    def calibration_hidden(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """``count`` fixed draws of this strategy's masks, bool [count or 0, H, W], to compare a run's epochs by."""

    def _nothing(self, *shape: int, device: Any = "cpu") -> torch.Tensor:
        return torch.zeros(*shape, *self.image_size, dtype=torch.bool, device=device)


def worst(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, masks: torch.Tensor, candidates: torch.Tensor
) -> torch.Tensor:
    """For each image the candidate mask with the highest cross-entropy, int64 [n]; a tie goes to the first candidate.

    Args:
        model: classifier in evaluation mode.
        images: [n, C, H, W].
        labels: int64 [n].
        masks: bool [K, H, W].
        candidates: indices into ``masks``, int64 [n, c].
    """
    losses = []
    images = images.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(len(images), device=images.device).repeat_interleave(candidates.shape[1])
    for part, mask in zip(rows.split(SEARCH_BATCH_SIZE), candidates.reshape(-1).split(SEARCH_BATCH_SIZE), strict=True):
        logits = model(masked_copies(images, part, masks[mask])).float()
        losses.append(cross_entropy(logits, labels[part], reduction="none"))
    chosen = torch.cat(losses).view(candidates.shape).argmax(dim=1)
    return candidates.gather(1, chosen[:, None])[:, 0]


def random_pairs(masks: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` random pairs out of masks, bool [K, H, W], as their unions, bool [count, H, W]."""
    first, second = torch.randint(0, len(masks), (2, count), generator=generator)
    return masks[first] | masks[second]


@contextmanager
def searching(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, so that no BatchNorm statistic moves; the former mode comes back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def strategy(settings: Mapping[str, Any], image_size: Size) -> Strategy:
    """The strategy that a ``trainings`` block of the configuration describes.

    Args:
        settings: ``strategy``, its name, and the keys that it reads.
        image_size: rows and columns, pixels.

    Raises:
        InputError: an unknown name, or a value that the strategy cannot take.
    """
    made: Strategy = plugins.load(STRATEGIES, settings["strategy"]).make(settings, image_size)
    return made
