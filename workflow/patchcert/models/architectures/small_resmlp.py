"""A ResMLP on patches of 8x8 pixels for small images, 0.15 million parameters."""

from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock
from torch import nn


def build(classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to logits [n, classes]; it takes images of this size only."""
    return MlpMixer(
        img_size=image_size,  # type: ignore[arg-type]  # a pair will do as well
        patch_size=8,
        embed_dim=64,
        num_blocks=4,
        mlp_ratio=4,
        block_layer=ResBlock,
        norm_layer=Affine,
        num_classes=classes,
    )
