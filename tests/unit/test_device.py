"""Devices: weights laid out for them, GPUs that a job holds, and what they are called."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from patchcert import InputError, device
from patchcert.device import device_name, on_device, own_gpus

torch.set_num_threads(1)


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
    with own_gpus("cuda"), own_gpus("cuda"):
        assert gpus == [0, 1]
        with caplog.at_level(logging.WARNING), own_gpus("cuda"):
            assert gpus == [0, 1]  # a third one shares what is current
        assert "all 2 GPUs are held by other jobs" in caplog.text
    with own_gpus("cuda"):
        assert gpus == [0, 1, 0]  # given back


def test_a_job_gets_as_many_gpus_as_it_wants_if_they_are_free(gpus: list[int], caplog: pytest.LogCaptureFixture) -> None:
    with own_gpus("cuda", 2) as held:
        assert held == (0, 1)
        assert gpus == [0]
    with own_gpus("cuda") as first, own_gpus("cuda", 2) as second:
        assert (first, second) == ((0,), (1,))
        assert "2 GPUs are wanted and 1 are free" in caplog.text
    assert gpus == [0, 0, 1]


def test_a_processor_needs_no_gpu(gpus: list[int]) -> None:
    with own_gpus("cpu"):
        assert gpus == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_machine_without_a_gpu_holds_none() -> None:
    with own_gpus("cuda"):
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
