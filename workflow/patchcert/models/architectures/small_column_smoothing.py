"""Derandomized smoothing by columns for 32x32 images, of a residual network of 0.15 million parameters."""

from torch import nn

from patchcert.models.architectures import small_resnetv2
from patchcert.models.smoothed import SmoothedVote

WIDTH = 4
"""Columns that are kept, pixels: what Levine and Feizi report for CIFAR-10."""


def build(classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to logits or votes [n, classes]; any image size from 4 columns up will do."""
    return SmoothedVote(small_resnetv2.build(classes, image_size, channels=6), "column", WIDTH)
