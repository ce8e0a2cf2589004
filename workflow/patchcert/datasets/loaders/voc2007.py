"""PASCAL VOC 2007: photographs of 20 classes of objects, 5,011 to learn from and 4,952 to test on (Everingham et al., 2007).

An image has the label of every class of which it shows an object, unless all those objects are marked as difficult: the
challenge does not count these. The archives are not compressed: nothing is extracted.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from patchcert import InputError
from patchcert.datasets.raw import pieces, readable

FOLDER = "VOCdevkit/VOC2007"
ARCHIVES = {"train": ("VOCtrainval_06-Nov-2007.tar", "trainval"), "test": ("VOCtest_06-Nov-2007.tar", "test")}
"""The archive of each part, and the name of its list of images."""
CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""In the order of the labels, which is the alphabet's."""


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image in the order of the publisher's lists, the training part first.

    ``image_id`` is the publisher's number, ``000042``; ``labels``; ``part``; ``object_sizes``; ``file``, ``offset`` and
    ``size``, both in bytes, say where the JPEG file is.

    Raises:
        InputError: an archive is damaged, or has an object of another class.
    """
    rows = [row for part in ARCHIVES for row in _rows(files, part)]
    return pd.DataFrame(rows, columns=["image_id", "labels", "part", "object_sizes", "file", "offset", "size"])


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The JPEG files of some of the records, read one after the other."""
    return pieces(files, chosen)


def _rows(files: Mapping[str, Path], part: str) -> Iterator[tuple[Any, ...]]:
    file, listed = ARCHIVES[part]
    path, texts, places = files[file], dict[str, bytes](), dict[str, tuple[int, int]]()
    wanted = (f"{FOLDER}/Annotations/", f"{FOLDER}/ImageSets/Main/{listed}.txt")
    with readable(path, ElementTree.ParseError), tarfile.open(path, "r:") as archive:
        for member in archive:
            if member.name.startswith(f"{FOLDER}/JPEGImages/"):
                places[member.name] = member.offset_data, member.size
            elif member.isfile() and member.name.startswith(wanted):
                texts[member.name] = archive.extractfile(member).read()  # type: ignore[union-attr]
        for image_id in texts[wanted[1]].decode().split():
            annotation = f"{FOLDER}/Annotations/{image_id}.xml"
            largest = _largest(texts[annotation], f"{path}: {annotation}")
            labels = sorted(largest)
            sizes = [largest[label] for label in labels]
            yield image_id, labels, part, sizes, file, *places[f"{FOLDER}/JPEGImages/{image_id}.jpg"]


def _largest(annotation: bytes, where: str) -> dict[int, float]:
    """The size of the largest box of each class, per cent of the picture, of the objects that are not difficult."""
    from torchvision.datasets import VOCDetection

    content = VOCDetection.parse_voc_xml(ElementTree.fromstring(annotation))["annotation"]
    pixels = int(content["size"]["width"]) * int(content["size"]["height"])
    largest: dict[int, float] = {}
    for item in content["object"]:
        if item["name"] not in CLASSES:
            raise InputError(f"{where}: it has no class {item['name']!r}; fetch the archive anew")
        if item.get("difficult") == "1":
            continue
        # pixels are counted from 1, and the last one of the box belongs to it
        left, top, right, bottom = (float(item["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax"))
        label = CLASSES.index(item["name"])
        largest[label] = max(100 * (right - left + 1) * (bottom - top + 1) / pixels, largest.get(label, 0.0))
    return largest
