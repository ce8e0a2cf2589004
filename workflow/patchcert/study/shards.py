"""One shard of predictions: loads a trained classifier and its test images, and stores block after block.

Each finished block of images is a file that Snakemake does not know of, so that a job that was killed goes
on where it stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from patchcert.datasets.index import Images, Split
from patchcert.masks import MaskSet
from patchcert.models import registry
from patchcert.predict import Engine
from patchcert.predictions import Predictions
from patchcert.provenance import environment, settings_sha256
from patchcert.scores import ScorePredictions
from patchcert.study.trained import Trained

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a shard's predictions depend on beside its images.

    Attributes:
        classifier: the trained classifier.
        masks: the mask set.
        engine: ``fill``, ``dtype``, ``batch_size`` and ``compiled`` of :class:`patchcert.predict.Engine`.
        mode: ``matrix`` or ``certificate``, or ``extrema`` for a multi-label classifier.
        algorithms: inference algorithms whose answers certificate mode provides for.
        device: ``cpu`` or ``cuda``.
        code: digest of the code that predicts.
    """

    classifier: Trained
    masks: MaskSet
    engine: Mapping[str, Any]
    mode: str
    algorithms: tuple[str, ...]
    device: str
    code: str

    def identity(self) -> dict[str, Any]:
        """What the predictions depend on, JSON-like.

        Raises:
            InputError: the weights were trained with other settings than the study asks for.
        """
        return self.classifier.identity() | {
            "masks": {
                "image_size": list(self.masks.image_size),
                "boxes_sha256": settings_sha256(self.masks.base_boxes),
                "patches": self.masks.patches,
            },
            "engine": dict(self.engine),
            "mode": self.mode,
            "algorithms": list(self.algorithms),
            "device": self.device,
            "code": self.code,
            "versions": environment("torch", "timm", "numpy"),
        }


def shard_of(images: Split, item: str) -> Split:
    """The images of one shard; ``item`` is Snakemake's name for it, ``1-of-2`` for instance. Shards differ by one at most."""
    number, count = (int(part) for part in item.split("-of-"))
    begin, end = ((len(images) * edge) // count for edge in (number - 1, number))
    return images.part(slice(begin, end))


def predict_shard(job: Job, images: Split, block_size: int, output: Path, scratch: Path) -> None:
    """Predict the images under pairs of masks, as many as the mode asks for, and write the predictions artifact.

    Args:
        job: classifier, masks and engine.
        images: the shard's images.
        block_size: images after which what is done is stored, and across which batches are filled.
        output: path of the artifact.
        scratch: folder for the finished blocks.

    Raises:
        InputError: see :meth:`Job.identity`, :class:`patchcert.predict.Engine` and :meth:`patchcert.predict.Engine.show`.
    """
    identity = job.identity()
    folder = scratch / settings_sha256([identity, images.ids, block_size])[:16]
    starts = range(0, len(images), block_size)
    files = [folder / f"block-{start:07d}.npz" for start in starts]
    missing = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
    if len(missing) < len(files):
        LOG.info("%s of %s blocks were predicted before; going on", len(files) - len(missing), len(files))
    if missing:
        _predict_blocks(job, images, block_size, missing, identity)
    artifact: Any = ScorePredictions if job.mode == "extrema" else Predictions
    artifact.concatenate([artifact.load(file) for file in files]).save(output)
    for file in files:
        file.unlink()
    folder.rmdir()


def _predict_blocks(
    job: Job, images: Split, block_size: int, missing: Sequence[tuple[int, Path]], identity: Mapping[str, Any]
) -> None:
    normalise = registry.normalisation(job.classifier.model)
    engine = Engine(job.classifier.load(), job.masks, device=job.device, **job.engine)
    left = sum(len(images.part(slice(start, start + block_size))) for start, _ in missing)
    began, done = time.perf_counter(), 0
    with tqdm(total=left, unit="image", desc="predicting", disable=None) as progress:
        for start, file in missing:
            block = images.part(slice(start, start + block_size)).read()
            _predicted(job, engine, block, normalise(torch.tensor(block.pixels)), identity).save(file)
            done += len(block.ids)
            rate = f"{engine.passes / (time.perf_counter() - began):.0f} forward passes/s"
            progress.set_postfix_str(rate, refresh=False)
            progress.update(len(block.ids))
            LOG.info("%s of %s images done, %.0f forward passes an image, %s", done, left, engine.passes / done, rate)


def _predicted(
    job: Job, engine: Engine, block: Images, pixels: torch.Tensor, identity: Mapping[str, Any]
) -> Predictions | ScorePredictions:
    """What the engine says of a block of images, as the mode asks for it."""
    if job.mode == "extrema":
        return ScorePredictions.of(block.ids, *engine.scores(pixels), identity)
    if job.mode == "matrix":
        return Predictions.of(block.ids, engine.matrix(pixels), identity)
    return Predictions.of(block.ids, engine.certificate(pixels, block.labels, job.algorithms), identity)
