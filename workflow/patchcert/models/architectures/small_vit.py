"""A vision transformer on patches of 8x8 pixels for small images, 0.2 million parameters."""

from timm.models.vision_transformer import VisionTransformer
from torch import nn


def build(classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to logits [n, classes]; it takes images of this size only."""
    return VisionTransformer(
        img_size=image_size,
        patch_size=8,
        embed_dim=64,
        depth=3,
        num_heads=2,
        class_token=False,
        global_pool="avg",
        num_classes=classes,
    )
