"""The published datasets, from a server through the fetch and the preparation to the images that classifiers see."""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from patchcert import InputError, plugins
from patchcert.datasets.fetch import fetch
from patchcert.datasets.index import SPLITS, open_split
from patchcert.datasets.prepare import LOADERS, counts, prepare
from patchcert.datasets.sources import read_sources
from patchcert.study.config import LOADERS_OF_SEVERAL_LABELS

from ..published import DATASETS, REGISTRY, Known, publish, serving

SETTINGS = {
    "cifar10": {"classes": 10, "image_size": [40, 48], "resize": None},
    "cifar100": {"classes": 100, "image_size": [32, 32], "resize": None},
    "svhn": {"classes": 10, "image_size": [48, 48], "resize": None},
    "imagenette": {"classes": 2, "image_size": [20, 24], "resize": 27},
    "imagenet": {"classes": 3, "image_size": [28, 28], "resize": 32},
    "coco2014": {"loader": "coco", "classes": 3, "image_size": [20, 24], "resize": None, "unlabelled": "drop"},
    "voc2007": {"classes": 20, "image_size": [28, 28], "resize": 32, "unlabelled": "drop"},
}
"""The blocks of the configuration, with fewer pixels and classes than the real ones."""
SIZES = {"train": 4, "calibration": 3, "test": 3}


class Fetched(NamedTuple):
    """A dataset on the disk, by way of the project's own fetch."""

    name: str
    files: dict[str, Path]
    images: list[Known]
    settings: dict[str, Any]

    @property
    def has_lists(self) -> bool:
        """Whether its images have any number of labels."""
        return self.settings["loader"] in LOADERS_OF_SEVERAL_LABELS

    def count(self, part: str) -> int:
        """How many images of a part can be drawn."""
        return sum(image.part == part and image.label != [] for image in self.images)


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
            found[name] = Fetched(name, files, images, {"loader": name, "split_sizes": SIZES, "split_seed": 0} | SETTINGS[name])
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
    read = pd.read_parquet(paths[0])
    lists = {name: read[name].map(list) for name in ("labels", "object_sizes") if name in read}  # they are read as arrays
    pd.testing.assert_frame_equal(table, read.assign(**lists))
    known = {image.image_id: image for image in dataset.images}
    for split in SPLITS:
        images = open_split(*paths, split).read()
        assert len(images.ids) == SIZES[split]
        for image_id, pixels, label in zip(images.ids, images.pixels, images.labels, strict=True):
            assert (np.flatnonzero(label).tolist() if dataset.has_lists else label) == known[image_id].label
            assert known[image_id].part == ("test" if split == "test" else "train")
            np.testing.assert_array_equal(pixels, expected(known[image_id].picture, dataset.settings))


def test_the_index_has_every_image_in_the_order_of_the_archives(dataset: Fetched, tmp_path: Path) -> None:
    table = prepare(dataset.settings, dataset.files, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    tested = table.loc[table["split"] == "test", "image_id"]
    label, size = ("labels", "object_sizes") if dataset.has_lists else ("label", "object_size")
    assert list(table.columns) == ["image_id", label, "part", size, "split", "row"]
    assert list(zip(table["image_id"], table[label], table["part"], strict=True)) == [image[:3] for image in dataset.images]
    if dataset.has_lists:
        assert table[size].tolist() == [pytest.approx(image.sizes) for image in dataset.images]
        unlabelled = [image.image_id for image in dataset.images if image.label == []]
        assert table.loc[table["split"] == "unlabelled", "image_id"].tolist() == unlabelled != []
    else:
        assert table.loc[table[size].notna(), "image_id"].tolist() == [
            image.image_id for image in dataset.images if image.boxes and image.image_id in set(tested)
        ]
        assert table[label].dtype == np.int64
    assert table["row"].dtype == np.int64
    used = table["split"].isin(SPLITS)
    assert table.loc[used, "row"].tolist() == list(range(sum(SIZES.values())))
    assert set(table.loc[~used, "row"]) == {-1}


def test_the_training_part_is_taken_whole_where_no_size_is_given(dataset: Fetched, tmp_path: Path) -> None:
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    prepare(dataset.settings | {"split_sizes": SIZES | {"train": None}}, dataset.files, *paths)
    assert len(open_split(*paths, "train")) == dataset.count("train") - SIZES["calibration"]


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
    labelled = " with labels" if dataset.has_lists else ""
    found = f"{dataset.settings['loader']} has {dataset.count(part)}{labelled} in its part {part!r}"
    assert str(caught.value) == f"split_sizes: {asked}; {found}"
    assert list(tmp_path.iterdir()) == []


def test_too_few_classes(dataset: Fetched, tmp_path: Path) -> None:
    labels = max(np.max(image.label, initial=0) for image in dataset.images) + 1
    settings = dataset.settings | {"classes": labels - 1}
    message = f"^classes: {labels - 1}; the images of {dataset.settings['loader']} have more labels; write {labels}$"
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


WITHOUT_LIST = {"train_32x32.mat", "test_32x32.mat", "train2014.zip", "val2014.zip"}
"""Files that other files list the images of, or that are no archives."""


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, file in FILES if file not in WITHOUT_LIST])
def test_an_archive_of_something_else_is_named(fetched_once: dict[str, Fetched], tmp_path: Path, name: str, file: str) -> None:
    dataset, other = fetched_once[name], tmp_path / file
    if file.endswith(".zip"):
        with ZipFile(other, "w") as archive:
            archive.writestr("readme.txt", "")
    else:
        with tarfile.open(other, "w:gz" if file.endswith("gz") else "w") as archive:
            archive.addfile(tarfile.TarInfo("readme.txt"))
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, dataset.settings["loader"]).records(dataset.files | {file: other})
    assert str(caught.value).startswith(f"{other}: damaged, or not in the form of its publisher (")


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Write an archive anew, each file in it as ``change`` makes it of its name and content; None leaves it out."""
    if path.suffix == ".zip":
        with ZipFile(path) as whole, ZipFile(target, "w") as archive:
            for name in whole.namelist():
                if (content := change(name, whole.read(name))) is not None:
                    archive.writestr(name, content)
        return
    with tarfile.open(path) as whole, tarfile.open(target, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for member in whole:
            content = change(member.name, whole.extractfile(member).read()) if member.isfile() else b""
            if content is not None:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("imagenette", "imagenette2.tgz"),
        ("imagenet", "ILSVRC2012_img_val.tar"),
        ("coco2014", "val2014.zip"),
        ("voc2007", "VOCtest_06-Nov-2007.tar"),
    ],
)
@pytest.mark.parametrize("kept", [2, -200], ids=["no JPEG", "cut JPEG"])
def test_an_image_that_cannot_be_decoded_is_named(
    fetched_once: dict[str, Fetched], tmp_path: Path, name: str, file: str, kept: int
) -> None:
    dataset, broken = fetched_once[name], tmp_path / file

    def cut(member: str, content: bytes) -> bytes:
        return content[:kept].ljust(len(content) // 2, b"\0") if member.lower().endswith((".jpg", ".jpeg")) else content

    rewritten(dataset.files[file], broken, cut)
    with pytest.raises(InputError, match=rf"^{broken}: the image \S+ cannot be decoded \(.*\); fetch it anew$"):
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


# --- ImageNet's bounding boxes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", [32, None])
def test_the_objects_of_imagenet_are_the_union_of_their_boxes_in_the_prepared_image(
    fetched_once: dict[str, Fetched], tmp_path: Path, resize: int | None
) -> None:
    dataset = fetched_once["imagenet"]
    settings = dataset.settings | {"resize": resize, "split_sizes": SIZES | {"test": 6}}
    table = prepare(settings, dataset.files, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    sizes = dict(zip(table["image_id"], table["object_size"], strict=True))
    for image in (image for image in dataset.images if image.boxes):
        boxes = Image.new("RGB", image.picture.size)
        for box in image.boxes:
            ImageDraw.Draw(boxes).rectangle(box, fill="white")
        assert sizes[image.image_id] == 100 * np.mean(expected(boxes, settings)[0] >= 128)
    # the left half of the picture's columns: 30 of 60, or, after scaling by 32/37, those of the cropped 12 to 40 up to 25.5
    half = 50 if resize is None else 100 * 13.5 / 28
    assert sizes["ILSVRC2012_val_00000003"] == pytest.approx(half, abs=50 / 28 + 0.01)
    assert table.loc[table["part"] == "train", "object_size"].isna().all()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (lambda content: None, "KeyError('ILSVRC2012_val_00000004')"),
        (lambda content: re.sub(b"<xmax>.*?</xmax>", b"", content), "LookupError('no xmax in it')"),
        (lambda content: content.replace(b"<height>37", b"<height>tall"), "ValueError("),
        (lambda content: content[:-5], "ParseError("),
    ],
    ids=["absent", "no side", "no number", "cut"],
)
def test_boxes_that_are_not_as_published_are_named(
    fetched_once: dict[str, Fetched], tmp_path: Path, changed: Callable[[bytes], bytes | None], fault: str
) -> None:
    files, file = fetched_once["imagenet"].files, "ILSVRC2012_bbox_val_v3.tgz"
    rewritten(files[file], tmp_path / file, lambda member, content: changed(content) if "_00000004" in member else content)
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, "imagenet").records(files | {file: tmp_path / file})
    assert str(caught.value).startswith(f"{tmp_path / file}: damaged, or not in the form of its publisher ({fault}")


# --- COCO and PASCAL VOC ---------------------------------------------------------------------------------------------------


def test_annotations_are_read_without_a_word_on_stdout(
    fetched_once: dict[str, Fetched], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "patchcert")
    plugins.load(LOADERS, "coco").records(fetched_once["coco2014"].files)
    assert capfd.readouterr() == ("", "")
    assert "instances_val2014.json: 14 objects in 9 images, 3 categories" in caplog.text


VALIDATION = "annotations/instances_val2014.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content["annotations"][3].update(category_id=2),
            f": {VALIDATION}: the category_id of annotation 4902 is 2, which it does not list; fetch it anew",
        ),
        (
            lambda content: content["annotations"][3].update(image_id=5),
            f": {VALIDATION}: the image_id of annotation 4902 is 5, which it does not list; fetch it anew",
        ),
        (
            lambda content: [content.pop(key) for key in ("images", "categories")],
            f": {VALIDATION} is not in COCO's format: it has no images and no categories; fetch it anew",
        ),
        (
            lambda content: content["annotations"][3].pop("bbox"),
            ": damaged, or not in the form of its publisher (KeyError('bbox')); fetch it anew",
        ),
        (
            lambda content: content["annotations"][3].pop("category_id"),
            ": damaged, or not in the form of its publisher (KeyError('category_id')); fetch it anew",
        ),
        (
            lambda content: content["images"][2].update(width=0),
            ": damaged, or not in the form of its publisher (ZeroDivisionError(",
        ),
        (
            lambda content: content["categories"].append({"id": 4, "name": "thing 4"}),
            ": its parts have other categories than one another; fetch it anew",
        ),
    ],
    ids=["category", "image", "another form", "no box", "no category", "no width", "other categories"],
)
def test_annotations_that_do_not_fit_are_named(
    fetched_once: dict[str, Fetched], tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    dataset, file = fetched_once["coco2014"], "annotations_trainval2014.zip"

    def changed(member: str, content: bytes) -> bytes:
        parsed = json.loads(content)
        if member == VALIDATION:
            change(parsed)
        return json.dumps(parsed).encode()

    rewritten(dataset.files[file], tmp_path / file, changed)
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, "coco").records(dataset.files | {file: tmp_path / file})
    assert str(caught.value).startswith(f"{tmp_path / file}{message}")


def test_an_image_that_an_archive_lacks_is_named(fetched_once: dict[str, Fetched], tmp_path: Path) -> None:
    files, file = fetched_once["coco2014"].files, "val2014.zip"
    lost = "val2014/COCO_val2014_000000000042.jpg"
    rewritten(files[file], tmp_path / file, lambda member, content: None if member == lost else content)
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, "coco").records(files | {file: tmp_path / file})
    annotations = files["annotations_trainval2014.zip"]
    assert str(caught.value) == f"{tmp_path / file}: it has no {lost}, which {annotations} lists; fetch both anew"


def test_an_object_of_another_class_is_named(fetched_once: dict[str, Fetched], tmp_path: Path) -> None:
    files, file = fetched_once["voc2007"].files, "VOCtest_06-Nov-2007.tar"
    rewritten(files[file], tmp_path / file, lambda member, content: content.replace(b"<name>dog<", b"<name>wolf<"))
    with pytest.raises(InputError) as caught:
        plugins.load(LOADERS, "voc2007").records(files | {file: tmp_path / file})
    place = f"{tmp_path / file}: VOCdevkit/VOC2007/Annotations/000010.xml"
    assert str(caught.value) == f"{place}: it has no class 'wolf'; fetch the archive anew"


@pytest.mark.parametrize("practice", ["drop", "keep"])
@pytest.mark.parametrize("name", ["coco2014", "voc2007"])
def test_images_without_a_label_are_counted_and_left_out_unless_they_are_kept(
    fetched_once: dict[str, Fetched], tmp_path: Path, name: str, practice: str
) -> None:
    dataset = fetched_once[name]
    parts = {part: sum(image.part == part for image in dataset.images) for part in ("test", "train")}
    unlabelled = {part: count - dataset.count(part) for part, count in parts.items()}
    dropped = unlabelled if practice == "drop" else {"test": 0, "train": 0}
    sizes = {"train": None, "calibration": 3, "test": parts["test"] - dropped["test"]}
    paths = tmp_path / "index.parquet", tmp_path / "pixels.npy"
    table = prepare(dataset.settings | {"split_sizes": sizes, "unlabelled": practice}, dataset.files, *paths)
    found = counts(table)
    expected_images = {
        "train": parts["train"] - dropped["train"] - 3,
        "calibration": 3,
        "test": sizes["test"],
        "unlabelled": sum(dropped.values()),
    }
    assert found["images"] == {split: count for split, count in expected_images.items() if count}
    assert found["unlabelled"] == unlabelled
    test = open_split(*paths, "test")
    assert (~test.labels.any(axis=1)).sum() == unlabelled["test"] - dropped["test"]
    shown = [label for image in dataset.images if image.part == "test" for label in image.label]
    by_label = {str(label): shown.count(label) for label in sorted(set(shown))}
    assert found["images_by_label"]["test"] == by_label
    assert test.labels.shape == (sizes["test"], dataset.settings["classes"])
    assert test.labels.sum(axis=0).tolist() == [by_label.get(str(label), 0) for label in range(test.labels.shape[1])]
