"""Shards of predictions: what the engine says, block by block, resumable to the byte, and of the right weights only."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from patchcert import InputError
from patchcert.datasets.index import Images
from patchcert.masks import mask_set
from patchcert.models import registry
from patchcert.predict import predict
from patchcert.predictions import Predictions
from patchcert.provenance import environment, file_sha256, settings_sha256, write_json
from patchcert.study import shards
from patchcert.study.shards import Job, predict_shard, shard_of

torch.set_num_threads(1)

PACKAGE_PARENT = Path(__file__).parents[2] / "workflow"
MASKS = mask_set((32, 32), (5, 5), (2, 2))
ENGINE = {"fill": 0.0, "dtype": "float32", "batch_size": 16}
TRAINING = {"strategy": "plain", "epochs": 3, "learning_rate": 0.01}
IMAGES = Images(
    np.array([f"digits-{number}" for number in range(7)]),
    np.random.default_rng(0).integers(0, 256, (7, 3, 4, 4), dtype=np.uint8).repeat(8, axis=2).repeat(8, axis=3),
    np.arange(7, dtype=np.int64),
)


def make_job(folder: Path) -> Job:
    """A job with random weights, the same ones each time, and their record."""
    torch.manual_seed(3)
    weights, record = folder / "weights.safetensors", folder / "record.json"
    model = registry.build("small_convnext", 10, (32, 32))
    for parameter in model.parameters():  # so that labels differ between images and between masks
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    registry.save_weights(model, weights)
    write_json(record, {"identity": {"model": "small_convnext", "settings": TRAINING, "seed": 0, "data": "d", "code": "t"}})
    return Job("small_convnext", weights, record, TRAINING, 0, 10, MASKS, ENGINE, "cpu", "d", "c")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_job(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def undisturbed(job: Job, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    predict_shard(job, IMAGES, 3, folder / "1-of-1.npz", folder / "scratch")
    assert list((folder / "scratch").iterdir()) == []
    return (folder / "1-of-1.npz").read_bytes()


def load(content: bytes, folder: Path) -> Predictions:
    (folder / "some.npz").write_bytes(content)
    return Predictions.load(folder / "some.npz")


# --- what is written ---------------------------------------------------------------------------------------------------------


def test_a_shard_holds_what_the_engine_says(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    stored = load(undisturbed, tmp_path)
    model = registry.build("small_convnext", 10, (32, 32))
    registry.load_weights(model, job.weights)
    answers = predict(model, (torch.tensor(IMAGES.pixels).float() / 255 - 0.5) / 0.5, MASKS, batch_size=16)
    np.testing.assert_array_equal(stored.image_ids, IMAGES.ids)
    np.testing.assert_array_equal(stored.labels, answers.labels)
    np.testing.assert_array_equal(stored.unmasked, answers.unmasked)
    np.testing.assert_allclose(stored.margins, answers.margins, rtol=1e-3)
    assert len(np.unique(stored.labels[:, 0])) > 1
    assert len(np.unique(stored.labels[0])) > 1
    assert (stored.labels.dtype, stored.unmasked.dtype, stored.margins.dtype) == (np.uint16, np.uint16, np.float32)


def test_a_shard_says_what_it_depends_on(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    assert load(undisturbed, tmp_path).identity == {
        "model": "small_convnext",
        "weights_sha256": file_sha256(job.weights),
        "masks": {"image_size": [32, 32], "patch_size": [5, 5], "boxes_sha256": settings_sha256(MASKS.boxes)},
        "engine": ENGINE,
        "device": "cpu",
        "data": "d",
        "code": "c",
        "versions": environment("torch", "timm", "numpy"),
    }


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"device": "cuda"}, "device"),
        ({"code": "other"}, "code"),
        ({"engine": ENGINE | {"fill": 1.0}}, "engine"),
        ({"masks": mask_set((32, 32), (5, 5), (3, 3))}, "masks"),
    ],
)
def test_every_part_of_a_job_is_part_of_its_identity(job: Job, change: dict[str, Any], key: str) -> None:
    before, after = job.identity(), dataclasses.replace(job, **change).identity()
    assert [name for name, value in before.items() if after[name] != value] == [key]


@pytest.mark.parametrize("block_size", [1, 7, 100])
def test_the_size_of_blocks_changes_no_label(job: Job, undisturbed: bytes, tmp_path: Path, block_size: int) -> None:
    predict_shard(job, IMAGES, block_size, tmp_path / "a.npz", tmp_path / "scratch")
    one, other = Predictions.load(tmp_path / "a.npz"), load(undisturbed, tmp_path)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.image_ids, other.image_ids)
    assert one.identity == other.identity


def test_the_fill_reaches_the_engine(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    other = dataclasses.replace(job, engine=ENGINE | {"fill": 9.0})
    predict_shard(other, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert not np.array_equal(Predictions.load(tmp_path / "a.npz").margins, load(undisturbed, tmp_path).margins)


# --- interrupted -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at once."""


def counting(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """Images of each call of the engine; the call numbered ``stop_at`` ends the job."""
    sizes: list[int] = []

    def counted(model: Any, pixels: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        if len(sizes) == stop_at:
            raise Killed
        sizes.append(len(pixels))
        return predict(model, pixels, *arguments, **named)

    monkeypatch.setattr(shards, "predict", counted)
    return sizes


@pytest.mark.parametrize(("done", "rest"), [(0, [3, 3, 1]), (1, [3, 1]), (2, [1])])
def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(
    job: Job, undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int, rest: list[int]
) -> None:
    output, scratch = tmp_path / "1-of-1.npz", tmp_path / "scratch"
    with monkeypatch.context() as patch:
        counting(patch, stop_at=done)
        with pytest.raises(Killed):
            predict_shard(job, IMAGES, 3, output, scratch)
    assert not output.exists()
    sizes = counting(monkeypatch)
    predict_shard(job, IMAGES, 3, output, scratch)
    assert sizes == rest
    assert output.read_bytes() == undisturbed
    assert list(scratch.iterdir()) == []


def test_a_job_that_is_killed_while_it_writes_predicts_nothing_again(
    job: Job, undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shards.Predictions, "concatenate", lambda parts: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            predict_shard(job, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    sizes = counting(monkeypatch)
    predict_shard(job, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert sizes == []
    assert (tmp_path / "a.npz").read_bytes() == undisturbed


def test_a_process_that_is_killed_for_real_goes_on(undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import os, signal, sys, importlib.util
from pathlib import Path
specification = importlib.util.spec_from_file_location("test_shards", {__file__!r})
tests = importlib.util.module_from_spec(specification)
sys.modules["test_shards"] = tests
specification.loader.exec_module(tests)
calls = []
def kill(*arguments, **named):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return tests.predict(*arguments, **named)
tests.shards.predict = kill
folder = Path(sys.argv[1])
tests.predict_shard(tests.make_job(folder), tests.IMAGES, 3, folder / "a.npz", folder / "scratch")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": str(PACKAGE_PARENT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / "a.npz").exists()
    sizes = counting(monkeypatch)
    predict_shard(make_job(tmp_path), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert sizes == [1]
    assert (tmp_path / "a.npz").read_bytes() == undisturbed


def test_blocks_of_another_job_are_not_taken_up(
    job: Job, undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counting(patch, stop_at=2)
        with pytest.raises(Killed):
            predict_shard(dataclasses.replace(job, code="other"), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    sizes = counting(monkeypatch)
    predict_shard(job, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert sizes == [3, 3, 1]
    assert (tmp_path / "a.npz").read_bytes() == undisturbed


def test_blocks_of_another_size_do_not_mix(
    job: Job, undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counting(patch, stop_at=1)
        with pytest.raises(Killed):
            predict_shard(job, IMAGES, 2, tmp_path / "a.npz", tmp_path / "scratch")
    predict_shard(job, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    np.testing.assert_array_equal(Predictions.load(tmp_path / "a.npz").labels, load(undisturbed, tmp_path).labels)


def test_blocks_of_other_images_are_not_taken_up(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        counting(patch, stop_at=1)
        with pytest.raises(Killed):
            predict_shard(job, shard_of(IMAGES, "1-of-2"), 2, tmp_path / "a.npz", tmp_path / "scratch")
    sizes = counting(monkeypatch)
    predict_shard(job, shard_of(IMAGES, "2-of-2"), 2, tmp_path / "b.npz", tmp_path / "scratch")
    assert sizes == [2, 2]
    assert Predictions.load(tmp_path / "b.npz").image_ids.tolist() == IMAGES.ids[3:].tolist()


# --- the shares of the images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_shards_partition_the_images_in_order_and_evenly(count: int) -> None:
    parts = [shard_of(IMAGES, f"{number}-of-{count}") for number in range(1, count + 1)]
    for field in ("ids", "pixels", "labels"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, field) for part in parts]), getattr(IMAGES, field))
    sizes = [len(part.ids) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(part.ids) == len(part.pixels) == len(part.labels) for part in parts)


# --- weights of something else -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "found", "wanted"),
    [
        ({"seed": 1}, "seed 0", "1"),
        ({"model": "small_vit"}, 'model "small_convnext"', '"small_vit"'),
        ({"data": "x"}, 'data "d"', '"x"'),
        ({"training": TRAINING | {"epochs": 4}}, "settings.epochs 3", "4"),
        ({"training": TRAINING | {"shift": 2}}, "settings.shift null", "2"),
        (
            {"training": {key: value for key, value in TRAINING.items() if key != "epochs"}},
            "settings.epochs 3",
            "null",
        ),
    ],
)
def test_weights_that_were_trained_otherwise_are_refused(
    job: Job, tmp_path: Path, change: dict[str, Any], found: str, wanted: str
) -> None:
    with pytest.raises(InputError) as caught:
        predict_shard(dataclasses.replace(job, **change), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert str(caught.value) == (
        f"{job.weights}: trained with {found}, and the study asks for {wanted}; delete the file, or restore the one that "
        "belongs to this configuration"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_that_gives_no_numbers_is_refused(job: Job, tmp_path: Path) -> None:
    model = registry.build("small_convnext", 10, (32, 32))
    next(model.parameters()).data.fill_(torch.nan)
    registry.save_weights(model, tmp_path / "w.safetensors")
    broken = dataclasses.replace(job, weights=tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="not finite"):
        predict_shard(broken, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert not (tmp_path / "a.npz").exists()
