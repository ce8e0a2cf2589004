"""Networks of a few thousand weights under the published names, so that a study of large ones runs on a processor in minutes.

They are made of the published networks' layers, fewer and narrower. A test appends this file, and calls of its functions, to
the copy of :mod:`patchcert.models.registry` that its study runs.
"""

from functools import partial
from typing import Any

import timm
from timm.layers import GroupNormAct
from timm.models import mlp_mixer, resnetv2
from timm.models._registry import _model_entrypoints

from patchcert.models import region_scorer

SMALL: dict[str, dict[str, Any]] = {
    "vit_base_patch16_224": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "eva02_base_patch14_448": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "convnext_tiny": {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)},
    "tresnet_l": {"layers": (1, 1, 1, 1), "width_factor": 0.125},
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (8, 8, 8, 8)},
    "resnet50": {"layers": (1, 1, 1, 1), "channels": (8, 8, 8, 8), "stem_type": "deep", "stem_width": 4},
}


def resnetv2_50x1_bit(pretrained: bool = False, **arguments: Any) -> Any:
    """With groups of two channels, since 32 of them want 128 channels."""
    norm = partial(GroupNormAct, num_groups=2)
    shape = {"layers": (1, 1, 1, 1), "channels": (16, 16, 16, 16), "stem_chs": 8, "norm_layer": norm}
    return resnetv2._create_resnetv2_bit("resnetv2_50x1_bit", pretrained, **shape, **arguments)


def resmlp_24_224(pretrained: bool = False, **arguments: Any) -> Any:
    block = partial(mlp_mixer.ResBlock, init_values=1e-5)
    shape = {"patch_size": 16, "num_blocks": 1, "embed_dim": 16, "mlp_ratio": 4, "block_layer": block}
    return mlp_mixer._create_mixer("resmlp_24_224", pretrained, **shape, norm_layer=mlp_mixer.Affine, **arguments)


def register() -> None:
    """From now on timm makes these networks."""
    for name, shape in SMALL.items():
        _model_entrypoints[name] = partial(timm.model_entrypoint(name), **shape)
    _model_entrypoints.update({"resnetv2_50x1_bit": resnetv2_50x1_bit, "resmlp_24_224": resmlp_24_224})


def narrow() -> None:
    """From now on BagCert's networks have a few channels."""
    region_scorer.cifar10.__kwdefaults__["width"] = 4
    region_scorer.imagenet.__kwdefaults__["width"] = 16  # torch crashes in the gradient of strided convolutions of fewer
