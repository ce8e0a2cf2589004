"""What certificates of region scores ask of a classifier, whichever way it makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.masks import Size
from patchcert.receptive_field import Places


@runtime_checkable
class RegionClassifier(Protocol):
    """A classifier, in evaluation mode, whose answer is the class with the largest sum of its region scores.

    :mod:`patchcert.defenses.bagcert` certifies its answers.
    """

    @property
    def binary(self) -> bool:
        """Whether all region scores are 0 or 1."""

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Region scores float32 [n, C, h, w], 0 to 1, of images [n, 3, H, W] as the model wants them."""

    def scores_and_unsure(self, images: torch.Tensor, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Region scores, and which of them might be another on other hardware, bool [n, C, h, w].

        Those are scores of a step from 0 to 1 whose argument is less than ``margin`` away from it; what is no step has none.
        """

    def places(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> Places:
        """The region scores that a patch can change, for every place of it, each set once, with a patch that has it.

        Args:
            image_size: rows and columns of the images, pixels.
            patch_sizes: rows and columns of the patch, pixels; or a list of them, where the patch may have any.

        Raises:
            InputError: no size, or one that does not fit into the image.
        """

    def affected(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> NDArray[Any]:
        """The outputs of :meth:`places`, as certificates take them: boxes int64 [P, 4], or maps bool [P, h, w]."""


def region_classifier(model: object, name: str) -> RegionClassifier:
    """A classifier as one that scores regions; ``name`` is what a message calls it.

    Raises:
        InputError: it scores none.
    """
    if not isinstance(model, RegionClassifier):
        raise InputError(
            f"model: {name} scores no regions, which BagCert's certificates need; write for example small_bagcert_rf7"
        )
    return model
