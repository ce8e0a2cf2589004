"""Mask sets: the boxes that are blanked out so that, wherever a patch is, one of them hides all of it.

Everything is in pixels, rows before columns. A mask is a box, never an image; boxes become pixels on the device that runs
the classifier. Source: PatchCleanser, section 3.4 and Appendix E.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError

Size = tuple[int, int]
"""Rows and columns, in pixels (or a number of masks along each of the two axes)."""


@dataclass(frozen=True)
class MaskSet:
    """An R-covering set of K equal masks on a grid.

    Attributes:
        image_size: rows and columns of the image, pixels.
        patch_size: the patch that the set was made to cover (the estimate), pixels.
        mask_size: rows and columns of each mask, pixels.
        row_starts: first masked row of the masks, one entry a grid row, increasing.
        column_starts: first masked column, one entry a grid column, increasing.
    """

    image_size: Size
    patch_size: Size
    mask_size: Size
    row_starts: tuple[int, ...]
    column_starts: tuple[int, ...]

    def __len__(self) -> int:
        """Number of masks K."""
        return len(self.row_starts) * len(self.column_starts)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """The masked-out pixels, int64 [K, 4]: top, bottom, left, right, half-open; row-major over the starts."""
        height, width = self.mask_size
        return np.array(
            [(top, top + height, left, left + width) for top in self.row_starts for left in self.column_starts],
            dtype=np.int64,
        )

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Unordered pairs of mask indices, int64 [P, 2], first <= second, P = K (K + 1) / 2.

        Two masks commute, and a mask with itself is the one-mask image: these are all the images of Algorithm 1 and 2.
        """
        first, second = np.triu_indices(len(self))
        return np.stack([first, second], axis=1)

    def covers(self, patch_size: Size) -> bool:
        """Whether every position of such a patch inside the image lies wholly under one mask, by trying each position.

        Source: PatchCleanser, Definition 1.
        """
        height, width = _size("patch_size", patch_size)
        if height > self.image_size[0] or width > self.image_size[1]:
            raise InputError(f"patch_size {_text(patch_size)} is larger than the image, {_text(self.image_size)}")
        tops = np.arange(self.image_size[0] - height + 1)[:, None, None]
        lefts = np.arange(self.image_size[1] - width + 1)[None, :, None]
        top, bottom, left, right = self.boxes.T
        hidden = (top <= tops) & (tops + height <= bottom) & (left <= lefts) & (lefts + width <= right)
        return bool(hidden.any(axis=2).all())

    def fewest_covering(self, box: Sequence[int]) -> NDArray[np.int64]:
        """Indices of the fewest masks of this set whose union contains the box, int64, increasing.

        The masks form a grid, so that the fewest along each axis, taken together, are the fewest overall. Multi-size Greedy
        Cutout asks this for each large mask (section 3.4 of the Greedy Cutout paper: four small masks at 224 pixels). Where
        several choices are as few, the masks reach beyond the box as little as they can.

        Args:
            box: top, bottom, left, right, half-open, pixels.

        Raises:
            InputError: the masks leave a pixel of the box uncovered.
        """
        top, bottom, left, right = (int(edge) for edge in box)
        rows = _fewest_starts(self.row_starts, self.mask_size[0], top, bottom)
        columns = _fewest_starts(self.column_starts, self.mask_size[1], left, right)
        return np.array([row * len(self.column_starts) + column for row in rows for column in columns], dtype=np.int64)


def mask_set(image_size: Size, patch_size: Size, budget: Size) -> MaskSet:
    """The mask set that covers a patch anywhere with at most ``budget`` masks along each axis.

    Each axis is settled alone: stride s = ceil((n - p + 1) / k), mask m = p + s - 1, starts 0, s, 2s, ... and n - m.
    Source: PatchCleanser, equations 1 and 3, Lemma 4.

    Args:
        image_size: rows and columns of the image, pixels.
        patch_size: rows and columns of the (estimated) patch, pixels.
        budget: number of masks along the rows and along the columns; fewer are made where fewer suffice.

    Raises:
        InputError: a size is not positive, or the patch does not fit into the image.
    """
    image = _size("image_size", image_size)
    patch = _size("patch_size", patch_size)
    masks = _size("budget", budget)
    for axis, name in enumerate(("rows", "columns")):
        if patch[axis] > image[axis]:
            raise InputError(
                f"patch_size {_text(patch)} has more {name} than image_size {_text(image)}; write at most {image[axis]}"
            )
    (height, rows), (width, columns) = (_axis(image[axis], patch[axis], masks[axis]) for axis in (0, 1))
    return MaskSet(image, patch, (height, width), rows, columns)


def size_from_text(text: str) -> Size:
    """Rows and columns out of a path's ``5x7``."""
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise InputError(f"size: {text!r} is none; write rows x columns, such as 5x7")
    return _size("size", (int(sides[0]), int(sides[1])))


def _axis(image: int, patch: int, budget: int) -> tuple[int, tuple[int, ...]]:
    stride = -(-(image - patch + 1) // budget)
    size = patch + stride - 1
    return size, tuple(sorted({*range(0, image - size + 1, stride), image - size}))


def _fewest_starts(starts: tuple[int, ...], size: int, begin: int, end: int) -> list[int]:
    chosen: list[int] = []
    covered = begin
    while covered < end:
        reaching = [index for index, start in enumerate(starts) if start <= covered < start + size]
        if not reaching:
            raise InputError(f"no mask covers pixel {covered} of the box; its span is {begin} to {end}")
        ending = [index for index in reaching if starts[index] + size >= end]
        chosen.append(min(ending, default=max(reaching)))
        covered = starts[chosen[-1]] + size
    return chosen


def _size(name: str, value: Size) -> Size:
    parts = tuple(value) if np.ndim(value) == 1 else ()
    if len(parts) != 2 or any(isinstance(part, bool) or not isinstance(part, int | np.integer) or part < 1 for part in parts):
        raise InputError(f"{name}: {value!r} is no size; write two positive whole numbers, rows and columns, such as [6, 6]")
    return int(parts[0]), int(parts[1])


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
