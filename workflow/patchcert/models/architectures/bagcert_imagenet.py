"""BagCert's networks for ImageNet, 2.3 to 3.4 million parameters."""

from torch import nn

from patchcert.models.region_scorer import IMAGENET_KERNELS, RegionVote, imagenet

RECEPTIVE_FIELDS = tuple(IMAGENET_KERNELS)


def build(classes: int, image_size: tuple[int, int], receptive_field: int) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to class scores [n, classes]; any image size will do."""
    return RegionVote(imagenet(classes, receptive_field))
