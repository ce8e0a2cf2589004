"""Row extrema of scores under pairs of masks, taken batch by batch on the device where the scores are made."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import MaskSet


class AreasOfMasks:
    """Which masked areas belong to which masks: those under the mask alone, and those under it and any other.

    Attributes:
        masks: number of masks K.
        unmasked: the number of the area that has no pixel and belongs to no mask.
    """

    def __init__(self, mask_set: MaskSet) -> None:
        """Look the areas of a mask set up."""
        areas, pairs, self.masks = mask_set.areas, mask_set.pairs, len(mask_set)
        count = int(areas.of_pair.max()) + 2
        self._rows = _Lists(np.concatenate([areas.of_pair, areas.of_pair]), np.concatenate([pairs[:, 0], pairs[:, 1]]), count)
        self._alone = _Lists(areas.of_mask, np.arange(self.masks), count)
        self.unmasked = count - 1

    def of(self, areas: NDArray[np.int64]) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """For areas int64 [r] their places in it and masks, int64 [q] each: of all masks they belong to, and alone."""
        return self._rows.of(areas), self._alone.of(areas)


class _Lists:
    """A list of masks for each area, the lists one after the other."""

    def __init__(self, areas: NDArray[np.int64], masks: NDArray[np.int64], count: int) -> None:
        entries = np.unique(np.stack([areas, masks], axis=1), axis=0)
        self._masks = entries[:, 1]
        self._lengths = np.bincount(entries[:, 0], minlength=count)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def of(self, areas: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        lengths = self._lengths[areas]
        places = np.arange(len(areas)).repeat(lengths)
        within = np.arange(len(places)) - (np.cumsum(lengths) - lengths).repeat(lengths)
        return places, self._masks[self._starts[areas].repeat(lengths) + within]


class RowExtrema:
    """Scores of n images under masks, of which the extrema of each mask's row are kept, on the device."""

    def __init__(self, areas: AreasOfMasks, images: int, device: torch.device) -> None:
        """Start with no score."""
        self._areas, self._images, self._device = areas, images, device
        self._kept: tuple[torch.Tensor, ...] = ()

    def add(self, images: NDArray[np.int64], areas: NDArray[np.int64], scores: torch.Tensor) -> None:
        """Take the scores [r, classes] of images under areas, int64 [r] each; the same ones again do no harm."""
        if not self._kept:
            rows = (self._images * self._areas.masks, scores.shape[1])
            self._kept = (
                torch.zeros(self._images, scores.shape[1], device=self._device),
                torch.zeros(rows, device=self._device),
                torch.full(rows, math.inf, device=self._device),
                torch.full(rows, -math.inf, device=self._device),
            )
        unmasked, single, lowest, highest = self._kept
        (places, masks), (alone, of_mask) = self._areas.of(areas)
        as_they_are = np.flatnonzero(areas == self._areas.unmasked)
        unmasked[self._index(images[as_they_are])] = scores[self._index(as_they_are)]
        single[self._row(images[alone], of_mask)] = scores[self._index(alone)]
        targets, sources = self._row(images[places], masks)[:, None].expand(-1, scores.shape[1]), scores[self._index(places)]
        lowest.scatter_reduce_(0, targets, sources, "amin")
        highest.scatter_reduce_(0, targets, sources, "amax")

    def read(self) -> tuple[NDArray[np.float32], ...]:
        """Scores of the images as they are, [n, classes], under one mask, and lowest and highest, [n, K, classes]."""
        unmasked, *rows = (kept.cpu().numpy() for kept in self._kept)
        return unmasked, *(kept.reshape(self._images, self._areas.masks, -1) for kept in rows)

    def _row(self, images: NDArray[np.int64], masks: NDArray[np.int64]) -> torch.Tensor:
        return self._index(images * self._areas.masks + masks)

    def _index(self, places: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(places).to(self._device)
