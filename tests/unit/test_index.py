"""The split of a dataset, the images behind the index, the digits loader, and labels looked up by id."""

from __future__ import annotations

import gzip
import subprocess
import sys
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from patchcert import InputError, plugins
from patchcert.datasets.index import SPLITS, open_split
from patchcert.datasets.labels import true_labels
from patchcert.datasets.loaders import digits
from patchcert.datasets.prepare import prepare, prepared
from patchcert.datasets.splits import UNUSED, with_splits

FILES = {digits.FILE: Path(str(package_files("sklearn") / "datasets" / "data" / "digits.csv.gz"))}
COUNT = 1797


def settings(train: int | None, calibration: int, test: int, seed: int = 0, **more: Any) -> dict[str, Any]:
    sizes = {"train": train, "calibration": calibration, "test": test}
    block = {
        "loader": "digits",
        "classes": 10,
        "image_size": [32, 32],
        "resize": None,
        "split_sizes": sizes,
        "split_seed": seed,
    }
    return block | more


def index(block: dict[str, Any]) -> pd.DataFrame:
    return with_splits(digits.records(FILES), block)


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
    table = index(settings(train, calibration, test))
    assert table["split"].value_counts().to_dict() == expected


def test_the_index_has_one_row_an_image_in_the_datasets_order(prepared_digits: tuple[Path, Path]) -> None:
    table = pd.read_parquet(prepared_digits[0])
    assert list(table.columns) == ["image_id", "label", "object_size", "split", "row"]
    assert table["image_id"].tolist() == [f"digits-{row:04d}" for row in range(COUNT)]
    assert table["label"].tolist() == load_digits().target.tolist()
    assert set(table["split"]) == {*SPLITS, UNUSED}
    assert table["object_size"].tolist() == digits.object_sizes(FILES, table, scaled).tolist()
    used = table["split"] != UNUSED
    assert (table.loc[used, "row"].tolist(), set(table.loc[~used, "row"])) == (list(range(280)), {-1})


def test_the_default_study_is_tested_on_these_images() -> None:
    table = index(settings(None, 280, 400))
    assert ids_of(table, "test")[:6] == [
        "digits-0021",
        "digits-0024",
        "digits-0028",
        "digits-0034",
        "digits-0035",
        "digits-0037",
    ]
    assert ids_of(table, "calibration")[:4] == ["digits-0001", "digits-0002", "digits-0003", "digits-0007"]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_split_is_stratified(seed: int) -> None:
    table = index(settings(200, 50, 30, seed))
    shares = table["label"].value_counts(normalize=True)
    for split, size in (("test", 30), ("calibration", 50), ("train", 200)):
        counts = table.loc[table["split"] == split, "label"].value_counts()
        assert ((counts.reindex(shares.index, fill_value=0) - size * shares).abs() <= 1).all(), split


def test_the_test_images_do_not_depend_on_the_sizes_of_the_others() -> None:
    tests = [
        ids_of(index(settings(train, calibration, 30)), "test") for train, calibration in [(None, 50), (200, 50), (10, 1000)]
    ]
    assert tests[0] == tests[1] == tests[2]


def test_the_calibration_images_do_not_depend_on_the_size_of_the_training_split() -> None:
    first, second = (ids_of(index(settings(train, 50, 30)), "calibration") for train in (None, 100))
    assert first == second


def test_the_split_depends_on_its_seed_and_on_nothing_else() -> None:
    first, again, other = (index(settings(200, 50, 30, seed)) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert all(ids_of(first, split) != ids_of(other, split) for split in SPLITS)


def test_more_images_than_there_are() -> None:
    with pytest.raises(InputError) as caught:
        index(settings(1000, 500, 400))
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
        index(settings(*sizes))
    assert str(caught.value).startswith(message)


def in_parts(train: int, test: int) -> pd.DataFrame:
    """Records of so many images in each part, of four labels, the parts in turn as long as both last."""
    parts = ["train", "test"] * min(train, test) + ["train"] * (train - test) + ["test"] * (test - train)
    ids = [f"flower-{row}" for row in range(len(parts))]
    return pd.DataFrame({"image_id": ids, "label": np.arange(len(parts)) // 2 % 4, "part": parts})


@pytest.mark.parametrize("train", [None, 20])
@pytest.mark.parametrize("test", [12, 40])
def test_published_parts_are_kept_apart(train: int | None, test: int) -> None:
    table = with_splits(in_parts(100, 40), settings(train, 16, test))
    parts = table.groupby("split")["part"].unique().map(list).to_dict()
    assert (parts["train"], parts["calibration"], parts["test"]) == (["train"], ["train"], ["test"])
    counts = table["split"].value_counts()
    assert (counts["test"], counts["calibration"], counts["train"]) == (test, 16, 84 if train is None else train)


def test_the_test_images_of_a_part_do_not_depend_on_the_sizes_of_the_others() -> None:
    first, second = (ids_of(with_splits(in_parts(100, 40), settings(*sizes, 12)), "test") for sizes in ((None, 16), (20, 50)))
    assert first == second


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((80, 21, 12), "{'train': 80, 'calibration': 21} ask for 101 images; flowers has 100 in its part 'train'"),
        ((None, 101, 12), "{'train': None, 'calibration': 101} ask for 101 images; flowers has 100 in its part 'train'"),
        ((80, 20, 41), "{'test': 41} ask for 41 images; flowers has 40 in its part 'test'"),
    ],
)
def test_more_images_than_a_part_has(sizes: tuple[int | None, int, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        with_splits(in_parts(100, 40), settings(*sizes, loader="flowers"))
    assert str(caught.value) == f"split_sizes: {message}"


def test_an_unknown_loader(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare(settings(200, 50, 30, loader="digit"), FILES, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    assert str(caught.value).startswith("loaders: 'digit' is unknown; did you mean 'digits'? write one of cifar10, ")


# --- images ------------------------------------------------------------------------------------------------------------------


def scaled(picture: np.ndarray) -> np.ndarray:
    return prepared(picture, (32, 32))


@pytest.fixture(scope="module")
def prepared_digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The index and the pixels."""
    folder = tmp_path_factory.mktemp("prepared")
    paths = folder / "index.parquet", folder / "pixels.npy"
    prepare(settings(200, 50, 30), FILES, *paths)
    return paths


@pytest.fixture
def index_file(prepared_digits: tuple[Path, Path]) -> Path:
    return prepared_digits[0]


@pytest.mark.parametrize("split", SPLITS)
def test_the_images_of_a_split_come_in_the_order_of_the_index(prepared_digits: tuple[Path, Path], split: str) -> None:
    opened = open_split(*prepared_digits, split)
    images, table = opened.read(), pd.read_parquet(prepared_digits[0])
    rows = table[table["split"] == split]
    assert images.ids.tolist() == opened.ids.tolist() == rows["image_id"].tolist()
    assert images.ids.tolist() == sorted(images.ids)
    assert images.labels.tolist() == opened.labels.tolist() == rows["label"].tolist()
    assert images.pixels.shape == (len(opened), 3, 32, 32)
    assert (images.pixels == [scaled(picture) for picture in digits.pictures(FILES, rows)]).all()
    assert (images.pixels.dtype, images.labels.dtype, images.ids.dtype.kind) == (np.uint8, np.int64, "U")


def test_a_part_of_a_split_is_a_slice_of_it(prepared_digits: tuple[Path, Path]) -> None:
    whole = open_split(*prepared_digits, "test")
    part = whole.part(slice(5, 9))
    assert (len(whole), len(part), len(part.part(slice(3, None)))) == (30, 4, 1)
    assert part.part(slice(3, None)).ids.tolist() == [whole.ids[8]]
    everything, some = whole.read(), part.read()
    for name in ("ids", "pixels", "labels"):
        np.testing.assert_array_equal(getattr(everything, name)[5:9], getattr(some, name))


def test_images_are_read_in_any_order_and_any_number_of_times(prepared_digits: tuple[Path, Path]) -> None:
    whole = open_split(*prepared_digits, "calibration").part(slice(10, None))
    numbers = np.array([7, 0, 39, 7])
    pixels = whole.rows(numbers)
    assert (type(pixels), pixels.dtype, pixels.shape) == (np.ndarray, np.uint8, (4, 3, 32, 32))
    np.testing.assert_array_equal(pixels, whole.read().pixels[numbers])
    assert whole.rows(np.array([], dtype=np.int64)).shape == (0, 3, 32, 32)


def test_opening_a_split_reads_no_pixel(prepared_digits: tuple[Path, Path]) -> None:
    opened = open_split(*prepared_digits, "test").part(slice(10, 12))
    assert isinstance(opened.pixels, np.memmap)
    assert not isinstance(opened.read().pixels, np.memmap)


def test_pixels_of_another_index_are_refused(prepared_digits: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "index.parquet"
    prepare(settings(200, 50, 31), FILES, other, tmp_path / "pixels.npy")
    with pytest.raises(InputError) as caught:
        open_split(other, prepared_digits[1], "test")
    assert str(caught.value) == f"{prepared_digits[1]}: it does not belong to {other}; delete both and run snakemake again"


def test_opening_a_split_imports_nothing_that_only_the_preparation_needs() -> None:
    unwanted = "{'sklearn', 'torch', 'torchvision', 'scipy', 'PIL'}"
    code = f"import sys, patchcert.datasets.index; print(*{unwanted} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


# --- digits ------------------------------------------------------------------------------------------------------------------


def test_digits_of_their_own_size_are_scikit_learns() -> None:
    truth = load_digits()
    table = digits.records(FILES)
    pixels = np.stack([prepared(picture, (8, 8)) for picture in digits.pictures(FILES, table)])
    assert table["label"].tolist() == truth.target.tolist()
    assert table["label"].dtype == np.int64
    assert table["image_id"].is_unique
    # 17 grey levels, 0 to 16, over 0 to 255
    np.testing.assert_array_equal(pixels, np.repeat((truth.images * 255 // 16).astype(np.uint8)[:, None], 3, axis=1))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_digits_are_scaled_bicubically_to_rows_by_columns_in_the_order_of_the_records() -> None:
    rows = [0, 12, 1796]
    pictures = digits.pictures(FILES, digits.records(FILES).loc[rows])
    grey = (load_digits().images * 255 // 16).astype(np.uint8)
    for picture, row in zip(pictures, rows, strict=True):
        wanted = np.asarray(Image.fromarray(grey[row]).resize((40, 24), Image.Resampling.BICUBIC))
        assert (prepared(picture, (24, 40)) == wanted).all()


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
    files = write_table(tmp_path, table)
    sizes = digits.object_sizes(files, digits.records(files), partial(prepared, image_size=(8, 8)))
    assert sizes.dtype == np.float64
    assert sizes.tolist() == [100, 100 * share]


def test_the_size_of_an_object_is_measured_on_the_scaled_image(tmp_path: Path) -> None:
    table = np.zeros((1, 65), dtype=int)
    table[0, :64].reshape(8, 8)[2:6, 1:4] = 16
    files, preparation = write_table(tmp_path, table), partial(prepared, image_size=(32, 16))
    (picture,) = digits.pictures(files, digits.records(files))
    rows, columns = np.nonzero(preparation(picture)[0] >= 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 23, 2, 7)  # four and two pixels for one
    sizes = digits.object_sizes(files, digits.records(files), preparation)
    assert sizes.tolist() == [100 * 16 * 6 / (32 * 16)]


def test_every_digit_has_a_size_in_per_cent(index_file: Path) -> None:
    sizes = pd.read_parquet(index_file)["object_size"]
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


# --- any number of labels ----------------------------------------------------------------------------------------------------


def in_lists(count: int, empty: int = 0) -> pd.DataFrame:
    """Records of images with one to three of seven labels, of which the last so many have none."""
    labels = [sorted({row % 7, row // 3 % 7, row // 11 % 7}) for row in range(count - empty)] + [[]] * empty
    ids, sizes = [f"scene-{row}" for row in range(count)], [[10.0 * (label + 1) for label in some] for some in labels]
    return pd.DataFrame({"image_id": ids, "labels": labels, "object_sizes": sizes})


def of_lists(*sizes: int | None, **more: Any) -> dict[str, Any]:
    return settings(*sizes, **({"loader": "lists", "unlabelled": "drop", "classes": 9, "image_size": [2, 3]} | more))


@pytest.fixture
def loader_of_lists(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A dataset whose images show their numbers, and whose records a test can replace."""
    loader = SimpleNamespace(records=lambda files: in_lists(100, 20))
    loader.pictures = lambda files, chosen: (np.full((2, 3), row, dtype=np.uint8) for row in chosen.index)
    monkeypatch.setattr(plugins, "load", lambda package, name: loader)
    return loader


@pytest.fixture
def prepared_lists(loader_of_lists: SimpleNamespace, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    prepare(of_lists(None, 16, 12), {}, *paths)
    return paths


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_images_with_any_number_of_them_are_a_table(prepared_lists: tuple[Path, Path], split: str) -> None:
    opened, records = open_split(*prepared_lists, split), in_lists(100, 20).set_index("image_id")
    assert (len(opened), opened.labels.shape, opened.labels.dtype) == (
        {"train": 52, "calibration": 16, "test": 12}[split],
        (len(opened), 9),
        np.bool_,
    )
    assert [np.flatnonzero(row).tolist() for row in opened.labels] == records.loc[opened.ids, "labels"].tolist()
    part = opened.part(slice(3, 9))
    np.testing.assert_array_equal(part.read().labels, opened.labels[3:9])
    assert part.rows(np.arange(6))[:, 0, 0, 0].tolist() == [int(name.removeprefix("scene-")) for name in part.ids]


def test_labels_of_images_with_any_number_of_them_by_id(prepared_lists: tuple[Path, Path]) -> None:
    ids = np.array(["scene-70", "scene-99", "scene-8", "scene-70"])
    labels = true_labels(prepared_lists[0], ids)
    assert (labels.dtype, labels.shape) == (np.bool_, (4, 9))
    assert [np.flatnonzero(row).tolist() for row in labels] == [[0, 2, 6], [], [0, 1, 2], [0, 2, 6]]
    assert true_labels(prepared_lists[0], ids[:0]).shape == (0, 9)


def test_the_sizes_of_objects_stand_beside_their_labels(prepared_lists: tuple[Path, Path]) -> None:
    table = pd.read_parquet(prepared_lists[0])
    assert list(table.columns) == ["image_id", "labels", "object_sizes", "split", "row"]
    assert [some.tolist() for some in table["object_sizes"]] == in_lists(100, 20)["object_sizes"].tolist()


def test_images_that_all_lack_labels_are_images(loader_of_lists: SimpleNamespace, tmp_path: Path) -> None:
    loader_of_lists.records = lambda files: in_lists(8, 8)
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    prepare(of_lists(None, 2, 2, unlabelled="keep"), {}, *paths)
    labels = open_split(*paths, "train").labels
    assert (labels.shape, labels.dtype, labels.any()) == ((4, 9), np.bool_, False)


def test_a_label_that_is_no_class(loader_of_lists: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^classes: 6; the images of lists have more labels; write 7$"):
        prepare(of_lists(None, 16, 12, classes=6), {}, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    assert list(tmp_path.iterdir()) == []


def test_draws_among_images_with_any_number_of_labels() -> None:
    records = in_lists(100, 20)
    first, again, other, larger = (
        with_splits(records, of_lists(*sizes)) for sizes in [(None, 16, 12), (None, 16, 12), (None, 16, 12, 1), (20, 30, 12)]
    )
    assert first["split"].value_counts().to_dict() == {"train": 52, "unlabelled": 20, "calibration": 16, "test": 12}
    assert set(first.loc[80:, "split"]) == {"unlabelled"}
    assert set(first.loc[80:, "row"]) == {-1}
    pd.testing.assert_frame_equal(first, again)
    assert ids_of(first, "test") != ids_of(other, "test")
    assert ids_of(first, "test") == ids_of(larger, "test")
    kept = with_splits(records, of_lists(None, 16, 12, unlabelled="keep"))
    assert kept["split"].value_counts().to_dict() == {"train": 72, "calibration": 16, "test": 12}


@pytest.mark.parametrize(("practice", "found"), [("drop", "80 with labels"), ("keep", "100")])
def test_more_images_than_have_labels(practice: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        with_splits(in_lists(100, 20), of_lists(None, 90, 12, unlabelled=practice))
    assert str(caught.value) == (
        f"split_sizes: {{'train': None, 'calibration': 90, 'test': 12}} ask for 102 images; lists has {found}"
    )


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
