"""The stored artifact: what goes in comes out, the same bytes for the same content, and a clear word on damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import patchcert
from patchcert import InputError
from patchcert import predictions as stored_predictions
from patchcert.defenses.asking import UNPREDICTED
from patchcert.predictions import (
    ARRAYS,
    LARGEST_LABEL,
    STORED_UNPREDICTED,
    Answers,
    Predictions,
    expand_pairs,
    masks_of_pairs,
)

IDENTITY = {"model": "vit", "masks": {"patch_size": [2, 2]}, "fill": 0.0}


def predictions(ids: str = "abcd", identity: dict[str, Any] | None = None) -> Predictions:
    """Six pairs of three masks on each image, with labels that tell the images and pairs apart."""
    numbers = np.array([ord(name) for name in ids])
    return Predictions(
        np.array([f"image-{name}" for name in ids], dtype=np.str_),
        (numbers[:, None] * 10 + np.arange(6)).astype(np.uint16),
        numbers.astype(np.uint16),
        (numbers / 7).astype(np.float32),
        (1 / (numbers[:, None] + np.arange(3))).astype(np.float32),
        (numbers % 6 + 1).astype(np.uint32),
        IDENTITY if identity is None else identity,
    )


def same(one: Predictions, other: Predictions) -> bool:
    return one.identity == other.identity and all(
        np.array_equal(getattr(one, part), getattr(other, part)) and getattr(one, part).dtype == getattr(other, part).dtype
        for part in ARRAYS
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "predictions.npz"
    saved = replace(predictions(), labels=np.full((4, 6), LARGEST_LABEL, dtype=np.uint16))
    saved.save(path)
    loaded = Predictions.load(path)
    assert same(loaded, saved)
    assert loaded.labels.dtype == loaded.unmasked.dtype == np.uint16
    assert [file.name for file in path.parent.iterdir()] == ["predictions.npz"]
    assert same(Predictions.load(str(path)), saved)


def test_no_image_is_saved_and_loaded_too(tmp_path: Path) -> None:
    nothing = predictions("")
    nothing.save(tmp_path / "empty.npz")
    assert same(Predictions.load(tmp_path / "empty.npz"), nothing)
    assert nothing.pair_labels.shape == (0, 3, 3)


def test_ids_and_identity_keep_letters_outside_ascii(tmp_path: Path) -> None:
    saved = replace(
        predictions("ab"), image_ids=np.array(["épée", "日本"]), identity={"licence": "©", "none": None, "list": [1]}
    )
    saved.save(tmp_path / "a.npz")
    assert same(Predictions.load(tmp_path / "a.npz"), saved)


def test_equal_content_gives_equal_bytes_whenever_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions().save(tmp_path / "one.npz")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e8)
    monkeypatch.setattr(time, "localtime", lambda *given: time.gmtime(now + 2e8))
    predictions(identity=dict(reversed(IDENTITY.items()))).save(tmp_path / "another-name.npz")
    predictions(identity=IDENTITY | {"fill": 0.5}).save(tmp_path / "different.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "another-name.npz").read_bytes()
    assert (tmp_path / "one.npz").read_bytes() != (tmp_path / "different.npz").read_bytes()


def test_a_path_without_the_usual_ending_is_written_as_given(tmp_path: Path) -> None:
    predictions().save(tmp_path / "plain")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
    assert same(Predictions.load(tmp_path / "plain"), predictions())


def test_an_identity_that_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    with pytest.raises(TypeError):
        predictions(identity={"path": path}).save(path)
    assert same(Predictions.load(path), predictions())
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.npz"]


@pytest.mark.parametrize(("pairs", "masks"), [(1, 1), (3, 2), (6, 3), (45, 9), (666, 36)])
def test_number_of_masks(pairs: int, masks: int) -> None:
    assert masks_of_pairs(pairs) == masks
    labels, confidences = np.zeros((4, pairs), dtype=np.uint16), np.zeros((4, masks), dtype=np.float32)
    assert replace(predictions(), labels=labels, confidences=confidences).masks == masks


def test_only_triangular_numbers_are_numbers_of_pairs() -> None:
    triangular = {sum(range(1, masks + 1)): masks for masks in range(1, 45)}
    for pairs in range(1000):
        if pairs in triangular:
            assert masks_of_pairs(pairs) == triangular[pairs]
        else:
            with pytest.raises(InputError, match=rf"^predictions: {pairs} pairs; K masks have"):
                masks_of_pairs(pairs)


def test_pairs_are_expanded_to_a_symmetric_matrix() -> None:
    expanded = expand_pairs(np.array([[1, 2, 3, 4, 5, 6], [9, 9, 9, 9, 9, 65535]], dtype=np.uint16), 3)
    assert expanded.dtype == np.int64
    assert expanded.tolist() == [[[1, 2, 3], [2, 4, 5], [3, 5, 6]], [[9, 9, 9], [9, 9, 9], [9, 9, 65535]]]
    stored = predictions()
    assert stored.pair_labels.tolist() == expand_pairs(stored.labels, 3).tolist()
    assert stored.pair_labels is stored.pair_labels


def test_what_was_not_predicted_is_stored_as_the_largest_number_and_read_as_minus_one(tmp_path: Path) -> None:
    assert (UNPREDICTED, STORED_UNPREDICTED, LARGEST_LABEL) == (-1, 65535, 65534)
    answers = Answers(
        labels=np.array([[1, 2, -1, 4, -1, 6], [9, 9, 9, 9, 9, 65534]]),
        unmasked=np.array([65534, 0]),
        margins=np.array([0.5, 0.25], dtype=np.float32),
        confidences=np.array([[0.5, 0.75, 1.0], [0.125, 0.25, 1.0]], dtype=np.float32),
        passes=np.array([4, 70000]),
    )
    made = Predictions.of(np.array(["a", "b"]), answers, IDENTITY)
    assert made.labels.tolist() == [[1, 2, 65535, 4, 65535, 6], [9, 9, 9, 9, 9, 65534]]
    assert [getattr(made, name).dtype for name in ARRAYS[1:]] == [np.uint16, np.uint16, np.float32, np.float32, np.uint32]
    made.save(tmp_path / "a.npz")
    loaded = Predictions.load(tmp_path / "a.npz")
    assert same(loaded, made)
    assert loaded.pair_labels.dtype == np.int64
    assert loaded.pair_labels.tolist() == [
        [[1, 2, -1], [2, 4, -1], [-1, -1, 6]],
        [[9, 9, 9], [9, 9, 9], [9, 9, 65534]],
    ]
    assert loaded.unmasked.tolist() == [65534, 0]
    assert loaded.passes.tolist() == [4, 70000]
    assert loaded.confidences.tolist() == answers.confidences.tolist()
    assert loaded.identity == IDENTITY


@pytest.mark.parametrize(("entries", "sizes"), [(1, [1, 1, 1, 1]), (18, [2, 2]), (35, [3, 1]), (36, [4]), (10**6, [4])])
def test_blocks_are_slices_small_enough_to_be_expanded(monkeypatch: pytest.MonkeyPatch, entries: int, sizes: list[int]) -> None:
    monkeypatch.setattr(stored_predictions, "BLOCK_ENTRIES", entries)  # three masks make nine entries of an image
    stored = predictions()
    parts = list(stored.blocks())
    assert [len(block.image_ids) for _, block in parts] == sizes
    assert same(Predictions.concatenate([block for _, block in parts]), stored)
    for part, block in parts:
        assert block.image_ids.tolist() == stored.image_ids[part].tolist()
        assert block.pair_labels.tolist() == stored.pair_labels[part].tolist()


def test_no_image_makes_one_empty_block() -> None:
    [(_, block)] = predictions("").blocks()
    assert same(block, predictions(""))


def test_too_many_pairs_for_the_masks_are_not_expanded() -> None:
    with pytest.raises(ValueError, match="shape"):
        expand_pairs(np.zeros((2, 6)), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": np.zeros((3, 6), np.uint16)},
            r"^predictions: image_ids \(4,\), labels \(3, 6\), unmasked \(4,\), margins \(4,\), confidences \(4, 3\), "
            r"passes \(4,\); write one row for each image in all of them$",
        ),
        ({"labels": np.zeros(4, np.uint16)}, r"labels \(4,\), unmasked"),
        ({"labels": np.zeros((4, 3, 3), np.uint16)}, r"labels \(4, 3, 3\), unmasked"),
        ({"unmasked": np.zeros(5, np.uint16)}, r"unmasked \(5,\), margins \(4,\)"),
        ({"margins": np.zeros(0, np.float32)}, r"margins \(0,\)"),
        ({"confidences": np.zeros((5, 3), np.float32)}, r"confidences \(5, 3\), passes \(4,\)"),
        ({"confidences": np.zeros(4, np.float32)}, r"confidences \(4,\), passes \(4,\)"),
        ({"passes": np.zeros(3, np.uint32)}, r"confidences \(4, 3\), passes \(3,\)"),
        ({"image_ids": np.array(["a", "b"])}, r"^predictions: image_ids \(2,\)"),
        (
            {"confidences": np.zeros((4, 2), np.float32)},
            r"^predictions: confidences \(4, 2\) for 3 masks; write one column for each mask$",
        ),
        ({"image_ids": np.array(["a", "b", "c", "a"])}, "^predictions: image ids repeat; write each image once$"),
        ({"labels": np.zeros((4, 5), np.uint16)}, r"^predictions: 5 pairs; K masks have K \(K \+ 1\) / 2 of them, 666 for 36$"),
        ({"labels": np.zeros((4, 9), np.uint16)}, r"^predictions: 9 pairs; "),
        ({"labels": np.zeros((4, 0), np.uint16)}, r"^predictions: 0 pairs; "),
    ],
)
def test_parts_that_do_not_belong_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(predictions(), **changes)


def test_shards_are_joined_in_the_order_given() -> None:
    joined = Predictions.concatenate([predictions("xy"), predictions("a"), predictions(""), predictions("mn")])
    assert same(joined, predictions("xyamn"))
    assert same(Predictions.concatenate([predictions("q")]), predictions("q"))


def test_longer_ids_are_not_cut_when_shards_are_joined() -> None:
    long = replace(predictions("b"), image_ids=np.array(["a-much-longer-name"]))
    assert Predictions.concatenate([predictions("a"), long]).image_ids.tolist() == ["image-a", "a-much-longer-name"]


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        (IDENTITY | {"fill": 0.5}, "fill"),
        (IDENTITY | {"fill": 0.5, "model": "resnet"}, "fill, model"),
        (IDENTITY | {"masks": {"patch_size": [2, 3]}}, "masks"),
        (IDENTITY | {"device": None}, "device"),
        ({"model": "vit", "masks": {"patch_size": [2, 2]}}, "fill"),
        ({}, "fill, masks, model"),
    ],
)
def test_shards_that_were_made_differently_are_not_joined(identity: dict[str, Any], named: str) -> None:
    for shards in (
        [predictions("ab"), predictions("cd", identity)],
        [predictions("ab"), predictions("ef"), predictions("cd", identity)],
        [predictions("cd", identity), predictions("ab")],
    ):
        with pytest.raises(InputError) as caught:
            Predictions.concatenate(shards)
        assert str(caught.value) == f"predictions: shards differ in {named}; predict them anew"


def test_shards_with_an_image_in_common_or_other_masks_are_not_joined() -> None:
    with pytest.raises(InputError, match="image ids repeat"):
        Predictions.concatenate([predictions("ab"), predictions("bc")])


def test_no_shard_is_nothing_to_join() -> None:
    with pytest.raises(InputError, match=r"^predictions: no shard to join$"):
        Predictions.concatenate([])


def damaged(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Predictions.load(path)
    assert str(caught.value).startswith(f"{path}: no predictions file (")
    assert str(caught.value).endswith("); delete it and run snakemake again")


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 the beginning of one", b"\x93NUMPY\x01\x00v\x00"])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.npz").write_bytes(content)
    damaged(tmp_path / "predictions.npz")


def test_an_array_without_an_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "predictions.npy", np.zeros(3))
    damaged(tmp_path / "predictions.npy")


def test_a_file_that_was_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        damaged(path)


def test_a_wrong_byte_anywhere_is_noticed_or_without_effect(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    content = path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x81]) + content[place + 1 :])
        try:
            found = Predictions.load(path)
        except InputError:
            noticed += 1
        else:
            assert same(found, predictions()), place
    assert noticed > len(content) / 2


@pytest.mark.parametrize("missing", [*ARRAYS, "identity"])
def test_a_file_that_lacks_a_part(tmp_path: Path, missing: str) -> None:
    stored = predictions()
    parts = {name: getattr(stored, name) for name in ARRAYS} | {"identity": np.array(json.dumps(IDENTITY))}
    np.savez(tmp_path / "all.npz", **parts)
    assert same(Predictions.load(tmp_path / "all.npz"), stored)
    del parts[missing]
    np.savez(tmp_path / "some.npz", **parts)
    damaged(tmp_path / "some.npz")


def test_a_file_with_parts_that_do_not_belong_together(tmp_path: Path) -> None:
    stored = predictions()
    parts = {name: getattr(stored, name) for name in ARRAYS}
    np.savez(tmp_path / "a.npz", **parts | {"margins": np.zeros(9, np.float32)}, identity=np.array("{}"))
    with pytest.raises(InputError, match=r"a\.npz: no predictions file \(predictions: image_ids \(4,\), .* margins \(9,\)"):
        Predictions.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **parts, identity=np.array("{not json"))
    damaged(tmp_path / "b.npz")


def test_a_file_with_pickled_objects_is_not_unpickled(tmp_path: Path) -> None:
    stored = predictions()
    parts = {name: getattr(stored, name) for name in ARRAYS}
    np.savez(tmp_path / "a.npz", **parts | {"image_ids": stored.image_ids.astype(object)}, identity=np.array("{}"))
    damaged(tmp_path / "a.npz")


def test_a_missing_file_is_just_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Predictions.load(tmp_path / "none.npz")


def test_the_file_is_a_compressed_archive_of_seven_parts(tmp_path: Path) -> None:
    predictions().save(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        names = sorted(item.filename for item in archive.infolist())
        assert names == sorted(f"{name}.npy" for name in (*ARRAYS, "identity"))
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_reading_and_reporting_needs_no_torch() -> None:
    modules = "predictions, masks, defenses.double_masking, defenses.challenger, metrics, report.tables, report.figures"
    imports = ", ".join(f"patchcert.{name}" for name in modules.split(", "))
    code = f"import sys, {imports}; print(sorted({{'torch', 'torchvision', 'timm', 'snakemake'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(patchcert.__file__).parents[1]), "HOME": "/tmp", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == "[]\n"
