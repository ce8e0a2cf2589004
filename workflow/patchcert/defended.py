"""A defended classifier as an object: PatchCleanser around any classifier, for a batch of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses import double_masking
from patchcert.masking import IMAGES_SHOWN
from patchcert.masks import MaskSet
from patchcert.predict import ALGORITHMS, Engine, Shown
from patchcert.predictions import expand_pairs


class DefendedClassifier:
    """A classifier whose answers no patch can change on the images that :meth:`certify` says are certified.

    Attributes:
        engine: the classifier on its device; ``engine.passes`` counts the forward passes.
        algorithm: ``double_masking`` (Algorithm 1) or ``challenger`` (Appendix C), which asks the classifier less.
    """

    def __init__(self, model: torch.nn.Module, mask_set: MaskSet, *, algorithm: str = "double_masking", **engine: Any) -> None:
        """Wrap a classifier.

        Args:
            model: any torch or timm classifier, images [n, C, H, W] to logits [n, classes].
            mask_set: the masks, made for H x W images and for the patch to defend against.
            algorithm: how the answer is found; the certificates of both are the same.
            engine: ``fill``, ``device``, ``dtype``, ``batch_size``, ``compiled`` of :class:`patchcert.predict.Engine`.

        Raises:
            InputError: an unknown algorithm, or an argument that the engine cannot take.
        """
        if algorithm not in ALGORITHMS:
            raise InputError(f"algorithm: {algorithm!r}; write {' or '.join(ALGORITHMS)}")
        self.algorithm = algorithm
        self.engine = Engine(model, mask_set, **engine)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Labels that the defense answers, int64 [N].

        The classifier is asked only for what the answer hangs on: the K one-mask labels, and where they disagree more.

        Args:
            images: float tensor [N, C, H, W], normalised as the model wants it.

        Raises:
            InputError: see :meth:`patchcert.predict.Engine.show`.
        """
        return self._asked(images, lambda shown: shown.defended(self.algorithm))

    def undefended(self, images: torch.Tensor) -> torch.Tensor:
        """Labels that the classifier gives without any defense, int64 [N]; images as for a call."""
        return self._asked(images, Shown.ask_unmasked)

    def certify(self, images: torch.Tensor, labels: ArrayLike) -> NDArray[np.bool_]:
        """Whether no patch that the masks cover can change the answer from the true label, bool [N] (Algorithm 2).

        Args:
            images: as for a call.
            labels: true labels, whole numbers [N].

        Raises:
            InputError: see :meth:`patchcert.predict.Engine.certificate`.
        """
        answers = self.engine.certificate(images, labels, algorithms=())
        return double_masking.certify(expand_pairs(answers.labels, len(self.engine.mask_set)), labels)

    def _asked(self, images: torch.Tensor, labels: Callable[[Shown], NDArray[np.int64]]) -> torch.Tensor:
        parts = []
        for block in images.split(IMAGES_SHOWN):
            with self.engine.show(block) as shown:
                parts.append(torch.from_numpy(labels(shown)))
        return torch.cat(parts)
