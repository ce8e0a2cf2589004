"""ResNet-18 for 32x32 images, 11.2 million parameters: no pooling and no stride before the first stage.

Source: He et al., Deep Residual Learning for Image Recognition, with the stem that its section 4.2 has for CIFAR-10.
"""

from timm.models.resnet import BasicBlock, ResNet
from torch import nn


def build(classes: int, image_size: tuple[int, int], *, channels: int = 3) -> nn.Module:
    """The untrained network, images [n, channels, H, W] to logits [n, classes]; any image size will do."""
    network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes, in_chans=channels)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.init_weights()
    return network
