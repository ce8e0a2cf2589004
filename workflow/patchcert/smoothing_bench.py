"""How fast the sampler of mask smoothing is, against forward passes alone: ``python -m patchcert.smoothing_bench``.

Forward passes alone classify one batch again and again, of images that are normalised already and lie in memory as those of
the sampler do; what the sampler takes longer is for noise, normalisation and counting. Weights and images are random: speed
does not depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from patchcert import InputError, bench_table
from patchcert.device import device_name, on_device
from patchcert.masking import DTYPES, usual_batch_size
from patchcert.models import registry
from patchcert.smoothing import inference, sample_counts

FORWARD, SAMPLER = "forward passes alone", "sampler"


class Setting(NamedTuple):
    """What is sampled, and where.

    Attributes:
        model: a name of the registry, such as ``small_resnetv2`` or ``resnet50.a1_in1k``.
        pixels: side of the square images.
        mask: side of the square with noise in their middle, pixels.
        classes: classes of the model.
        images: how many are sampled, one after the other.
        samples: samples of each image, a tenth of them for the selection; two or more.
        batch_size: copies a forward pass; None is what suits the device.
        device: a torch device.
        dtype: one of :data:`patchcert.masking.DTYPES`.
    """

    model: str
    pixels: int
    mask: int
    classes: int
    images: int
    samples: int
    batch_size: int | None = None
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def copies(self) -> int:
        """Copies of all images."""
        return self.images * self.samples

    @property
    def box(self) -> list[int]:
        """Where the noise is."""
        first = (self.pixels - self.mask) // 2
        return [first, first + self.mask] * 2


NUMBERS = {
    "pixels": (32, "side of the images"),
    "mask": (5, "side of the mask"),
    "classes": (10, "classes"),
    "images": (2, "images"),
    "samples": (1024, "samples an image"),
    "rounds": (31, "times that each is measured"),
}
"""The options that are whole numbers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it if asked to; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m patchcert.smoothing_bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="small_resnetv2", help="architecture, or full timm name (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="samples a forward pass (default: what suits the device)")
    parser.add_argument("--device", default="cpu", help="torch device (default: %(default)s)")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float32", help="(default: %(default)s)")

    def measure(options: argparse.Namespace) -> pd.DataFrame:
        return compare(Setting(**{name: getattr(options, name) for name in Setting._fields}), options.rounds)

    return bench_table.run(parser, NUMBERS, measure, arguments)


def compare(setting: Setting, rounds: int) -> pd.DataFrame:
    """Time both in turn, round after round, each in one batch after the other.

    Returns:
        ``model``, ``image_size``, ``mask``, ``dtype``, ``device``, ``contender``, ``batch_size``, ``copies`` (of a round),
        ``samples_per_second`` (the median of the rounds), and ``of_forward`` (the ratio of the medians).

    Raises:
        InputError: an unknown model or device, or a setting that the sampler cannot take.
    """
    size = usual_batch_size(setting.device) if setting.batch_size is None else setting.batch_size
    if size < 1:
        raise InputError(f"batch_size: {size}; write a whole number from 1 up")
    model = registry.build(setting.model, setting.classes, (setting.pixels,) * 2)
    contenders = {FORWARD: forward(model, setting, size), SAMPLER: sampler(model, setting, size)}
    for work in contenders.values():
        work()
    rates = pd.DataFrame({name: _rate(work, setting.device) for name, work in contenders.items()} for _ in range(rounds))
    return pd.DataFrame(
        {
            "model": setting.model,
            "image_size": f"{setting.pixels}x{setting.pixels}",
            "mask": f"{setting.mask}x{setting.mask}",
            "dtype": setting.dtype,
            "device": device_name(setting.device),
            "contender": name,
            "batch_size": size,
            "copies": setting.copies,
            "samples_per_second": rates[name].median(),
            "of_forward": rates[name].median() / rates[FORWARD].median(),
        }
        for name in contenders
    )


def sampler(model: torch.nn.Module, setting: Setting, size: int) -> Callable[[], int]:
    """A round of the sampler, which returns the number of copies that it classified."""
    shape = (setting.images, 3, setting.pixels, setting.pixels)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    selection = max(setting.samples // 10, 1)

    def work() -> int:
        sample_counts(
            model,
            images,
            np.array([setting.box] * setting.images),
            [str(number) for number in range(setting.images)],
            normalisation=registry.Normalisation((0.5,) * 3, (0.5,) * 3),
            sigma=7.0,
            selection=selection,
            estimation=setting.samples - selection,
            device=setting.device,
            dtype=setting.dtype,
            batch_size=size,
        )
        return setting.copies

    return work


def forward(model: torch.nn.Module, setting: Setting, size: int) -> Callable[[], int]:
    """A round of forward passes of about as many copies in full batches, which returns their number."""
    classifier = on_device(model, setting.device).eval()
    shape = (size, 3, setting.pixels, setting.pixels)
    shown = torch.randn(shape, device=setting.device).contiguous(memory_format=torch.channels_last)
    batches = -(-setting.copies // size)

    def work() -> int:
        with inference(setting.device, DTYPES[setting.dtype]):
            for _ in range(batches):
                classifier(shown)
        return batches * size

    return work


def _rate(work: Callable[[], int], device: str) -> float:
    """Copies a second."""
    began = time.perf_counter()
    copies = work()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return copies / (time.perf_counter() - began)


if __name__ == "__main__":
    raise SystemExit(main())
