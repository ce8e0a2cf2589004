"""How fast BagCert's certificates are, against a plain loop over places and a forward pass: ``python -m
patchcert.bagcert_bench``.

Scores are random, of images that are easier and harder: speed does not depend on them. The forward pass is that of a small
convolutional network of one receptive field, which gives such scores. The plain loop certifies a few images; what it finds must
be what condition 3.2 says of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from patchcert import bench_table
from patchcert.defenses.bagcert import certify
from patchcert.device import on_device
from patchcert.receptive_field import ReceptiveField

PLAIN_LOOP, FORWARD = "plain loop over places", "forward pass"
KERNELS = (3, 1, 3, 1, 3, 1, 3, 1)
"""Of the network's layers, which all have a stride of 1; the receptive field is 9 x 9 pixels."""


class Setting(NamedTuple):
    """What is certified, and where; sides of square images and patches in pixels."""

    classes: int
    pixels: int
    patch: int
    width: int
    device: str

    @property
    def boxes(self) -> NDArray[np.int64]:
        """R(l) of every place of the patch."""
        field = ReceptiveField([(kernel, 1, kernel // 2) for kernel in KERNELS])
        return field.affected((self.pixels,) * 2, (self.pixels,) * 2, (self.patch,) * 2)


NUMBERS = {
    "images": (1000, "images"),
    "few_images": (20, "of the loop and of condition 3.1"),
    "classes": (10, "classes"),
    "pixels": (32, "side of the images"),
    "patch": (5, "side of the patch"),
    "width": (64, "channels of the network"),
    "rounds": (5, "times that each is measured"),
}
"""The options that are whole numbers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it if asked to; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m patchcert.bagcert_bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", default="cpu", help="torch device of scores and network (default: %(default)s)")

    def measure(options: argparse.Namespace) -> pd.DataFrame:
        setting = Setting(options.classes, options.pixels, options.patch, options.width, options.device)
        return compare(setting, options.images, min(options.few_images, options.images), options.rounds)

    return bench_table.run(parser, NUMBERS, measure, arguments)


def compare(setting: Setting, images: int, few: int, rounds: int) -> pd.DataFrame:
    """Time all contenders in turn, round after round.

    Returns:
        ``contender``, ``images``, ``microseconds`` (an image, the median of the rounds), ``images_per_second`` and
        ``of_forward`` (the median of the ratios to the forward pass of the same round, for one image).

    Raises:
        RuntimeError: the plain loop and condition 3.2 do not agree.
        InputError: the patch does not fit into the image, or the device is none.
    """
    boxes = setting.boxes
    model = on_device(network(setting), setting.device).eval()
    scores, labels = random_scores(setting, images)
    shown = torch.rand(min(images, 100), 3, setting.pixels, setting.pixels, device=setting.device)
    if not np.array_equal(plain_loop(scores[:few], labels[:few], boxes), certify(scores[:few], labels[:few], boxes, "3.2")):
        raise RuntimeError("the plain loop and condition 3.2 do not agree")
    there = torch.from_numpy(scores).to(setting.device)
    contenders: dict[str, tuple[int, Callable[[], object]]] = {
        PLAIN_LOOP: (few, lambda: plain_loop(scores[:few], labels[:few], boxes)),
        "condition 3.1": (few, lambda: certify(there[:few], labels[:few], boxes, "3.1")),
        "condition 3.2": (images, lambda: certify(there, labels, boxes, "3.2")),
        "condition 3.3": (images, lambda: certify(there, labels, boxes, "3.3")),
        FORWARD: (len(shown), lambda: model(shown)),
    }
    with torch.inference_mode():
        for _, work in contenders.values():
            work()
        per_image = pd.DataFrame(
            {name: _seconds(work, setting.device) / count for name, (count, work) in contenders.items()} for _ in range(rounds)
        )
    return pd.DataFrame(
        {
            "contender": name,
            "images": count,
            "microseconds": 1e6 * per_image[name].median(),
            "images_per_second": 1 / per_image[name].median(),
            "of_forward": (per_image[name] / per_image[FORWARD]).median(),
        }
        for name, (count, _) in contenders.items()
    )


def plain_loop(scores: NDArray[np.bool_], labels: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Condition 3.1 for the sum as it is written: the worst-case scores of each image and place, summed up; bool [N]."""
    certified = np.ones(len(scores), dtype=np.bool_)
    for image, (given, label) in enumerate(zip(scores, labels, strict=True)):
        for top, bottom, left, right in boxes:
            worst = given.copy()
            worst[:, top:bottom, left:right] = True
            worst[label, top:bottom, left:right] = False
            sums = worst.sum(axis=(1, 2))
            if sums[label] <= np.delete(sums, label).max():
                certified[image] = False
    return certified


def random_scores(setting: Setting, images: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Region scores, bool [N, C, H, W], and labels [N]: the true class scores in 20 to 90 % of the regions."""
    random = np.random.default_rng(0)
    scores = random.random((images, setting.classes, setting.pixels, setting.pixels), dtype=np.float32) < 0.1
    labels = random.integers(0, setting.classes, images)
    share = random.uniform(0.2, 0.9, (images, 1, 1))
    scores[np.arange(images), labels] = random.random((images, setting.pixels, setting.pixels)) < share
    return scores, labels


def network(setting: Setting) -> nn.Module:
    """Images [n, 3, H, W] to binary region scores [n, C, H, W], with random weights."""
    layers: list[nn.Module] = []
    channels = 3
    for kernel in KERNELS:
        layers += [nn.Conv2d(channels, setting.width, kernel, padding=kernel // 2), nn.ReLU()]
        channels = setting.width
    return nn.Sequential(*layers, nn.Conv2d(channels, setting.classes, 1), _Heaviside())


class _Heaviside(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values >= 0


def _seconds(work: Callable[[], object], device: str) -> float:
    began = time.perf_counter()
    work()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
