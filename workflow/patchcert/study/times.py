"""How long one answer takes, undefended and by each inference algorithm, one image and one masked copy at a time.

PatchCleanser's Figures 4, 5 and 10 are measured so (section 4.3: a batch size of one).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from patchcert.defended import DefendedClassifier
from patchcert.masks import MaskSet
from patchcert.predict import ALGORITHMS

WARM_UP = 3
"""Images that are answered before the clock runs."""


def inference_times(
    model: torch.nn.Module,
    images: torch.Tensor,
    mask_sets: Mapping[tuple[str, str], MaskSet],
    **engine: Any,
) -> list[dict[str, Any]]:
    """Times and forward passes of one answer, a row for each mask set and algorithm, and one for the undefended classifier.

    Everything is timed image by image in turn, so that a slow spell of the machine falls on all of it.

    Args:
        model: the classifier.
        images: float tensor [N, C, H, W], normalised.
        mask_sets: mask sets by patch and budget as paths name them.
        engine: ``fill``, ``device``, ``dtype`` of :class:`patchcert.predict.Engine`.

    Returns:
        ``patch``, ``budget`` (empty for the undefended classifier), ``algorithm``, ``milliseconds`` (median an image),
        ``calls`` (mean forward passes an image) and ``images``.
    """
    defended = {
        (patch, budget, algorithm): DefendedClassifier(model, masks, algorithm=algorithm, batch_size=1, **engine)
        for (patch, budget), masks in mask_sets.items()
        for algorithm in ALGORITHMS
    }
    plain = next(iter(defended.values()))
    asked: dict[tuple[str, str, str], Callable[[torch.Tensor], object]] = {("", "", "undefended"): plain.undefended, **defended}
    took: dict[tuple[str, str, str], list[float]] = {key: [] for key in asked}
    calls = dict.fromkeys(asked, 0)
    for number, image in enumerate(tqdm(images.split(1), unit="image", desc="timing", disable=None)):
        for key, answer in asked.items():
            counted = defended.get(key, plain).engine
            passes, began = counted.passes, time.perf_counter()
            answer(image)
            if number >= min(WARM_UP, len(images) - 1):
                took[key].append(1000 * (time.perf_counter() - began))
                calls[key] += counted.passes - passes
    return [
        {
            "patch": patch,
            "budget": budget,
            "algorithm": algorithm,
            "milliseconds": statistics.median(times),
            "calls": calls[patch, budget, algorithm] / len(times),
            "images": len(times),
        }
        for (patch, budget, algorithm), times in took.items()
    ]
