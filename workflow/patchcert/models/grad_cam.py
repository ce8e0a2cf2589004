"""Grad-CAM: how much each place of an image speaks for a label.

Written here because the libraries that have it bring along a second image stack or pin older numerics, for the few lines that
hooks and one gradient take. Source: Selvaraju et al., Grad-CAM, equations 1 and 2.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import interpolate

from patchcert import InputError

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


LEAST_SIDE = 6
"""Rows and columns that a map has at least, if any does: as many as the certificate's masks have along an axis."""


def grad_cam(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Saliency of each pixel for the label, float32 [n, H, W], at least 0, scaled up bilinearly from the feature map.

    The map is that of the last features with :data:`LEAST_SIDE` rows and columns or more: the very last at 224 pixels, where
    they have 7, and earlier ones at 32 pixels, where the last are 2x2 and tell no mask from another. One forward and one
    backward pass; weights, their gradients and the mode of the model stay as they are.

    Args:
        model: a classifier, best in evaluation mode.
        images: [n, C, H, W], normalised as the model wants them.
        labels: int64 [n], or bool [n, C] for the classes of which the sum of logits is asked.

    Raises:
        InputError: see :func:`feature_layers`.
    """
    kept: list[torch.Tensor] = []

    def start_here(module: nn.Module, given: object, features: torch.Tensor) -> torch.Tensor | None:
        if kept and min(_as_map(model, features).shape[2:]) < LEAST_SIDE:
            return None
        kept[:] = [features.detach().requires_grad_()]
        torch.set_grad_enabled(True)  # only from here on; nobody asks for a gradient of what comes before
        return kept[0].clone()  # what follows may write into it

    handles = [layer.register_forward_hook(start_here) for layer in feature_layers(model)]
    try:
        with torch.no_grad():
            logits = model(images)
            score = (logits[labels] if labels.ndim == 2 else logits.gather(1, labels[:, None])).sum()
            gradients = torch.autograd.grad(score, kept)[0]
    finally:
        for handle in handles:
            handle.remove()
    features, gradients = (_as_map(model, each.detach().float()) for each in (kept[0], gradients))
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    saliency = (weights * features).sum(dim=1, keepdim=True).relu()
    return interpolate(saliency, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def feature_layers(model: nn.Module) -> list[nn.Module]:
    """The modules whose outputs are features that have a place and a gradient there, from the first to the last.

    Those are the stages, or the last block. Where what follows a stage normalises its output first, it is what comes out of
    that: before it, large means of channels, which the classifier never sees, drown the saliency. Where a class token is read,
    it is what goes into the last block's attention.

    Raises:
        InputError: the classifier is built in none of the ways that are known here.
    """
    stages = list(getattr(model, "stages", []))
    if stages:
        last = getattr(model, "norm", None)
        followers = [_first_norm(stage) for stage in stages[1:]] + [None if isinstance(last, nn.Identity) else last]
        return [stage if norm is None else norm for stage, norm in zip(stages, followers, strict=True)]
    if hasattr(model, "layer4"):
        return [getattr(model, f"layer{number}") for number in (1, 2, 3, 4)]
    blocks = getattr(model, "blocks", None)
    if blocks is not None:
        return [blocks[-1].norm1 if getattr(model, "num_prefix_tokens", 0) else blocks[-1]]
    raise InputError(
        f"gutout: no feature map is known of a {type(model).__name__}; choose a model with stages (ResNet, ConvNeXt) "
        "or blocks (ViT, ResMLP), or another strategy"
    )


def _first_norm(stage: nn.Module) -> nn.Module | None:
    """What normalises the input of a stage before anything else looks at it, if anything does."""
    for path in ("blocks.0.norm1", "downsample.0"):  # pre-activation ResNets; ConvNeXts
        try:
            found = stage.get_submodule(path)
        except AttributeError:
            continue
        if isinstance(found, NORMS):
            return found
    return None


def _as_map(model: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Features [n, C, h, w]; tokens [n, t, C] become a square of places, without class and register tokens."""
    if features.ndim == 4:
        return features
    prefix = getattr(model, "num_prefix_tokens", 0)
    tokens = features[:, prefix:]
    patches = getattr(model, "patch_embed", None)
    side = math.isqrt(tokens.shape[1])
    rows, columns = getattr(patches, "grid_size", None) or (side, side)
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)
