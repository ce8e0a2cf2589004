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


def grad_cam(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Saliency of each pixel for the label, float32 [n, H, W], at least 0, scaled up bilinearly from the feature map.

    One forward and one backward pass; weights, their gradients and the mode of the model stay as they are.

    Args:
        model: a classifier, best in evaluation mode.
        images: [n, C, H, W], normalised as the model wants them.
        labels: int64 [n].

    Raises:
        InputError: see :func:`feature_layer`.
    """
    kept: list[torch.Tensor] = []
    handle = feature_layer(model).register_forward_hook(lambda module, given, features: kept.append(features))
    try:
        with torch.enable_grad():
            # the images too, so that there is a gradient where the weights are frozen
            logits = model(images.detach().requires_grad_())
            score = logits.gather(1, labels[:, None]).sum()
            (gradients,) = torch.autograd.grad(score, kept)
    finally:
        handle.remove()
    features, gradients = (_as_map(model, each.detach().float()) for each in (kept[0], gradients))
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    saliency = (weights * features).sum(dim=1, keepdim=True).relu()
    return interpolate(saliency, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def feature_layer(model: nn.Module) -> nn.Module:
    """The module whose outputs are the last features that have a place and a gradient there.

    That is the last stage or block; where a class token is read, it is what goes into the last block's attention.

    Raises:
        InputError: the classifier is built in none of the ways that are known here.
    """
    for name in ("stages", "layer4"):
        stages = getattr(model, name, None)
        if stages is not None:
            last: nn.Module = stages[-1]
            return last
    blocks = getattr(model, "blocks", None)
    if blocks is not None:
        block: nn.Module = blocks[-1].norm1 if getattr(model, "num_prefix_tokens", 0) else blocks[-1]
        return block
    raise InputError(
        f"gutout: no feature map is known of a {type(model).__name__}; choose a model with stages (ResNet, ConvNeXt) "
        "or blocks (ViT, ResMLP), or another strategy"
    )


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
