"""The engine: what a classifier says on the masked copies of images.

Masks travel as boxes and become pixels on the device; each image travels once, and batches are filled across images. In
*matrix* mode every unordered pair of masks is classified, in *certificate* mode only what the certificate and the defended
answers need: both give the same certificates. Of a multi-label classifier the row extrema of the scores are all that any
certificate needs at any threshold; they are taken on the device, and no score of a pair is ever stored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses import challenger, double_masking
from patchcert.defenses.asking import UNPREDICTED, checked_truth
from patchcert.defenses.multilabel import Extrema
from patchcert.device import on_device
from patchcert.masking import DTYPES, IMAGES_SHOWN, MaskedCopies
from patchcert.masks import MaskSet, pair_index
from patchcert.predictions import LARGEST_LABEL, Answers, expand_pairs
from patchcert.row_extrema import AreasOfMasks, RowExtrema

ALGORITHMS = ("double_masking", "challenger")
"""How a defended answer is found; modules of :mod:`patchcert.defenses`."""
REQUESTS = 2**15
"""Masked copies that are asked about at once, at most, unless one image has more."""
NO_BOX = np.zeros((1, 4), dtype=np.int64)


def pair_labels(
    model: torch.nn.Module,
    images: torch.Tensor,
    mask_set: MaskSet,
    *,
    fill: float = 0.0,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> NDArray[np.int64]:
    """The label of every image under every pair of masks, int64 [N, K, K].

    Args:
        model: as :class:`Engine` wants it, and so are the other arguments.
        images: float tensor [N, C, H, W], normalised as the model wants it.
        mask_set: the masks, made for H x W images.
        fill: value of masked pixels.
        device: a torch device.
        dtype: ``float32`` or ``bfloat16``.
        batch_size: masked copies a forward pass.

    Raises:
        InputError: see :class:`Engine` and :meth:`Engine.show`.
    """
    engine = Engine(model, mask_set, fill=fill, device=device, dtype=dtype, batch_size=batch_size)
    return expand_pairs(engine.matrix(images).labels, len(mask_set))


def extrema(
    model: torch.nn.Module,
    images: torch.Tensor,
    mask_set: MaskSet,
    *,
    fill: float = 0.0,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> Extrema:
    """The row extrema of a multi-label classifier's scores under all pairs of masks; the scores are sigmoids of its logits.

    Args:
        model: images [n, C, H, W] to logits [n, classes]; the other arguments are those of :func:`pair_labels`.
        images: float tensor [N, C, H, W], normalised as the model wants it.
        mask_set: the masks, made for H x W images.
        fill: value of masked pixels.
        device: a torch device.
        dtype: ``float32`` or ``bfloat16``.
        batch_size: masked copies a forward pass.

    Raises:
        InputError: see :class:`Engine` and :meth:`Engine.scores`.
    """
    engine = Engine(model, mask_set, fill=fill, device=device, dtype=dtype, batch_size=batch_size)
    return engine.scores(images).extrema


class Scores(NamedTuple):
    """What a multi-label classifier says of n images: float32 [n, classes] as they are, and the row extrema under masks."""

    unmasked: NDArray[np.float32]
    extrema: Extrema


class Engine:
    """A classifier on a device, ready to be asked about masked copies of images.

    Attributes:
        mask_set: the masks.
        classifier: the classifier as it is called: in evaluation mode, on the device, compiled if that was asked for.
        passes: forward passes so far, counted in images and masked copies.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        mask_set: MaskSet,
        *,
        fill: float = 0.0,
        device: str = "cpu",
        dtype: str = "float32",
        batch_size: int | None = None,
        compiled: bool = False,
    ) -> None:
        """Put a classifier into evaluation mode and on the device.

        Args:
            model: images [n, C, H, W] to logits [n, classes].
            mask_set: the masks, made for H x W images.
            fill: value of masked pixels, after normalisation; 0 is the mean colour.
            device: a torch device, ``cpu`` or ``cuda`` for instance.
            dtype: ``float32``, or ``bfloat16`` for autocast. It is part of a prediction's identity.
            batch_size: masked copies a forward pass; by default a size that suits the device.
            compiled: run a copy of the classifier through ``torch.compile``, its weights frozen as they are now, and so folded
                and laid out for the device once. It is part of a prediction's identity.

        Raises:
            InputError: an unknown dtype, an absent device, or a batch size below one.
        """
        if dtype not in DTYPES:
            raise InputError(f"dtype: {dtype!r}; write one of {', '.join(DTYPES)}")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size: {batch_size}; write a whole number from 1 up")
        self.mask_set = mask_set
        self.passes = 0
        model = on_device(model, device).eval()
        self.classifier: Callable[[torch.Tensor], torch.Tensor] = model
        if compiled:  # of a copy, because frozen weights would not follow those of a model that is trained further
            self.classifier = torch.compile(deepcopy(model), dynamic=False)
        self._compiled, self._device, self._dtype = compiled, torch.device(device), DTYPES[dtype]
        self._copies = MaskedCopies(device, batch_size, fill)
        # one more box and one more area, of no pixel, stand for the image as it is
        boxes, areas = np.concatenate([mask_set.base_boxes, NO_BOX]), mask_set.areas
        self._areas = boxes[np.concatenate([areas.boxes, np.full((1, areas.boxes.shape[1]), len(boxes) - 1)])]
        numbers, pairs = np.unique(areas.of_pair, return_index=True)
        self._two_mask_pairs = mask_set.pairs[pairs[~np.isin(numbers, areas.of_mask)]]

    @property
    def batch_size(self) -> int:
        """Masked copies a forward pass; halved when the device's memory is exhausted."""
        return self._copies.batch_size

    @property
    def unmasked_area(self) -> int:
        """The number of the masked area that has no pixel."""
        return len(self._areas) - 1

    def matrix(self, images: torch.Tensor) -> Answers:
        """Labels of all images, [N, C, H, W], under every unordered pair of masks.

        Raises:
            InputError: see :meth:`show`.
        """

        def answers(block: torch.Tensor, _: slice) -> Answers:
            with self.show(block) as shown:
                shown.ask_unmasked()
                shown.ask_all()
                return shown.answers()

        return self._in_blocks(images, answers)

    def certificate(self, images: torch.Tensor, labels: ArrayLike, algorithms: Sequence[str] = ("double_masking",)) -> Answers:
        """What certificates and defended answers need: an image is asked no more once its certificate has failed.

        The certificates and defended answers from it are those of the whole matrix.

        Args:
            images: float tensor [N, C, H, W].
            labels: true labels, whole numbers [N].
            algorithms: those of ``ALGORITHMS`` whose defended answers are wanted beside the certificates.

        Raises:
            InputError: see :meth:`show`; or labels that do not fit the images, or an unknown algorithm.
        """
        masks, truth = len(self.mask_set), checked_truth(labels, len(images))

        def answers(block: torch.Tensor, part: slice) -> Answers:
            wave = self.batch_size
            with self.show(block) as shown:
                shown.ask_unmasked()
                shown.ask_one_mask()
                losses = -np.log(np.maximum(shown.answers().confidences, np.finfo(np.float32).tiny))
                double_masking.certify_online(shown.ask, truth[part], masks, losses, self._two_mask_pairs, wave=wave)
                for algorithm in algorithms:
                    shown.defended(algorithm)
                return shown.answers()

        return self._in_blocks(images, answers)

    def scores(self, images: torch.Tensor) -> Scores:
        """Scores of a multi-label classifier, sigmoids of its logits, on images [N, C, H, W] and under every pair of masks.

        Raises:
            InputError: there is no image, images and masks have different sizes, or a logit is not finite.
        """
        if not len(images):
            raise InputError("images: there is none, and scores have no shape without one; write one image or more")
        parts = []
        for part in _blocks(images):
            with self._on_device(images[part]) as pixels:
                rows = RowExtrema(self._areas_of_masks, len(pixels), self._device)
                areas = self.unmasked_area + 1
                step = max(1, REQUESTS // areas)
                for start in range(0, len(pixels), step):
                    which = np.arange(start, min(start + step, len(pixels)))
                    self._score(pixels, which.repeat(areas), np.tile(np.arange(areas), len(which)), rows)
                parts.append(rows.read())
        unmasked, single, lowest, highest = map(np.concatenate, zip(*parts, strict=True))
        return Scores(unmasked, Extrema(single=single, lowest=lowest, highest=highest))

    def _score(self, pixels: torch.Tensor, images: NDArray[np.int64], areas: NDArray[np.int64], rows: RowExtrema) -> None:
        def say(copies: torch.Tensor, part: slice) -> torch.Tensor:
            logits = self.classifier(copies)[: part.stop - part.start].float()
            rows.add(images[part], areas[part], logits.sigmoid())
            return logits.isfinite().all()[None]

        finite = self._copies.ask(pixels, images, lambda part: self._areas[areas[part]], say, whole_batches=self._compiled)
        self.passes += len(images)
        if not torch.cat(finite).all():
            raise InputError("the classifier gave a logit that is not finite; no score can be read from it")

    @cached_property
    def _areas_of_masks(self) -> AreasOfMasks:
        return AreasOfMasks(self.mask_set)

    def _in_blocks(self, images: torch.Tensor, answers: Callable[[torch.Tensor, slice], Answers]) -> Answers:
        parts = (answers(images[part], part) for part in _blocks(images))
        return Answers(*map(np.concatenate, zip(*parts, strict=True)))

    @contextlib.contextmanager
    def show(self, images: torch.Tensor) -> Iterator[Shown]:
        """Put images, [n, C, H, W], on the device to ask about them.

        Raises:
            InputError: images and masks have different sizes; later, when asked: fewer than two classes, a logit that is not
                finite, or a label too large to be stored.
        """
        with self._on_device(images) as pixels:
            yield Shown(self, pixels)

    @contextlib.contextmanager
    def _on_device(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Images, [n, C, H, W], as the masked copies are made from them, [n, H, W, C], while the classifier may be called."""
        rows, columns = self.mask_set.image_size
        if images.ndim != 4 or tuple(images.shape[2:]) != (rows, columns):
            raise InputError(f"images: shape {tuple(images.shape)}; the masks want [N, C, {rows}, {columns}]")
        with self.inference():
            yield images.to(self._device, torch.float32).permute(0, 2, 3, 1).contiguous()

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """How :attr:`classifier` is to be called: without gradients, in the dtype, with frozen weights if compiled."""
        kind = self._device.type
        with contextlib.ExitStack() as modes:
            modes.enter_context(torch.inference_mode())
            modes.enter_context(torch.autocast(kind, self._dtype, enabled=self._dtype != torch.float32))
            if kind == "cuda":  # torch lets convolutions round to TF32 by default, and float32 is to mean float32
                modes.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            if self._compiled:
                from torch._inductor import config as inductor  # its import takes as long as that of all torch

                modes.enter_context(inductor.patch(freezing=True))
            yield

    def classify(
        self, pixels: torch.Tensor, images: NDArray[np.int64], areas: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Label, margin and confidence of masked copies, each [r], in full batches.

        Args:
            pixels: images on the device, [n, H, W, C].
            images: which of them each copy shows, int64 [r].
            areas: which masked area each copy has, int64 [r], as :attr:`patchcert.masks.MaskSet.areas` numbers them.

        Raises:
            InputError: fewer than two classes, or a logit that is not finite.
            torch.OutOfMemoryError: not even one copy fits into the device's memory.
        """
        said = self._copies.ask(pixels, images, lambda part: self._areas[areas[part]], self._say, whole_batches=self._compiled)
        self.passes += len(images)
        # one transfer for all batches: a device works on without waiting for its answers to be read
        labels, margins, confidences, finite = (torch.cat(parts).cpu().numpy() for parts in zip(*said, strict=True))
        if not finite.all():
            raise InputError("the classifier gave a logit that is not finite; no label can be read from it")
        if labels.max() > LARGEST_LABEL:
            raise InputError(f"labels up to {labels.max()}; predictions hold at most {LARGEST_LABEL}")
        return labels, margins, confidences

    def _say(self, copies: torch.Tensor, part: slice) -> tuple[torch.Tensor, ...]:
        logits = self.classifier(copies)[: part.stop - part.start].float()
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise InputError(
                f"the classifier gave outputs of shape {tuple(logits.shape)}; it must give logits of two classes or more"
            )
        largest, winners = logits.topk(2, dim=1)
        confidences = torch.exp(largest[:, 0] - logits.logsumexp(dim=1)).clamp(max=1)
        return winners[:, 0], largest[:, 0] - largest[:, 1], confidences, logits.isfinite().all()[None]


def _blocks(images: torch.Tensor) -> list[slice]:
    """The images in parts of which each is on the device at once; one part, if there is no image."""
    return [slice(start, start + IMAGES_SHOWN) for start in range(0, max(len(images), 1), IMAGES_SHOWN)]


class Shown:
    """Some images on the device, and what the classifier has said of their masked copies so far; nothing is asked twice."""

    def __init__(self, engine: Engine, pixels: torch.Tensor) -> None:
        """Hold images that are on the device; :meth:`Engine.show` makes one of these."""
        self._engine, self._pixels = engine, pixels
        areas, count = engine.mask_set.areas, len(pixels)
        self._of_pair, self._of_mask = areas.of_pair, areas.of_mask
        shape = (count, engine.unmasked_area + 1)
        self._labels = np.full(shape, UNPREDICTED, dtype=np.int64)
        self._confidences = np.zeros(shape, dtype=np.float32)
        self._margins = np.full(count, np.inf, dtype=np.float32)

    def ask(self, images: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels of images under two masks each; all arrays are int64 [r]."""
        areas = self._of_pair[pair_index(len(self._engine.mask_set), first, second)]
        self._ask(images, areas)
        return self._labels[images, areas]

    def defended(self, algorithm: str) -> NDArray[np.int64]:
        """Labels that the defended classifier answers, int64 [n], asking for what the answer hangs on and no more.

        Raises:
            InputError: the algorithm is none of ``ALGORITHMS``.
        """
        count, masks = len(self._labels), len(self._engine.mask_set)
        if algorithm == "double_masking":
            return double_masking.infer_online(self.ask, count, masks, wave=self._engine.batch_size).labels
        if algorithm == "challenger":
            return challenger.infer_online(self.ask, count, masks).labels
        raise InputError(f"algorithm: {algorithm!r}; write {' or '.join(ALGORITHMS)}")

    def ask_one_mask(self) -> None:
        """Ask about every image under every mask alone."""
        count, masks = len(self._labels), len(self._of_mask)
        self._ask(np.arange(count).repeat(masks), np.tile(self._of_mask, count))

    def ask_all(self) -> None:
        """Ask about every image under every pair of masks."""
        count, areas = len(self._labels), self._engine.unmasked_area
        # so many images at a time that the requests themselves take little memory, however many masks there are
        step = max(1, REQUESTS // areas)
        for start in range(0, count, step):
            images = np.arange(start, min(start + step, count))
            self._ask(images.repeat(areas), np.tile(np.arange(areas), len(images)))

    def ask_unmasked(self) -> NDArray[np.int64]:
        """Labels of every image as it is, int64 [n]."""
        count = len(self._labels)
        self._ask(np.arange(count), np.full(count, self._engine.unmasked_area))
        return self._labels[:, -1]

    def answers(self) -> Answers:
        """All that has been said."""
        return Answers(
            self._labels[:, self._of_pair],
            self._labels[:, -1],
            self._margins.copy(),
            self._confidences[:, self._of_mask],
            (self._labels[:, :-1] != UNPREDICTED).sum(axis=1),
        )

    def _ask(self, images: NDArray[np.int64], areas: NDArray[np.int64]) -> None:
        new = np.flatnonzero(self._labels[images, areas] == UNPREDICTED)
        if not len(new):
            return
        keys = images[new] * self._labels.shape[1] + areas[new]
        new = new[np.sort(np.unique(keys, return_index=True)[1])]
        images, areas = images[new], areas[new]
        labels, margins, confidences = self._engine.classify(self._pixels, images, areas)
        self._labels[images, areas], self._confidences[images, areas] = labels, confidences
        masked = areas != self._engine.unmasked_area
        np.minimum.at(self._margins, images[masked], margins[masked])
