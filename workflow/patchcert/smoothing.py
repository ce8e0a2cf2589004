"""The sampler of mask-guided randomized smoothing: how often a classifier gives each class when noise fills a mask.

Noise is added to pixel values in [0, 1], inside one box of each image and without clipping; the classifier's normalisation
comes after it, and the pixels outside the box are those of the image to the bit. From the counts
:mod:`patchcert.defenses.mask_smoothing` takes answers and radii.

The noise of an image is a stream of its own for each of two phases, started from the image's id and drawn in blocks of a
constant size. So it depends neither on the batch size nor on what other images there are, in which order, nor on sigma. It does
depend on the kind of device, since it is drawn there. Like all that a classifier says, counts can change with the last bits of
its logits where two of them all but tie.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.attacks.patch_pgd import answers
from patchcert.defenses.mask_smoothing import check_sigma
from patchcert.device import on_device
from patchcert.masking import DTYPES, IMAGES_SHOWN, usual_batch_size
from patchcert.models.registry import Normalisation
from patchcert.provenance import settings_sha256
from patchcert.receptive_field import checked_boxes

LOG = logging.getLogger(__name__)

PHASES = ("selection", "estimation")
BLOCK = 512
"""Samples whose noise is drawn at once. Another number makes other noise of the same generator."""
COUNTED_AT_ONCE = 4096
"""Answers that are counted together: a processor takes longer to start on a count than to make it."""


class Counts(NamedTuple):
    """How often the classifier gave each class in the two phases of Algorithm 1, int64 [N, C] each."""

    selection: NDArray[np.int64]
    estimation: NDArray[np.int64]


class _Part(NamedTuple):
    """Noisy samples of one image in one phase: the normalised pixels in its box, float32 [b, 3, h, w]."""

    image: int
    phase: int
    inside: torch.Tensor


def sample_counts(
    model: torch.nn.Module,
    images: torch.Tensor,
    boxes: ArrayLike,
    ids: Sequence[str],
    *,
    normalisation: Normalisation,
    sigma: float,
    selection: int = 100,
    estimation: int = 100_000,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> Counts:
    """Classify images under Gaussian noise in their boxes, and count the answers.

    Batches are filled across phases and images. Memory holds one batch, one block of noise and
    :data:`patchcert.masking.IMAGES_SHOWN` images, however many samples there are. Of tied logits the smallest class is the
    answer.

    Args:
        model: normalised images [b, 3, H, W] to logits [b, C].
        images: float32 [N, 3, H, W] in [0, 1].
        boxes: where noise is added, whole numbers [N, 4]: top, bottom, left, right, half-open; of one pixel or more.
        ids: what each image is called, [N]; images of one id get the same noise.
        normalisation: what the model wants done with pixel values in [0, 1].
        sigma: standard deviation of the noise, for pixel values in [0, 1].
        selection: samples n0 that choose the candidate; the default is that of the paper's forerunner, Cohen et al.
        estimation: samples n that bound its probability; the paper has 100,000.
        seed: start of all noise.
        device: a torch device.
        dtype: ``float32``, or ``bfloat16`` for autocast.
        batch_size: samples a forward pass; by default a size that suits the device, halved where its memory is exhausted.

    Raises:
        InputError: arguments of a wrong shape, type or range, or a logit that is not finite.
        torch.OutOfMemoryError: not even one sample fits into the device's memory.
    """
    places = _checked(images, boxes, ids)
    check_sigma(sigma)
    size = usual_batch_size(device) if batch_size is None else batch_size
    for name, count in (("selection", selection), ("estimation", estimation), ("batch_size", size)):
        if count < 1:
            raise InputError(f"{name}: {count}; write a whole number from 1 up")
    if dtype not in DTYPES:
        raise InputError(f"dtype: {dtype!r}; write one of {', '.join(DTYPES)}")
    sampler = _Sampler(on_device(model, device).eval(), normalisation, device, dtype, size)
    noise = _Noise(sigma, (selection, estimation), seed)
    parts = [slice(start, start + IMAGES_SHOWN) for start in range(0, len(images), IMAGES_SHOWN)]
    tallies = np.concatenate([sampler.count(images[part], places[part], ids[part], noise) for part in parts])
    return Counts(tallies[:, 0], tallies[:, 1])


@contextlib.contextmanager
def inference(device: str | torch.device, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """How classifiers are called here: without gradients, and in the dtype."""
    kind = torch.device(device).type
    with contextlib.ExitStack() as modes:
        modes.enter_context(torch.inference_mode())
        modes.enter_context(torch.autocast(kind, dtype, enabled=dtype != torch.float32))
        if kind == "cuda":  # torch lets convolutions round to TF32 by default, and float32 is to mean float32
            modes.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        yield


class _Noise(NamedTuple):
    """What noise is drawn: its standard deviation, the samples of each phase, and its seed."""

    sigma: float
    samples: tuple[int, int]
    seed: int

    def blocks(self, pixels: torch.Tensor, name: str, phase: int) -> Iterator[torch.Tensor]:
        """Noisy copies of an image's pixels, float32 [3, h, w], in one phase, at most ``BLOCK`` at a time.

        The next ones are written over them.
        """
        # one stream for all samples of a phase: a seed of its own for each block would let two of them be alike by chance
        generator = torch.Generator(pixels.device).manual_seed(int(settings_sha256([self.seed, name, PHASES[phase]])[:15], 16))
        # memory that stays where it is: what is taken and given back between forward passes can move theirs, and then the C
        # library asks the system for it again
        noise = torch.empty((BLOCK, *pixels.shape), device=pixels.device)
        for start in range(0, self.samples[phase], BLOCK):
            noise.normal_(generator=generator).mul_(self.sigma).add_(pixels)
            yield noise[: self.samples[phase] - start]


class _Sampler:
    """A classifier on a device, and the memory in which batches of noisy images are put together."""

    def __init__(self, model: torch.nn.Module, normalisation: Normalisation, device: str, dtype: str, batch_size: int) -> None:
        self._model, self._normalisation, self._batch_size = model, normalisation, batch_size
        self._device, self._dtype = torch.device(device), DTYPES[dtype]

    def count(self, images: torch.Tensor, boxes: NDArray[np.int64], ids: Sequence[str], noise: _Noise) -> NDArray[np.int64]:
        """Counts int64 [n, 2, C] of a few images, [n, 3, H, W], in each phase."""
        with inference(self._device, self._dtype):
            unit = images.to(self._device, torch.float32)
            tally = _Tally(len(images), self._device)
            for shown, owners in self._batches(unit, boxes, ids, noise):
                self._classify(shown, owners, tally)
            return tally.read()

    def _batches(
        self, unit: torch.Tensor, boxes: NDArray[np.int64], ids: Sequence[str], noise: _Noise
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Full batches of noisy images, [b, 3, H, W], and the image and phase of each, 2 * image + phase, int64 [b].

        The next batch is written over it: where the image stays, inside its box alone.
        """
        clean = self._normalisation.of_unit(unit)
        size, (rows, columns) = self._batch_size, unit.shape[2:]
        with torch.inference_mode(mode=False):  # where tensors count how often they are written to
            memory = torch.empty((size, rows, columns, 3), device=self._device).permute(0, 3, 1, 2)
        owners = torch.empty(size, dtype=torch.int64, device=self._device)
        held = np.full(size, -1)  # which image each copy shows outside its box
        filled = 0
        for part in self._parts(unit, boxes, ids, noise):
            top, bottom, left, right = boxes[part.image].tolist()
            inside = part.inside
            while len(inside):
                taken = inside[: size - filled]
                place = slice(filled, filled + len(taken))
                if (held[place] != part.image).any():
                    memory[place], held[place] = clean[part.image], part.image
                memory[place, :, top:bottom, left:right] = taken
                owners[place] = 2 * part.image + part.phase
                inside, filled = inside[len(taken) :], place.stop
                if filled == size:
                    written = memory._version
                    yield memory, owners
                    if memory._version != written:  # by the classifier
                        held[:] = -1
                    filled = 0
        if filled:
            yield memory[:filled], owners[:filled]

    def _parts(self, unit: torch.Tensor, boxes: NDArray[np.int64], ids: Sequence[str], noise: _Noise) -> Iterator[_Part]:
        for image, (name, (top, bottom, left, right)) in enumerate(zip(ids, boxes.tolist(), strict=True)):
            pixels = unit[image, :, top:bottom, left:right]
            for phase in range(len(PHASES)):
                for noisy in noise.blocks(pixels, name, phase):
                    # a normalisation looks at each pixel by itself, so that only those in the box need it anew
                    yield _Part(image, phase, noisy.copy_(self._normalisation.of_unit(noisy)))

    def _classify(self, shown: torch.Tensor, owners: torch.Tensor, tally: _Tally) -> None:
        """Count the answers of a batch, in smaller parts from where the device's memory is exhausted on."""
        start = 0
        while start < len(shown):
            part = slice(start, start + self._batch_size)
            try:
                logits = self._model(shown[part]).float()
            except torch.OutOfMemoryError:
                if self._batch_size == 1:
                    raise
                self._batch_size //= 2
                LOG.warning("the device's memory is exhausted; going on with batches of %s", self._batch_size)
                continue
            tally.add(owners[part], logits)
            start = part.stop


class _Tally:
    """Counts of the answers to some images in two phases; they stay on the device until they are read."""

    def __init__(self, images: int, device: torch.device) -> None:
        self._images, self._device = images, device
        self._counts = torch.empty(0)
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._owners = torch.empty(COUNTED_AT_ONCE, dtype=torch.int64, device=device)
        self._logits = torch.empty(0)
        self._waiting = 0

    def add(self, owners: torch.Tensor, logits: torch.Tensor) -> None:
        """Count the answers that logits [b, C] give, now or before they are read."""
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise InputError(
                f"the classifier gave outputs of shape {tuple(logits.shape)}; it must give logits of two classes or more"
            )
        classes = logits.shape[1]
        if not len(self._counts):
            self._counts = torch.zeros((2 * self._images, classes), dtype=torch.int64, device=self._device)
            self._logits = torch.empty((COUNTED_AT_ONCE, classes), device=self._device)
        for part, said in zip(owners.split(COUNTED_AT_ONCE), logits.split(COUNTED_AT_ONCE), strict=True):
            if self._waiting + len(part) > COUNTED_AT_ONCE:
                self._count()
            place = slice(self._waiting, self._waiting + len(part))
            self._owners[place], self._logits[place], self._waiting = part, said, place.stop

    def _count(self) -> None:
        owners, logits = self._owners[: self._waiting], self._logits[: self._waiting]
        self._waiting = 0
        classes = logits.shape[1]
        self._finite &= logits.isfinite().all()
        # where a logit is NaN no class is the highest; such counts are refused when they are read
        labels = answers(logits).clamp(max=classes - 1)
        self._counts.view(-1).index_add_(0, owners * classes + labels, torch.ones_like(owners))

    def read(self) -> NDArray[np.int64]:
        """The counts, int64 [images, 2, C].

        Raises:
            InputError: a logit was not finite.
        """
        self._count()
        if not self._finite:
            raise InputError("the classifier gave a logit that is not finite; no label can be read from it")
        counts: NDArray[np.int64] = self._counts.view(self._images, 2, -1).cpu().numpy()
        return counts


def _checked(images: torch.Tensor, boxes: ArrayLike, ids: Sequence[str]) -> NDArray[np.int64]:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or not len(images):
        raise InputError(f"images: {images.dtype} of shape {tuple(images.shape)}; give one or more, float32 [N, 3, H, W]")
    if not (images.min() >= 0 and images.max() <= 1):
        raise InputError(f"images: {images.min():.3g} to {images.max():.3g}; divide by 255, and let them be normalised here")
    places = checked_boxes("boxes", np.asarray(boxes), (images.shape[2], images.shape[3]))
    if len(places) != len(images) or len(ids) != len(images):
        raise InputError(f"boxes: {len(places)}, ids: {len(ids)}; write one for each of {len(images)} images")
    if (empty := (places[:, 0] == places[:, 1]) | (places[:, 2] == places[:, 3])).any():
        raise InputError(f"boxes: {places[empty][0].tolist()} has no pixel; leave out images in which no patch is looked for")
    return places
