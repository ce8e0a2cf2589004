"""ImageNet (ILSVRC 2012): 1,281,167 images of 1,000 classes to learn from, and the 50,000 of its validation set to test on.

Labels count the classes in the order of their WordNet ids, as those of torchvision's and timm's models do; the numbers that the
challenge's own development kit gives them have another order. The archives of images are not compressed: nothing is extracted.

Bounding boxes are those of the validation set, in PASCAL VOC's layout: a file for each image with the size of the picture and
the first and last column and row, counted from 0, of every object of the image's class.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.datasets.prepare import Preparation
from patchcert.datasets.raw import pieces, readable

TRAIN = "ILSVRC2012_img_train.tar"
VALIDATION = "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12.tar.gz"
BOXES = "ILSVRC2012_bbox_val_v3.tgz"
META = "ILSVRC2012_devkit_t12/data/meta.mat"
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
SIDES = ("ymin", "ymax", "xmin", "xmax")
WHITE = 255
INSIDE = 128
"""Brightness, of 255, from which a scaled pixel of a picture of white boxes counts as inside of them."""

Boxes: TypeAlias = tuple[tuple[int, int], list[tuple[int, ...]]]
"""Rows and columns of a picture, and the first and last row and column of each of its boxes."""


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image in the order of the archives, so that they are read from front to back, the training images first.

    ``image_id`` is ImageNet's, ``n01440764_10026`` or ``ILSVRC2012_val_00000001``; ``label`` int64; ``part``, of which the
    validation set is ``test``; ``file``, ``offset`` and ``size``, both in bytes, say where the JPEG file is;
    ``boxes`` are :data:`Boxes` of a validation image and NaN of the others.

    Raises:
        InputError: an archive is damaged, or a validation image has no boxes.
    """
    label_of, truth = _kit(files[KIT])
    boxes_of = _boxes(files[BOXES])
    rows = []
    with readable(files[TRAIN]), tarfile.open(files[TRAIN], "r:") as archive:
        for synset in archive:
            label = label_of[PurePosixPath(synset.name).stem]
            with tarfile.open(fileobj=archive.extractfile(synset), mode="r:") as images:
                for image in images:
                    place = synset.offset_data + image.offset_data
                    rows.append((_image_id(image), label, "train", TRAIN, place, image.size))
    with readable(files[VALIDATION]), tarfile.open(files[VALIDATION], "r:") as images:
        for image in images:
            number = int(_image_id(image).rpartition("_")[2])  # counted from 1, as are the lines of the ground truth
            rows.append((_image_id(image), truth[number - 1], "test", VALIDATION, image.offset_data, image.size))
    table = pd.DataFrame(rows, columns=["image_id", "label", "part", "file", "offset", "size"])
    with readable(files[BOXES]):
        tested = table.loc[table["part"] == "test", "image_id"]
        boxes = pd.Series([boxes_of[image_id] for image_id in tested], tested.index, dtype=object)
    return table.assign(boxes=boxes)


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The JPEG files of some of the records, read one after the other."""
    return pieces(files, chosen)


def object_sizes(files: Mapping[str, Path], table: pd.DataFrame, preparation: Preparation) -> NDArray[np.float64]:
    """Size of the objects of each image, float64 [n]: the union of their boxes in per cent of the prepared image's pixels.

    PatchCleanser's measure (appendix D of the paper), counted on a picture of white boxes that is scaled and cropped like the
    image. NaN where there are no boxes, which is all training images, and of images in no split, which are not prepared.
    """
    used = (table["row"] >= 0).to_numpy()
    sizes = np.full(len(table), np.nan)
    for place in np.flatnonzero(used & table["boxes"].notna().to_numpy()):
        sizes[place] = 100 * np.mean(preparation(_drawn(*table["boxes"].iat[place]))[0] >= INSIDE)
    return sizes


def _drawn(shape: tuple[int, int], boxes: list[tuple[int, ...]]) -> NDArray[np.uint8]:
    """White boxes on black, uint8 [rows, columns]; some published ones reach beyond their picture."""
    drawn = np.zeros(shape, dtype=np.uint8)
    for top, bottom, left, right in boxes:
        drawn[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = WHITE
    return drawn


def _boxes(file: Path) -> dict[str, Boxes]:
    """Boxes of each validation image by its id."""
    found = {}
    with readable(file, ElementTree.ParseError), tarfile.open(file) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".xml"):
                annotation = ElementTree.fromstring(archive.extractfile(member).read())  # type: ignore[union-attr]
                shape = _number(annotation, "size/height"), _number(annotation, "size/width")
                boxes = [tuple(_number(box, side) for side in SIDES) for box in annotation.iter("bndbox")]
                found[_image_id(member)] = shape, boxes
    return found


def _number(element: ElementTree.Element, path: str) -> int:
    text = element.findtext(path)
    if text is None:
        raise LookupError(f"no {path} in it")
    return int(text)


def _image_id(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).stem


def _kit(file: Path) -> tuple[dict[str, int], list[int]]:
    """Labels by WordNet id, and the label of each validation image, from the development kit."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with readable(file, MatReadError, OSError), tarfile.open(file) as archive:
        meta, truth = (archive.extractfile(member).read() for member in (META, TRUTH))  # type: ignore[union-attr]
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        classes = synsets[synsets["num_children"] == 0]  # the others are what several classes have in common
        label_of = {wnid: label for label, wnid in enumerate(sorted(classes["WNID"]))}
        wnid_of = dict(zip(classes["ILSVRC2012_ID"], classes["WNID"], strict=True))
        return label_of, [label_of[wnid_of[int(line)]] for line in truth.split()]
