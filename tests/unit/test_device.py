"""Masks as pixels on a device, weights laid out for it, and what it is called."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from patchcert import InputError, device
from patchcert.device import box_pixels, device_name, mask_out, masked_copies, on_device, own_gpu
from patchcert.masks import mask_set

torch.set_num_threads(1)

MASKS = mask_set((9, 7), (3, 2), (2, 3))  # six masks, of 6x3 pixels


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(11, 3, 9, 7, generator=torch.Generator().manual_seed(5))


def test_boxes_become_pixels() -> None:
    boxes = np.array([[[0, 2, 1, 3]], [[1, 1, 0, 4]]])
    expected = [[[[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]], [[[0] * 4] * 3]]
    pixels = box_pixels(boxes, (3, 4))
    assert pixels.dtype == torch.bool
    assert pixels.int().tolist() == expected
    assert box_pixels(boxes[0, 0], (3, 4)).int().tolist() == expected[0][0]
    every = box_pixels(MASKS.boxes, (9, 7))
    assert every.shape == (6, 9, 7)
    for picture, (top, bottom, left, right) in zip(every, MASKS.boxes.tolist(), strict=True):
        assert picture.sum() == picture[top:bottom, left:right].sum() == (bottom - top) * (right - left) == 18


@pytest.mark.parametrize(
    "layout",
    [lambda images: images, lambda images: images.contiguous(memory_format=torch.channels_last)],
    ids=["contiguous", "channels-last"],
)
def test_masked_copies(images: torch.Tensor, layout: Callable[[torch.Tensor], torch.Tensor]) -> None:
    given = layout(images.clone())
    rows = torch.tensor([4, 0, 4])
    hidden = box_pixels(MASKS.boxes[[0, 3, 5]], (9, 7))
    copies = masked_copies(given, rows, hidden, fill=7.0)
    expected = images[rows].clone()
    for copy, (top, bottom, left, right) in zip(expected, MASKS.boxes[[0, 3, 5]], strict=True):
        copy[:, top:bottom, left:right] = 7.0
    assert torch.equal(copies, expected)
    assert copies.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(given, images)
    assert (masked_copies(given, rows, hidden)[0, :, 0, 0] == 0).all()


def test_mask_out_hides_pixels_of_all_channels_and_leaves_its_input(images: torch.Tensor) -> None:
    hidden = box_pixels(MASKS.boxes[[0, 3, 5]], (9, 7))
    given = images[:3].clone()
    shown = mask_out(given, hidden, fill=-2.0)
    assert torch.equal(shown, masked_copies(given, torch.arange(3), hidden, -2.0))
    assert torch.equal(given, images[:3])
    assert (mask_out(given, hidden)[:, 1][hidden] == 0).all()
    assert torch.equal(mask_out(given, hidden)[:, 1][~hidden], given[:, 1][~hidden])


def test_weights_are_laid_out_channels_last() -> None:
    model = on_device(nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3)), "cpu")
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[1].weight.device.type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(InputError, match=r"^device: 'cuda', and torch finds no GPU here; write cpu$"):
        on_device(nn.Identity(), "cuda")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Two GPUs that are not there; the numbers that torch was told to use."""
    used: list[int] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"gpu-{number}"))
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    return used


def test_jobs_that_run_at_once_get_different_gpus(gpus: list[int], caplog: pytest.LogCaptureFixture) -> None:
    with own_gpu("cuda"), own_gpu("cuda"):
        assert gpus == [0, 1]
        with caplog.at_level(logging.WARNING), own_gpu("cuda"):
            assert gpus == [0, 1]  # a third one shares what is current
        assert "all 2 GPUs are held by other jobs" in caplog.text
    with own_gpu("cuda"):
        assert gpus == [0, 1, 0]  # given back


def test_a_processor_needs_no_gpu(gpus: list[int]) -> None:
    with own_gpu("cpu"):
        assert gpus == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_machine_without_a_gpu_holds_none() -> None:
    with own_gpu("cuda"):
        assert not torch.cuda.is_available()


def test_the_name_of_a_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "processor : 0\nmodel name\t: Some CPU @ 2.00GHz: fast\nprocessor : 1\nmodel name\t: Another\n"
    (tmp_path / "cpuinfo").write_text(lines, encoding="utf-8")
    given: list[str] = []

    def opened(path: str, **options: str) -> Any:
        given.append(path)
        return (tmp_path / "cpuinfo").open(**options)

    monkeypatch.setattr(device, "open", opened, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert device_name("cpu") == "Some CPU @ 2.00GHz: fast, 1 thread"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert device_name("cpu") == "Some CPU @ 2.00GHz: fast, 4 threads"
    assert given == ["/proc/cpuinfo"] * 2


@pytest.mark.parametrize("content", [None, "processor : 0\n"])
def test_a_processor_that_linux_does_not_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content, encoding="utf-8")
    monkeypatch.setattr(device, "open", lambda path, **options: (tmp_path / "cpuinfo").open(**options), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for processor, machine, name in (("arm", "arm64", "arm"), ("", "arm64", "arm64")):
        monkeypatch.setattr(device, "platform", SimpleNamespace(processor=lambda p=processor: p, machine=lambda m=machine: m))
        assert device_name("cpu") == f"{name}, 2 threads"


def test_the_name_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"the GPU {name}")
    assert device_name("cuda:1") == "the GPU cuda:1"
