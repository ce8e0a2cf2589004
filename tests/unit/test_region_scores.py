"""Stored region scores, and what their certificates amount to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses import bagcert
from patchcert.evaluation.bagcert import attack_measures, measures, records
from patchcert.region_scores import RegionScores, load, write

BOXES = {"1x1": np.array([[row, row + 1, column, column + 1] for row in range(3) for column in range(11)])}
BOXES["2x2"] = np.array([[row, row + 2, column, column + 2] for row in range(2) for column in range(10)])


def files(folder: Path) -> dict[str, Path]:
    return {"values": folder / "scores.npy", "unsure": folder / "unsure.npy", "record": folder / "record.json"}


def stored(folder: Path, scores: np.ndarray, unsure: np.ndarray, *, binary: bool = True) -> RegionScores:
    ids = np.array([f"image-{number}" for number in range(len(scores))])
    parts = [slice(start, start + 3) for start in range(0, len(scores), 3)]
    blocks = ((scores[part], unsure[part]) for part in parts)
    write(files(folder), ids, blocks, binary=binary, identity={"model": "m"})
    return load(files(folder))


def made(seed: int, unsure_share: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 7 images for 4 classes at 3x11 places, which of them are unsure, and labels that lead in most images."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 7)
    likely = np.where(np.arange(4) == labels[:, None], random.uniform(0.5, 1, (7, 1)), 0.15)
    scores = (random.random((7, 4, 3, 11)) < likely[:, :, None, None]).astype(np.float32)
    return scores, random.random(scores.shape) < unsure_share, labels


@pytest.mark.parametrize("binary", [True, False])
def test_scores_come_back_as_they_were_in_blocks_of_any_size(tmp_path: Path, binary: bool) -> None:
    scores, unsure, _ = made(0)
    if not binary:
        scores = scores * np.float32(0.3)
    read = stored(tmp_path, scores, unsure, binary=binary)
    assert read.image_ids.tolist() == [f"image-{number}" for number in range(7)]
    assert read.identity == {"model": "m"}
    for size in (1, 4, 100):
        parts = list(read.blocks(size))
        assert [part.start for part, *_ in parts] == list(range(0, 7, size))
        np.testing.assert_array_equal(np.concatenate([values for _, values, _ in parts]), scores)
        np.testing.assert_array_equal(np.concatenate([each for *_, each in parts]), unsure)


def test_steps_take_a_bit_each(tmp_path: Path) -> None:
    stored(tmp_path, *made(0)[:2])
    assert (tmp_path / "scores.npy").stat().st_size == 128 + 7 * 4 * 3 * 2


@pytest.mark.parametrize(
    ("ids", "value", "message"),
    [
        (7, 0.5, "region scores: some are neither 0 nor 1; the scorer's last function is no step"),
        (8, 1.0, "region scores: of 7 images, and there are 8 ids"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path: Path, ids: int, value: float, message: str) -> None:
    scores, unsure, _ = made(0)
    scores[6, 0, 0, 0] = value
    names = np.array([str(number) for number in range(ids)])
    with pytest.raises(InputError, match=message):
        write(files(tmp_path), names, [(scores, unsure)], binary=True, identity={})
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    stored(tmp_path, *made(0)[:2])
    (tmp_path / "unsure.npy").write_bytes(b"x")
    with pytest.raises(InputError, match=r"unsure\.npy: no array \(.*\); delete it and run snakemake again"):
        load(files(tmp_path))


def test_scores_and_record_that_do_not_belong_together(tmp_path: Path) -> None:
    read = stored(tmp_path, *made(0)[:2])
    with pytest.raises(InputError, match=r"region scores: .* stored for"):
        RegionScores(read.image_ids, read.stored, read.unsure, (7, 4, 3, 17), {})
    with pytest.raises(InputError, match="image ids repeat"):
        RegionScores(np.repeat(read.image_ids[:1], 7), read.stored, read.unsure, read.shape, {})


@given(seed=st.integers(0, 999), share=st.sampled_from([0.0, 0.02, 0.2]))
@settings(max_examples=30, deadline=None)
def test_a_certificate_holds_however_unsure_scores_fall(
    seed: int, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scores, unsure, labels = made(seed, share)
    table = records(stored(tmp_path_factory.mktemp("scores"), scores, unsure), labels, BOXES)
    random = np.random.default_rng(seed)
    for patch, boxes in BOXES.items():
        chosen = table[table["patch"] == patch]
        assert chosen["image_id"].tolist() == [f"image-{number}" for number in range(7)]
        as_said = bagcert.certify(scores, labels, boxes, "3.2")
        np.testing.assert_array_equal(chosen["certified_3_2"] | chosen["near_flip"], as_said)
        for _ in range(5):
            fallen = np.where(unsure, random.integers(0, 2, scores.shape), scores)
            for condition in ("3.2", "3.3"):
                held = bagcert.certify(fallen, labels, boxes, condition)
                assert (held | ~chosen[f"certified_{condition.replace('.', '_')}"].to_numpy()).all()
        worst = np.where(unsure, np.arange(4)[:, None, None] != labels[:, None, None, None], scores)
        np.testing.assert_array_equal(bagcert.certify(worst, labels, boxes, "3.2"), chosen["certified_3_2"])
    np.testing.assert_array_equal(table["answer"], np.tile(bagcert.infer(scores), 2))


def test_measures_are_of_one_patch(tmp_path: Path) -> None:
    scores, unsure, labels = made(3, 0.0)
    boxes = {"1x1": BOXES["1x1"], "3x5": np.array([[0, 3, column, column + 5] for column in range(7)])}
    table = records(stored(tmp_path, scores, unsure), labels, boxes)
    small, large = (measures(table, patch, 0.95) for patch in boxes)
    assert small["clean"] == large["clean"]
    assert small["clean"]["hits"] == (bagcert.infer(scores) == labels).sum()
    assert large["condition_3_2"]["hits"] == bagcert.certify(scores, labels, boxes["3x5"], "3.2").sum()
    assert small["condition_3_2"]["hits"] > large["condition_3_2"]["hits"] >= large["condition_3_3"]["hits"]
    assert (small["clean"]["total"], small["near_flips"]) == (7, 0)


def test_measures_of_an_attack() -> None:

    right = {"clean": [True, True, True, False], "attacked": [True, True, False, False]}
    table = pd.DataFrame(right | {"condition_3_2": [True, False, False, False]})
    found = attack_measures(table, 0.95)
    assert [found[name]["hits"] for name in ("clean", "attacked", "condition_3_2")] == [3, 2, 1]
