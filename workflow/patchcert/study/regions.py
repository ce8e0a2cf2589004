"""What a trained region scorer says of images, how long that and its certificates take, and how it stands up to attacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from patchcert.attacks.patch_pgd import answers, targeted
from patchcert.datasets.index import Images, Split
from patchcert.defenses import bagcert
from patchcert.masks import Size, patch_sizes_from_text
from patchcert.models import registry
from patchcert.models.region_classifier import RegionClassifier, region_classifier
from patchcert.provenance import environment
from patchcert.region_scores import Block, write
from patchcert.study.trained import Trained

LOG = logging.getLogger(__name__)
TIMED_BATCH = 50
"""Images at once where the clock runs."""


def predict_regions(
    classifier: Trained,
    images: Split,
    files: Mapping[str, str | Path],
    *,
    numerical_margin: float,
    batch_size: int,
    device: str,
    code: str,
) -> None:
    """Store the region scores of images.

    Args:
        classifier: a trained region scorer.
        images: the images.
        files: paths as :func:`patchcert.region_scores.write` wants them.
        numerical_margin: how near to its threshold a score is unsure; in units of what the threshold is for.
        batch_size: images at once.
        device: ``cpu`` or ``cuda``.
        code: digest of the code that predicts.

    Raises:
        InputError: the weights were trained otherwise, or the model scores no regions.
    """
    settings = {"numerical_margin": numerical_margin, "device": device, "code": code}
    identity = classifier.identity() | settings | {"versions": environment("torch", "timm", "numpy")}
    model = region_classifier(classifier.load().to(device), classifier.model)
    blocks = _scored(model, classifier.model, images, numerical_margin, batch_size, device)
    write(files, images.ids, blocks, binary=model.binary, identity=identity)


def _scored(model: RegionClassifier, name: str, images: Split, margin: float, batch_size: int, device: str) -> Iterator[Block]:
    normalise = registry.normalisation(name)
    began, done = time.perf_counter(), 0
    with tqdm(total=len(images), unit="image", desc="scoring", disable=None) as progress, torch.inference_mode():
        for start in range(0, len(images), batch_size):
            block = images.part(slice(start, start + batch_size)).read()
            scores, unsure = model.scores_and_unsure(normalise(torch.tensor(block.pixels, device=device)), margin)
            yield scores.numpy(force=True), unsure.numpy(force=True)
            done += len(block.ids)
            progress.update(len(block.ids))
            LOG.info("%s of %s images done, %.0f images/s", done, len(images), done / (time.perf_counter() - began))


def threat(model: RegionClassifier, image_size: Size, patch: str) -> Any:
    """R(l) of all places of all sizes that a patch as paths name it can have, as the certificates take it."""
    return model.affected(image_size, patch_sizes_from_text(image_size, patch))


def region_times(
    model: torch.nn.Module, name: str, images: Images, patch: str, *, device: str, rounds: int = 3
) -> list[dict[str, Any]]:
    """Milliseconds an image of a region scorer's forward pass, and of its certificates by condition 3.2 against one patch.

    Both take turns, batch by batch, so that a slow spell of the machine falls on both; the median of a batch counts.

    Returns:
        Rows with ``part`` ("forward", "certificate"), ``milliseconds``, ``images`` and ``parameters``.
    """
    scorer = region_classifier(model.to(device), name)
    pixels = registry.normalisation(name)(torch.tensor(images.pixels, device=device))
    labels = torch.tensor(images.labels, device=device)
    affected = threat(scorer, (pixels.shape[2], pixels.shape[3]), patch)
    took: dict[str, list[float]] = {"forward": [], "certificate": []}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for part, truth in zip(pixels.split(TIMED_BATCH), labels.split(TIMED_BATCH), strict=True):
                marks = [_clock(device)]
                scores = scorer.scores(part)
                marks.append(_clock(device))
                bagcert.margins(scores, truth, affected)
                marks.append(_clock(device))
                if number:  # the first round warms up
                    for name_of, begin, end in zip(took, marks, marks[1:], strict=False):
                        took[name_of].append(1000 * (end - begin) / len(part))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return [
        {"part": part, "milliseconds": float(np.median(each)), "images": len(images.ids), "parameters": parameters}
        for part, each in took.items()
    ]


def _clock(device: str) -> float:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Attacks(NamedTuple):
    """What was attacked where, and with what outcome.

    Attributes:
        table: one row an image: ``image_id``, ``label``, ``clean``, ``attacked`` and ``condition_3_2``, true where the answer
            is right, right under attack, and certified.
        images: the attacked images, uint8 [N, 3, H, W].
        targets: the class that each attack was for, int64 [N].
        patches: where the patch is, pixels, int64 [N, 4]: top, bottom, left, right, half-open.
        reached: the outputs R(l) that it could change, likewise.
    """

    table: pd.DataFrame
    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    patches: NDArray[np.int64]
    reached: NDArray[np.int64]


def attack_regions(
    model: torch.nn.Module, name: str, images: Images, patch: Size, *, steps: int, seed: int, device: str
) -> Attacks:
    """Attack images where and for which class condition 3.2 finds them weakest (BagCert, appendix A.2).

    Args:
        model: a region scorer.
        name: its name.
        images: images with one label each.
        patch: rows and columns, pixels.
        steps: steps of the attack.
        seed: seed of its noise.
        device: where it runs.
    """
    scorer = region_classifier(model.to(device), name)
    normalise = registry.normalisation(name)
    pixels = torch.tensor(images.pixels, device=device).float() / 255
    places = scorer.places((pixels.shape[2], pixels.shape[3]), [patch])
    with torch.inference_mode():
        scores = scorer.scores(normalise.of_unit(pixels))
        labels = torch.tensor(images.labels, device=device)
        margins = bagcert.margins(scores, labels, places.outputs)
        clean = bagcert.infer(scores) == labels
    weakest, aims = (each.numpy(force=True) for each in (margins.place, margins.target))
    attacked = targeted(
        lambda shown: model(normalise.of_unit(shown)),
        pixels,
        images.labels,
        aims,
        places.patches[weakest],
        steps=steps,
        seed=seed,
    )
    with torch.inference_mode():
        held = torch.cat([answers(model(normalise.of_unit(part))) for part in attacked.images.split(TIMED_BATCH)]) == labels
    table = pd.DataFrame(
        {
            "image_id": images.ids,
            "label": images.labels,
            "clean": clean.numpy(force=True),
            "attacked": (held & clean).numpy(force=True),
            "condition_3_2": (margins.condition_3_2 > 0).numpy(force=True),
        }
    )
    shown = (255 * attacked.images).round().to(torch.uint8).numpy(force=True)
    return Attacks(table, shown, aims, places.patches[weakest], places.outputs[weakest])
