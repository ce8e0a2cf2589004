"""Scenes of digits: the same bytes everywhere, and annotations that say what is to be seen."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from patchcert import InputError
from patchcert.datasets.fetch import fetch
from patchcert.datasets.generated import scenes
from patchcert.datasets.index import SPLITS, open_split
from patchcert.datasets.prepare import prepare
from patchcert.datasets.sources import read_sources

REGISTRY = Path(__file__).parents[2] / "config" / "sources.csv"
SOURCES = read_sources(REGISTRY)
SMALL = SOURCES["scenes_small"]
COUNTS = {"train": 300, "test": 60}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small dataset by way of the project's fetch, which verifies the digests of the registry."""
    folder = tmp_path_factory.mktemp("scenes")
    for entry in SMALL:
        fetch(entry, folder / entry.file, mirror=str(folder / "absent"))
    return {entry.file: folder / entry.file for entry in SMALL}


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[scenes.Scene]]:
    return {part: list(scenes.scenes(part, count)) for part, count in COUNTS.items()}


@pytest.fixture(scope="module", params=COUNTS)
def part(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def coco(files: dict[str, Path], part: str, tmp_path_factory: pytest.TempPathFactory) -> COCO:
    """A part as pycocotools reads it."""
    folder = tmp_path_factory.mktemp("annotations")
    with ZipFile(files["annotations.zip"]) as archive:
        return COCO(archive.extract(f"annotations/instances_{part}.json", folder))


# --- bytes -------------------------------------------------------------------------------------------------------------------


def test_the_test_scenes_of_the_study_are_those_of_the_registry(tmp_path: Path) -> None:
    entries = {entry.file: entry for entry in SOURCES["scenes"]}
    assert {entry.origin for entry in entries.values()} == {"generated:scenes?train=6000&test=400"}
    fetch(entries["test.zip"], tmp_path / "test.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["test.zip"]


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_makes_the_same_bytes(files: dict[str, Path], tmp_path: Path, seed: str) -> None:
    code = "import sys, pathlib; from patchcert.datasets.generated.scenes import generate\n"
    code += f"for file in {list(files)}: generate(file, pathlib.Path(file), {COUNTS})"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    for file, path in files.items():
        assert (tmp_path / file).read_bytes() == path.read_bytes(), file


def test_a_scene_does_not_depend_on_how_many_there_are(drawn: dict[str, list[scenes.Scene]], part: str) -> None:
    for one, other in zip(scenes.scenes(part, 3), drawn[part][:3], strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.number, one.digits) == (other.number, other.digits)


@pytest.mark.parametrize(
    ("origin", "file", "message"),
    [
        ("generated:scenes?train=5", "train.zip", "write how many scenes its parts have, "),
        ("generated:scenes?train=5&test=0", "train.zip", "write how many scenes its parts have, "),
        ("generated:scenes?train=5&test=1&val=1", "train.zip", "write how many scenes its parts have, "),
        (
            "generated:scenes?train=5&test=1",
            "val.zip",
            "there is no 'val.zip'; its files are train.zip, test.zip and annotations",
        ),
        ("generated:scenes?train=5&test=1", "train", "there is no 'train'; "),
        ("generated:scene", "train.zip", "generated: 'scene' is unknown; did you mean 'scenes'? "),
    ],
)
def test_an_origin_that_makes_nothing_is_named(tmp_path: Path, origin: str, file: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fetch(replace(SMALL[0], origin=origin, file=file), tmp_path / file)
    assert str(caught.value).startswith(f"scenes_small 1, {file}: {origin}: {message}")
    assert list(tmp_path.iterdir()) == []


def test_other_bytes_than_those_of_the_registry_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch(replace(SMALL[0], origin="generated:scenes?train=3&test=1"), tmp_path / "train.zip")
    assert "generated:scenes?train=3&test=1 is not the file of the registry: expected " in str(caught.value)
    assert "Install the versions that the environment is locked to and run again, or correct the file's " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --- annotations -------------------------------------------------------------------------------------------------------------


def test_a_part_has_its_images(files: dict[str, Path], part: str, coco: COCO) -> None:
    assert len(coco.imgs) == COUNTS[part]
    names = [f"{part}/{image['file_name']}" for image in coco.imgs.values()]
    with ZipFile(files[f"{part}.zip"]) as archive:
        assert archive.namelist() == names
        with archive.open(names[0]) as stream, Image.open(stream) as image:
            assert (image.size, image.mode) == ((64, 64), "RGB")


def test_categories_are_the_digits_in_words(coco: COCO) -> None:
    words = [coco.cats[number]["name"] for number in sorted(coco.cats)]
    assert words == ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    truth = load_digits().target
    assert all(truth[annotation["digit"]] == annotation["category_id"] - 1 for annotation in coco.anns.values())


def test_scenes_have_one_or_two_classes_and_three_to_six_digits_of_each(coco: COCO) -> None:
    classes, instances = Counter[int](), Counter[int]()
    for objects in coco.imgToAnns.values():
        shown = Counter(annotation["category_id"] for annotation in objects)
        classes[len(shown)] += 1
        instances.update(shown.values())
    assert set(classes) == {1, 2}
    assert set(instances) == {3, 4, 5, 6}
    assert set(coco.imgToAnns) == set(coco.imgs)


def test_no_digit_is_in_scenes_of_both_parts(drawn: dict[str, list[scenes.Scene]]) -> None:
    shown = {part: {digit.row for scene in some for digit in scene.digits} for part, some in drawn.items()}
    assert not shown["train"] & shown["test"]
    truth = load_digits().target
    assert all(len({truth[row] for row in rows}) == 10 for rows in shown.values())


def test_boxes_and_areas_are_those_of_the_ink(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "DARKER", 10**6)  # all that is not black is ink
    for scene in scenes.scenes(part, 40):
        ink, held = scene.pixels.any(axis=2), np.zeros((64, 64), dtype=bool)
        assert ink.sum() == sum(digit.area for digit in scene.digits)
        for digit in scene.digits:
            left, top, width, height = digit.box
            inside = ink[top : top + height, left : left + width]
            assert inside.shape == (height, width)  # within the scene
            assert inside[[0, -1]].any(axis=1).all()  # no row or column to spare
            assert inside[:, [0, -1]].any(axis=0).all()
            assert 12 <= max(width, height) <= 32
            held[top : top + height, left : left + width] = True
        assert not (ink & ~held).any()


def test_digits_are_bright_on_a_dark_photograph(drawn: dict[str, list[scenes.Scene]], part: str) -> None:
    backgrounds = []
    for scene in drawn[part]:
        outside = np.ones((64, 64), dtype=bool)
        for digit in scene.digits:
            left, top, width, height = digit.box
            outside[top : top + height, left : left + width] = False
            assert scene.pixels[top : top + height, left : left + width].max() > 200
        assert scene.pixels[outside].max(initial=0) < 64
        backgrounds.append(scene.pixels[outside].mean())
    assert np.std(backgrounds) > 1


@pytest.mark.parametrize("size", range(16, 33))
def test_digits_are_scaled_bilinearly(size: int) -> None:
    for digit in load_digits().images[:20]:
        grey = (digit * 255 // 16).astype(np.uint8)
        wanted = np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        sharpened = np.clip(2 * (wanted - 64), 0, 255)
        assert abs(scenes.cover(grey.astype(np.int64), size) - sharpened).max() <= 2  # Pillow rounds, we round down


def test_enough_of_every_digit_is_seen(drawn: dict[str, list[scenes.Scene]], part: str) -> None:
    rows = load_digits().images.astype(np.int64) * 255 // 16
    for scene in drawn[part][:40]:
        for digit in scene.digits:
            sizes = [size for size in range(16, 33) if _extent(rows[digit.row], size) == digit.box[2:]]
            assert any(4 * digit.area >= 3 * np.count_nonzero(scenes.cover(rows[digit.row], size)) for size in sizes)


def _extent(grey: np.ndarray, size: int) -> tuple[int, int]:
    rows, columns = np.nonzero(scenes.cover(grey, size))
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


# --- prepared ----------------------------------------------------------------------------------------------------------------


def test_scenes_are_prepared_as_they_are(files: dict[str, Path], drawn: dict[str, list[scenes.Scene]], tmp_path: Path) -> None:
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    sizes = {"train": 30, "calibration": 10, "test": 60}
    settings: dict[str, Any] = {"loader": "coco", "classes": 10, "image_size": [64, 64], "resize": None}
    table = prepare(settings | {"split_sizes": sizes, "split_seed": 0, "unlabelled": "drop"}, files, *paths)
    known = {f"scenes_{part}_{scene.number:07d}": scene for part, some in drawn.items() for scene in some}
    assert table["image_id"].tolist() == list(known)
    for split in SPLITS:
        images = open_split(*paths, split).read()
        assert len(images) == sizes[split]
        for image_id, pixels, labels in zip(images.ids, images.pixels, images.labels, strict=True):
            np.testing.assert_array_equal(pixels.transpose(1, 2, 0), known[image_id].pixels)
            assert set(np.flatnonzero(labels)) == {digit.label for digit in known[image_id].digits}
    for row in pd.read_parquet(paths[0]).itertuples():
        for label, size in zip(row.labels, row.object_sizes, strict=True):
            areas = [digit.box[2] * digit.box[3] for digit in known[row.image_id].digits if digit.label == label]
            assert size == pytest.approx(100 * max(areas) / 64**2)
