"""What the workflow asks of a trained classifier for mask smoothing: attacked images, maps of labels, places, and counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from patchcert import InputError, localisation
from patchcert.attacks.patch_pgd import random_places
from patchcert.label_maps import label_maps
from patchcert.localisation import Outcome, vote
from patchcert.models import registry
from patchcert.models.grad_cam import grad_cam
from patchcert.provenance import environment, file_sha256, read_json, write_json
from patchcert.study import smoothing
from patchcert.study.arrays import Restored, Sampled, Shown, load, save
from patchcert.study.smoothing import Task, attack_images, clean_images, given_boxes, restore_images, sample_images

from .test_shards import IMAGES, TRAINING, make_job

PATCH = (5, 4)
SETTINGS = {"sigma": 0.5, "selection": 3, "estimation": 20, "source": "clean", "batch_size": None}
NORMALISE = registry.normalisation("small_convnext")


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    make_job(folder)
    return folder


@pytest.fixture
def task(weights: Path, tmp_path: Path) -> Task:
    return Task(make_job(weights).classifier, "cpu", "c", 3, tmp_path / "scratch")


@pytest.fixture(scope="module")
def attacked_file(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    attack(Task(make_job(weights).classifier, "cpu", "c", 3, folder / "scratch"), folder / "a.npz")
    assert list((folder / "scratch").iterdir()) == []
    return folder / "a.npz"


def attack(task: Task, output: Path, images: Any = IMAGES, places: int = 3, steps: int = 2) -> Shown:
    attack_images(task, images, PATCH, output, places=places, steps=steps)
    shown: Shown = load(output, Shown)
    return shown


def logits(task: Task, pixels: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return task.classifier.load()(NORMALISE(torch.tensor(pixels)))


def assert_same(one: NamedTuple, other: NamedTuple) -> None:
    assert type(one) is type(other)
    for name, array in one._asdict().items():
        np.testing.assert_array_equal(array, getattr(other, name), err_msg=name)
        assert array.dtype == getattr(other, name).dtype


# --- what is stored, and what it depends on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrays",
    [
        Shown(
            IMAGES.ids,
            IMAGES.labels,
            IMAGES.pixels,
            np.arange(28).reshape(7, 4),
            np.arange(7),
            np.arange(7)[::-1],
        ),
        Restored(np.array(["a", "longer"]), np.arange(12).reshape(2, 3, 2)),
        Sampled(
            np.array(["a"]), np.array([3]), np.array([2]), np.zeros((1, 4), dtype=np.int64), *np.eye(2, dtype=np.int64)[:, None]
        ),
    ],
    ids=lambda arrays: type(arrays).__name__,
)
def test_arrays_come_back_as_they_were(tmp_path: Path, arrays: NamedTuple) -> None:
    save(tmp_path / "deep" / "a.npz", arrays)
    assert_same(load(tmp_path / "deep" / "a.npz", type(arrays)), arrays)


def test_a_task_says_what_its_outcome_depends_on(task: Task) -> None:
    assert task.identity(sigma=7) == {
        "model": "small_convnext",
        "weights_sha256": file_sha256(task.classifier.weights),
        "data": "d",
        "sigma": 7,
        "seed": 0,
        "device": "cpu",
        "code": "c",
        "versions": environment("torch", "timm", "numpy", "opencv-python-headless"),
    }


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"device": "cuda"}, ["device"]),
        ({"code": "other"}, ["code"]),
        ({"block_size": 9, "scratch": Path("elsewhere")}, []),
    ],
)
def test_every_part_of_a_task_that_matters_is_part_of_its_identity(task: Task, change: dict[str, Any], keys: list[str]) -> None:
    before, after = task.identity(sigma=7), dataclasses.replace(task, **change).identity(sigma=7)
    assert [name for name, value in before.items() if after[name] != value] == keys
    assert task.identity(sigma=8) != before


def test_published_weights_are_told_apart_by_the_seed_of_the_noise(task: Task, tmp_path: Path) -> None:
    record = read_json(task.classifier.record)
    write_json(tmp_path / "record.json", {"identity": record["identity"] | {"seed": 1}})
    other = dataclasses.replace(task.classifier, record=tmp_path / "record.json", seed=1)
    assert other.identity() == task.classifier.identity()
    assert dataclasses.replace(task, classifier=other).identity() == task.identity() | {"seed": 1}


def test_weights_of_another_training_do_nothing(task: Task, tmp_path: Path) -> None:
    other = dataclasses.replace(task, classifier=dataclasses.replace(task.classifier, training=TRAINING | {"epochs": 4}))
    with pytest.raises(InputError, match=r"trained with settings\.epochs 3, and the study asks for 4"):
        attack(other, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


# --- clean and attacked images -----------------------------------------------------------------------------------------------


def test_clean_images_are_shown_as_they_are(task: Task) -> None:
    said = logits(task, IMAGES.pixels).argmax(dim=1).numpy()
    nowhere = np.zeros((7, 4), dtype=np.int64)
    assert len(set(said.tolist())) > 2
    assert_same(clean_images(task, IMAGES), Shown(IMAGES.ids, IMAGES.labels, IMAGES.pixels, nowhere, said, said))


def test_a_patch_is_all_that_an_attack_changes(task: Task, attacked_file: Path) -> None:
    shown: Shown = load(attacked_file, Shown)
    places = random_places(7, PATCH, (32, 32), 3, task.classifier.seed)
    assert shown.pixels.dtype == np.uint8
    for differ, patch, drawn in zip((shown.pixels != IMAGES.pixels).any(axis=1), shown.patches, places, strict=True):
        top, bottom, left, right = patch
        assert (bottom - top, right - left) == PATCH
        assert patch.tolist() in drawn.tolist()
        assert differ[top:bottom, left:right].mean() > 0.9
        differ[top:bottom, left:right] = False
        assert not differ.any()
    assert shown.ids.tolist() == IMAGES.ids.tolist()
    assert shown.labels.tolist() == IMAGES.labels.tolist()
    assert shown.clean.tolist() == clean_images(task, IMAGES).clean.tolist()
    assert shown.undefended.tolist() == logits(task, shown.pixels).argmax(dim=1).tolist()  # of what is stored, rounded
    assert shown.undefended.tolist() != shown.clean.tolist()


def test_an_attacked_image_is_rounded_to_the_nearest_values(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_up(classify: Any, images: torch.Tensor, *_: Any, **settings: Any) -> SimpleNamespace:
        moved = (images + torch.tensor([0.4, 0.6, -0.4])[:, None, None] / 255).clamp(0, 1)
        return SimpleNamespace(images=moved, places=torch.zeros(len(images), dtype=torch.int64))

    monkeypatch.setattr(smoothing, "untargeted", made_up)
    red, green, blue = np.moveaxis(attack(task, tmp_path / "a.npz").pixels.astype(int) - IMAGES.pixels, 1, 0)
    assert not red.any()
    assert not blue.any()
    assert (green == (IMAGES.pixels[:, 1] < 255)).all()


def test_steps_and_places_make_an_attack_stronger(task: Task, attacked_file: Path, tmp_path: Path) -> None:
    def losses(pixels: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits(task, pixels), torch.tensor(IMAGES.labels), reduction="none")

    strong = losses(load(attacked_file, Shown).pixels)
    for weaker in (
        IMAGES.pixels,
        attack(task, tmp_path / "noise.npz", steps=0).pixels,
        attack(task, tmp_path / "one.npz", places=1).pixels,
    ):
        assert (strong - losses(weaker)).mean() > 0.01


def test_an_attack_depends_on_the_number_of_an_image_and_on_what_shares_its_block(
    task: Task, attacked_file: Path, tmp_path: Path
) -> None:
    whole: Shown = load(attacked_file, Shown)
    fewer = attack(task, tmp_path / "fewer.npz", IMAGES.part(slice(6)))
    assert_same(fewer, Shown(*(array[:6] for array in whole)))
    blocks = [
        attack(dataclasses.replace(task, block_size=size), tmp_path / f"{size}.npz", places=1, steps=0) for size in (2, 7)
    ]
    assert blocks[0].patches.tolist() == blocks[1].patches.tolist()  # places are drawn for each image by itself


def test_a_killed_attack_goes_on_and_ends_with_the_same_bytes(
    task: Task, attacked_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked: list[list[int]] = []
    stop_at = {2}
    untargeted = smoothing.untargeted

    def counted(classify: Any, images: Any, labels: Any, boxes: Any, **settings: Any) -> Any:
        if len(attacked) in stop_at:
            raise Killed
        attacked.append(labels.tolist())
        return untargeted(classify, images, labels, boxes, **settings)

    monkeypatch.setattr(smoothing, "untargeted", counted)
    with pytest.raises(Killed):
        attack(task, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()
    attacked.clear()
    stop_at.clear()
    attack(task, tmp_path / "a.npz")
    assert attacked == [[6]]
    assert (tmp_path / "a.npz").read_bytes() == attacked_file.read_bytes()
    assert list(task.scratch.iterdir()) == []


# --- where the mask is -------------------------------------------------------------------------------------------------------


def test_images_are_restored_block_by_block(task: Task, tmp_path: Path) -> None:
    shown, block = clean_images(task, IMAGES), (27, 26)
    places = {"source": "clean", "cache": tmp_path / "cache", "workers": 1, "batch_size": 5}
    restore_images(task, shown, block, tmp_path / "a.npz", **places)
    stored: Restored = load(tmp_path / "a.npz", Restored)
    maps = label_maps(task.classifier.load(), IMAGES.pixels, block, tmp_path / "other", normalisation=NORMALISE)
    assert_same(stored, Restored(IMAGES.ids, maps))
    assert stored.maps.shape == (7, 6, 7)
    assert len(np.unique(stored.maps)) > 2


@pytest.mark.parametrize(
    ("block", "overlap", "threshold", "shared", "votes"),
    [
        # of 81 blocks that overlap one of 5x5, 4 in the corners share 1 row and 1 column with it: 0.6 * 77 = 46.2
        ((5, 5), 0.4, 0.6, 2, 46),
        # a cross is never wider than all that overlap: 0.6 * 81 = 48.6
        ((5, 5), 0.01, 0.6, 1, 48),
        # arms one block wide, 5 + 9 - 1 of them
        ((3, 5), 1.0, 0.5, 3, (45 - 4 * 4) // 2),
        ((5, 3), 0.5, 0.0, 2, 0),
    ],
)
def test_shares_become_counts(
    monkeypatch: pytest.MonkeyPatch, block: tuple[int, int], overlap: float, threshold: float, shared: int, votes: int
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(localisation, "locate", lambda *given, **settings: asked.append((*given, settings)))
    maps = np.zeros((1, 9, 9), dtype=np.int64)
    vote(maps, block, overlap=overlap, threshold=threshold, tolerance=2)
    assert asked == [(maps, block, {"overlap": shared, "threshold": votes, "tolerance": 2})]


def test_two_places_with_many_votes_are_ambiguous_below_their_share_of_the_cross() -> None:
    maps = np.full((1, 9, 20), 7)
    maps[0, 3:6, [3, 4, 5, 14, 15, 16]] = 1  # all 9 blocks around each of two are votes, of 25 that overlap it
    outcomes = [vote(maps, (3, 3), overlap=0.3, threshold=share, tolerance=0).outcomes.item() for share in (0.35, 0.36)]
    assert outcomes == [Outcome.AMBIGUOUS, Outcome.LOCATED]


@pytest.mark.parametrize(
    ("mask", "box"),
    [((5, 5), [13, 18, 13, 18]), ((6, 5), [13, 19, 13, 18]), ((1, 32), [15, 16, 0, 32]), ((4, 2), [14, 18, 15, 17])],
)
def test_the_middle_of_an_image(task: Task, mask: tuple[int, int], box: list[int]) -> None:
    assert given_boxes(task, clean_images(task, IMAGES), "center", mask).tolist() == [box] * 7


@pytest.mark.parametrize("mask", [(5, 5), (2, 7), (31, 32), (32, 32)])
def test_the_most_salient_mask_is_the_first_with_the_largest_sum(
    task: Task, monkeypatch: pytest.MonkeyPatch, mask: tuple[int, int]
) -> None:
    drawn = torch.tensor(np.random.default_rng(0).integers(0, 2, (7, 32, 32)), dtype=torch.float32)
    drawn[:2, ::3] = 0  # so that many sums are equal
    drawn[0] = 0
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def made_up(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        start = sum(len(shown) for shown, _ in asked)
        asked.append((images, labels))
        return drawn[start : start + len(images)]

    monkeypatch.setattr(smoothing, "grad_cam", made_up)
    shown = clean_images(task, IMAGES)._replace(undefended=np.arange(7))
    found = given_boxes(task, shown, "grad_cam", mask)
    wanted = []
    for saliency in drawn.numpy():
        best, box = -1.0, [0, 0, 0, 0]
        for top in range(33 - mask[0]):
            for left in range(33 - mask[1]):
                total = saliency[top : top + mask[0], left : left + mask[1]].sum()
                if total > best:
                    best, box = total, [top, top + mask[0], left, left + mask[1]]
        wanted.append(box)
    assert found.tolist() == wanted
    assert [len(images) for images, _ in asked] == [3, 3, 1]
    assert torch.equal(torch.cat([images for images, _ in asked]), NORMALISE(torch.tensor(IMAGES.pixels)))
    assert torch.cat([labels for _, labels in asked]).tolist() == list(range(7))


def test_grad_cam_is_asked_of_the_classifier_itself(task: Task) -> None:
    shown = clean_images(task, IMAGES)
    saliency = grad_cam(task.classifier.load(), NORMALISE(torch.tensor(IMAGES.pixels)), torch.tensor(shown.undefended))
    assert (saliency.amax(dim=(1, 2)) > 0).any()
    for each, (top, bottom, left, right) in zip(saliency, given_boxes(task, shown, "grad_cam", (9, 9)), strict=True):
        others = torch.nn.functional.unfold(each[None, None], 9).sum(dim=1)
        assert each[top:bottom, left:right].sum().item() == pytest.approx(others.max().item(), rel=1e-4)


# --- counts under noise ------------------------------------------------------------------------------------------------------


@pytest.fixture
def boxes() -> np.ndarray:
    """A mask for each image but two: no rows, no columns."""
    places = np.tile([4, 20, 10, 26], (7, 1)) + np.arange(7)[:, None]
    places[1], places[4] = 0, [3, 9, 5, 5]
    return places


def sampled(task: Task, shown: Shown, boxes: np.ndarray, output: Path, **changes: Any) -> Sampled:
    sample_images(task, shown, boxes, output, **SETTINGS | changes)
    stored: Sampled = load(output, Sampled)
    return stored


def test_images_without_a_mask_are_left_out(task: Task, boxes: np.ndarray, tmp_path: Path) -> None:
    shown = clean_images(task, IMAGES)._replace(undefended=np.arange(7))
    stored = sampled(task, shown, boxes, tmp_path / "a.npz")
    drawn = np.array([1, 0, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(stored.selection.sum(axis=1), 3 * drawn)
    np.testing.assert_array_equal(stored.estimation.sum(axis=1), 20 * drawn)
    assert (stored.estimation > 0).any(axis=0).sum() > 2
    for name, array in (("ids", IMAGES.ids), ("labels", IMAGES.labels), ("undefended", np.arange(7)), ("boxes", boxes)):
        np.testing.assert_array_equal(getattr(stored, name), array)
    assert stored.selection.dtype == stored.estimation.dtype == np.int64
    none = sampled(task, shown, np.zeros((7, 4), dtype=np.int64), tmp_path / "none.npz")
    assert none.estimation.shape == (7, 10)
    assert not none.estimation.any()


@pytest.mark.parametrize(("block_size", "batch_size"), [(3, 4), (1, None), (10, None)])
def test_counts_do_not_depend_on_the_order_of_images_nor_on_blocks_and_batches(
    task: Task, boxes: np.ndarray, tmp_path: Path, block_size: int, batch_size: int | None
) -> None:
    shown, order = clean_images(task, IMAGES), np.array([3, 6, 0, 4, 1, 5, 2])
    whole = sampled(task, shown, boxes, tmp_path / "a.npz")
    other = dataclasses.replace(task, block_size=block_size)
    mixed = sampled(other, Shown(*(array[order] for array in shown)), boxes[order], tmp_path / "b.npz", batch_size=batch_size)
    assert_same(mixed, Sampled(*(array[order] for array in whole)))


@pytest.mark.parametrize(
    "change", [{"sigma": 0.25}, {"selection": 4}, {"estimation": 21}, {"source": "other"}, {"boxes": -1}], ids=str
)
def test_counts_of_other_noise_are_not_taken_up(
    task: Task, boxes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    shown, calls = clean_images(task, IMAGES), []
    sample = smoothing.sample_counts

    def counted(model: Any, images: torch.Tensor, *given: Any, **settings: Any) -> Any:
        calls.append(len(images))
        if len(calls) == 3:
            raise Killed
        return sample(model, images, *given, **settings)

    monkeypatch.setattr(smoothing, "sample_counts", counted)
    with pytest.raises(Killed):
        sampled(task, shown, boxes, tmp_path / "a.npz")
    assert calls == [2, 2, 1]
    settings = {key: value for key, value in change.items() if key != "boxes"}
    sampled(task, shown, boxes + change.get("boxes", 0) * (boxes > 0), tmp_path / "b.npz", **settings)
    assert calls[3:] == [2, 2, 1]
    sampled(task, shown, boxes, tmp_path / "a.npz")
    assert calls[6:] == [1]


def test_the_log_says_how_long_it_took(task: Task, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((10.0, 12.4, 15.0))
    monkeypatch.setattr(smoothing, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    with caplog.at_level("INFO", logger="patchcert.study.blocks"):
        task.by_blocks(
            Restored,
            task.scratch.parent / "a.npz",
            IMAGES.ids[:5].tolist(),
            {},
            "restoring",
            lambda part: Restored(IMAGES.ids[part], np.zeros((len(IMAGES.ids[part]), 1, 1), dtype=np.int64)),
        )
    assert [record.getMessage() for record in caplog.records] == [
        "restoring: 3 of 5 images done, 2 s",
        "restoring: 5 of 5 images done, 5 s",
    ]
