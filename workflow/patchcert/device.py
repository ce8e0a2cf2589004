"""What classifiers and masks become on a device: weights laid out for it, boxes turned into pixels there."""

from __future__ import annotations

import contextlib
import logging
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from patchcert import InputError

LOG = logging.getLogger(__name__)


def on_device(model: torch.nn.Module, device: str) -> torch.nn.Module:
    """The model on a device, its weights laid out channels-last, which convolutions on both CPU and GPU prefer.

    Raises:
        InputError: there is no such device here.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {device!r}, and torch finds no GPU here; write cpu")
    return model.to(device).to(memory_format=torch.channels_last)


@contextlib.contextmanager
def own_gpu(device: str) -> Iterator[None]:
    """Let ``cuda`` mean a GPU that no other job on this machine holds, as long as the block lasts.

    Snakemake counts GPUs and does not say which. Where every GPU is held already, the current one is shared.

    Args:
        device: a torch device; for another than a GPU nothing is done.
    """
    with contextlib.ExitStack() as held:
        count = torch.cuda.device_count() if torch.device(device).type == "cuda" else 0
        for number in range(count):
            name = f"patchcert-gpu-{torch.cuda.get_device_properties(number).uuid}.lock"
            with contextlib.suppress(Timeout):
                held.enter_context(FileLock(Path(tempfile.gettempdir(), name)).acquire(timeout=0))
                torch.cuda.set_device(number)
                LOG.info("on GPU %s of %s", number, count)
                break
        else:
            if count:
                LOG.warning("all %s GPUs are held by other jobs; sharing one", count)
        yield


def box_pixels(boxes: NDArray[np.int64], image_size: tuple[int, int], device: Any = "cpu") -> torch.Tensor:
    """Boxes (top, bottom, left, right; int64 [..., 4]) as pixels: bool [..., H, W], true where the box is."""
    edges = torch.as_tensor(boxes, device=device)[..., None, None]
    row = torch.arange(image_size[0], device=device)[:, None]
    column = torch.arange(image_size[1], device=device)[None, :]
    top, bottom, left, right = edges.unbind(dim=-3)
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def masked_copies(images: torch.Tensor, rows: torch.Tensor, hidden: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Copies of some images with pixels set to ``fill``, laid out channels-last without a copy more than that.

    Args:
        images: [n, C, H, W], best channels-last.
        rows: which image each copy shows, int64 [b].
        hidden: pixels to set, bool [b, H, W].
        fill: their value.

    Returns:
        [b, C, H, W].
    """
    copies = images.permute(0, 2, 3, 1).index_select(0, rows)
    return copies.masked_fill_(hidden[..., None], fill).permute(0, 3, 1, 2)


def mask_out(images: torch.Tensor, hidden: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Images [n, C, H, W] with the hidden pixels, bool [n, H, W], set to ``fill``."""
    return images.masked_fill(hidden[:, None], fill)


def device_name(device: str) -> str:
    """The hardware that a device is, for a reader: a GPU's name, or the processor's with the threads in use."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
    except FileNotFoundError:
        names = []
    return next(iter(names), platform.processor() or platform.machine())
