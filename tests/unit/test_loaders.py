"""The published datasets, from a server through the fetch and the preparation to the images that classifiers see."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from patchcert import InputError, plugins
from patchcert.datasets.fetch import fetch
from patchcert.datasets.index import SPLITS, open_split
from patchcert.datasets.prepare import LOADERS, prepare
from patchcert.datasets.sources import read_sources

from ..published import DATASETS, REGISTRY, Known, publish, serving

SETTINGS = {
    "cifar10": {"classes": 10, "image_size": [40, 48], "resize": None},
    "cifar100": {"classes": 100, "image_size": [32, 32], "resize": None},
    "svhn": {"classes": 10, "image_size": [48, 48], "resize": None},
    "imagenette": {"classes": 2, "image_size": [20, 24], "resize": 27},
    "imagenet": {"classes": 3, "image_size": [28, 28], "resize": 32},
}
"""The blocks of the configuration, with fewer pixels and classes than the real ones."""
SIZES = {"train": 4, "calibration": 3, "test": 3}


class Fetched(NamedTuple):
    """A dataset on the disk, by way of the project's own fetch."""

    name: str
    files: dict[str, Path]
    images: list[Known]
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def fetched_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fetched]:
    folder, found = tmp_path_factory.mktemp("published"), {}
    with pytest.MonkeyPatch.context() as patch, serving(folder / "server") as address:
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name in DATASETS:
            entries, images = publish(name, folder / "server", address)
            files = {entry.file: folder / "data" / entry.name / entry.version / entry.file for entry in entries}
            for entry in entries:
                fetch(entry, files[entry.file], address if name == "imagenet" else None)
            found[name] = Fetched(name, files, images, SETTINGS[name] | {"loader": name, "split_sizes": SIZES, "split_seed": 0})
    return found


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest, fetched_once: dict[str, Fetched]) -> Fetched:
    return fetched_once[request.param]


def expected(picture: Image.Image, settings: dict[str, Any]) -> np.ndarray:
    """What torchvision makes of a picture, uint8 [3, H, W]."""
    rows, columns = settings["image_size"]
    whole = Resize(settings["resize"] or (rows, columns), InterpolationMode.BICUBIC)
    seen = Compose([whole, CenterCrop((rows, columns))])(picture.convert("RGB"))
    return np.asarray(seen).transpose(2, 0, 1)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_image_of_every_split_is_the_published_one_prepared(dataset: Fetched, tmp_path: Path, threads: int) -> None:
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    table = prepare(dataset.settings, dataset.files, *paths, threads=threads)
    pd.testing.assert_frame_equal(table, pd.read_parquet(paths[0]))
    known = {image.image_id: image for image in dataset.images}
    for split in SPLITS:
        images = open_split(*paths, split).read()
        assert len(images.ids) == SIZES[split]
        for image_id, pixels, label in zip(images.ids, images.pixels, images.labels, strict=True):
            assert label == known[image_id].label
            assert known[image_id].part == ("test" if split == "test" else "train")
            np.testing.assert_array_equal(pixels, expected(known[image_id].picture, dataset.settings))


def test_the_index_has_every_image_in_the_order_of_the_archives(dataset: Fetched, tmp_path: Path) -> None:
    table = prepare(dataset.settings, dataset.files, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    assert list(table.columns) == ["image_id", "label", "part", "object_size", "split", "row"]
    assert list(zip(table["image_id"], table["label"], table["part"], strict=True)) == [image[:3] for image in dataset.images]
    assert (table["label"].dtype, table["row"].dtype) == (np.int64, np.int64)
    assert table["object_size"].isna().all()
    used = table["split"] != "unused"
    assert table.loc[used, "row"].tolist() == list(range(sum(SIZES.values())))
    assert set(table.loc[~used, "row"]) == {-1}


def test_the_training_part_is_taken_whole_where_no_size_is_given(dataset: Fetched, tmp_path: Path) -> None:
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    prepare(dataset.settings | {"split_sizes": SIZES | {"train": None}}, dataset.files, *paths)
    assert len(open_split(*paths, "train")) == sum(image.part == "train" for image in dataset.images) - SIZES["calibration"]


@pytest.mark.parametrize(
    ("sizes", "asked", "part"),
    [
        ({"test": 99}, "{'test': 99} ask for 99 images", "test"),
        ({"train": 90}, "{'train': 90, 'calibration': 3} ask for 93 images", "train"),
    ],
)
def test_sizes_that_a_part_lacks(dataset: Fetched, tmp_path: Path, sizes: dict[str, int], asked: str, part: str) -> None:
    settings = dataset.settings | {"split_sizes": SIZES | sizes}
    with pytest.raises(InputError) as caught:
        prepare(settings, dataset.files, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    count = sum(image.part == part for image in dataset.images)
    assert str(caught.value) == f"split_sizes: {asked}; {dataset.name} has {count} in its part {part!r}"
    assert list(tmp_path.iterdir()) == []


def test_too_few_classes(dataset: Fetched, tmp_path: Path) -> None:
    labels = max(image.label for image in dataset.images) + 1
    settings = dataset.settings | {"classes": labels - 1}
    message = f"^classes: {labels - 1}; the images of {dataset.name} have more labels; write {labels}$"
    with pytest.raises(InputError, match=message):
        prepare(settings, dataset.files, tmp_path / "index.parquet", tmp_path / "pixels.npy")


FILES = [(name, entry.file) for name, entries in read_sources(REGISTRY).items() if name in DATASETS for entry in entries]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_damaged_file_is_named_and_nothing_is_left(
    fetched_once: dict[str, Fetched], tmp_path: Path, name: str, file: str, damage: str
) -> None:
    dataset, broken = fetched_once[name], tmp_path / "data" / file
    whole = dataset.files[file].read_bytes()
    noise = np.random.default_rng(0).bytes(len(whole))
    broken.parent.mkdir()
    broken.write_bytes({"cut": whole[: len(whole) // 2], "noise": noise, "empty": b""}[damage])
    with pytest.raises(InputError) as caught:
        prepare(dataset.settings, dataset.files | {file: broken}, tmp_path / "i.parquet", tmp_path / "p.npy")
    assert str(caught.value).startswith(f"{broken}: damaged, or not in the form of its publisher (")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, file in FILES if not file.endswith(".mat")])
def test_an_archive_of_something_else_is_named(fetched_once: dict[str, Fetched], tmp_path: Path, name: str, file: str) -> None:
    dataset, other = fetched_once[name], tmp_path / file
    with tarfile.open(other, "w:gz" if file.endswith("gz") else "w") as archive:
        archive.addfile(tarfile.TarInfo("readme.txt"))
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, name).records(dataset.files | {file: other})
    assert str(caught.value).startswith(f"{other}: damaged, or not in the form of its publisher (")


@pytest.mark.parametrize("name", ["imagenette", "imagenet"])
def test_an_image_that_cannot_be_decoded_is_named(fetched_once: dict[str, Fetched], tmp_path: Path, name: str) -> None:
    dataset = fetched_once[name]
    file = {"imagenette": "imagenette2.tgz", "imagenet": "ILSVRC2012_img_val.tar"}[name]
    broken, hit = tmp_path / file, ""
    with tarfile.open(dataset.files[file]) as whole, tarfile.open(broken, "w:gz" if file.endswith("gz") else "w") as archive:
        for member in whole:
            content = whole.extractfile(member).read() if member.isfile() else b""
            if member.name.endswith(".JPEG"):
                content = content[:-200] if hit else b"\xff\xd8" + bytes(len(content) - 2)
                hit = hit or Path(member.name).stem
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(InputError, match=rf"{file}.*: the image \S+ cannot be decoded \(.*\); fetch it anew"):
        prepare(dataset.settings, dataset.files | {file: broken}, tmp_path / "i.parquet", tmp_path / "p.npy", threads=2)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_the_labels_of_imagenet_are_in_the_order_of_the_wordnet_ids(fetched_once: dict[str, Fetched]) -> None:
    records = plugins.load(LOADERS, "imagenet").records(fetched_once["imagenet"].files)
    of_wnid = {name.split("_")[0]: label for name, label in zip(records["image_id"], records["label"], strict=True)}
    assert {wnid: of_wnid[wnid] for wnid in ("n01440764", "n01443537", "n02119789")} == {
        "n01440764": 0,
        "n01443537": 1,
        "n02119789": 2,
    }
    # the development kit's numbers of the validation images are 2, 3, 1, 1, 3, 2
    validation = records[records["part"] == "test"].sort_values("image_id")
    assert validation["label"].tolist() == [2, 0, 1, 1, 0, 2]
