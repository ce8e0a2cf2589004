"""Derandomized smoothing: a classifier votes on copies of which only a small part is kept, and few parts can show the patch.

*Block smoothing* keeps a square of side s, at every place of the image; *column smoothing* keeps s columns. Parts that leave
the image on one side come in again on the other. A class gets the vote of a copy where its score exceeds a threshold, so that
several classes may get it, or none; the answer is the class with the most votes, and of tied ones the smallest. A patch that
meets d of the parts changes the number of votes of each class by d at most.

The votes are region scores too, one output for each place of the kept part: :mod:`patchcert.defenses.bagcert` certifies them
with :meth:`Ablation.affected`. Its condition 3.3 is the certificate below without the care for ties, and 3.2 certifies more.

Source: Levine and Feizi, "(De)Randomized Smoothing for Certifiable Defense against Patch Attacks", NeurIPS 2020, as BagCert
describes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses.asking import checked_truth
from patchcert.defenses.bagcert import Array
from patchcert.masks import Size, patch_positions

Kind = Literal["block", "column"]
"""What is kept: a square at a place of the image, or all rows of some columns."""


@dataclass(frozen=True)
class Ablation:
    """The copies of an image that are classified.

    Attributes:
        kind: "block" or "column".
        kept: side of the block, or number of columns, pixels.
        image_size: rows and columns of the image, pixels.

    Raises:
        InputError: an unknown kind, or a part that does not fit into the image.
    """

    kind: Kind
    kept: int
    image_size: Size

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.kind not in get_args(Kind):
            raise InputError(f"kind: {self.kind!r}; write one of {', '.join(get_args(Kind))}")
        largest = min(self.image_size) if self.kind == "block" else self.image_size[1]
        if not 1 <= self.kept <= largest:
            raise InputError(f"kept: {self.kept!r}; write a whole number of pixels from 1 to {largest}")

    @property
    def places(self) -> Size:
        """Rows and columns of places of the kept part: those of the image, or one row for columns."""
        return self.image_size if self.kind == "block" else (1, self.image_size[1])

    def touched(self, patch_size: Size) -> int:
        """The largest number of copies that show some of a patch: (m + s - 1)^2 for blocks, m + s - 1 for columns, or all.

        Raises:
            InputError: the patch does not fit into the image.
        """
        rows, columns = self._showing(patch_size)
        return int(rows.sum(axis=1).max() * columns.sum(axis=1).max())

    def affected(self, patch_size: Size) -> NDArray[np.bool_]:
        """Which copies show some of the patch, for each position of it, bool [P, rows, columns] over :attr:`places`.

        These are the maps of affected outputs for :mod:`patchcert.defenses.bagcert`.

        Raises:
            InputError: the patch does not fit into the image.
        """
        rows, columns = self._showing(patch_size)
        return np.asarray(rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *self.places)

    def _showing(self, patch_size: Size) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows of places whose part reaches the rows of each position of the patch, and likewise for columns."""
        boxes = patch_positions(self.image_size, patch_size)
        columns = _showing(np.unique(boxes[:, 2:], axis=0), self.kept, self.image_size[1])
        if self.kind == "column":
            return np.ones((1, 1), dtype=np.bool_), columns
        return _showing(np.unique(boxes[:, :2], axis=0), self.kept, self.image_size[0]), columns

    def copies(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """The copies of a batch of images, one place of the kept part after the other, row-major over :attr:`places`.

        Kept pixels are encoded as x and 1 - x, removed ones as zeros, so that no kept colour looks like a removed pixel.

        Args:
            images: floating-point [n, C, H, W] in [0, 1], on any device.

        Returns:
            Batches [n, 2 C, H, W] on that device, to be done with before the next one is asked for.

        Raises:
            InputError: images of another size or type.
        """
        if images.ndim != 4 or tuple(images.shape[2:]) != tuple(self.image_size) or not images.dtype.is_floating_point:
            raise InputError(
                f"images: {images.dtype} of shape {tuple(images.shape)}; write floating-point numbers from 0 to 1, "
                f"[images, channels, {self.image_size[0]}, {self.image_size[1]}]"
            )
        return self._copies(encoded(images))

    def _copies(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        for place in torch.arange(math.prod(self.places), device=images.device):
            yield torch.where(self.pixels(place), images, 0)

    def pixels(self, places: torch.Tensor) -> torch.Tensor:
        """What the copies at some places keep, bool [..., H, W], on the device of the places.

        Args:
            places: numbers of places, row-major over :attr:`places`, int64 [...].
        """
        rows, columns = (torch.arange(pixels, device=places.device) for pixels in self.image_size)
        top, left = (places // self.places[1])[..., None], (places % self.places[1])[..., None]
        in_rows = (rows - top) % len(rows) < (self.kept if self.kind == "block" else len(rows))
        in_columns = (columns - left) % len(columns) < self.kept
        return in_rows[..., None] & in_columns[..., None, :]


def encoded(images: torch.Tensor) -> torch.Tensor:
    """Images floating-point [n, C, H, W] in [0, 1] as x and 1 - x, [n, 2 C, H, W], of which no pixel is zero throughout."""
    return torch.cat([images, 1 - images], dim=1)


def votes(scores: Array, threshold: float) -> Array:
    """Which classes get the vote of each copy, as region scores, bool [N, C, rows, columns]: those above the threshold.

    Args:
        scores: what the classifier says of each copy, such as its softmax, floating-point [N, C, rows, columns], over
            :attr:`Ablation.places`.
        threshold: number from 0 to 1.

    Raises:
        InputError: a wrong shape, or the threshold is none.
    """
    if scores.ndim != 4:
        raise InputError(f"scores: shape {tuple(scores.shape)}; write [images, classes, rows, columns]")
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold: {threshold!r}; write a number from 0 to 1")
    above: Array = scores > threshold
    return above


def count(region_votes: Array) -> Array:
    """The number of votes of each class, int64 [N, C], of votes bool [N, C, rows, columns]."""
    counted: Array = region_votes.sum((2, 3))
    return counted


def infer(counts: ArrayLike) -> NDArray[np.int64]:
    """Answers, int64 [N]: the class with the most votes, of tied ones the smallest.

    Args:
        counts: votes of each class, whole numbers [N, C].

    Raises:
        InputError: counts that are none.
    """
    return np.asarray(_counts(counts).argmax(axis=1))


def certify(counts: ArrayLike, labels: ArrayLike, touched: int) -> NDArray[np.bool_]:
    """Whether no patch turns the answer from the label, bool [N].

    True where the label's votes are at least those of any other class, and 2 ``touched``, and 1 if that class is the smaller
    one, to which a tie goes. Source: Levine and Feizi, Theorem 1.

    Args:
        counts: votes of each class for the clean images, whole numbers [N, C].
        labels: true labels, whole numbers [N].
        touched: how many copies a patch may touch, :meth:`Ablation.touched`.

    Raises:
        InputError: a wrong shape, type or range.
    """
    found = _counts(counts)
    truth, classes = checked_truth(labels, len(found))[:, None], np.arange(found.shape[1])
    if ((truth < 0) | (truth >= len(classes))).any():
        raise InputError(f"labels: {truth.min()} to {truth.max()}; write whole numbers from 0 to {len(classes) - 1}")
    if touched < 0:
        raise InputError(f"touched: {touched!r}; write a whole number from 0 up")
    needed = found + 2 * touched + (classes < truth)
    return np.asarray(((np.take_along_axis(found, truth, axis=1) >= needed) | (classes == truth)).all(axis=1))


def _counts(counts: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(counts)
    if found.ndim != 2 or found.shape[1] < 1 or found.dtype.kind not in "iu" or found.min(initial=0) < 0:
        raise InputError(f"counts: {found.dtype} of shape {found.shape}; write whole numbers from 0 up, [images, classes]")
    return found.astype(np.int64, copy=False)


def _showing(runs: NDArray[np.int64], kept: int, pixels: int) -> NDArray[np.bool_]:
    """Which of the parts, from each pixel on and around the edge, reach each run of pixels, bool [runs, pixels]."""
    begin, end = runs.T[:, :, None]
    return np.asarray((np.arange(pixels) - (begin - kept + 1)) % pixels < end - begin + kept - 1)
