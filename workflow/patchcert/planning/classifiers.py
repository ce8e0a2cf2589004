"""What only code on torch knows of a run before it is run: what a strategy searches, how large a classifier is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from patchcert import InputError
from patchcert.masks import Size
from patchcert.models import registry
from patchcert.models.region_classifier import RegionClassifier, region_classifier
from patchcert.models.smoothed import SmoothedVote
from patchcert.training.losses import cross_entropies
from patchcert.training.strategy import strategy


class Shown(NamedTuple):
    """What a strategy makes of one image: training copies, passes of its search, and draws that epochs are compared by."""

    copies: int
    search: int
    draws: int


class Asked(NamedTuple):
    """Passes that one image takes: for an answer, as epochs are compared by, and for all region scores, with their bytes."""

    answer: int = 1
    scores: int = 1
    stored: int = 0


class _MeanColour(nn.Module):
    """A classifier that costs nearly nothing, and has the stages that Grad-CAM looks for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.AdaptiveAvgPool2d(8)
        self.layer2, self.layer3, self.layer4 = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shown = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return torch.as_tensor(shown.mean(dim=(2, 3)))


def shown(settings: Mapping[str, Any], image_size: Size) -> Shown:
    """What the strategy of a training does, counted by itself on one image.

    Args:
        settings: the training's block of the configuration.
        image_size: rows and columns, pixels.

    Raises:
        InputError: the strategy is misdescribed.
    """
    return _shown(json.dumps(dict(settings), sort_keys=True), image_size)


@cache
def _shown(settings: str, image_size: Size) -> Shown:
    described = json.loads(settings)
    plan, generator = strategy(described, image_size), torch.Generator().manual_seed(0)
    plan.loss = cross_entropies  # no loss changes what is searched
    boxes = plan.boxes(_MeanColour(), torch.rand((1, 3, *image_size), generator=generator), torch.tensor([0]), generator)
    return Shown(len(boxes), plan.passes, len(plan.calibration_boxes(described["calibration_masks"], generator)))


@cache
def weights_bytes(model: str, classes: int, image_size: Size) -> int:
    """Size of a classifier's file of weights, bytes, without its header; no weight is made.

    Raises:
        InputError: the model is unknown.
    """
    with torch.device("meta"):
        built = registry.build(model, classes, image_size)
    return sum(tensor.numel() * tensor.element_size() for tensor in built.state_dict().values())


def published_bytes(model: str) -> int | None:
    """Size of the weights that timm publishes under a name, bytes, likewise; None where it has none of this name.

    They are in float32, so that the size follows from the architecture.
    """
    try:
        return weights_bytes(model, registry.published_labels(model), (1, 1))  # timm's models go by no size of images
    except InputError:
        return None


@cache
def asked(model: str, classes: int, image_size: Size) -> Asked:
    """What a classifier is asked about one image, where that is not one pass: of a region scorer, or one that sees many copies.

    Raises:
        InputError: the model is unknown.
    """
    with torch.device("meta"), torch.inference_mode():  # shapes alone: nothing is computed
        built, image = registry.build(model, classes, image_size).eval(), torch.zeros(1, 3, *image_size)
        copies = [0]
        if isinstance(built, SmoothedVote):
            built.base.register_forward_hook(lambda base, given, said: copies.append(len(said)))
        elif not isinstance(built, RegionClassifier):
            return Asked()
        scorer = region_classifier(built, model)
        scores = scorer.scores(image)
        of_scores = sum(copies)
        built(image)
    columns = scores.shape[3]
    row = math.ceil(columns / 8) if scorer.binary else 4 * columns
    return Asked(max(1, sum(copies) - of_scores), max(1, of_scores), math.prod(scores.shape[1:3]) * row)
