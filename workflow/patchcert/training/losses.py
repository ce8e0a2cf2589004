"""How wrong a classifier is about each image: one value an image, for the steps of training and for searches alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch.nn.functional import cross_entropy, logsigmoid

from patchcert import InputError

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Logits float32 [n, C] and truth, int64 [n] or bool [n, C], to a value an image, float32 [n]."""
SMALLEST = 1e-8
"""What a probability is at least before its logarithm is taken."""


def cross_entropies(logits: torch.Tensor, truth: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of each image, float32 [n]; logits [n, C], truth int64 [n]."""
    return cross_entropy(logits, truth, reduction="none", label_smoothing=smoothing)


def asymmetric_losses(
    logits: torch.Tensor, truth: torch.Tensor, positive: float = 0.0, negative: float = 4.0, margin: float = 0.05
) -> torch.Tensor:
    """Asymmetric Loss of each image, float32 [n]: its sum over the classes.

    Classes that are absent from an image are many and mostly easy. Their probability is lowered by the margin, and what they
    add is weighted by a power of it, so that easy ones add next to nothing. Source: Ben-Baruch et al., Asymmetric Loss For
    Multi-Label Classification, equations 4 to 7, with the settings that they give for MSCOCO.

    Args:
        logits: float32 [n, C].
        truth: bool [n, C], which classes an image shows.
        positive: exponent of the classes that are there.
        negative: exponent of those that are not.
        margin: by how much the probability of the latter is lowered.
    """
    probabilities = logits.sigmoid()
    lowered = (probabilities - margin).clamp(min=0)
    present = (1 - probabilities) ** positive * logsigmoid(logits)
    absent = lowered**negative * (1 - lowered).clamp(min=SMALLEST).log()
    return -torch.where(truth, present, absent).sum(dim=1)


def margin_losses(scores: torch.Tensor, truth: torch.Tensor, margin: float, one_hot_penalty: float = 0.0) -> torch.Tensor:
    """BagCert's margin loss of each image, float32 [n]: minus the lead of the true class, of which no more than M counts.

    A patch that reaches a share r of the places of a region scorer can take 2 r of the lead away. The loss is that share of the
    patches, up to M / 2 of the places, against which an image is not certified, up to a factor and a constant. Source: Metzen
    and Yatsura, Efficient Certified Defenses against Patch Attacks on Image Classifiers, section 3.3.

    Args:
        scores: means over the places of region scores between 0 and 1, float32 [n, C].
        truth: labels, int64 [n].
        margin: M, in these means: 1 is a lead at every place.
        one_hot_penalty: sigma, how much the lead of the best class over the second, whichever they are, counts beside it.
    """
    true = scores.gather(1, truth[:, None])[:, 0]
    others = scores.scatter(1, truth[:, None], -torch.inf).amax(dim=1)
    best, second = scores.topk(2, dim=1).values.unbind(dim=1)
    return -(true - others).clamp(max=margin) + one_hot_penalty * (second - best)


def loss_of(settings: Mapping[str, Any], *, smoothed: bool = True) -> Loss:
    """The loss that a ``trainings`` block of the configuration names.

    Args:
        settings: ``loss``, and what it reads: ``label_smoothing``, or ``margin`` and ``one_hot_penalty``.
        smoothed: whether labels are smoothed, if the block says so; a search for masks asks about the labels as they are.
    """
    if settings["loss"] == "asymmetric":
        return asymmetric_losses
    if settings["loss"] == "margin":
        return partial(margin_losses, margin=settings["margin"], one_hot_penalty=settings["one_hot_penalty"])
    return partial(cross_entropies, smoothing=settings["label_smoothing"] if smoothed else 0.0)


def check_labels(settings: Mapping[str, Any], several: bool) -> None:
    """Check that a loss suits images with one label, or with several.

    Raises:
        InputError: it does not.
    """
    if several != (settings["loss"] == "asymmetric"):
        labels = "any number of labels" if several else "one label each"
        wanted = "asymmetric" if several else "cross_entropy, or margin for a region scorer"
        raise InputError(f"loss: {settings['loss']}; these images have {labels}, write {wanted}")
