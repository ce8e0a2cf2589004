"""BagCert's region scorer: a residual network whose every output sees a few pixels and says of each class yes or no.

The class scores are the means over the places, so that a patch changes only the share of the votes that see it. What the
certificates need to know of the network is :attr:`RegionScorer.convolutions`. Source: Metzen and Yatsura, Efficient Certified
Defenses against Patch Attacks on Image Classifiers, section 3.2 and appendices A.1 and A.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import nn

from patchcert import InputError
from patchcert.masks import Size
from patchcert.receptive_field import Places, ReceptiveField

CIFAR10_KERNELS = {
    5: (3, 1, 1, 1, 1, 1, 1, 1),
    7: (3, 1, 3, 1, 1, 1, 1, 1),
    9: (3, 1, 3, 1, 3, 1, 1, 1),
    11: (3, 1, 3, 1, 3, 1, 3, 1),
    13: (3, 3, 3, 1, 3, 1, 3, 1),
}
"""Kernel size of each of the eight blocks behind a 3x3 stem, by receptive field; all of stride 1."""
IMAGENET_KERNELS = {
    17: (3, 1, 3, 1, 3, 1, 1, 1),
    25: (3, 1, 3, 1, 3, 1, 3, 1),
    29: (3, 3, 3, 1, 3, 1, 3, 1),
}
"""Likewise; the first and the third block have stride 2."""


class Layer(NamedTuple):
    """A convolution, or a block of them: odd kernel size and stride along both axes, and channels of the output."""

    kernel: int
    width: int
    stride: int = 1


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits)
        return (logits >= 0).to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (logits,) = ctx.saved_tensors
        likely = logits.sigmoid()
        slope: torch.Tensor = gradients[0] * likely * (1 - likely)
        return slope


def heaviside(logits: torch.Tensor) -> torch.Tensor:
    """1 from 0 up and else 0, exactly, in the dtype of the logits; its derivative is that of the sigmoid (section 3.2)."""
    stepped: torch.Tensor = _Heaviside.apply(logits)
    return stepped


OUTPUTS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "heaviside": heaviside,
    "sigmoid": torch.sigmoid,
    "softmax": partial(torch.softmax, dim=1),
}
"""How logits [n, C, h, w] become scores between 0 and 1 (appendix A.3)."""


class _Shake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, one: torch.Tensor, other: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(shares)
        return torch.lerp(other, one, shares[0].to(one.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (shares,) = ctx.saved_tensors
        to_one = gradients[0] * shares[1].to(gradients[0].dtype)
        return to_one, gradients[0] - to_one, None


def shake(one: torch.Tensor, other: torch.Tensor, training: bool) -> torch.Tensor:
    """The mean of two paths; in training a random mixture, and the gradient is split by another (Gastaldi, Shake-Shake).

    The shares are drawn from the global generator once for all images, which is the batch-wise mode.
    """
    if not training:
        return (one + other) / 2
    mixed: torch.Tensor = _Shake.apply(one, other, torch.rand(2, device=one.device))
    return mixed


class Block(nn.Module):
    """A residual block of one path of two convolutions, or of two such paths that are shaken.

    A path has one convolution of the block's kernel size and stride and one of 1x1: in this order, and in the other order in
    the second path, so that the paths differ and yet look at the same pixels.
    """

    def __init__(self, channels: int, layer: Layer, shaken: bool) -> None:
        """Take the channels of the input, and kernel size, stride and channels of the output."""
        super().__init__()
        point = Layer(1, layer.width)
        orders = [(layer, point), (point, layer)] if shaken else [(layer, point)]
        self.paths = nn.ModuleList(
            nn.Sequential(*_convolution(channels, first), nn.ReLU(), *_convolution(layer.width, second))
            for first, second in orders
        )
        same = channels == layer.width and layer.stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(channels, Layer(1, layer.width, layer.stride)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [n, channels, h, w] to [n, width, h / stride, w / stride], both rounded up."""
        said = [path(features) for path in self.paths]
        mixed = shake(said[0], said[1], self.training) if len(said) == 2 else said[0]
        return torch.relu(self.shortcut(features) + mixed)


def _convolution(channels: int, layer: Layer) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, layer.width, layer.kernel, layer.stride, layer.kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(layer.width)]


class RegionScorer(nn.Module):
    """Scores of every class at every place, each from the few pixels around it: a stem, residual blocks, and a 1x1 convolution.

    Attributes:
        convolutions: kernel size, stride and padding of what is stacked, along either axis, from the image on. A block counts
            as the one convolution that sees the same pixels. The places of a score map and the pixels that each depends on
            follow from these alone.
        output: what makes scores of logits, one of :data:`OUTPUTS`.
    """

    def __init__(
        self, classes: int, stem: Layer, blocks: Sequence[Layer], *, shaken: bool = False, output: str = "heaviside"
    ) -> None:
        """Take the number of labels, the layers, whether blocks have two shaken paths, and a name of :data:`OUTPUTS`.

        Raises:
            InputError: an even kernel size, or an unknown output.
        """
        super().__init__()
        layers = [stem, *blocks]
        if even := [layer.kernel for layer in layers if layer.kernel % 2 == 0]:
            raise InputError(f"kernel: {even[0]} has no middle; write an odd number, {even[0] + 1} for instance")
        if output not in OUTPUTS:
            raise InputError(f"output: {output!r} is unknown; write one of {', '.join(OUTPUTS)}")
        self.convolutions = (*((layer.kernel, layer.stride, layer.kernel // 2) for layer in layers), (1, 1, 0))
        self.stem = nn.Sequential(*_convolution(3, stem), nn.ReLU())
        self.blocks = nn.Sequential(
            *(Block(before.width, layer, shaken) for before, layer in zip(layers, blocks, strict=False))
        )
        self.head = nn.Conv2d(layers[-1].width, classes, 1)
        self.output = OUTPUTS[output]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores float32 [n, C, h, w], 0 to 1 (exactly 0 or 1 from the Heaviside step), of images [n, 3, H, W]."""
        return self.output(self.logits(images))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """What the output function is applied to, float32 [n, C, h, w]."""
        logits: torch.Tensor = self.head(self.blocks(self.stem(images)))
        return logits.float()


class RegionVote(nn.Module):
    """A classifier like any other: each class scores the mean over the places of its region scores.

    It is a :class:`patchcert.models.region_classifier.RegionClassifier`.

    Attributes:
        scorer: the region scorer.
    """

    def __init__(self, scorer: RegionScorer) -> None:
        """Take the region scorer."""
        super().__init__()
        self.scorer = scorer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores float32 [n, C], 0 to 1, of images [n, 3, H, W]."""
        return self.scores(images).mean(dim=(2, 3))

    @property
    def binary(self) -> bool:
        """Whether the scores are steps."""
        return self.scorer.output is heaviside

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """What the region scorer says, float32 [n, C, h, w]."""
        scores: torch.Tensor = self.scorer(images)
        return scores

    def scores_and_unsure(self, images: torch.Tensor, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Region scores, and where the logit is less than ``margin`` away from the Heaviside step; other outputs have none."""
        logits = self.scorer.logits(images)
        unsure = logits.abs() < margin if self.binary else torch.zeros_like(logits, dtype=torch.bool)
        return self.scorer.output(logits), unsure

    def places(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> Places:
        """R(l) of every place of a patch as boxes, from the layers of the region scorer."""
        field = ReceptiveField(self.scorer.convolutions)
        return field.places(image_size, field.output_size(image_size), patch_sizes)

    def affected(self, image_size: Size, patch_sizes: Size | Sequence[Size]) -> NDArray[Any]:
        """The outputs of :meth:`places`, int64 [P, 4]."""
        return self.places(image_size, patch_sizes).outputs


def cifar10(classes: int, receptive_field: int, *, width: int = 768, output: str = "heaviside") -> RegionScorer:
    """The network of appendix A.1.1, whose scores have the resolution of the image.

    At the paper's width and with 10 labels it has 28.4, 37.8, 47.3, 56.7 and 66.1 million parameters for receptive fields
    5 to 13, the 28M, 38M, 47M, 57M and 66M of its Table 1. That holds only if every block has two paths of two convolutions,
    those of kernel size 1 as well, which the text leaves open. Also left open, and taken from the ResNet that it cites:
    normalisation follows each convolution, and the last ReLU of a block comes after the sum.

    Args:
        classes: number of labels.
        receptive_field: pixels along an axis that a score depends on, a key of :data:`CIFAR10_KERNELS`.
        width: channels of every layer.
        output: a name of :data:`OUTPUTS`.
    """
    blocks = [Layer(kernel, width) for kernel in CIFAR10_KERNELS[receptive_field]]
    return RegionScorer(classes, Layer(3, width), blocks, shaken=True, output=output)


def imagenet(classes: int, receptive_field: int, *, width: int = 64, output: str = "heaviside") -> RegionScorer:
    """The network of appendix A.1.2, whose scores have a quarter of the image's rows and columns.

    It is not shaken. That its blocks then have one path, of the block's convolution and one of 1x1, is our reading; the paper
    names no number of parameters here.

    Args:
        classes: number of labels.
        receptive_field: pixels along an axis that a score depends on, a key of :data:`IMAGENET_KERNELS`.
        width: channels of the stem and of the first two blocks; each two blocks after them have twice as many.
        output: a name of :data:`OUTPUTS`.
    """
    widths = [width * 2 ** (number // 2) for number in range(8)]
    strides = (2, 1, 2, 1, 1, 1, 1, 1)
    blocks = map(Layer, IMAGENET_KERNELS[receptive_field], widths, strides)
    return RegionScorer(classes, Layer(3, width), list(blocks), output=output)
