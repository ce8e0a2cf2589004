"""What a training strategy is: which copies of a batch a classifier is shown, masked or noisy, and the search that they share.

A strategy draws random numbers only from the generator it is given, looks at the classifier only in evaluation mode, and leaves
its weights and gradients alone, and labels, dtype and pixels outside its boxes too. Each is a module of
``patchcert.training.strategies``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert import plugins
from patchcert.masking import MaskedCopies, box_pixels, mask_out
from patchcert.masks import MaskSet, Size
from patchcert.training.losses import Loss, cross_entropies, loss_of

STRATEGIES = "patchcert.training.strategies"


class Strategy(ABC):
    """What a training strategy can be asked.

    Attributes:
        image_size: rows and columns, pixels.
        copies: training images made of each image.
        passes: passes that its search has made so far, counted in images: forward passes, and backward passes where it needs
            gradients.
        loss: what its search calls bad.
    """

    copies: int = 1

    def __init__(self, image_size: Size) -> None:
        """Take the rows and columns of the images, pixels."""
        self.image_size = image_size
        self.passes = 0
        self.loss: Loss = cross_entropies

    @abstractmethod
    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """Boxes for training, blanked out unless :meth:`show` does otherwise: int64 [copies, n, m, 4] within the images
        [n, C, H, W]; labels as for a loss."""

    @abstractmethod
    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` fixed draws of this strategy's masks, int64 [count or 0, m, 4], to compare a run's epochs by."""

    def show(
        self, images: torch.Tensor, boxes: NDArray[np.int64], std: Sequence[float], generator: torch.Generator
    ) -> torch.Tensor:
        """Images as the classifier is shown them, new ones: here with their boxes blanked out.

        Args:
            images: [n, C, H, W], normalised.
            boxes: one copy of :meth:`boxes`, int64 [n, m, 4].
            std: what the values of each channel, from 0 to 1 before, were divided by when they were normalised.
            generator: for what is drawn.
        """
        return mask_out(images, boxes)

    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The pixels in :meth:`boxes`, bool [copies, n, H, W]."""
        return box_pixels(self.boxes(model, images, labels, generator), self.image_size).any(dim=2)


class Search:
    """Losses of a classifier on masked copies of a batch of images, each forward pass counted by the strategy that asks."""

    def __init__(self, strategy: Strategy, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Take the classifier in evaluation mode, images [n, C, H, W] and labels as a loss takes them, both on its device."""
        self._strategy, self._model, self._labels = strategy, model, labels
        self._pixels = images.permute(0, 2, 3, 1).contiguous()
        self._copies = MaskedCopies(images.device)

    def losses(self, boxes: NDArray[np.int64]) -> torch.Tensor:
        """Loss of each image under each of its candidates, float32 [n, c]; ``boxes`` int64 [n, c, m, 4]."""
        images, candidates = boxes.shape[:2]
        rows = np.arange(images).repeat(candidates)
        flat = boxes.reshape(images * candidates, *boxes.shape[2:])
        labels = self._labels.repeat_interleave(candidates, dim=0)

        def losses(copies: torch.Tensor, part: slice) -> torch.Tensor:
            return self._strategy.loss(self._model(copies).float(), labels[part])

        found = torch.cat(self._copies.ask(self._pixels, rows, flat.__getitem__, losses))
        self._strategy.passes += len(rows)
        return found.view(images, candidates)

    def worst(self, boxes: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each image the candidate with the highest loss, int64 [n]; a tie goes to the first."""
        found: NDArray[np.int64] = self.losses(boxes).argmax(dim=1).cpu().numpy()
        return found


@contextmanager
def searching(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, so that no BatchNorm statistic moves; the former mode comes back afterwards."""
    with evaluating(model), torch.inference_mode():
        yield


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode; the former mode comes back afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def random_pairs(masks: MaskSet, count: int, generator: torch.Generator) -> NDArray[np.int64]:
    """``count`` random pairs out of K masks, each pair of the K * K as likely as any other: boxes int64 [count, 2, 4]."""
    chosen: NDArray[np.int64] = torch.randint(0, len(masks), (count, 2), generator=generator).numpy()
    return masks.boxes[chosen]


def strategy(settings: Mapping[str, Any], image_size: Size) -> Strategy:
    """The strategy that a ``trainings`` block of the configuration describes.

    Args:
        settings: ``strategy``, its name, and the keys that it and its loss read.
        image_size: rows and columns, pixels.

    Raises:
        InputError: an unknown name, or a value that the strategy cannot take.
    """
    made: Strategy = plugins.load(STRATEGIES, settings["strategy"]).make(settings, image_size)
    made.loss = loss_of(settings, smoothed=False)
    return made
