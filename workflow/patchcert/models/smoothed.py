"""Derandomized smoothing as a classifier: it learns from random small parts of images, and the votes of all parts answer.

The votes are region scores with an output for each place of the kept part, so that it is certified as a region scorer is.
Source: Levine and Feizi, see :mod:`patchcert.defenses.derandomized_smoothing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from patchcert.defenses.derandomized_smoothing import Ablation, Kind, encoded, votes
from patchcert.masking import usual_batch_size
from patchcert.masks import Size, patch_positions
from patchcert.receptive_field import Places, checked_patch_sizes

THRESHOLD = 0.3
"""The softmax score above which a class gets a vote: what BagCert compares itself with (section 4)."""
SPREAD = 64
"""Places at most whose votes are counted where not all of them are."""


class SmoothedVote(nn.Module):
    """A classifier of small parts of images that are kept, the rest being removed.

    It is a :class:`patchcert.models.region_classifier.RegionClassifier`. Images come with mean and deviation 0.5, from -1 to 1,
    as the small architectures take them.

    Attributes:
        base: copies [n, 6, H, W] of which a part is kept to logits [n, C].
        kind: what is kept.
        kept: side of the block, or number of columns, pixels.
        threshold: the softmax score above which a class gets a vote.
    """

    def __init__(self, base: nn.Module, kind: Kind, kept: int, threshold: float = THRESHOLD) -> None:
        """Take the network for the copies, and what the copies keep."""
        super().__init__()
        self.base, self.kind, self.kept, self.threshold = base, kind, kept, threshold

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits or class scores float32 [n, C] of images [n, 3, H, W].

        In training the logits of one copy of each image, which keeps a part at a random place, drawn from the global generator.
        In evaluation the shares of the votes that each class gets at :data:`SPREAD` places, evenly spread, which is enough to
        compare epochs by; the votes of all places are :meth:`scores`.

        Raises:
            InputError: the kept part does not fit into the images.
        """
        ablation = self._ablation(images.shape[2:])
        if self.training:
            places = torch.randint(math.prod(ablation.places), (len(images),), device=images.device)
            logits: torch.Tensor = self.base(_copies(ablation, _encoded(images), places))
            return logits
        said = self._said(ablation, images, _spread(ablation.places).to(images.device))
        return votes(said[..., None], self.threshold).float().mean(dim=(2, 3))

    @property
    def binary(self) -> bool:
        """Votes are given or not."""
        return True

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """The votes of the copies, float32 of 0 and 1: [n, C, H, W] for blocks, [n, C, 1, W] for columns; without gradients."""
        return self.scores_and_unsure(images, 0)[0]

    def scores_and_unsure(self, images: torch.Tensor, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The votes, and where the softmax score is less than ``margin`` away from the threshold."""
        ablation = self._ablation(images.shape[2:])
        places = torch.arange(math.prod(ablation.places), device=images.device)
        said = self._said(ablation, images, places).unflatten(2, ablation.places)
        return votes(said, self.threshold).float(), (said - self.threshold).abs() < margin

    def places(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> Places:
        """The copies that show some of a patch as maps, for every place of it, in the order of the places."""
        ablation = self._ablation(image_size)
        found = []
        for size in checked_patch_sizes(patch_sizes):
            maps = ablation.affected(size)
            # columns are shown whatever the patch's rows are, so that the places along the upper edge are all there are
            found.append((maps, patch_positions(image_size, size)[: len(maps)]))
        maps, patches = map(np.concatenate, zip(*found, strict=True))
        _, first = np.unique(np.packbits(maps.reshape(len(maps), -1), axis=1), axis=0, return_index=True)
        first.sort()
        return Places(maps[first], patches[first])

    def affected(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> NDArray[Any]:
        """The outputs of :meth:`places`, bool [P, H, W] for blocks, [P, 1, W] for columns."""
        return self.places(image_size, patch_sizes).outputs

    def _ablation(self, image_size: Sequence[int]) -> Ablation:
        return Ablation(self.kind, self.kept, (image_size[0], image_size[1]))

    def _said(self, ablation: Ablation, images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Softmax scores of the copies of each image at some places, float32 [n, C, places]."""
        shown = _encoded(images).contiguous(memory_format=torch.channels_last)
        numbers = torch.arange(len(images) * len(places), device=images.device)
        with torch.no_grad():
            said = [
                self.base(_copies(ablation, shown[part // len(places)], places[part % len(places)])).float().softmax(dim=1)
                for part in numbers.split(usual_batch_size(images.device))
            ]
        scores: torch.Tensor = torch.cat(said).unflatten(0, (len(images), len(places))).transpose(1, 2)
        return scores


def _encoded(images: torch.Tensor) -> torch.Tensor:
    return encoded(images * 0.5 + 0.5)


def _copies(ablation: Ablation, shown: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """One copy of each encoded image [n, 6, H, W], at a place of its own, int64 [n]."""
    return torch.where(ablation.pixels(places)[:, None], shown, 0)


def _spread(places: Size) -> torch.Tensor:
    """Numbers of :data:`SPREAD` places, or of all if there are no more, as far apart as an even grid of them is, int64 [p]."""
    most = SPREAD if 1 in places else math.isqrt(SPREAD)
    rows, columns = (torch.arange(min(count, most)) * count // min(count, most) for count in places)
    return (rows[:, None] * places[1] + columns).flatten()
