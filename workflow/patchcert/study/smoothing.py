"""Mask-guided randomized smoothing of a trained classifier: attacked images, where a patch is looked for, counts under noise.

Each of the three is a file of arrays, one entry an image, made in blocks of images by :mod:`patchcert.study.blocks`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.attacks.patch_pgd import answers, random_places, untargeted
from patchcert.datasets.index import Split
from patchcert.label_maps import label_maps
from patchcert.masks import Size, patch_positions
from patchcert.models import registry
from patchcert.models.grad_cam import grad_cam
from patchcert.provenance import environment, file_sha256
from patchcert.smoothing import inference, sample_counts
from patchcert.study.arrays import Restored, Sampled, Shown, load, save
from patchcert.study.blocks import finished_blocks
from patchcert.study.trained import Trained

GIVEN_PLACES = ("center", "grad_cam")
"""Where a mask is if nobody has to look for the patch: in the middle of the image, or where Grad-CAM is highest."""
LOCATED_PLACES = ("clean", "attacked")
"""The images in which the patch is looked for, and the mask put where it is found."""
FULL_RANGE = 2.5
"""How far all steps of an attack could move a pixel together, values in [0, 1]: over the whole range, and more."""


@dataclass(frozen=True)
class Task:
    """What all work on a run has in common.

    Attributes:
        classifier: the trained classifier.
        device: ``cpu`` or ``cuda``.
        code: digest of the code that does the work.
        block_size: images after which what is done is stored.
        scratch: folder for the finished blocks.
    """

    classifier: Trained
    device: str
    code: str
    block_size: int
    scratch: Path

    @classmethod
    def of(cls, run: Mapping[str, Any], inputs: Any, params: Any) -> Task:
        """The work of a job on a run, from the files ``weights`` and ``record`` and the parameters of its rule."""
        classifier = Trained.of(run, params.dataset, inputs.weights, inputs.record, params.training, params.data)
        return cls(classifier, params.device, params.code, params.block_size, Path(params.scratch))

    def identity(self, **settings: Any) -> dict[str, Any]:
        """What the outcome of the work depends on, JSON-like.

        Raises:
            InputError: the weights were trained with other settings than the study asks for.
        """
        versions = environment("torch", "timm", "numpy", "opencv-python-headless")
        # noise starts from the seed, and where nothing is trained, classifiers of several seeds have the same weights
        own = {"seed": self.classifier.seed, "device": self.device, "code": self.code, "versions": versions}
        return self.classifier.identity() | settings | own

    def by_blocks(
        self,
        kind: Any,
        output: Path,
        ids: Sequence[str],
        settings: Mapping[str, Any],
        activity: str,
        work: Callable[[slice], Any],
    ) -> None:
        """Write what ``work`` makes of slices of the images, arrays of a kind, joined into one file."""
        began = time.perf_counter()

        def store(part: slice, file: Path) -> str:
            save(file, work(part))
            return f"{(time.perf_counter() - began):.0f} s"

        identity = [self.identity(**settings), list(ids)]
        with finished_blocks(self.scratch, identity, len(ids), self.block_size, store, activity=activity) as files:
            parts = [load(file, kind) for file in files]
            save(output, kind(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))))


def clean_images(task: Task, images: Split) -> Shown:
    """Images as they are, with what the classifier says of them."""
    block = images.read()
    said = _answers(task, task.classifier.load().to(task.device), block.pixels)
    return Shown(block.ids, block.labels, block.pixels, np.zeros((len(said), 4), dtype=np.int64), said, said)


def shown_images(task: Task, images: Split, attacked: str | None) -> tuple[Shown, str]:
    """The attacked images of a file, or without one the images as they are; and what tells either from others."""
    if attacked:
        return load(attacked, Shown), file_sha256(attacked)
    return clean_images(task, images), "clean"


def attack_images(task: Task, images: Split, patch: Size, output: Path, *, places: int, steps: int) -> None:
    """Attack images with the patch that raises the loss most at random places (section 4.1), and store them.

    Pixels of a patch may have any value, l-infinity 255/255, and are rounded to whole ones.

    Args:
        task: the work.
        images: with one label each.
        patch: rows and columns, pixels.
        output: npz file of a :class:`Shown`.
        places: places that are tried, the same number for each image.
        steps: steps of projected gradient descent at each of them; 0 tries noise alone.
    """
    model, seed = task.classifier.load().to(task.device), task.classifier.seed
    normalise = registry.normalisation(task.classifier.model)
    boxes = random_places(len(images), patch, task.classifier.image_size, places, seed)

    def work(part: slice) -> Shown:
        block = images.part(part).read()
        unit = torch.tensor(block.pixels, device=task.device).float() / 255
        found = untargeted(
            lambda shown: model(normalise.of_unit(shown)),
            unit,
            block.labels,
            boxes[part],
            steps=steps,
            step_size=FULL_RANGE / max(steps, 1),
            seed=seed + part.start,
        )
        pixels = (255 * found.images).round().to(torch.uint8).numpy(force=True)
        patches = boxes[part][np.arange(len(block.ids)), found.places.numpy(force=True)]
        said = [_answers(task, model, each) for each in (block.pixels, pixels)]
        return Shown(block.ids, block.labels, pixels, patches, *said)

    settings = {"patch": list(patch), "places": places, "steps": steps}
    task.by_blocks(Shown, output, images.ids.tolist(), settings, "attacking", work)


def restore_images(
    task: Task, shown: Shown, block: Size, output: Path, *, source: str, cache: Path, workers: int, batch_size: int | None
) -> None:
    """Store what the classifier says of images with a block restored at every place.

    Args:
        task: the work.
        shown: the images.
        block: rows and columns, pixels.
        output: npz file of a :class:`Restored`.
        source: digest of the images.
        cache: folder of restored blocks.
        workers: threads that restore.
        batch_size: copies a forward pass; None takes what suits the device.
    """
    model, normalise = task.classifier.load(), registry.normalisation(task.classifier.model)

    def work(part: slice) -> Restored:
        maps = label_maps(
            model,
            shown.pixels[part],
            block,
            cache,
            normalisation=normalise,
            workers=workers,
            device=task.device,
            batch_size=batch_size,
        )
        return Restored(shown.ids[part], maps)

    settings = {"block": list(block), "images": source}
    task.by_blocks(Restored, output, shown.ids.tolist(), settings, "restoring", work)


def given_boxes(task: Task, shown: Shown, place: str, mask: Size) -> NDArray[np.int64]:
    """Where the mask of each image is if the place is given, int64 [N, 4].

    Args:
        task: the work.
        shown: the images.
        place: one of :data:`GIVEN_PLACES`; Grad-CAM is asked for the classifier's own answer, and the box with the largest sum
            counts, the first in reading order of several.
        mask: rows and columns, pixels.
    """
    rows, columns = task.classifier.image_size
    if place == "center":
        top, left = (rows - mask[0]) // 2, (columns - mask[1]) // 2
        return np.tile(np.array([top, top + mask[0], left, left + mask[1]], dtype=np.int64), (len(shown.ids), 1))
    model = task.classifier.load().to(task.device)
    normalised = registry.normalisation(task.classifier.model)(torch.from_numpy(shown.pixels).to(task.device))
    said = torch.from_numpy(shown.undefended).to(task.device)
    saliency = torch.cat(
        [grad_cam(model, *each) for each in zip(normalised.split(task.block_size), said.split(task.block_size), strict=True)]
    )
    sums = torch.nn.functional.avg_pool2d(saliency[:, None].double(), mask, stride=1).flatten(1).numpy(force=True)
    return np.asarray(patch_positions((rows, columns), mask)[sums.argmax(axis=1)])


def sample_images(
    task: Task,
    shown: Shown,
    boxes: NDArray[np.int64],
    output: Path,
    *,
    sigma: float,
    selection: int,
    estimation: int,
    source: str,
    batch_size: int | None,
) -> None:
    """Store what the classifier says of images under noise in their boxes (Algorithm 1).

    Args:
        task: the work.
        shown: the images.
        boxes: int64 [N, 4]; an image whose box has no pixel is left out.
        output: npz file of a :class:`Sampled`.
        sigma: standard deviation of the noise, pixel values in [0, 1].
        selection: samples of the first phase.
        estimation: samples of the second phase.
        source: digest of the images.
        batch_size: samples a forward pass; None takes what suits the device.
    """
    model, normalise = task.classifier.load(), registry.normalisation(task.classifier.model)
    classes = task.classifier.classes

    def work(part: slice) -> Sampled:
        within = boxes[part]
        noisy = (within[:, 0] < within[:, 1]) & (within[:, 2] < within[:, 3])
        found = np.zeros((2, len(within), classes), dtype=np.int64)
        if noisy.any():
            unit = torch.from_numpy(shown.pixels[part][noisy]).float() / 255
            found[:, noisy] = sample_counts(
                model,
                unit,
                within[noisy],
                shown.ids[part][noisy].tolist(),
                normalisation=normalise,
                sigma=sigma,
                selection=selection,
                estimation=estimation,
                seed=task.classifier.seed,
                device=task.device,
                batch_size=batch_size,
            )
        return Sampled(shown.ids[part], shown.labels[part], shown.undefended[part], within, *found)

    settings = {"boxes": boxes, "images": source, "sigma": sigma, "samples": [selection, estimation]}
    task.by_blocks(Sampled, output, shown.ids.tolist(), settings, "sampling", work)


def _answers(task: Task, model: torch.nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    normalise = registry.normalisation(task.classifier.model)
    with inference(task.device):
        parts = torch.from_numpy(pixels).to(task.device).split(task.block_size)
        return torch.cat([answers(model(normalise(part)).float()) for part in parts]).numpy(force=True)
