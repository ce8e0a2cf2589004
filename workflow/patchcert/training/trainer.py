"""The trainer: one classifier, one strategy, one seed; the best epoch on the calibration images; exact resume.

Every random number of an epoch comes from the run's seed and the epoch's number, so that a run that was killed and resumed
ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, pad
from tqdm import tqdm

from patchcert import InputError
from patchcert.datasets.index import Images
from patchcert.device import mask_out, on_device
from patchcert.models import registry
from patchcert.provenance import environment, file_sha256, settings_sha256, whole_file, write_json
from patchcert.training.strategy import Strategy, searching, strategy

LOG = logging.getLogger(__name__)


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
        start: weights to begin from, or none.
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


def train(run: Run, train_images: Images, calibration_images: Images, output: Path, scratch: Path) -> None:
    """Train, and write ``weights.safetensors``, ``record.json`` and ``log.csv`` into the folder ``output``.

    The best epoch is the one with the highest accuracy on the calibration images under the strategy's fixed mask draws (on the
    images as they are where it draws none); a tie goes to the lower loss, then to the earlier epoch.

    Args:
        run: what to train.
        train_images: images to learn from.
        calibration_images: images to choose the epoch by; never the reported ones.
        output: folder of the results; nothing is written into it before the end.
        scratch: folder for the state after each epoch, from which a killed run goes on.

    Raises:
        InputError: the starting weights do not fit, the strategy is misdescribed, or the loss is no longer finite.
    """
    identity = run.identity()
    plan = strategy(run.settings, run.image_size)
    torch.manual_seed(_derived_seed(run.seed, "weights"))
    model = registry.build(run.model, run.classes, run.image_size)
    if run.start:
        registry.load_weights(model, run.start)
    model = on_device(model, run.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=run.settings["learning_rate"], weight_decay=run.settings["weight_decay"]
    )
    normalise = registry.normalisation(run.model)
    views = plan.calibration_hidden(
        run.settings["calibration_masks"], torch.Generator().manual_seed(_derived_seed(run.seed, "calibration"))
    )
    state = State(scratch / f"train-{settings_sha256(identity)[:16]}.pt", model, optimizer)
    first = state.load(run.device)
    epochs = run.settings["epochs"]
    inputs = [
        (normalise(torch.tensor(part.pixels, device=run.device)), torch.tensor(part.labels, device=run.device))
        for part in (train_images, calibration_images)
    ]
    for epoch in tqdm(range(first, epochs), initial=first, total=epochs, unit="epoch", desc="training", disable=None):
        loss = _epoch(model, optimizer, plan, run, *inputs[0], epoch)
        row = {"epoch": epoch, "learning_rate": _learning_rate(run.settings, epoch + 1.0), "training_loss": loss}
        state.finish_epoch(row | _calibrate(model, views, *inputs[1]))
        LOG.info("epoch %s of %s: %s", epoch + 1, epochs, _rounded(state.history[-1]))
    best = state.history[state.best_epoch]
    model.load_state_dict(state.best_weights)
    with whole_file(output / "log.csv") as temporary:
        pd.DataFrame(state.history).to_csv(temporary, index=False)
    record = {
        "identity": identity,
        "best_epoch": state.best_epoch,
        "calibration": best,
        "extra_passes": plan.extra_passes,
        "copies": plan.copies,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "images": {"train": len(train_images.ids), "calibration": len(calibration_images.ids)},
    }
    write_json(output / "record.json", record)
    registry.save_weights(model, output / "weights.safetensors")
    state.path.unlink(missing_ok=True)


class State:
    """What a killed run needs to go on: model, optimiser, history and the best weights so far, in one file."""

    def __init__(self, path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Start with an empty history; ``path`` is where the state is kept."""
        self.path = path
        self.model = model
        self.optimizer = optimizer
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
        LOG.info("resumed after epoch %s", len(self.history))
        return len(self.history)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Add an epoch to the history, keep its weights if they are the best, and store the state."""
        self.history.append(row)
        if not self.best_weights or _rank(row) > _rank(self.history[self.best_epoch]):
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
                },
                temporary,
            )


def _rank(row: Mapping[str, float]) -> tuple[float, float]:
    return row["calibration_masked_accuracy"], -row["calibration_loss"]


def _epoch(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: Strategy,
    run: Run,
    images: torch.Tensor,
    labels: torch.Tensor,
    epoch: int,
) -> float:
    seed = _derived_seed(run.seed, epoch)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # for what draws from the global generator inside a model: dropout, stochastic depth
    batches = torch.randperm(len(images), generator=generator).split(run.settings["batch_size"])
    losses = []
    model.train()
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(run.settings, epoch + step / len(batches))
        batch, truth = shifted(images[rows], run.settings["shift"], generator), labels[rows]
        shown = torch.cat([mask_out(batch, hidden) for hidden in plan.hidden(model, batch, truth, generator)])
        logits = model(shown.contiguous(memory_format=torch.channels_last))
        loss = cross_entropy(logits.float(), truth.repeat(plan.copies), label_smoothing=run.settings["label_smoothing"])
        if not torch.isfinite(loss):
            raise InputError(
                f"learning_rate {run.settings['learning_rate']}: the loss is {loss.item()} in epoch {epoch}; lower it"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _calibrate(model: torch.nn.Module, views: torch.Tensor, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    right, losses = [], []
    with searching(model):
        for hidden in [torch.zeros_like(views[:1]) if len(views) else None, *views]:
            shown = images if hidden is None else mask_out(images, hidden.to(images.device).expand(len(images), -1, -1))
            logits = torch.cat([model(part.contiguous(memory_format=torch.channels_last)).float() for part in shown.split(256)])
            right.append(logits.argmax(dim=1) == labels)
            losses.append(cross_entropy(logits, labels).item())
    return {
        "calibration_accuracy": right[0].float().mean().item(),
        "calibration_masked_accuracy": torch.stack(right[1:] or right).float().mean().item(),
        "calibration_loss": float(np.mean(losses)),
    }


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


def _learning_rate(settings: Mapping[str, Any], epoch: float) -> float:
    """Linear warm-up, then half a cosine down to zero; ``epoch`` counts from 0 and may be a fraction."""
    warmup, epochs = settings["warmup_epochs"], settings["epochs"]
    if epoch < warmup:
        return float(settings["learning_rate"] * (epoch + 1e-3) / warmup)
    done = (epoch - warmup) / max(epochs - warmup, 1e-9)
    return float(settings["learning_rate"] * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _derived_seed(seed: int, purpose: str | int) -> int:
    return int(settings_sha256([seed, purpose])[:15], 16)


def _rounded(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
