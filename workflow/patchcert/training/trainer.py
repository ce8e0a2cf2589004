"""The trainer: one classifier, one strategy, one seed; the best epoch on the calibration images; exact resume.

Every random number of an epoch comes from the run's seed and the epoch's number, so that a run that was killed and resumed
ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad
from tqdm import tqdm

from patchcert import InputError
from patchcert.datasets.index import Pictures
from patchcert.device import on_device
from patchcert.models import registry
from patchcert.provenance import environment, file_sha256, settings_sha256, whole_file, write_json
from patchcert.training.losses import check_labels, loss_of
from patchcert.training.quality import quality
from patchcert.training.strategy import Strategy, searching, strategy

LOG = logging.getLogger(__name__)

CALIBRATION_BATCH_SIZE = 256


@dataclass(frozen=True)
class Run:
    """What a training run is made of; all of it is the run's identity.

    Attributes:
        model: name of the classifier, see :func:`patchcert.models.registry.build`.
        settings: the training's block of the configuration.
        seed: start of every random number.
        image_size: rows and columns, pixels.
        classes: number of labels.
        data: digest of the image index and of the files behind it.
        code: digest of the code that trains.
        device: ``cpu`` or ``cuda``.
        start: weights to begin from, or none; what ``settings["pretrained"]`` means, or another training's.
        gpus: numbers of the GPUs that share each batch; none of them is part of the identity.
    """

    model: str
    settings: Mapping[str, Any]
    seed: int
    image_size: tuple[int, int]
    classes: int
    data: str
    code: str
    device: str = "cpu"
    start: Path | None = None
    gpus: tuple[int, ...] = ()

    def identity(self) -> dict[str, Any]:
        """What the weights depend on, JSON-like."""
        return {
            "model": self.model,
            "settings": dict(self.settings),
            "seed": self.seed,
            "image_size": list(self.image_size),
            "classes": self.classes,
            "data": self.data,
            "code": self.code,
            "device": self.device,
            "start_sha256": file_sha256(self.start) if self.start else None,
            "versions": environment("torch", "timm"),
        }


def train(run: Run, train_images: Pictures, calibration_images: Pictures, output: Path, scratch: Path) -> None:
    """Train, and write ``weights.safetensors``, ``record.json`` and ``log.csv`` into the folder ``output``.

    The best epoch is the one with the highest accuracy on the calibration images under the strategy's fixed mask draws (on the
    images as they are where it draws none), or with the highest mean average precision where images have several labels; a tie
    goes to the lower loss, then to the earlier epoch. Under the margin loss it is the one with the lowest loss there:
    certificates follow from that, and accuracy settles earlier than they do.

    Args:
        run: what to train.
        train_images: images to learn from.
        calibration_images: images to choose the epoch by; never the reported ones.
        output: folder of the results; nothing is written into it before the end.
        scratch: folder for the state after each epoch, from which a killed run goes on.

    Raises:
        InputError: the starting weights do not fit, the strategy is misdescribed, the loss suits other labels, or it is no
            longer finite.
    """
    check_labels(run.settings, train_images.labels.ndim == 2)
    identity = run.identity()
    learner = learner_of(run)
    model, plan = learner.model, learner.plan
    views = plan.calibration_boxes(
        run.settings["calibration_masks"], torch.Generator().manual_seed(_derived_seed(run.seed, "calibration"))
    )
    file = scratch / f"train-{settings_sha256(identity)[:16]}.pt"
    state = State(file, model, learner.optimizer, plan, by_loss=run.settings["loss"] == "margin")
    first = state.load(run.device)
    epochs = run.settings["epochs"]
    for epoch in tqdm(range(first, epochs), initial=first, total=epochs, unit="epoch", desc="training", disable=None):
        loss, state.searched = learner.epoch(train_images, epoch, state.searched)
        row = {"epoch": epoch, "learning_rate": _learning_rate(run.settings, epoch + 1.0), "training_loss": loss}
        state.finish_epoch(row | learner.calibrate(calibration_images, views))
        LOG.info("epoch %s of %s: %s", epoch + 1, epochs, _rounded(state.history[-1]))
    if not epochs:  # published weights as they are
        state.finish_epoch({"epoch": 0, "learning_rate": 0.0} | learner.calibrate(calibration_images, views))
    best = state.history[state.best_epoch]
    model.load_state_dict(state.best_weights)
    with whole_file(output / "log.csv") as temporary:
        pd.DataFrame(state.history).to_csv(temporary, index=False)
    record = {
        "identity": identity,
        "epochs": epochs,
        "best_epoch": state.best_epoch,
        "calibration": best,
        "extra_passes": plan.passes / max(1, epochs * len(train_images)),
        "copies": plan.copies,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "images": {"train": len(train_images), "calibration": len(calibration_images)},
    }
    write_json(output / "record.json", record)
    registry.save_weights(model, output / "weights.safetensors")
    state.path.unlink(missing_ok=True)


class State:
    """What a killed run needs to go on: model, optimiser, search, history and the best weights so far, in one file."""

    def __init__(
        self, path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, plan: Strategy, *, by_loss: bool = False
    ) -> None:
        """Start with an empty history; ``path`` is where the state is kept, ``by_loss`` whether loss goes before accuracy."""
        self.path = path
        self.by_loss = by_loss
        self.model = model
        self.optimizer = optimizer
        self.plan = plan
        self.searched: NDArray[np.int64] | None = None
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_weights: dict[str, torch.Tensor] = {}

    def load(self, device: str) -> int:
        """Take up the stored state, if there is one; returns the number of epochs that are done."""
        if not self.path.exists():
            return 0
        stored = torch.load(self.path, map_location=device, weights_only=True)
        self.model.load_state_dict(stored["model"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.history, self.best_epoch, self.best_weights = (
            stored["history"],
            stored["best_epoch"],
            stored["best_weights"],
        )
        self.plan.passes = stored["passes"]
        self.searched = None if stored["searched"] is None else stored["searched"].numpy(force=True)
        LOG.info("resumed after epoch %s", len(self.history))
        return len(self.history)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Add an epoch to the history, keep its weights if they are the best, and store the state."""
        self.history.append(row)
        if not self.best_weights or self._rank(row) > self._rank(self.history[self.best_epoch]):
            self.best_epoch = len(self.history) - 1
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        with whole_file(self.path) as temporary:
            torch.save(
                {
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "history": self.history,
                    "best_epoch": self.best_epoch,
                    "best_weights": self.best_weights,
                    "passes": self.plan.passes,
                    "searched": None if self.searched is None else torch.from_numpy(self.searched),
                },
                temporary,
            )

    def _rank(self, row: Mapping[str, float]) -> tuple[float, float]:
        (masked,) = (value for name, value in row.items() if name.startswith("calibration_masked_"))
        lowness = -row["calibration_loss"]
        return (lowness, masked) if self.by_loss else (masked, lowness)


class Learner:
    """A classifier that learns from the images that its strategy shows it."""

    def __init__(self, run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer, plan: Strategy) -> None:
        """Take what is trained, by what, on what; several GPUs share each batch, that of a search too."""
        self.run, self.model, self.optimizer, self.plan = run, model, optimizer, plan
        self._classify = torch.nn.DataParallel(model, device_ids=list(run.gpus)) if len(run.gpus) > 1 else model
        self._normalise = registry.normalisation(run.model)
        self._loss = loss_of(run.settings)

    def epoch(self, images: Pictures, epoch: int, searched: NDArray[np.int64] | None) -> tuple[float, NDArray[np.int64] | None]:
        """Learn from every image once, and return the mean loss.

        Args:
            images: the training images.
            epoch: its number, from 0.
            searched: the boxes of an earlier epoch's search for every image, int64 [copies, N, m, 4].

        Returns:
            The mean loss, and the boxes for every image if a later epoch is to use them again.

        Raises:
            InputError: the loss is no longer finite.
        """
        settings, seed = self.run.settings, _derived_seed(self.run.seed, epoch)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # for what draws from the global generator inside a model: dropout, stochastic depth
        batches = torch.randperm(len(images), generator=generator).split(settings["batch_size"])
        fresh = epoch % settings["refresh_every"] == 0
        found: list[NDArray[np.int64]] = []
        losses = []
        self.model.train()
        for step, part in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = _learning_rate(settings, epoch + step / len(batches))
            rows = part.numpy()
            batch, truth = self.inputs(images, rows)
            batch = shifted(batch, settings["shift"], generator)
            if settings["flip"]:
                batch = flipped(batch, generator)
            boxes = self.search(batch, truth, generator) if fresh or searched is None else searched[:, rows]
            loss = self.step(batch, truth, boxes, generator)
            if not math.isfinite(loss):
                raise InputError(f"learning_rate {settings['learning_rate']}: the loss is {loss} in epoch {epoch}; lower it")
            losses.append(loss)
            found.append(boxes)
        if settings["refresh_every"] > 1 and fresh:
            searched = np.concatenate(found, axis=1)[:, np.argsort(torch.cat(batches).numpy())]
        return float(np.mean(losses)), searched

    def inputs(self, images: Pictures, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some images as the classifier wants them, float32 [n, C, H, W], and their labels on the device."""
        device = self.run.device
        return self._normalise(torch.tensor(images.rows(rows), device=device)), torch.tensor(images.labels[rows], device=device)

    def search(self, batch: torch.Tensor, truth: torch.Tensor, generator: torch.Generator) -> NDArray[np.int64]:
        """The boxes that the strategy chooses for a batch, int64 [copies, n, m, 4]."""
        with self._precision():
            return self.plan.boxes(self._classify, batch, truth, generator)

    def step(self, batch: torch.Tensor, truth: torch.Tensor, boxes: NDArray[np.int64], generator: torch.Generator) -> float:
        """One step of the optimiser on the copies of a batch, unless the loss is not finite; returns the loss."""
        copies = [self.plan.show(batch, each, self._normalise.std, generator) for each in boxes]
        shown = torch.cat(copies).contiguous(memory_format=torch.channels_last)
        with self._precision():
            logits = self._classify(shown)
        loss = self._loss(logits.float(), torch.cat([truth] * len(boxes))).mean()
        if torch.isfinite(loss):
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return loss.item()

    def calibrate(self, images: Pictures, views: NDArray[np.int64]) -> dict[str, float]:
        """How good the classifier is on the images as they are and under fixed masks, int64 [v, m, 4]; and the mean loss there.

        What a strategy draws to show them is the same in every epoch. What is measured, and by which name, is said by
        :func:`patchcert.training.quality.quality`.
        """
        hidden = [np.empty((0, 4), dtype=np.int64), *views]
        said: list[list[NDArray[np.float32]]] = [[] for _ in hidden]
        losses = []
        generator = torch.Generator().manual_seed(_derived_seed(self.run.seed, "calibration copies"))
        parts = np.array_split(np.arange(len(images)), -(-len(images) // CALIBRATION_BATCH_SIZE))
        with searching(self.model), self._precision():
            for rows in parts:
                batch, truth = self.inputs(images, rows)
                for number, boxes in enumerate(hidden):
                    everywhere = np.broadcast_to(boxes, (len(rows), *boxes.shape))
                    shown = self.plan.show(batch, everywhere, self._normalise.std, generator)
                    logits = self._classify(shown.contiguous(memory_format=torch.channels_last)).float()
                    said[number].append(logits.numpy(force=True))
                    losses.append(self.plan.loss(logits, truth).sum().item())
        measure, plain = quality(np.concatenate(said[0]), images.labels)
        masked = [quality(np.concatenate(each), images.labels)[1] for each in said[1:]]
        return {
            f"calibration_{measure}": plain,
            f"calibration_masked_{measure}": float(np.mean(masked)) if masked else plain,
            "calibration_loss": float(np.sum(losses) / (len(images) * len(hidden))),
        }

    def _precision(self) -> AbstractContextManager[object]:
        kind, dtype = torch.device(self.run.device).type, self.run.settings["precision"]
        return torch.autocast(kind, torch.bfloat16, enabled=dtype == "bfloat16")


def learner_of(run: Run) -> Learner:
    """The classifier of a run before its first step, with its strategy and its optimiser.

    Raises:
        InputError: the starting weights do not fit, or the strategy is misdescribed.
    """
    plan = strategy(run.settings, run.image_size)
    torch.manual_seed(_derived_seed(run.seed, "weights"))
    model = on_device(_starting_model(run), run.device)
    return Learner(run, model, _optimizer(model, run.settings), plan)


def _starting_model(run: Run) -> torch.nn.Module:
    pretrained, classifier = run.settings["pretrained"], (run.model, run.classes, run.image_size)
    if pretrained and run.start is None:
        raise InputError(f"pretrained: {pretrained}, and no file of weights is given to start from; give it, or write false")
    if pretrained and run.start:
        labels = registry.published_labels(run.model) if pretrained is True else run.classes
        return registry.build_published(*classifier, run.start, labels)
    model = registry.build(*classifier)
    if run.start:
        registry.load_weights(model, run.start)
    return model


def _optimizer(model: torch.nn.Module, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    common = {"lr": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=settings["momentum"], **common)
    kind = torch.optim.Adam if settings["optimizer"] == "adam" else torch.optim.AdamW
    return kind(model.parameters(), **common)


def shifted(images: torch.Tensor, pixels: int, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to ``pixels`` rows and columns, the border repeated; [n, C, H, W] in and out."""
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    padded = pad(images, (pixels,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * pixels + 1, (2, count), generator=generator).to(images.device)
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)
    number = torch.arange(count, device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image mirrored left to right or not, one as likely as the other; [n, C, H, W] in and out."""
    mirrored = torch.randint(0, 2, (len(images),), generator=generator, dtype=torch.bool).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def _learning_rate(settings: Mapping[str, Any], epoch: float) -> float:
    """The learning rate at a place in the run; ``epoch`` counts from 0 and may be a fraction.

    A linear warm-up comes first. Then half a cosine leads down to zero, or, where ``decay_after`` names epochs, the rate is a
    tenth of what it was after each of them.
    """
    warmup, epochs, highest = settings["warmup_epochs"], settings["epochs"], settings["learning_rate"]
    if epoch < warmup:
        return float(highest * (epoch + 1e-3) / warmup)
    if settings["decay_after"]:
        return float(highest * 0.1 ** sum(epoch >= each for each in settings["decay_after"]))
    done = (epoch - warmup) / max(epochs - warmup, 1e-9)
    return float(highest * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _derived_seed(seed: int, purpose: str | int) -> int:
    return int(settings_sha256([seed, purpose])[:15], 16)


def _rounded(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
