"""Mask sets: the boxes that are blanked out so that, wherever the patches are, one mask hides all of them.

Everything is in pixels, rows before columns. A mask is a box or a few, never an image; boxes become pixels on the device
that runs the classifier. Source: PatchCleanser, sections 3.4 and 5.1, Appendices B and E.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, pairwise
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError

Size = tuple[int, int]
"""Rows and columns, in pixels (or a number of masks along each of the two axes)."""


class Areas(NamedTuple):
    """The distinct masked areas among all pairs of masks: two pairs share one exactly if they blank out the same pixels.

    Attributes:
        of_pair: number of the area of each pair, int64 [P], 0 to D - 1 in the order in which the pairs first have them.
        boxes: base boxes whose union is the area, int64 [D, 2 * patches]; indices repeat where fewer boxes make it.
        of_mask: number of the area of each mask alone, int64 [K].
    """

    of_pair: NDArray[np.int64]
    boxes: NDArray[np.int64]
    of_mask: NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Equal boxes that together cover one size of patch.

    Attributes:
        patch_size: the patch that the boxes were made to cover (the estimate), pixels.
        mask_size: rows and columns of each box, pixels.
        row_starts: first masked row of the boxes, one entry a grid row, increasing.
        column_starts: first masked column, one entry a grid column, increasing.
    """

    patch_size: Size
    mask_size: Size
    row_starts: tuple[int, ...]
    column_starts: tuple[int, ...]

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """Top, bottom, left, right, half-open, int64 [B, 4]; row-major over the starts."""
        height, width = self.mask_size
        return np.array(
            [(top, top + height, left, left + width) for top in self.row_starts for left in self.column_starts],
            dtype=np.int64,
        )


@dataclass(frozen=True)
class MaskSet:
    """An R-covering set of K masks: single boxes, or all unordered combinations of as many boxes as there are patches.

    Attributes:
        image_size: rows and columns of the image, pixels.
        grids: one for patches of one shape; one a shape for patches of several.
        patches: number of patches that the attacker may use at once.
    """

    image_size: Size
    grids: tuple[Grid, ...]
    patches: int = 1

    def __len__(self) -> int:
        """Number of masks K = C(B + patches - 1, patches), of B base boxes."""
        return comb(len(self.base_boxes) + self.patches - 1, self.patches)

    @cached_property
    def base_boxes(self) -> NDArray[np.int64]:
        """The single boxes of all grids in order, each once, int64 [B, 4]: top, bottom, left, right, half-open."""
        boxes = np.concatenate([grid.boxes for grid in self.grids])
        _, earliest = np.unique(boxes, axis=0, return_index=True)
        return boxes[np.sort(earliest)]

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """Which base boxes each mask blanks out, int64 [K, patches]: every combination with repetition, lexicographic."""
        return np.array(list(combinations_with_replacement(range(len(self.base_boxes)), self.patches)), dtype=np.int64)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """The masked-out pixels, int64 [K, 4] for one patch (the base boxes), [K, patches, 4] for several."""
        return self.base_boxes if self.patches == 1 else self.base_boxes[self.members]

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Unordered pairs of mask indices, int64 [P, 2], first <= second, P = K (K + 1) / 2.

        Two masks commute, and a mask with itself is the one-mask image: these are all the images of Algorithm 1 and 2.
        """
        first, second = np.triu_indices(len(self))
        return np.stack([first, second], axis=1)

    @cached_property
    def areas(self) -> Areas:
        """The distinct masked areas among all pairs; one prediction answers for every pair of an area.

        For single boxes the pairs as a rule all differ; for several patches many coincide, as the 2 * ``patches`` boxes of a
        pair can be shared out between its two masks in several ways.
        """
        hidden = np.bitwise_or.reduce(_hidden_cells(self.base_boxes)[self.members], axis=1)
        first, second = self.pairs.T
        unions = hidden[first] | hidden[second]
        _, earliest, sorted_number = np.unique(
            unions.view(np.dtype((np.void, unions.shape[1])))[:, 0], return_index=True, return_inverse=True
        )
        order = np.argsort(earliest)
        of_pair = np.argsort(order)[sorted_number]
        boxes = self.members[self.pairs[earliest[order]]].reshape(len(order), -1)
        return Areas(of_pair, boxes, of_pair[first == second])

    def covers(self, patch_size: Size) -> bool:
        """Whether every position of such a patch inside the image lies wholly under one base box, by trying each position.

        Then any ``patches`` of them, wherever each is, are hidden by one mask: the masks are all the combinations of base
        boxes, and the boxes over each patch are one of these. It also holds for patches of several sizes, each covered. For
        one patch the answer is exact; for several a refusal is cautious, since two boxes of a mask might hide a patch
        that neither hides alone. Source: PatchCleanser, Definition 1 and Appendix B.

        Raises:
            InputError: the patch does not fit into the image.
        """
        height, width = _size("patch_size", patch_size)
        if height > self.image_size[0] or width > self.image_size[1]:
            raise InputError(f"patch_size {_text(patch_size)} is larger than the image, {_text(self.image_size)}")
        tops = np.arange(self.image_size[0] - height + 1)[:, None, None]
        lefts = np.arange(self.image_size[1] - width + 1)[None, :, None]
        top, bottom, left, right = self.base_boxes.T
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
            InputError: the masks leave a pixel of the box uncovered, or are for several shapes or several patches.
        """
        if self.patches > 1:
            raise InputError(f"a mask set for {self.patches} patches has no single masks; give one of mask_set")
        grid = self._only_grid
        top, bottom, left, right = (int(edge) for edge in box)
        rows = _fewest_starts(grid.row_starts, grid.mask_size[0], top, bottom)
        columns = _fewest_starts(grid.column_starts, grid.mask_size[1], left, right)
        return np.array([row * len(grid.column_starts) + column for row in rows for column in columns], dtype=np.int64)

    @property
    def patch_size(self) -> Size:
        """Patch size of the only grid, pixels; InputError where there are several grids."""
        return self._only_grid.patch_size

    @property
    def mask_size(self) -> Size:
        """Size of the boxes of the only grid, pixels; InputError where there are several grids."""
        return self._only_grid.mask_size

    @property
    def row_starts(self) -> tuple[int, ...]:
        """First masked rows of the only grid; InputError where there are several grids."""
        return self._only_grid.row_starts

    @property
    def column_starts(self) -> tuple[int, ...]:
        """First masked columns of the only grid; InputError where there are several grids."""
        return self._only_grid.column_starts

    @property
    def _only_grid(self) -> Grid:
        if len(self.grids) != 1:
            raise InputError(f"a mask set of {len(self.grids)} shapes has no single grid; give one of mask_set, or use .grids")
        return self.grids[0]


def mask_set(image_size: Size, patch_size: Size, budget: Size) -> MaskSet:
    """The mask set that covers a patch anywhere with at most ``budget`` masks along each axis.

    Each axis is settled alone: stride s = ceil((n - p + 1) / k), then as :func:`strided_mask_set`.
    Source: PatchCleanser, equations 1 and 3, Lemma 4.

    Args:
        image_size: rows and columns of the image, pixels.
        patch_size: rows and columns of the (estimated) patch, pixels.
        budget: number of masks along the rows and along the columns; fewer are made where fewer suffice.

    Raises:
        InputError: a size is not positive, or the patch does not fit into the image.
    """
    image, patch = _image_and_patch(image_size, patch_size)
    rows, columns = (
        -(-(pixels - side + 1) // masks) for pixels, side, masks in zip(image, patch, _size("budget", budget), strict=True)
    )
    return strided_mask_set(image, patch, (rows, columns))


def strided_mask_set(image_size: Size, patch_size: Size, stride: Size) -> MaskSet:
    """The mask set that covers a patch anywhere with masks that lie a given stride apart along each axis.

    Each axis is settled alone: mask m = p + s - 1, starts 0, s, 2s, ... and n - m, which are ceil((n - m) / s) + 1 masks.
    A mask that would be larger than the image becomes as large as the image, and is then the only one along that axis.
    Source: PatchCleanser, equations 1 and 2, Lemma 4.

    Args:
        image_size: rows and columns of the image, pixels.
        patch_size: rows and columns of the (estimated) patch, pixels.
        stride: rows and columns between the starts of neighbouring masks, pixels.

    Raises:
        InputError: a size is not positive, or the patch does not fit into the image.
    """
    image, patch = _image_and_patch(image_size, patch_size)
    (height, rows), (width, columns) = map(_axis, image, patch, _size("stride", stride))
    return MaskSet(image, (Grid(patch, (height, width), rows, columns),))


def shape_set(image_size: Size, patch_sizes: Sequence[Size], budget: Size) -> MaskSet:
    """The union of the mask sets of several patch sizes: it covers a patch that has any one of them.

    Source: PatchCleanser, section 5.1 and Appendix B.

    Args:
        image_size: rows and columns of the image, pixels.
        patch_sizes: sizes that the patch may have, pixels; :func:`covering_shapes` finds few for all rectangles of an area.
        budget: as for :func:`mask_set`, for every patch size.

    Raises:
        InputError: there are no patch sizes, or one that :func:`mask_set` refuses.
    """
    if not len(patch_sizes):
        raise InputError("patch_sizes: there are none; write at least one size, such as [[5, 7]]")
    sets = [mask_set(image_size, patch_size, budget) for patch_size in patch_sizes]
    return MaskSet(sets[0].image_size, tuple(masks.grids[0] for masks in sets))


def multi_patch_set(mask_set: MaskSet, patches: int) -> MaskSet:
    """All unordered combinations, with repetition, of the masks of a set: some one of them hides all of several patches.

    Two of these masks blank out at most 2 * ``patches`` boxes. Source: PatchCleanser, section 5.1 and Appendix B.

    Args:
        mask_set: covers each single patch.
        patches: number of patches that the attacker may use at once.

    Raises:
        InputError: ``patches`` is below one, or the set is for several patches already.
    """
    if mask_set.patches != 1:
        raise InputError(f"mask_set: it is for {mask_set.patches} patches already; give the set for one patch")
    return MaskSet(mask_set.image_size, mask_set.grids, _count("patches", patches))


def covering_shapes(image_size: Size, area: int, count: int = 6) -> tuple[Size, ...]:
    """Few rectangles that together contain every rectangle of at most ``area`` pixels that fits into the image.

    The largest of them, in pixels, is as small as it can be with at most ``count`` rectangles, and there are no more than
    that takes, so that none lies inside another. Only heights above which the rectangles grow narrower are of use. A limit on
    the pixels is met greedily: each height is the largest of use within it, which leaves the narrowest rectangles to the
    next; bisection finds the smallest limit with which ``count`` heights suffice. The six of PatchCleanser for 1 % of 224x224
    are one covering set of several and not this one: :func:`shapes_of_heights` gives them for their heights.

    Args:
        image_size: rows and columns of the image, pixels.
        area: largest area of the rectangles to be contained, pixels.
        count: largest number of rectangles.

    Returns:
        Rows and columns of each, pixels, by increasing height.

    Raises:
        InputError: a size, the area or the count is not positive.
    """
    image = _size("image_size", image_size)
    tallest = min(image[0], _count("area", area))
    narrower = [height for height in range(1, tallest) if _widest(image, area, height) < _widest(image, area, height - 1)]
    useful = [0, *narrower, tallest]
    most = min(_count("count", count), tallest)

    def heights(limit: int) -> list[int]:
        chosen = [0]
        while chosen[-1] < tallest and len(chosen) <= most:
            within = bisect_right(useful, limit // _widest(image, area, chosen[-1]))
            chosen.append(useful[within - 1])
        return chosen[1:]

    limit = bisect_left(range(tallest * _widest(image, area, 0)), True, key=lambda limit: heights(limit)[-1] == tallest)
    return shapes_of_heights(image, area, heights(limit))


def shapes_of_heights(image_size: Size, area: int, heights: Sequence[int]) -> tuple[Size, ...]:
    """The rectangles of given heights that together contain every rectangle of at most ``area`` pixels.

    A rectangle taller than the height h before and at most as tall as its own is at most area // (h + 1) columns wide; the
    rectangle of its height is as wide as that or as the image. Source: PatchCleanser, Appendix B.

    Args:
        image_size: rows and columns of the image, pixels.
        area: largest area of the rectangles to be contained, pixels.
        heights: increasing, pixels; the last is that of the tallest rectangle, the image's rows or ``area`` if that is less.

    Returns:
        Rows and columns of each, pixels, in the order of the heights.

    Raises:
        InputError: a size or the area is not positive, or the heights do not increase up to the tallest rectangle.
    """
    image = _size("image_size", image_size)
    tallest = min(image[0], _count("area", area))
    steps = [0, *(_count("heights", height) for height in heights)]
    if sorted(set(steps)) != steps or steps[-1] != tallest:
        raise InputError(f"heights: {list(heights)!r}; write increasing ones that end at {tallest}, the tallest rectangle")
    return tuple((height, _widest(image, area, below)) for below, height in pairwise(steps))


def masks_from_text(image_size: Size, patch: str, budget: str) -> MaskSet:
    """The mask set that a path names.

    Args:
        image_size: rows and columns of the image, pixels.
        patch: ``5x7``, one patch; ``2-of-5x7``, two such patches; ``area-25``, a rectangle of at most 25 pixels.
        budget: masks along the rows and the columns, ``6x6``.

    Raises:
        InputError: a text that is none of these forms, or a patch that does not fit into the image.
    """
    found = _patch_from_text(patch)
    masks = size_from_text(budget, "budget")
    if found["area"]:
        return shape_set(image_size, covering_shapes(image_size, int(found["area"])), masks)
    return multi_patch_set(mask_set(image_size, size_from_text(found["size"], "patch"), masks), int(found["patches"] or 1))


def patch_sizes_from_text(image_size: Size, patch: str) -> tuple[Size, ...]:
    """The sizes that the one patch may have which a path names: a single size, or of an area the widest patch of each height.

    Every rectangle of the area lies inside one of these. Unlike those of :func:`covering_shapes`, none is larger than the area:
    defenses that need no masks have no reason for few shapes.

    Args:
        image_size: rows and columns of the image, pixels.
        patch: ``5x7``, one patch; ``area-25``, a rectangle of at most 25 pixels.

    Raises:
        InputError: a text that is none of these forms, several patches, or a patch that does not fit into the image.
    """
    found = _patch_from_text(patch)
    if found["patches"]:
        raise InputError(f"patch: {patch!r} is for several patches at once; write a single one, such as 5x7 or area-25")
    if found["area"]:
        area = _count("area", int(found["area"]))
        return shapes_of_heights(image_size, area, range(1, min(area, image_size[0]) + 1))
    return (_image_and_patch(image_size, size_from_text(found["size"], "patch"))[1],)


def patch_positions(image_size: Size, patch_size: Size) -> NDArray[np.int64]:
    """Every position of a patch inside the image, int64 [Q, 4]: top, bottom, left, right, half-open, pixels; row-major.

    Raises:
        InputError: a size is not positive, or the patch does not fit into the image.
    """
    (rows, columns), (height, width) = _image_and_patch(image_size, patch_size)
    top, left = np.indices((rows - height + 1, columns - width + 1)).reshape(2, -1)
    return np.stack([top, top + height, left, left + width], axis=1)


def _patch_from_text(patch: str) -> re.Match[str]:
    found = _PATCH_TEXT.fullmatch(patch)
    if found is None:
        raise InputError(f"patch: {patch!r} names none; write 5x7, 2-of-5x5 or area-25")
    return found


_PATCH_TEXT = re.compile(r"(?:(?P<patches>\d+)-of-)?(?P<size>\d+x\d+)|area-(?P<area>\d+)")


def size_from_text(text: str, name: str = "size") -> Size:
    """Rows and columns out of a path's ``5x7``; ``name`` is what the message of an InputError calls it."""
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise InputError(f"{name}: {text!r} is none; write rows x columns, such as 5x7")
    return _size(name, (int(sides[0]), int(sides[1])))


def pair_index(masks: int, first: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
    """Positions of unordered pairs in :attr:`MaskSet.pairs`, int64, in the shape that the two arrays broadcast to.

    Args:
        masks: number of masks K.
        first: masks, 0 to K - 1.
        second: the other masks; which of the two is the smaller does not matter.
    """
    low, high = np.minimum(first, second, dtype=np.int64), np.maximum(first, second, dtype=np.int64)
    return np.asarray(low * (2 * masks - low - 1) // 2 + high)


def _hidden_cells(boxes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Which cells between all edges each box hides, as bits, uint8 [B, bytes]: unions are equal where these bits are."""
    top, bottom, left, right = boxes.T[:, :, None]
    rows, columns = np.unique(boxes[:, :2])[:-1], np.unique(boxes[:, 2:])[:-1]
    in_rows, in_columns = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    return np.packbits((in_rows[:, :, None] & in_columns[:, None, :]).reshape(len(boxes), -1), axis=1)


def _axis(image: int, patch: int, stride: int) -> tuple[int, tuple[int, ...]]:
    size = min(patch + stride - 1, image)
    return size, tuple(sorted({*range(0, image - size + 1, stride), image - size}))


def _widest(image: Size, area: int, below: int) -> int:
    """Columns of the widest rectangle that is taller than ``below``."""
    return min(image[1], area // (below + 1))


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


def _image_and_patch(image_size: Size, patch_size: Size) -> tuple[Size, Size]:
    image, patch = _size("image_size", image_size), _size("patch_size", patch_size)
    for axis, name in enumerate(("rows", "columns")):
        if patch[axis] > image[axis]:
            raise InputError(
                f"patch_size {_text(patch)} has more {name} than image_size {_text(image)}; write at most {image[axis]}"
            )
    return image, patch


def _size(name: str, value: Size) -> Size:
    parts = tuple(value) if np.ndim(value) == 1 else ()
    if len(parts) != 2 or not all(_is_positive(part) for part in parts):
        raise InputError(f"{name}: {value!r} is no size; write two positive whole numbers, rows and columns, such as [6, 6]")
    return int(parts[0]), int(parts[1])


def _count(name: str, value: int) -> int:
    if not _is_positive(value):
        raise InputError(f"{name}: {value!r} is wrong; write a whole number from 1 up")
    return int(value)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value > 0)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
