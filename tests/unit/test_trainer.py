"""The trainer: reproducible to the byte, resumable to the byte, and the best epoch by the stated rule."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from patchcert import InputError
from patchcert.datasets.index import Images
from patchcert.masks import mask_set
from patchcert.models import registry
from patchcert.training import trainer
from patchcert.training.losses import Loss
from patchcert.training.strategy import strategy
from patchcert.training.trainer import Learner, Run, State, flipped, shifted, train

from ..published import timm_weights

torch.set_num_threads(1)

PACKAGE_PARENT = Path(__file__).parents[2] / "workflow"
RESULTS = {"weights.safetensors", "record.json", "log.csv"}

SETTINGS: dict[str, Any] = {
    "strategy": "random_cutout",
    "loss": "cross_entropy",
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.002,
    "weight_decay": 0.05,
    "warmup_epochs": 1,
    "label_smoothing": 0.1,
    "shift": 2,
    "flip": False,
    "optimizer": "adamw",
    "momentum": 0.9,
    "decay_after": [],
    "precision": "float32",
    "pretrained": False,
    "refresh_every": 1,
    "gpus": 1,
    "calibration_masks": 3,
    "cutout_size": [18, 18],
}
RUN = Run("small_resnetv2", SETTINGS, seed=0, image_size=(32, 32), classes=4, data="data", code="code")


def with_settings(run: Run = RUN, **changes: Any) -> Run:
    kept = {key: value for key, value in (dict(run.settings) | changes).items() if value is not None}
    return dataclasses.replace(run, settings=kept)


def images(count: int, seed: int) -> Images:
    """Noise with a bright quarter, the label."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pixels = random.integers(0, 120, (count, 3, 32, 32), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        top, left = divmod(int(label), 2)
        image[:, 16 * top : 16 * top + 16, 16 * left : 16 * left + 16] += 120
    return Images(np.array([f"{seed}-{number}" for number in range(count)]), pixels, labels.astype(np.int64))


PARTS = images(40, 1), images(12, 2)


def trained(folder: Path, run: Run = RUN) -> dict[str, bytes]:
    """Train into a folder and give the bytes of everything that is there afterwards."""
    train(run, *PARTS, folder / "output", folder / "scratch")
    assert list((folder / "scratch").iterdir()) == [], "the state is of no use after the end"
    return {path.name: path.read_bytes() for path in (folder / "output").iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return trained(tmp_path_factory.mktemp("undisturbed"))


# --- reproducible ------------------------------------------------------------------------------------------------------------


def test_a_run_writes_weights_record_and_log(undisturbed: dict[str, bytes]) -> None:
    assert set(undisturbed) == RESULTS


def test_the_same_run_gives_the_same_bytes(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    torch.manual_seed(99)  # what went on before in this process must not count
    torch.rand(7)
    assert trained(tmp_path) == undisturbed


def test_another_seed_gives_other_weights(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    other = trained(tmp_path, dataclasses.replace(RUN, seed=1))
    assert all(other[name] != undisturbed[name] for name in RESULTS)


@pytest.mark.parametrize(
    "change",
    [
        {"shift": 0},
        {"flip": True},
        {"label_smoothing": 0.0},
        {"weight_decay": 0.5},
        {"batch_size": 40},
        {"warmup_epochs": 0},
        {"optimizer": "adam"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_counts(undisturbed: dict[str, bytes], tmp_path: Path, change: dict[str, Any]) -> None:
    assert trained(tmp_path, with_settings(**change))["weights.safetensors"] != undisturbed["weights.safetensors"]


def test_the_classifier_learns(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    trained(tmp_path, with_settings(strategy="plain", cutout_size=None, epochs=6, learning_rate=0.01))
    log = pd.read_csv(tmp_path / "output" / "log.csv")
    assert log["training_loss"].iloc[-1] < 0.75 * log["training_loss"].iloc[0]
    assert log["calibration_accuracy"].max() > 0.7, "one in four is chance"


def test_calibration_images_choose_the_epoch_and_teach_nothing(tmp_path: Path) -> None:
    run = with_settings(epochs=1)
    calibration = PARTS[1]
    others = Images(calibration.ids, 255 - calibration.pixels, calibration.labels[::-1].copy())
    train(run, *PARTS, tmp_path / "a", tmp_path / "scratch")
    train(run, PARTS[0], others, tmp_path / "b", tmp_path / "scratch")
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (tmp_path / "b" / "weights.safetensors").read_bytes()
    assert (tmp_path / "a" / "log.csv").read_bytes() != (tmp_path / "b" / "log.csv").read_bytes()


# --- what is written ---------------------------------------------------------------------------------------------------------


def test_the_record_says_what_the_weights_depend_on(undisturbed: dict[str, bytes]) -> None:
    record = json.loads(undisturbed["record.json"])
    identity = record["identity"]
    assert identity["versions"].keys() == {"python", "patchcert", "torch", "timm"}
    del identity["versions"]
    assert identity == {
        "model": "small_resnetv2",
        "settings": SETTINGS,
        "seed": 0,
        "image_size": [32, 32],
        "classes": 4,
        "data": "data",
        "code": "code",
        "device": "cpu",
        "start_sha256": None,
    }
    assert (record["extra_passes"], record["copies"]) == (0, 1)
    assert record["images"] == {"train": 40, "calibration": 12}
    model = registry.build("small_resnetv2", 4, (32, 32))
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_the_log_has_a_row_an_epoch(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(undisturbed["log.csv"])
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log.columns) == [
        "epoch",
        "learning_rate",
        "training_loss",
        "calibration_accuracy",
        "calibration_masked_accuracy",
        "calibration_loss",
    ]
    assert log["epoch"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(log["learning_rate"], [0.002, 0.001, 0.0], atol=1e-12)
    # 12 calibration images, as they are and under 3 masks
    assert (log["calibration_accuracy"] * 12 % 1).round(4).isin([0, 1]).all()
    assert (log["calibration_masked_accuracy"] * 36 % 1).round(4).isin([0, 1]).all()
    best = json.loads(undisturbed["record.json"])
    assert log.iloc[best["best_epoch"]].to_dict() == pytest.approx(best["calibration"])


def test_the_search_of_a_strategy_is_recorded(tmp_path: Path) -> None:
    run = with_settings(
        strategy="greedy_cutout", cutout_size=None, patch_size=[5, 5], mask_budgets=[[2, 2], [3, 3]], epochs=1, batch_size=20
    )
    record = json.loads(trained(tmp_path, run)["record.json"])
    # two rounds of 4 large masks and of the fewest of 9 small ones under each of them
    under = max(
        len(mask_set((32, 32), (5, 5), (3, 3)).fewest_covering(box)) for box in mask_set((32, 32), (5, 5), (2, 2)).boxes
    )
    assert (record["extra_passes"], record["copies"]) == (2 * (4 + under), 2)


def test_nothing_is_written_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    finish = State.finish_epoch

    def look(self: State, row: dict[str, float]) -> None:
        finish(self, row)
        seen.append((tmp_path / "output").exists())

    monkeypatch.setattr(State, "finish_epoch", look)
    trained(tmp_path)
    assert seen == [False, False, False]


# --- interrupted -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at once."""


def stop_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> list[int]:
    """Let the n-th call of something in the trainer end the run; gives the epochs that were begun."""
    begun: list[int] = []
    epoch_function, owner = Learner.epoch, Learner if hasattr(Learner, name) else trainer
    target = getattr(owner, name)
    calls = 0

    def counted(self: Learner, images: Images, epoch: int, searched: np.ndarray | None) -> Any:
        begun.append(epoch)
        return epoch_function(self, images, epoch, searched)

    def stopping(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return target(*arguments, **named)

    monkeypatch.setattr(Learner, "epoch", counted)
    if name != "epoch":
        monkeypatch.setattr(owner, name, stopping)
    return begun


@pytest.mark.parametrize(
    ("function", "call", "done"),
    [("shifted", 2, 0), ("calibrate", 1, 0), ("shifted", 4, 1), ("calibrate", 3, 2), ("write_json", 1, 3)],
    ids=["in epoch 0", "after epoch 0 untold", "in epoch 1", "after epoch 2 untold", "while writing"],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int, done: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, function, call)
        with pytest.raises(Killed):
            trained(tmp_path)
    assert not (tmp_path / "output" / "weights.safetensors").exists()
    assert len(list((tmp_path / "scratch").glob("train-*.pt"))) == (done > 0)
    begun = stop_at(monkeypatch, "epoch", 0)
    torch.manual_seed(5)
    assert trained(tmp_path) == undisturbed
    assert begun == list(range(done, 3)), "finished epochs are not repeated, and the others are not left out"


GREEDY = {"strategy": "greedy_cutout", "cutout_size": None, "patch_size": [5, 5], "mask_budgets": [[2, 2]]}


@pytest.mark.parametrize("settings", [{"epochs": 2}, {"epochs": 4, "refresh_every": 3}], ids=["anew", "kept"])
def test_a_killed_search_goes_on_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    run = with_settings(**GREEDY, **settings)
    expected = trained(tmp_path / "a", run)
    with monkeypatch.context() as patch:
        stop_at(patch, "shifted", 5)
        with pytest.raises(Killed):
            trained(tmp_path / "b", run)
    assert trained(tmp_path / "b", run) == expected


def test_a_killed_run_goes_on_where_the_classifier_draws_random_numbers_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = registry.build
    monkeypatch.setattr(
        registry, "build", lambda *facts, **named: torch.nn.Sequential(torch.nn.Dropout(0.3), build(*facts, **named))
    )
    run = with_settings(epochs=2)
    expected = trained(tmp_path / "a", run)
    with monkeypatch.context() as patch:
        stop_at(patch, "calibrate", 2)
        with pytest.raises(Killed):
            trained(tmp_path / "b", run)
    torch.manual_seed(5)
    assert trained(tmp_path / "b", run) == expected


class RunsCode:
    """What touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_a_state_that_would_run_code_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "shifted", 4)
        with pytest.raises(Killed):
            trained(tmp_path)
    (state,) = (tmp_path / "scratch").iterdir()
    torch.save({"model": RunsCode(tmp_path / "ran")}, state)
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        trained(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_process_that_is_killed_for_real_goes_on(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
import tests.unit.test_trainer as tests
finish = tests.State.finish_epoch
def kill(self, row):
    finish(self, row)
    if len(self.history) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
tests.State.finish_epoch = kill
tests.train(tests.RUN, *tests.PARTS, Path(sys.argv[1]) / "output", Path(sys.argv[1]) / "scratch")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": f"{PACKAGE_PARENT}:{Path(__file__).parents[2]}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / "output").exists()
    assert trained(tmp_path) == undisturbed


def test_the_state_of_another_run_is_not_taken_up(
    undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "calibrate", 3)
        with pytest.raises(Killed):
            trained(tmp_path, dataclasses.replace(RUN, seed=7))
    (stale,) = (tmp_path / "scratch").iterdir()
    kept = stale.read_bytes()
    train(RUN, *PARTS, tmp_path / "output", tmp_path / "scratch")
    assert {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir()} == undisturbed
    assert stale.read_bytes() == kept


@pytest.mark.parametrize("field", ["model", "seed", "classes", "data", "code", "device", "settings", "start"])
def test_every_part_of_a_run_is_part_of_its_identity(field: str, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.write_bytes(b"weights")
    other = {
        "model": "small_vit",
        "seed": 3,
        "classes": 5,
        "data": "x",
        "code": "x",
        "device": "cuda",
        "settings": SETTINGS | {"epochs": 9},
        "start": start,
    }
    changed = dataclasses.replace(RUN, **{field: other[field]}).identity()
    different = [key for key, value in RUN.identity().items() if changed[key] != value]
    assert different == ["start_sha256" if field == "start" else field]
    if field == "start":
        assert changed["start_sha256"] == hashlib.sha256(b"weights").hexdigest()


# --- the best epoch ----------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "highest masked accuracy": ("cross_entropy", [(0.5, 1.0), (0.9, 3.0), (0.7, 0.1)], 1),
    "then the lower loss": ("cross_entropy", [(0.9, 1.0), (0.9, 0.5), (0.9, 0.7)], 1),
    "then the earlier": ("cross_entropy", [(0.4, 9.0), (0.9, 0.5), (0.9, 0.5)], 1),
    "the last": ("cross_entropy", [(0.1, 1.0), (0.2, 1.0), (0.3, 1.0)], 2),
    "the first": ("cross_entropy", [(0.3, 1.0), (0.2, 0.1), (0.1, 0.1)], 0),
    "the lowest margin loss": ("margin", [(0.9, 0.5), (0.5, 0.1), (0.8, 0.3)], 1),
    "then the highest accuracy": ("margin", [(0.5, 0.1), (0.7, 0.1), (0.7, 0.1)], 1),
}


@pytest.mark.parametrize(("loss", "script", "best"), SCRIPTS.values(), ids=list(SCRIPTS))
def test_the_best_epoch_and_its_weights_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, script: list[tuple[float, float]], best: int
) -> None:
    weights = []

    def scripted(self: Learner, *_: Any) -> dict[str, float]:
        accuracy, loss = script[len(weights)]
        weights.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        # the accuracy without masks points elsewhere
        return {"calibration_accuracy": 1 - accuracy, "calibration_masked_accuracy": accuracy, "calibration_loss": loss}

    monkeypatch.setattr(Learner, "calibrate", scripted)
    results = trained(tmp_path, with_settings(loss=loss, margin=0.5, one_hot_penalty=0))
    record = json.loads(results["record.json"])
    assert record["best_epoch"] == best
    assert (record["calibration"]["calibration_masked_accuracy"], record["calibration"]["calibration_loss"]) == script[best]
    model = registry.build("small_resnetv2", 4, (32, 32))
    registry.load_weights(model, tmp_path / "output" / "weights.safetensors")
    assert all(torch.equal(tensor, weights[best][name]) for name, tensor in model.state_dict().items())


def learner(model: torch.nn.Module, run: Run = RUN) -> Learner:
    return Learner(run, model, torch.optim.SGD(model.parameters(), lr=0.1), strategy(run.settings, run.image_size))


@pytest.mark.parametrize("batch_size", [256, 5])
def test_calibration_is_over_the_draws_of_masks_and_moves_nothing(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    monkeypatch.setattr(trainer, "CALIBRATION_BATCH_SIZE", batch_size)
    torch.manual_seed(0)
    model = registry.build("small_resnetv2", 4, (32, 32)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shown = (torch.tensor(PARTS[1].pixels).float() / 255 - 0.5) / 0.5
    labels = torch.tensor(PARTS[1].labels)
    found = learner(model).calibrate(PARTS[1], np.array([[[0, 16, 0, 32]], [[0, 32, 0, 32]]]))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.eval()
    with torch.inference_mode():
        half = shown.clone()
        half[:, :, :16] = 0
        answers = [model(part) for part in (shown, half, torch.zeros_like(shown))]
    right = [(logits.argmax(dim=1) == labels).float().mean().item() for logits in answers]
    losses = [torch.nn.functional.cross_entropy(logits, labels).item() for logits in answers]
    assert found == pytest.approx(
        {
            "calibration_accuracy": right[0],
            "calibration_masked_accuracy": (right[1] + right[2]) / 2,
            "calibration_loss": sum(losses) / 3,
        },
        abs=1e-5,
    )


def test_the_masks_of_calibration_stay_the_same_in_a_run_and_come_from_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    calibrate = Learner.calibrate

    def watched(self: Learner, images: Images, views: np.ndarray) -> dict[str, float]:
        seen.append(views.copy())
        return calibrate(self, images, views)

    monkeypatch.setattr(Learner, "calibrate", watched)
    for seed in (0, 1):
        trained(tmp_path / str(seed), dataclasses.replace(with_settings(epochs=2), seed=seed))
    assert len(seen) == 4
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[2], seen[3])
    assert not np.array_equal(seen[0], seen[2])


def test_without_masks_calibration_is_over_the_images_as_they_are() -> None:
    found = learner(registry.build("small_resnetv2", 4, (32, 32))).calibrate(PARTS[1], np.zeros((0, 0, 4), dtype=np.int64))
    assert found["calibration_masked_accuracy"] == found["calibration_accuracy"]


GAUSSIAN = {"strategy": "gaussian_patch", "noise_sides": [3, 6], "noise_sigma": 2.0, "cutout_size": None}


def test_noise_of_calibration_is_the_same_in_every_epoch_and_comes_from_the_seed() -> None:
    run = with_settings(**GAUSSIAN)
    model = registry.build("small_resnetv2", 4, (32, 32))
    views = learner(model, run).plan.calibration_boxes(3, torch.Generator().manual_seed(0))
    found, again = (learner(model, run).calibrate(PARTS[1], views) for _ in range(2))
    other = learner(model, dataclasses.replace(run, seed=1)).calibrate(PARTS[1], views)
    assert found == again
    assert found["calibration_loss"] != other["calibration_loss"]


def test_a_run_with_noise_is_reproducible_to_the_byte(tmp_path: Path) -> None:
    run = with_settings(epochs=2, **GAUSSIAN)
    first = trained(tmp_path / "first", run)
    torch.rand(3)
    assert trained(tmp_path / "second", run) == first


# --- searches that are kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refresh_every", "searches"), [(1, 4), (2, 2), (3, 2), (9, 1)])
def test_a_search_is_kept_for_the_epochs_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refresh_every: int, searches: int
) -> None:
    run = with_settings(epochs=4, shift=0, refresh_every=refresh_every, **GREEDY)
    shown: list[dict[int, np.ndarray]] = []
    step = Learner.step

    def watched(
        self: Learner, batch: torch.Tensor, truth: torch.Tensor, boxes: np.ndarray, generator: torch.Generator
    ) -> float:
        known = (torch.tensor(PARTS[0].pixels).float() / 255 - 0.5) / 0.5
        rows = [int((known == image).flatten(1).all(dim=1).nonzero()) for image in batch]
        if not shown or len(shown[-1]) == 40:
            shown.append({})
        shown[-1] |= dict(zip(rows, boxes[0], strict=True))
        return step(self, batch, truth, boxes, generator)

    monkeypatch.setattr(Learner, "step", watched)
    record = json.loads(trained(tmp_path, run)["record.json"])
    assert record["extra_passes"] == 7 * searches / 4
    for epoch in range(4):
        for image in range(40):
            kept = epoch // refresh_every * refresh_every
            assert np.array_equal(shown[epoch][image], shown[kept][image])


# --- start, steps, schedule --------------------------------------------------------------------------------------------------


def test_a_run_begins_with_the_weights_that_it_is_given(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(undisturbed["weights.safetensors"])
    results = trained(tmp_path, dataclasses.replace(with_settings(epochs=1, learning_rate=1e-30), seed=4, start=start))
    before, after = (registry.build("small_resnetv2", 4, (32, 32)) for _ in range(2))
    registry.load_weights(before, start)
    registry.load_weights(after, tmp_path / "output" / "weights.safetensors")
    for first, second in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(first, second)
    moved = [name for name, tensor in before.state_dict().items() if not torch.equal(tensor, dict(after.state_dict())[name])]
    assert moved, "BatchNorm's statistics follow the training images"
    assert all("running" in name or "num_batches" in name for name in moved)
    sha256 = hashlib.sha256(undisturbed["weights.safetensors"]).hexdigest()
    assert json.loads(results["record.json"])["identity"]["start_sha256"] == sha256


def test_starting_weights_that_do_not_fit(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(undisturbed["weights.safetensors"])
    with pytest.raises(InputError, match=r"start\.safetensors: no weights of this model"):
        trained(tmp_path, dataclasses.replace(RUN, classes=5, start=start))
    assert not (tmp_path / "output").exists()


def test_a_loss_that_is_no_longer_finite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"learning_rate 1e\+30: the loss is (nan|inf) in epoch 0; lower it"):
        trained(tmp_path, with_settings(learning_rate=1e30, warmup_epochs=0))
    assert not (tmp_path / "output").exists()


def test_copies_of_an_image_keep_its_label(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = with_settings(
        strategy="greedy_cutout",
        cutout_size=None,
        patch_size=[5, 5],
        mask_budgets=[[2, 2], [3, 3]],
        epochs=1,
        shift=0,
        batch_size=20,
        calibration_masks=1,
    )
    steps: list[tuple[torch.Tensor, torch.Tensor]] = []
    loss_of = trainer.loss_of
    shown: list[torch.Tensor] = []

    def captured(settings: dict[str, Any]) -> Loss:
        loss = loss_of(settings)

        def capture(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            steps.append((shown[-1], labels))
            return loss(logits, labels)

        return capture

    build = registry.build

    def watched(*arguments: Any, **named: Any) -> torch.nn.Module:
        model = build(*arguments, **named)
        model.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].clone()) if module.training else None)
        return model

    monkeypatch.setattr(trainer, "loss_of", captured)
    monkeypatch.setattr(registry, "build", watched)
    trained(tmp_path, run)
    assert [(len(batch), len(labels)) for batch, labels in steps] == [(40, 40), (40, 40)]
    known = (torch.tensor(PARTS[0].pixels).float() / 255 - 0.5) / 0.5
    met = []
    for batch, labels in steps:
        assert torch.equal(labels[:20], labels[20:])
        for first, second, label in zip(batch[:20], batch[20:], labels, strict=False):
            for copy in (first, second):
                hidden = (copy == 0).all(dim=0)
                assert 0 < hidden.float().mean() < 1
            # the image that both copies show where they show anything
            same = ((known == first) | (first == 0)).flatten(1).all(dim=1) & ((known == second) | (second == 0)).flatten(1).all(
                dim=1
            )
            (image,) = same.nonzero().flatten().tolist()
            assert int(label) == PARTS[0].labels[image]
            met.append(image)
    assert sorted(met) == list(range(40)), "every image is learnt from once an epoch"


def test_shifted_by_hand() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).repeat(200, 2, 1, 1)
    image[:, 1] += 100
    generator = torch.Generator().manual_seed(0)
    moved = shifted(image, 1, generator)
    offsets = torch.randint(0, 3, (2, 200), generator=torch.Generator().manual_seed(0))
    by_hand = {
        (0, 0): [[0, 0, 1], [0, 0, 1], [3, 3, 4]],  # down and right: the first row and column are repeated
        (1, 1): [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
        (2, 1): [[3, 4, 5], [6, 7, 8], [6, 7, 8]],  # up
        (1, 0): [[0, 0, 1], [3, 3, 4], [6, 6, 7]],  # right
        (2, 2): [[4, 5, 5], [7, 8, 8], [7, 8, 8]],  # up and left
    }
    met = set()
    for picture, row, column in zip(moved, offsets[0].tolist(), offsets[1].tolist(), strict=True):
        met.add((row, column))
        if (row, column) in by_hand:
            assert picture[0].tolist() == by_hand[row, column]
            assert (picture[1] == picture[0] + 100).all()
    assert len(met) == 9
    assert moved.shape == image.shape


def test_no_shift_leaves_images_and_generator_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    batch = torch.randn(2, 3, 4, 5)
    assert shifted(batch, 0, generator) is batch
    assert torch.equal(generator.get_state(), before)


def test_shifts_of_oblong_images_reach_as_far_along_both_axes() -> None:
    batch = torch.arange(20.0).view(1, 1, 4, 5).repeat(500, 1, 1, 1)
    corners = shifted(batch, 2, torch.Generator().manual_seed(0))[:, 0, 0, 0]
    # the first pixel shows the clamped source: rows and columns 0 to 2
    assert set(corners.tolist()) == {row * 5.0 + column for row in range(3) for column in range(3)}


@pytest.mark.parametrize(
    ("warmup", "epochs", "epoch", "wanted"),
    [
        (2, 10, 0, 0.1 * 0.001 / 2),
        (2, 10, 1, 0.1 * 1.001 / 2),
        (2, 10, 2, 0.1),
        (2, 10, 6, 0.05),
        (2, 10, 4, 0.1 * 0.5 * (1 + math.cos(math.pi / 4))),
        (2, 10, 10, 0.0),
        (2, 10, 11, 0.0),
        (0, 10, 0, 0.1),
        (0, 10, 5, 0.05),
        (0.5, 1, 0.25, 0.1 * 0.251 / 0.5),
        (3, 3, 2, 0.1 * 2.001 / 3),
        (3, 3, 3, 0.1),
        (5, 3, 3, 0.1 * 3.001 / 5),
    ],
)
def test_the_learning_rate_at_its_corners(warmup: float, epochs: int, epoch: float, wanted: float) -> None:
    settings = {"warmup_epochs": warmup, "epochs": epochs, "learning_rate": 0.1, "decay_after": []}
    assert trainer._learning_rate(settings, epoch) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("epoch", "wanted"), [(0, 0.01), (4.99, 0.01), (5, 0.001), (7.99, 0.001), (8, 0.0001), (10, 0.0001)])
def test_the_learning_rate_is_divided_by_ten_after_the_epochs_that_are_named(epoch: float, wanted: float) -> None:
    settings = {"warmup_epochs": 0, "epochs": 10, "learning_rate": 0.01, "decay_after": [5, 8]}
    assert trainer._learning_rate(settings, epoch) == pytest.approx(wanted)


def test_half_of_the_images_are_mirrored() -> None:
    batch = torch.arange(2000 * 3 * 2 * 5, dtype=torch.float32).view(2000, 3, 2, 5)
    found, again = (flipped(batch, torch.Generator().manual_seed(0)) for _ in range(2))
    mirrored = (found == batch.flip(3)).flatten(1).all(dim=1)
    assert torch.equal(mirrored, ~(found == batch).flatten(1).all(dim=1))
    assert 0.45 < mirrored.float().mean() < 0.55
    assert torch.equal(found, again)


def test_stochastic_gradient_descent_takes_its_momentum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[dict[str, Any]] = []
    build = torch.optim.SGD

    def watched(parameters: Any, **named: Any) -> torch.optim.SGD:
        made.append(named)
        return build(parameters, **named)

    monkeypatch.setattr(torch.optim, "SGD", watched)
    trained(tmp_path, with_settings(optimizer="sgd", momentum=0.8, epochs=1))
    assert made == [{"lr": 0.002, "weight_decay": 0.05, "momentum": 0.8}]


def test_mixed_precision_trains_and_searches_in_bfloat16(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    build = registry.build

    def watched(*arguments: Any, **named: Any) -> torch.nn.Module:
        model = build(*arguments, **named)
        model.head.register_forward_hook(lambda module, inputs, logits: seen.append((module.training, logits.dtype)))
        return model

    monkeypatch.setattr(registry, "build", watched)
    found = trained(tmp_path, with_settings(precision="bfloat16", epochs=1, **GREEDY))
    assert set(seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert math.isfinite(json.loads(found["record.json"])["calibration"]["calibration_loss"])


@pytest.mark.parametrize(
    ("pretrained", "labels", "kept"), [(True, 1000, False), ("mine", 4, True)], ids=["of-timm", "checkpoint"]
)
def test_published_weights_as_they_are(pretrained: bool | str, labels: int, kept: bool, tmp_path: Path) -> None:
    """Of timm's own the last layer, for a thousand labels, makes room for a new one; a checkpoint is taken whole."""
    name, path = "test_byobnet.r160_in1k", tmp_path / "model.safetensors"
    before = timm_weights(path, name, labels=labels).state_dict()
    run = dataclasses.replace(with_settings(pretrained=pretrained, epochs=0), model=name, start=path)
    found = trained(tmp_path, run)
    weights = registry.safetensors.torch.load(found["weights.safetensors"])
    assert weights.keys() == before.keys()
    assert all(torch.equal(weights[key], tensor) for key, tensor in before.items() if not key.startswith("head."))
    assert weights["head.fc.weight"].shape[0] == 4
    assert torch.equal(weights["head.fc.weight"], before["head.fc.weight"]) is kept
    record = json.loads(found["record.json"])
    assert (record["best_epoch"], record["extra_passes"]) == (0, 0)


def test_without_a_file_of_published_weights_nothing_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^pretrained: True, and no file of weights is given"):
        trained(tmp_path, with_settings(pretrained=True))


def test_each_step_has_the_learning_rate_of_its_place_in_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *arguments: Any, **named: Any) -> Any:
        rates.extend(group["lr"] for group in self.param_groups)
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    trained(tmp_path)
    # 40 images in batches of 16 are three steps an epoch
    wanted = [trainer._learning_rate(SETTINGS, epoch + part / 3) for epoch in range(3) for part in range(3)]
    assert rates == pytest.approx(wanted)


# --- images with several labels ----------------------------------------------------------------------------------------------


def scenes(count: int, seed: int) -> Images:
    """Noise with any number of bright quarters, the labels."""
    random = np.random.default_rng(seed)
    labels = random.random((count, 4)) < 0.5
    pixels = random.integers(0, 120, (count, 3, 32, 32), dtype=np.uint8)
    for image, shown in zip(pixels, labels, strict=True):
        image += np.kron(120 * shown.reshape(2, 2), np.ones((16, 16))).astype(np.uint8)
    return Images(np.array([f"{seed}-{number}" for number in range(count)]), pixels, labels)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 6},
        {"epochs": 1, "strategy": "greedy_cutout", "patch_size": [3, 3], "mask_budgets": [[2, 2], [4, 4]], "cutout_size": None},
        {"epochs": 1, "strategy": "gutout", "patch_size": [3, 3], "mask_budgets": [[2, 2]], "cutout_size": None},
    ],
    ids=["random", "greedy", "gutout"],
)
def test_a_classifier_learns_images_with_several_labels(tmp_path: Path, change: dict[str, Any]) -> None:
    run = with_settings(loss="asymmetric", **change)
    train(run, scenes(80, 1), scenes(24, 2), tmp_path / "output", tmp_path / "scratch")
    log = pd.read_csv(tmp_path / "output/log.csv")
    assert {"calibration_average_precision", "calibration_masked_average_precision", "calibration_loss"} <= set(log.columns)
    assert not any("accuracy" in name for name in log.columns)
    if change["epochs"] > 1:
        assert log["calibration_average_precision"].max() > 0.8, "a half is chance"
        best = json.loads((tmp_path / "output/record.json").read_text())["best_epoch"]
        assert best == log["calibration_masked_average_precision"].idxmax()


def test_a_loss_that_suits_other_labels_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loss: cross_entropy; these images have any number of labels, write asymmetric"):
        train(RUN, scenes(8, 1), scenes(8, 2), tmp_path / "output", tmp_path / "scratch")
    assert not (tmp_path / "output").exists()


# --- region scorers ----------------------------------------------------------------------------------------------------------


def tinted(count: int, seed: int) -> Images:
    """Noise in one of three colours or in none, the label; where it is says nothing, which no region scorer could tell."""
    drawn = images(count, seed)
    pixels = np.random.default_rng(seed).integers(0, 120, drawn.pixels.shape, dtype=np.uint8)
    for image, label in zip(pixels, drawn.labels, strict=True):
        image[label : label + 1] += 120
    return Images(drawn.ids, pixels, drawn.labels)


MARGIN = {"loss": "margin", "margin": 0.5, "one_hot_penalty": 0.5, "optimizer": "adam", "weight_decay": 0}


@pytest.mark.parametrize(
    ("model", "settings"), [("small_bagcert_rf5", MARGIN), ("small_column_smoothing", {}), ("small_block_smoothing", {})]
)
def test_a_region_classifier_learns_and_goes_on_after_it_was_killed(
    model: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_settings(
        dataclasses.replace(RUN, model=model),
        strategy="plain",
        cutout_size=None,
        learning_rate=0.01,
        shift=1,
        epochs=6,
        **settings,
    )
    parts = tinted(40, 1), tinted(12, 2)
    train(run, *parts, tmp_path / "a", tmp_path / "scratch")
    log = pd.read_csv(tmp_path / "a" / "log.csv")
    assert log["calibration_accuracy"].max() == 1
    assert log["training_loss"].iloc[-1] < log["training_loss"].iloc[0] - 0.3
    with monkeypatch.context() as patch:
        stop_at(patch, "shifted", 7)
        with pytest.raises(Killed):
            train(run, *parts, tmp_path / "b", tmp_path / "scratch")
    train(run, *parts, tmp_path / "b", tmp_path / "scratch")
    assert all((tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes() for name in RESULTS)
