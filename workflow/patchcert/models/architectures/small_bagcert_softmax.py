"""BagCert's networks for 32x32 images with a softmax over the classes in place of the Heaviside step (appendix A.3)."""

from torch import nn

from patchcert.models.architectures import small_bagcert

RECEPTIVE_FIELDS = small_bagcert.RECEPTIVE_FIELDS


def build(classes: int, image_size: tuple[int, int], receptive_field: int) -> nn.Module:
    """The untrained network, images [n, 3, H, W] to class scores [n, classes]; any image size will do."""
    return small_bagcert.build(classes, image_size, receptive_field, output="softmax")
