"""BagCert's networks for 32x32 images, 0.12 to 0.23 million parameters.

Like those for ImageNet they have blocks of one path. The stem has stride 2, which takes a quarter of the time that scores at
every pixel take.
"""

from torch import nn

from patchcert.models.region_scorer import Layer, RegionScorer, RegionVote

STEMS_AND_KERNELS = {
    5: (5, (1, 1, 1, 1, 1, 1)),
    7: (3, (3, 1, 1, 1)),
    9: (5, (3, 1, 1, 1)),
    11: (3, (3, 1, 3, 1)),
    13: (5, (3, 1, 3, 1)),
}
"""Kernel sizes of the stem, which has stride 2, and of the blocks, by receptive field."""
RECEPTIVE_FIELDS = tuple(STEMS_AND_KERNELS)
WIDTH = 96


def build(classes: int, image_size: tuple[int, int], receptive_field: int, *, output: str = "heaviside") -> nn.Module:
    """The untrained network, images [n, 3, H, W] to class scores [n, classes]; any image size will do.

    Region scores come out of the output function of that name, one of :data:`patchcert.models.region_scorer.OUTPUTS`.
    """
    stem, kernels = STEMS_AND_KERNELS[receptive_field]
    blocks = [Layer(kernel, WIDTH) for kernel in kernels]
    return RegionVote(RegionScorer(classes, Layer(stem, WIDTH, 2), blocks, output=output))
