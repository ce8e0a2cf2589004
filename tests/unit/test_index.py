"""The image index and its split, the images behind it, the digits loader, and labels looked up by id."""

from __future__ import annotations

import gzip
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from patchcert import InputError
from patchcert.datasets.index import SPLITS, UNUSED, index, open_split
from patchcert.datasets.labels import true_labels
from patchcert.datasets.loaders import digits

FILES = {digits.FILE: Path(str(package_files("sklearn") / "datasets" / "data" / "digits.csv.gz"))}
COUNT = 1797


def settings(train: int | None, calibration: int, test: int, seed: int = 0, **more: Any) -> dict[str, Any]:
    sizes = {"train": train, "calibration": calibration, "test": test}
    return {"loader": "digits", "image_size": [32, 32], "split_sizes": sizes, "split_seed": seed} | more


def ids_of(table: pd.DataFrame, split: str) -> list[str]:
    return table.loc[table["split"] == split, "image_id"].tolist()


# --- the split ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "calibration", "test", "expected"),
    [
        (None, 280, 400, {"train": 1117, "calibration": 280, "test": 400}),
        (200, 50, 30, {"train": 200, "calibration": 50, "test": 30, "unused": 1517}),
        (1117, 280, 400, {"train": 1117, "calibration": 280, "test": 400}),
        (10, 10, 10, {"train": 10, "calibration": 10, "test": 10, "unused": 1767}),
    ],
)
def test_each_split_has_its_size_and_the_rest_is_unused(
    train: int | None, calibration: int, test: int, expected: dict[str, int]
) -> None:
    table = index(settings(train, calibration, test), FILES)
    assert table["split"].value_counts().to_dict() == expected


def test_the_index_has_one_row_an_image_in_the_datasets_order() -> None:
    table = index(settings(200, 50, 30), FILES)
    assert list(table.columns) == ["image_id", "label", "object_size", "split"]
    assert table["image_id"].tolist() == [f"digits-{row:04d}" for row in range(COUNT)]
    assert table["label"].tolist() == load_digits().target.tolist()
    assert set(table["split"]) == {*SPLITS, UNUSED}
    assert table["object_size"].tolist() == digits.object_sizes(FILES, table["image_id"].tolist(), (32, 32)).tolist()


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_split_is_stratified(seed: int) -> None:
    table = index(settings(200, 50, 30, seed), FILES)
    shares = table["label"].value_counts(normalize=True)
    for split, size in (("test", 30), ("calibration", 50), ("train", 200)):
        counts = table.loc[table["split"] == split, "label"].value_counts()
        assert ((counts.reindex(shares.index, fill_value=0) - size * shares).abs() <= 1).all(), split


def test_the_test_images_do_not_depend_on_the_sizes_of_the_others() -> None:
    tests = [
        ids_of(index(settings(train, calibration, 30), FILES), "test")
        for train, calibration in [(None, 50), (200, 50), (10, 1000)]
    ]
    assert tests[0] == tests[1] == tests[2]


def test_the_calibration_images_do_not_depend_on_the_size_of_the_training_split() -> None:
    first, second = (ids_of(index(settings(train, 50, 30), FILES), "calibration") for train in (None, 100))
    assert first == second


def test_the_split_depends_on_its_seed_and_on_nothing_else() -> None:
    first, again, other = (index(settings(200, 50, 30, seed), FILES) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert all(ids_of(first, split) != ids_of(other, split) for split in SPLITS)


def test_more_images_than_there_are() -> None:
    with pytest.raises(InputError) as caught:
        index(settings(1000, 500, 400), FILES)
    assert str(caught.value) == (
        "split_sizes: {'train': 1000, 'calibration': 500, 'test': 400} ask for 1900 images; digits has 1797"
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((None, 50, 9), "split_sizes: test of 9 images out of 1797 cannot be stratified"),
        ((None, 9, 50), "split_sizes: calibration of 9 images out of 1747 cannot be stratified"),
        ((9, 50, 50), "split_sizes: train of 9 images out of 1697 cannot be stratified"),
        ((None, 50, 1745), "split_sizes: calibration of 50 images out of 52 cannot be stratified"),
    ],
)
def test_too_few_images_for_one_of_each_label(sizes: tuple[int | None, int, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        index(settings(*sizes), FILES)
    assert str(caught.value).startswith(message)


def test_an_unknown_loader() -> None:
    with pytest.raises(InputError) as caught:
        index(settings(200, 50, 30, loader="digit"), FILES)
    assert str(caught.value) == "loaders: 'digit' is unknown; did you mean 'digits'? write one of digits"


# --- images ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "index.parquet"
    index(settings(200, 50, 30), FILES).to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("split", SPLITS)
def test_the_images_of_a_split_come_in_the_order_of_the_index(index_file: Path, split: str) -> None:
    opened = open_split(settings(200, 50, 30), FILES, index_file, split)
    images, table = opened.read(), pd.read_parquet(index_file)
    assert images.ids.tolist() == opened.ids.tolist() == ids_of(table, split)
    assert images.ids.tolist() == sorted(images.ids)
    assert images.labels.tolist() == opened.labels.tolist() == table.loc[table["split"] == split, "label"].tolist()
    assert images.pixels.shape == (len(opened), 3, 32, 32)
    assert (images.pixels == digits.images(FILES, images.ids.tolist(), (32, 32))).all()
    assert (images.pixels.dtype, images.labels.dtype, images.ids.dtype.kind) == (np.uint8, np.int64, "U")


def test_a_part_of_a_split_is_a_slice_of_it(index_file: Path) -> None:
    whole = open_split(settings(200, 50, 30), FILES, index_file, "test")
    part = whole.part(slice(5, 9))
    assert (len(whole), len(part), len(part.part(slice(3, None)))) == (30, 4, 1)
    assert part.part(slice(3, None)).ids.tolist() == [whole.ids[8]]
    everything, some = whole.read(), part.read()
    for name in ("ids", "pixels", "labels"):
        np.testing.assert_array_equal(getattr(everything, name)[5:9], getattr(some, name))


def test_pixels_are_not_read_before_they_are_wanted(index_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def images(files: dict[str, Path], ids: list[str], image_size: tuple[int, int]) -> np.ndarray:
        asked.append(ids)
        return np.zeros((len(ids), 3, *image_size), dtype=np.uint8)

    monkeypatch.setattr(digits, "images", images)
    whole = open_split(settings(200, 50, 30), FILES, index_file, "test")
    part = whole.part(slice(10, 12))
    assert asked == []
    assert part.read().pixels.shape == (2, 3, 32, 32)
    assert asked == [whole.ids[10:12].tolist()]


# --- digits ------------------------------------------------------------------------------------------------------------------


def test_digits_of_their_own_size_are_scikit_learns() -> None:
    truth = load_digits()
    table = digits.records(FILES)
    pixels = digits.images(FILES, table["image_id"].tolist(), (8, 8))
    assert table["label"].tolist() == truth.target.tolist()
    assert table["label"].dtype == np.int64
    assert table["image_id"].is_unique
    # 17 grey levels, 0 to 16, over 0 to 255
    np.testing.assert_array_equal(pixels, np.repeat((truth.images * 255 // 16).astype(np.uint8)[:, None], 3, axis=1))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_digits_are_scaled_bicubically_to_rows_by_columns_in_the_order_of_their_names() -> None:
    names = ["digits-1796", "digits-0000", "digits-0012"]
    pixels = digits.images(FILES, names, (24, 40))
    assert pixels.shape == (3, 3, 24, 40)
    grey = (load_digits().images * 255 // 16).astype(np.uint8)
    for picture, row in zip(pixels, (1796, 0, 12), strict=True):
        wanted = np.asarray(Image.fromarray(grey[row]).resize((40, 24), Image.Resampling.BICUBIC))
        assert (picture == wanted).all()


def write_table(folder: Path, rows: np.ndarray) -> dict[str, Path]:
    path = folder / digits.FILE
    path.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode()))
    return {digits.FILE: path}


@pytest.mark.parametrize(
    ("ink", "share"),
    [
        ({}, 0),
        ({(0, 0): 16}, 1 / 64),
        ({(7, 7): 16}, 1 / 64),
        ({(2, 1): 16, (5, 3): 9}, 4 * 3 / 64),  # rows 2 to 5, columns 1 to 3
        ({(2, 1): 16, (5, 3): 8}, 1 / 64),  # level 8 of 16 is 127 of 255, less than half as bright as white
        ({(0, 7): 16, (7, 0): 16}, 1),
        ({(4, 0): 16, (4, 7): 16, (4, 3): 1}, 8 / 64),
    ],
    ids=["nothing", "first pixel", "last pixel", "a box", "too faint", "corners", "a row"],
)
def test_the_size_of_an_object_is_the_box_around_its_ink(tmp_path: Path, ink: dict[tuple[int, int], int], share: float) -> None:
    table = np.zeros((2, 65), dtype=int)
    table[0, :64] = 16  # another digit, all ink
    for (row, column), level in ink.items():
        table[1, 8 * row + column] = level
    sizes = digits.object_sizes(write_table(tmp_path, table), ["digits-0001", "digits-0000"], (8, 8))
    assert sizes.dtype == np.float64
    assert sizes.tolist() == [100 * share, 100]


def test_the_size_of_an_object_is_measured_on_the_scaled_image(tmp_path: Path) -> None:
    table = np.zeros((1, 65), dtype=int)
    table[0, :64].reshape(8, 8)[2:6, 1:4] = 16
    pixels = digits.images(write_table(tmp_path, table), ["digits-0000"], (32, 16))[0, 0]
    rows, columns = np.nonzero(pixels >= 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 23, 2, 7)  # four and two pixels for one
    sizes = digits.object_sizes(write_table(tmp_path, table), ["digits-0000"], (32, 16))
    assert sizes.tolist() == [100 * 16 * 6 / (32 * 16)]


def test_every_digit_has_a_size_in_per_cent() -> None:
    sizes = index(settings(200, 50, 30), FILES)["object_size"]
    assert sizes.between(25, 100).all()
    assert sizes.nunique() > 20


def damaged(**change: int) -> np.ndarray:
    table = np.zeros((3, 65), dtype=int)
    table[1, change.get("column", 0)] = change.get("value", 0)
    return table[:, : change.get("columns", 65)]


@pytest.mark.parametrize(
    "change",
    [{"columns": 64}, {"columns": 2}, {"value": 17}, {"value": -1}, {"column": 64, "value": 10}, {"column": 64, "value": -1}],
    ids=["a column short", "two columns", "too bright", "too dark", "label 10", "label -1"],
)
def test_a_table_that_holds_something_else(tmp_path: Path, change: dict[str, int]) -> None:
    files = write_table(tmp_path, damaged(**change))
    with pytest.raises(InputError) as caught:
        digits.records(files)
    assert str(caught.value) == f"{files[digits.FILE]}: no table of 64 grey levels (0 to 16) and a digit; fetch it anew"


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip at all",
        gzip.compress(b""),
        gzip.compress(b"a,b\n"),
        gzip.compress(b"1,2\n3\n"),
        gzip.compress(b"1\n" * 99)[:-9],
        gzip.compress(bytes(range(256)))[:12] + b"damaged in the middle" * 3,
    ],
    ids=["empty", "no gzip", "empty gzip", "letters", "ragged", "cut short", "damaged"],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / digits.FILE
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"digits\.csv\.gz: no table of 64 grey levels \(0 to 16\) and a digit; fetch it anew"):
        digits.records({digits.FILE: path})


# --- labels by id ------------------------------------------------------------------------------------------------------------


def test_labels_come_in_the_order_of_the_ids(index_file: Path) -> None:
    target = load_digits().target
    ids = np.array(["digits-1796", "digits-0003", "digits-0003", "digits-0000"])
    labels = true_labels(index_file, ids)
    assert labels.dtype == np.int64
    assert labels.tolist() == target[[1796, 3, 3, 0]].tolist()


def test_labels_of_no_image(index_file: Path) -> None:
    assert true_labels(index_file, np.array([], dtype=np.str_)).shape == (0,)


def test_a_label_of_an_image_that_the_index_does_not_have(index_file: Path) -> None:
    with pytest.raises(InputError) as caught:
        true_labels(index_file, np.array(["digits-0001", "flowers-7"]))
    assert str(caught.value) == f"{index_file}: it has no image 'flowers-7', which the predictions name; predict anew"
