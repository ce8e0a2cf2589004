"""What settings say: accuracies and patches in words, and the numbers inside patches, mask budgets and image sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from patchcert import InputError
from patchcert.masks import Size, size_from_text

ACCURACIES = {"defended_clean": "clean", "certified": "certified"}
"""The accuracies of a defended classifier, by the name that results have."""

ONE_PLACE = "†"
"""What marks certified accuracies that are not those against every patch at every place of the image."""

ONE_PLACE_NOTE = f"{ONE_PLACE} at one given place; on attacked images no bound against all attackers (docs/mask_smoothing.md)"
"""What the mark means, for readers."""

_COUNTS = {2: "two", 3: "three", 4: "four"}


def masks_in(budget: str) -> int:
    """How many masks a budget allows: 36 for ``6x6``."""
    rows, columns = size_from_text(budget)
    return rows * columns


def patch_area(patch: str) -> int:
    """Pixels of one patch, 25 for ``5x5``.

    Raises:
        InputError: it is not one patch of one size.
    """
    rows, columns = size_from_text(patch)
    return rows * columns


def side_percent(patch: str, image_size: Size) -> float:
    """Side of a square patch in per cent of a square image's side; for rectangles, that of squares of the same areas.

    Args:
        patch: rows and columns in pixels, ``5x5`` for instance.
        image_size: rows and columns of the image, pixels.
    """
    return 100 * math.sqrt(patch_area(patch) / math.prod(image_size))


def size_of(image_sizes: Mapping[str, Size], dataset: str) -> Size:
    """Rows and columns of a dataset's images, pixels.

    Raises:
        InputError: the dataset has none.
    """
    if dataset not in image_sizes:
        raise InputError(f"image_sizes: {dataset!r} is missing; write its rows and columns in pixels, such as (32, 32)")
    rows, columns = image_sizes[dataset]
    return int(rows), int(columns)


def spoken_patch(patch: str) -> str:
    """What an attacker may place, in words.

    ``3x3`` is ``one 3x3 square``, ``2-of-3x3`` is ``two 3x3 squares`` and ``area-10`` is ``every rectangle of at most 10 px``.
    """
    if area := re.fullmatch(r"area-(\d+)", patch):
        return f"every rectangle of at most {area[1]} px"
    several = re.fullmatch(r"(\d+)-of-(\d+x\d+)", patch)
    count, size = (int(several[1]), several[2]) if several else (1, patch)
    rows, columns = size_from_text(size)
    shape = "square" if rows == columns else "rectangle"
    return f"one {size} {shape}" if count == 1 else f"{_COUNTS.get(count, count)} {size} {shape}s"
