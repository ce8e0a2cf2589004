"""A pre-activation residual network for 32x32 images, 0.15 million parameters."""

from timm.layers import BatchNormAct2d, create_conv2d  # type: ignore[attr-defined]
from timm.models.resnetv2 import ResNetV2
from torch import nn


def build(classes: int, image_size: tuple[int, int], *, channels: int = 3) -> nn.Module:
    """The untrained network, images [n, channels, H, W] to logits [n, classes]; any image size will do."""
    return ResNetV2(
        layers=[1, 2, 1],
        channels=(64, 128, 256),
        in_chans=channels,
        stem_chs=16,
        norm_layer=BatchNormAct2d,
        conv_layer=create_conv2d,
        num_classes=classes,
    )
