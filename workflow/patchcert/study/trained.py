"""Trained weights, and whether they are those that a study asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from patchcert import InputError
from patchcert.masks import Size
from patchcert.models import registry
from patchcert.provenance import file_sha256, read_json


@dataclass(frozen=True)
class Trained:
    """A trained classifier as a study asks for it.

    Attributes:
        model: name of the classifier.
        weights: its safetensors file.
        record: the JSON record beside the weights.
        training: settings that the weights must have been trained with.
        seed: seed that they must have been trained with.
        classes: number of labels.
        image_size: rows and columns, pixels.
        data: digest of what the images, labels and splits depend on.
    """

    model: str
    weights: Path
    record: Path
    training: Mapping[str, Any]
    seed: int
    classes: int
    image_size: Size
    data: str

    @classmethod
    def of(
        cls,
        run: Mapping[str, Any],
        dataset: Mapping[str, Any],
        weights: str,
        record: str,
        training: Mapping[str, Any],
        data: str,
    ) -> Trained:
        """The classifier of a run (``model`` and ``seed``) on a dataset (its block of the configuration)."""
        size = tuple(dataset["image_size"])
        return cls(
            run["model"], Path(weights), Path(record), training, int(run["seed"]), dataset["classes"], (size[0], size[1]), data
        )

    def identity(self) -> dict[str, Any]:
        """What a prediction depends on of its classifier and its images, JSON-like.

        Raises:
            InputError: the weights were trained with other settings than the study asks for.
        """
        trained = read_json(self.record)["identity"]
        found, wanted = (
            {"model": model, "seed": seed, "data": data} | {f"settings.{key}": value for key, value in settings.items()}
            for model, seed, data, settings in (
                (trained["model"], trained["seed"], trained["data"], trained["settings"]),
                (self.model, self.seed, self.data, self.training),
            )
        )
        for key in dict.fromkeys([*wanted, *found]):
            if found.get(key) != wanted.get(key):
                raise InputError(
                    f"{self.weights}: trained with {key} {json.dumps(found.get(key))}, and the study asks for "
                    f"{json.dumps(wanted.get(key))}; delete the file, or restore the one that belongs to this configuration"
                )
        return {"model": self.model, "weights_sha256": file_sha256(self.weights), "data": self.data}

    def load(self) -> torch.nn.Module:
        """The classifier with its weights, in evaluation mode, on the processor.

        Raises:
            InputError: the weights do not fit.
        """
        return registry.trained(self.model, self.classes, self.image_size, self.weights)
