"""BagCert's networks for CIFAR-10 with a softmax in place of the Heaviside step (appendix A.3)."""

from torch import nn

from patchcert.models.region_scorer import CIFAR10_KERNELS, RegionVote, cifar10

RECEPTIVE_FIELDS = tuple(CIFAR10_KERNELS)


def build(classes: int, image_size: tuple[int, int], receptive_field: int) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to class scores [n, classes]; any image size will do."""
    return RegionVote(cifar10(classes, receptive_field, output="softmax"))
