"""ResNet-18 for 32x32 images, 11.2 million parameters: no pooling and no stride before the first stage.

Source: He et al., Deep Residual Learning for Image Recognition, with the stem that its section 4.2 has for CIFAR-10.
"""

from timm.models import create_model
from torch import nn


def build(classes: int, image_size: tuple[int, int], *, channels: int = 3) -> nn.Module:
    """The untrained network, images [n, channels, H, W] to logits [n, classes]; any image size will do."""
    network = create_model("resnet18", num_classes=classes, in_chans=channels)
    stem = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1, network.maxpool = stem, nn.Identity()
    return network
