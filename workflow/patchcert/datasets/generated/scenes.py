"""Scenes of handwritten digits, multi-label images in COCO's format, made anew wherever they are fetched.

A scene shows three to six digits each of one or two classes, in colour and 16 to 32 pixels tall, on a crop of a photograph at a
quarter of its brightness. Classes are repeated and large because a mask of the defense takes up 28 % of the image's side: what
is shown once and small vanishes under two of them. Digits and photographs are those that ship inside scikit-learn; no digit
image is in both train and test scenes.

The files are the same to the byte wherever they are made: random numbers come from ``random.Random.random`` alone, whose stream
Python guarantees for a seed; all arithmetic is on integers; images and archives are not compressed. The photographs' JPEG files
have no subsampled channels, so that decoders descended from the Independent JPEG Group's agree on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from patchcert import InputError
from patchcert.datasets.loaders import digits
from patchcert.datasets.packaged import packaged_file

SIDE = 64
"""Rows and columns of a scene, pixels."""
SIZES = (16, 32)
"""Least and largest side of the square that a digit's 8x8 pixels are scaled to."""
CLASSES = (1, 2)
"""Least and largest number of classes in a scene."""
INSTANCES = (3, 6)
"""Least and largest number of digits of each of them."""
REDUCTIONS = (1, 4)
"""Least and largest number of the photograph's pixels, along each side, that one of a scene is the mean of."""
DARKER = 4
"""What the photograph's brightness is divided by."""
SHOWN = (3, 4)
"""The share of a digit's ink that later digits leave to be seen, at least."""
PLACES_TRIED = 60
"""After so many places and sizes that hide too much the scene is begun anew."""
TEST_DIGITS = 397
"""Digit images that only test scenes show; the other 1,400 are for train scenes."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PHOTOGRAPHS = ("package:sklearn/datasets/images/china.jpg", "package:sklearn/datasets/images/flower.jpg")
DIGITS = "package:sklearn/datasets/data/digits.csv.gz"
PARTS = {"train": 0, "test": 1_000_000}
"""Where the numbers of a part's scenes begin; a scene's number is its seed and its id, whatever the size of its part."""
ANNOTATIONS = "annotations.zip"


class Digit(NamedTuple):
    """A digit in a scene.

    Attributes:
        row: which of scikit-learn's digits it is, counted from 0.
        label: what it shows, 0 to 9.
        box: the smallest that holds all of its ink, hidden or not: left, top, width, height, pixels.
        area: how many pixels of its ink are to be seen.
    """

    row: int
    label: int
    box: tuple[int, int, int, int]
    area: int


class Scene(NamedTuple):
    """A scene: its number, its pixels uint8 [64, 64, 3], and its digits in the order in which they were painted."""

    number: int
    pixels: NDArray[np.uint8]
    digits: list[Digit]


class Ink(NamedTuple):
    """A digit, the square that it is painted into, and how much of each pixel its ink covers: int64 [size, size], 0 to 255."""

    row: int
    label: int
    top: int
    left: int
    cover: NDArray[np.int64]

    @property
    def square(self) -> tuple[slice, slice]:
        """Rows and columns of the scene."""
        side = len(self.cover)
        return slice(self.top, self.top + side), slice(self.left, self.left + side)

    @property
    def size(self) -> int:
        """How many pixels have ink."""
        return int(np.count_nonzero(self.cover))


class Crowd:
    """Digits at places where none hides too much of another.

    Attributes:
        inks: in the order in which they are painted.
        seen: how many pixels of the ink of each are to be seen.
    """

    def __init__(self) -> None:
        """Nothing is placed yet."""
        self.inks: list[Ink] = []
        self.seen: list[int] = []
        self._whole: list[int] = []  # how many pixels of ink each has
        self._owners = np.zeros((SIDE, SIDE), dtype=np.int64)  # whose ink is seen, counted from 1

    def take(self, ink: Ink) -> bool:
        """Add a digit, unless too little of another were left to be seen."""
        inked, size = ink.cover > 0, ink.size
        under = self._owners[ink.square]
        hidden = np.bincount(under[inked], minlength=len(self.inks) + 1)[1:].tolist()
        share, of = SHOWN
        left = [seen - lost for seen, lost in zip(self.seen, hidden, strict=True)]
        if any(of * seen < share * whole for seen, whole in zip(left, self._whole, strict=True)):
            return False
        self.inks.append(ink)
        self._whole.append(size)
        self.seen = [*left, size]
        under[inked] = len(self.inks)
        return True


class Material(NamedTuple):
    """What scenes are made of.

    Attributes:
        photographs: each int64 [H, W, 3].
        grey: the digits, int64 [1797, 8, 8], 0 to 255.
        rows: by part and label, the rows of the digits that may be shown.
    """

    photographs: list[NDArray[np.int64]]
    grey: NDArray[np.int64]
    rows: dict[str, list[list[int]]]


def generate(file: str, target: Path, numbers: Mapping[str, int]) -> None:
    """Write one of the three files of the dataset.

    Args:
        file: ``train.zip`` or ``test.zip``, images of a part in a folder of its name, or ``annotations.zip``, with
            ``annotations/instances_train.json`` and ``annotations/instances_test.json`` as COCO has them.
        target: where to write it.
        numbers: how many scenes ``train`` and ``test`` have.

    Raises:
        InputError: there is no such file, or the numbers are others.
    """
    if numbers.keys() != PARTS.keys() or not all(0 < count < PARTS["test"] for count in numbers.values()):
        raise InputError("write how many scenes its parts have, generated:scenes?train=6000&test=400 for instance")
    if file == ANNOTATIONS:
        members = ((f"annotations/instances_{part}.json", _annotations(part, numbers[part])) for part in PARTS)
    elif (part := file.removesuffix(".zip")) in PARTS and part != file:
        members = ((f"{part}/{_file_name(part, scene)}", _ppm(scene.pixels)) for scene in scenes(part, numbers[part]))
    else:
        raise InputError(f"there is no {file!r}; its files are {', '.join(f'{part}.zip' for part in PARTS)} and {ANNOTATIONS}")
    _write(target, members)


def scenes(part: str, count: int) -> Iterator[Scene]:
    """The first scenes of a part, which do not depend on how many there are.

    Args:
        part: ``train`` or ``test``.
        count: how many scenes.
    """
    material = _material()
    for number in tqdm(range(1, count + 1), unit="scene", desc=f"drawing {part} scenes", disable=None):
        yield _scene(material, part, PARTS[part] + number)


@cache
def _material() -> Material:
    files = {digits.FILE: packaged_file(DIGITS)}
    records = digits.records(files)
    grey = np.stack(list(digits.pictures(files, records))).astype(np.int64)
    shuffled = _shuffled(Random(0), records.index.tolist())
    labels = records["label"].tolist()
    of_part = {"train": shuffled[TEST_DIGITS:], "test": shuffled[:TEST_DIGITS]}
    rows = {part: [[row for row in of_part[part] if labels[row] == label] for label in range(len(WORDS))] for part in PARTS}
    photographs = []
    for origin in PHOTOGRAPHS:
        with Image.open(packaged_file(origin)) as photograph:
            photographs.append(np.asarray(photograph.convert("RGB"), dtype=np.int64))
    return Material(photographs, grey, rows)


def _scene(material: Material, part: str, number: int) -> Scene:
    random = Random(number)
    pixels = _background(random, material.photographs)
    crowd = _placed(random, material, part)
    for ink in crowd.inks:
        inked = ink.cover[:, :, None]
        pixels[ink.square] = (pixels[ink.square] * (255 - inked) + _colour(random) * inked + 127) // 255
    found = [Digit(ink.row, ink.label, _box(ink), area) for ink, area in zip(crowd.inks, crowd.seen, strict=True)]
    return Scene(number, pixels.astype(np.uint8), found)


def _background(random: Random, photographs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """A crop of a photograph, reduced and darkened, int64 [64, 64, 3]."""
    photograph = photographs[_below(random, len(photographs))]
    reduction = _between(random, *REDUCTIONS)
    height, width, _ = photograph.shape
    side = SIDE * reduction
    top, left = _below(random, height - side + 1), _below(random, width - side + 1)
    crop = photograph[top : top + side, left : left + side]
    steps = range(reduction)
    sums = np.sum([crop[row::reduction, column::reduction] for row in steps for column in steps], axis=0)
    darkened: NDArray[np.int64] = sums // (DARKER * reduction**2)
    return darkened


def _placed(random: Random, material: Material, part: str) -> Crowd:
    """Digits of one or two classes, three to six of each."""
    first = _below(random, len(WORDS))
    second = (first + 1 + _below(random, len(WORDS) - 1)) % len(WORDS)
    shown = [first, second][: _between(random, *CLASSES)]
    labels = _shuffled(random, [label for label in shown for _ in range(_between(random, *INSTANCES))])
    while True:
        crowd = Crowd()
        if all(_takes(random, crowd, label, material.grey, material.rows[part][label]) for label in labels):
            return crowd


def _takes(random: Random, crowd: Crowd, label: int, grey: NDArray[np.int64], rows: list[int]) -> bool:
    """Whether a place is found for one of the digits, within so many trials."""
    for _ in range(PLACES_TRIED):
        row, size = rows[_below(random, len(rows))], _between(random, *SIZES)
        top, left = _below(random, SIDE - size + 1), _below(random, SIDE - size + 1)
        if crowd.take(Ink(row, label, top, left, cover(grey[row], size))):
            return True
    return False


def cover(grey: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A digit of 8x8 pixels scaled bilinearly, and sharpened: a quarter of white and less is no ink, three quarters all ink."""
    weights = _weights(size)
    scaled = weights @ grey @ weights.T // (2 * size) ** 2
    sharpened: NDArray[np.int64] = np.minimum(np.maximum(2 * (scaled - 64), 0), 255)
    return sharpened


@cache
def _weights(size: int) -> NDArray[np.int64]:
    """Bilinear interpolation of 8 pixels at the centres of others, int64 [size, 8]; the weights of each sum to 2 size."""
    weights = np.zeros((size, digits.SIDE), dtype=np.int64)
    for place in range(size):
        # the centre of the new pixel, counted in old ones from the centre of their first, is a number of parts of 1 / (2 size)
        lower, beyond = divmod((2 * place + 1) * digits.SIDE - size, 2 * size)
        weights[place, max(lower, 0)] += 2 * size - beyond
        weights[place, min(lower + 1, digits.SIDE - 1)] += beyond
    return weights


def _box(ink: Ink) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(ink.cover.any(axis=axis)).tolist() for axis in (1, 0))
    return ink.left + columns[0], ink.top + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _colour(random: Random) -> NDArray[np.int64]:
    """A bright colour, int64 [3]: one channel is full, and none as dark as the background."""
    colour = [64 + _below(random, 192) for _ in range(3)]
    colour[_below(random, 3)] = 255
    return np.array(colour)


def _below(random: Random, limit: int) -> int:
    """A whole number from 0 up to the limit, which is not among them."""
    return int(random.random() * limit)


def _between(random: Random, least: int, largest: int) -> int:
    return least + _below(random, largest - least + 1)


def _shuffled(random: Random, items: list[int]) -> list[int]:
    """The items in another order (Fisher and Yates); the stream of ``Random.shuffle`` is not guaranteed."""
    shuffled = list(items)
    for place in range(len(shuffled) - 1, 0, -1):
        other = _below(random, place + 1)
        shuffled[place], shuffled[other] = shuffled[other], shuffled[place]
    return shuffled


def _file_name(part: str, scene: Scene) -> str:
    return f"scenes_{part}_{scene.number:07d}.ppm"


def _ppm(pixels: NDArray[np.uint8]) -> bytes:
    height, width, _ = pixels.shape
    return f"P6\n{width} {height}\n255\n".encode() + pixels.tobytes()


def _annotations(part: str, count: int) -> bytes:
    """The annotations of a part as COCO has them; ``digit`` is the row of the digit image, which COCO's do not have."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for scene in scenes(part, count):
        name = _file_name(part, scene)
        images.append({"id": scene.number, "file_name": name, "width": SIDE, "height": SIDE, "license": 1})
        annotations += [
            {
                "id": 100 * scene.number + place,
                "image_id": scene.number,
                "category_id": digit.label + 1,
                "bbox": digit.box,
                "area": digit.area,
                "iscrowd": 0,
                "digit": digit.row,
            }
            for place, digit in enumerate(scene.digits)
        ]
    content = {
        "info": {"description": "Scenes of handwritten digits", "version": "1"},
        "licenses": [{"id": 1, "name": "CC-BY-4.0 (the digits) and CC-BY-2.0 (the photographs)"}],
        "categories": [{"id": label + 1, "name": word, "supercategory": "digit"} for label, word in enumerate(WORDS)],
        "images": images,
        "annotations": annotations,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _write(target: Path, members: Iterable[tuple[str, bytes]]) -> None:
    with ZipFile(target, "w") as archive:
        for name, content in members:
            member = ZipInfo(name)  # of the year 1980, and stored as it is
            member.create_system = 3  # Unix, wherever it is made
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
