"""One shard of predictions: loads a trained classifier and its test images, and stores block after block."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from patchcert.datasets.index import Images, Split
from patchcert.masks import MaskSet
from patchcert.models import registry
from patchcert.predict import Engine
from patchcert.predictions import Predictions
from patchcert.provenance import environment, settings_sha256
from patchcert.scores import ScorePredictions
from patchcert.study.blocks import finished_blocks
from patchcert.study.trained import Trained


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
    artifact: Any = ScorePredictions if job.mode == "extrema" else Predictions
    predict = _Predictor(job, images, identity)
    with finished_blocks(scratch, [identity, images.ids], len(images), block_size, predict, activity="predicting") as files:
        artifact.concatenate([artifact.load(file) for file in files]).save(output)


class _Predictor:
    """Predicts block after block; the classifier is loaded for the first, and not where all are there already."""

    def __init__(self, job: Job, images: Split, identity: Mapping[str, Any]) -> None:
        self._job, self._images, self._identity = job, images, identity
        self._engine: Engine | None = None
        self._began, self._done = 0.0, 0

    def __call__(self, part: slice, file: Path) -> str:
        if self._engine is None:
            self._engine = Engine(self._job.classifier.load(), self._job.masks, device=self._job.device, **self._job.engine)
            self._began = time.perf_counter()
        block = self._images.part(part).read()
        pixels = registry.normalisation(self._job.classifier.model)(torch.tensor(block.pixels))
        _predicted(self._job, self._engine, block, pixels, self._identity).save(file)
        self._done += len(block.ids)
        passes, took = self._engine.passes, time.perf_counter() - self._began
        return f"{passes / self._done:.0f} forward passes an image, {passes / took:.0f} forward passes/s"


def _predicted(
    job: Job, engine: Engine, block: Images, pixels: torch.Tensor, identity: Mapping[str, Any]
) -> Predictions | ScorePredictions:
    """What the engine says of a block of images, as the mode asks for it."""
    if job.mode == "extrema":
        return ScorePredictions.of(block.ids, *engine.scores(pixels), identity)
    if job.mode == "matrix":
        return Predictions.of(block.ids, engine.matrix(pixels), identity)
    return Predictions.of(block.ids, engine.certificate(pixels, block.labels, job.algorithms), identity)
