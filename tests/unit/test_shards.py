"""Shards of predictions: what the engine says, block by block, resumable to the byte, and of the right weights only.

Every test of a job runs in matrix mode and in certificate mode.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from patchcert import InputError
from patchcert.datasets.index import Images
from patchcert.defenses import challenger, double_masking
from patchcert.masks import mask_set, multi_patch_set
from patchcert.models import registry
from patchcert.predict import ALGORITHMS, Engine
from patchcert.predictions import STORED_UNPREDICTED, Answers, Predictions
from patchcert.provenance import environment, file_sha256, settings_sha256, write_json
from patchcert.scores import ScorePredictions
from patchcert.study import shards
from patchcert.study.shards import Job, predict_shard, shard_of
from patchcert.study.trained import Trained

torch.set_num_threads(1)

PACKAGE_PARENT = Path(__file__).parents[2] / "workflow"
MASKS = mask_set((32, 32), (5, 5), (2, 2))
ENGINE = {"fill": 0.0, "dtype": "float32", "batch_size": 4}
TRAINING = {"strategy": "plain", "epochs": 3, "learning_rate": 0.01}


@dataclasses.dataclass(frozen=True)
class Held:
    """Images in memory that are opened and read like a split."""

    ids: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, part: slice) -> Held:
        return Held(self.ids[part], self.pixels[part], self.labels[part])

    def read(self) -> Images:
        return Images(self.ids, self.pixels, self.labels)


IMAGES = Held(
    np.array([f"digits-{number}" for number in range(7)]),
    np.random.default_rng(0).integers(0, 256, (7, 3, 4, 4), dtype=np.uint8).repeat(8, axis=2).repeat(8, axis=3),
    np.array([6, 6, 6, 1, 0, 6, 6]),
)
MODES = ("matrix", "certificate")


def make_job(folder: Path, mode: str = "matrix") -> Job:
    """A job with random weights, the same ones each time, and their record."""
    torch.manual_seed(3)
    weights, record = folder / "weights.safetensors", folder / "record.json"
    model = registry.build("small_convnext", 10, (32, 32))
    for parameter in model.parameters():  # so that labels differ between images and between masks
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.head.fc.bias.data[6] = 6.0  # so that some certificates hold, and some fail under two masks only
    registry.save_weights(model, weights)
    write_json(record, {"identity": {"model": "small_convnext", "settings": TRAINING, "seed": 0, "data": "d", "code": "t"}})
    classifier = Trained("small_convnext", weights, record, TRAINING, 0, 10, (32, 32), "d")
    return Job(classifier, MASKS, ENGINE, mode, ALGORITHMS, "cpu", "c")


@pytest.fixture(scope="module", params=MODES)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_job(tmp_path_factory.mktemp("weights"), request.param)


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


def normalised(images: Held) -> torch.Tensor:
    return (torch.tensor(images.pixels).float() / 255 - 0.5) / 0.5


def test_a_shard_holds_what_the_engine_says(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    stored = load(undisturbed, tmp_path)
    model = job.classifier.load()
    engine, blocks = Engine(model, MASKS, batch_size=4), [IMAGES.part(slice(start, start + 3)) for start in (0, 3, 6)]
    if job.mode == "matrix":
        parts = [engine.matrix(normalised(block)) for block in blocks]
    else:
        parts = [engine.certificate(normalised(block), block.labels, ALGORITHMS) for block in blocks]
    expected = Predictions.of(IMAGES.ids, Answers(*map(np.concatenate, zip(*parts, strict=True))), {})
    np.testing.assert_array_equal(stored.image_ids, IMAGES.ids)
    for name in ("labels", "unmasked", "passes"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(expected, name))
        assert getattr(stored, name).dtype == getattr(expected, name).dtype
    np.testing.assert_allclose(stored.margins, expected.margins, rtol=1e-3)
    np.testing.assert_allclose(stored.confidences, expected.confidences, rtol=1e-3)
    assert len(np.unique(stored.labels, axis=0)) > 4
    assert len(np.unique(stored.unmasked)) > 2


def test_extrema_are_stored_block_by_block_as_well(tmp_path: Path) -> None:
    job = make_job(tmp_path, "extrema")
    predict_shard(job, IMAGES, 3, tmp_path / "1-of-1.npz", tmp_path / "scratch")
    stored = ScorePredictions.load(tmp_path / "1-of-1.npz")
    model = job.classifier.load()
    expected = Engine(model, MASKS).scores(normalised(IMAGES))
    assert stored.image_ids.tolist() == IMAGES.ids.tolist()
    np.testing.assert_allclose(stored.unmasked, expected.unmasked, atol=1e-5)
    np.testing.assert_allclose(stored.extrema.lowest, expected.extrema.lowest, atol=1e-5)
    assert stored.identity == job.identity()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_both_modes_store_what_gives_the_same_certificates_and_answers(tmp_path: Path) -> None:
    stored = []
    for mode in MODES:
        predict_shard(make_job(tmp_path, mode), IMAGES, 3, tmp_path / f"{mode}.npz", tmp_path / "scratch")
        stored.append(Predictions.load(tmp_path / f"{mode}.npz"))
    matrix, certificate = stored
    certified = double_masking.certify(matrix.pair_labels, IMAGES.labels)
    assert certified.tolist() == [False, True, False, False, False, False, False]
    assert double_masking.certify(certificate.pair_labels, IMAGES.labels).tolist() == certified.tolist()
    for decide in (double_masking.decide, challenger.decide):
        for one, other in zip(decide(matrix.pair_labels), decide(certificate.pair_labels), strict=True):
            np.testing.assert_array_equal(one, other)
    assert matrix.passes.tolist() == [10] * 7
    # all pairs of the certified image; the single masks of the one that is unanimous and wrong
    assert (certificate.passes[1], certificate.passes[3]) == (10, 4)
    assert certificate.passes.sum() < 70


def test_a_shard_says_what_it_depends_on(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    assert load(undisturbed, tmp_path).identity == {
        "model": "small_convnext",
        "weights_sha256": file_sha256(job.classifier.weights),
        "masks": {"image_size": [32, 32], "boxes_sha256": settings_sha256(MASKS.base_boxes), "patches": 1},
        "engine": ENGINE,
        "mode": job.mode,
        "algorithms": ["double_masking", "challenger"],
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
        ({"engine": ENGINE | {"compiled": True}}, "engine"),
        ({"mode": "another"}, "mode"),
        ({"algorithms": ("double_masking",)}, "algorithms"),
        ({"masks": mask_set((32, 32), (5, 5), (3, 3))}, "masks"),
        ({"masks": multi_patch_set(MASKS, 2)}, "masks"),
    ],
)
def test_every_part_of_a_job_is_part_of_its_identity(job: Job, change: dict[str, Any], key: str) -> None:
    before, after = job.identity(), dataclasses.replace(job, **change).identity()
    assert [name for name, value in before.items() if after[name] != value] == [key]


@pytest.mark.parametrize("block_size", [1, 7, 100])
def test_the_size_of_blocks_changes_no_label(job: Job, undisturbed: bytes, tmp_path: Path, block_size: int) -> None:
    predict_shard(job, IMAGES, block_size, tmp_path / "a.npz", tmp_path / "scratch")
    one, other = Predictions.load(tmp_path / "a.npz"), load(undisturbed, tmp_path)
    both = (one.labels != STORED_UNPREDICTED) & (other.labels != STORED_UNPREDICTED)
    assert both[:, MASKS.areas.of_mask].all()
    assert both.all() or job.mode == "certificate"  # which pairs share a wave may differ
    np.testing.assert_array_equal(one.labels[both], other.labels[both])
    np.testing.assert_array_equal(one.image_ids, other.image_ids)
    assert one.identity == other.identity
    certified = [double_masking.certify(found.pair_labels, IMAGES.labels).tolist() for found in (one, other)]
    assert certified[0] == certified[1]


def test_the_fill_reaches_the_engine(job: Job, undisturbed: bytes, tmp_path: Path) -> None:
    other = dataclasses.replace(job, engine=ENGINE | {"fill": 9.0})
    predict_shard(other, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert not np.array_equal(Predictions.load(tmp_path / "a.npz").margins, load(undisturbed, tmp_path).margins)


@pytest.mark.parametrize("mode", MODES)
def test_the_log_says_how_far_and_how_fast_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    seconds = itertools.count(0, 2)
    monkeypatch.setattr(shards, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    with caplog.at_level(logging.INFO, logger="patchcert.study.blocks"):
        predict_shard(make_job(tmp_path, mode), IMAGES, 4, tmp_path / "a.npz", tmp_path / "scratch")
    passes = Predictions.load(tmp_path / "a.npz").passes
    # unmasked images count as forward passes, too; 2 s for the first block, and 2 s more for the second
    asked = [4 + passes[:4].sum(), 7 + passes.sum()]
    assert [record.getMessage() for record in caplog.records] == [
        f"predicting: {done} of 7 images done, {copies / done:.0f} forward passes an image, "
        f"{copies / clock:.0f} forward passes/s"
        for done, copies, clock in zip((4, 7), asked, (2, 4), strict=True)
    ]


def test_no_more_than_a_block_of_pixels_is_read_at_once(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    plain = Held.read
    monkeypatch.setattr(Held, "read", lambda part: read.append(part.ids.tolist()) or plain(part))
    predict_shard(job, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert read == [IMAGES.ids[start : start + 3].tolist() for start in (0, 3, 6)]


# --- interrupted -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at once."""


def counting(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """Images that the engine is shown each time; the time numbered ``stop_at`` ends the job."""
    sizes: list[int] = []

    class Counted(Engine):
        def show(self, images: torch.Tensor) -> Any:
            if len(sizes) == stop_at:
                raise Killed
            sizes.append(len(images))
            return super().show(images)

    monkeypatch.setattr(shards, "Engine", Counted)
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


def test_a_process_that_is_killed_for_real_goes_on(
    job: Job, undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, signal, sys, importlib.util
from pathlib import Path
specification = importlib.util.spec_from_file_location("test_shards", {__file__!r})
tests = importlib.util.module_from_spec(specification)
sys.modules["test_shards"] = tests
specification.loader.exec_module(tests)
calls = []
class Fatal(tests.Engine):
    def show(self, images):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().show(images)
tests.shards.Engine = Fatal
folder = Path(sys.argv[1])
tests.predict_shard(tests.make_job(folder, sys.argv[2]), tests.IMAGES, 3, folder / "a.npz", folder / "scratch")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), job.mode],
        env={"PYTHONPATH": str(PACKAGE_PARENT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / "a.npz").exists()
    sizes = counting(monkeypatch)
    predict_shard(make_job(tmp_path, job.mode), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
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


def test_blocks_of_another_mode_are_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        counting(patch, stop_at=2)
        with pytest.raises(Killed):
            predict_shard(make_job(tmp_path, "certificate"), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    sizes = counting(monkeypatch)
    predict_shard(make_job(tmp_path, "matrix"), IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert sizes == [3, 3, 1]


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
    otherwise = dataclasses.replace(job, classifier=dataclasses.replace(job.classifier, **change))
    with pytest.raises(InputError) as caught:
        predict_shard(otherwise, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert str(caught.value) == (
        f"{job.classifier.weights}: trained with {found}, and the study asks for {wanted}; delete the file, or restore the one "
        "that belongs to this configuration"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_that_gives_no_numbers_is_refused(job: Job, tmp_path: Path) -> None:
    model = registry.build("small_convnext", 10, (32, 32))
    next(model.parameters()).data.fill_(torch.nan)
    registry.save_weights(model, tmp_path / "w.safetensors")
    broken = dataclasses.replace(job, classifier=dataclasses.replace(job.classifier, weights=tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match="not finite"):
        predict_shard(broken, IMAGES, 3, tmp_path / "a.npz", tmp_path / "scratch")
    assert not (tmp_path / "a.npz").exists()
