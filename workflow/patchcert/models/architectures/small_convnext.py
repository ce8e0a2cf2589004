"""A ConvNeXt for 32x32 images, 0.3 million parameters."""

from timm.models.convnext import ConvNeXt
from torch import nn


def build(classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to logits [n, classes]; any image size from 32x32 up will do."""
    return ConvNeXt(depths=(1, 1, 1, 1), dims=(24, 48, 96, 128), patch_size=4, num_classes=classes)
