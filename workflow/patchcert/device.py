"""The device that classifiers run on: weights laid out for it, one GPU a job, and its name for readers."""

from __future__ import annotations

import contextlib
import logging
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

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
def own_gpus(device: str, wanted: int = 1) -> Iterator[tuple[int, ...]]:
    """Hold GPUs of this machine that no other job holds, as long as the block lasts; ``cuda`` means the first of them.

    Snakemake counts GPUs and does not say which. Where too few are free, those that are must do, or else the current one is
    shared.

    Args:
        device: a torch device; for another than a GPU nothing is done.
        wanted: how many.

    Returns:
        Their numbers, none of them where nothing is held.
    """
    numbers: list[int] = []
    with contextlib.ExitStack() as held:
        count = torch.cuda.device_count() if torch.device(device).type == "cuda" else 0
        for number in range(count):
            if len(numbers) == wanted:
                break
            name = f"patchcert-gpu-{torch.cuda.get_device_properties(number).uuid}.lock"
            with contextlib.suppress(Timeout):
                held.enter_context(FileLock(Path(tempfile.gettempdir(), name)).acquire(timeout=0))
                numbers.append(number)
        if numbers:
            torch.cuda.set_device(numbers[0])
            LOG.info("on GPU %s of %s", ", ".join(map(str, numbers)), count)
        elif count:
            LOG.warning("all %s GPUs are held by other jobs; sharing one", count)
        if 0 < len(numbers) < wanted:
            LOG.warning("%s GPUs are wanted and %s are free; going on with these", wanted, len(numbers))
        yield tuple(numbers)


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
