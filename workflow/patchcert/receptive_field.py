"""Which outputs of a stack of convolutions a patch can reach: R(l) of BagCert, exact under strides, padding and clipping.

Each axis is settled alone. A run of changed pixels changes a run of outputs of every layer: output o of a layer reads as many
inputs as its kernel has elements, from o * stride - padding on, and changes if one of them does. So runs are followed from
layer to layer; pixels that no window reads and padding, which no patch can touch, need no care then. Poolings are layers too.
Of parallel paths, as in a residual block, take the one with the widest window, if the others' windows lie within it.

Source: Metzen and Yatsura, BagCert, sections 3.1 and 3.2; the formula there ignores strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.masks import Size, patch_positions

Layers = Sequence[tuple[int, int, int]]
"""Convolutions or poolings along one axis, first layer first: elements of kernel, stride, and padding on either side."""


class Places(NamedTuple):
    """The distinct sets of outputs that a patch can reach, and for each of them a patch that reaches it.

    Attributes:
        outputs: R(l) as boxes of outputs, int64 [P, 4]: top, bottom, left, right, half-open; zeros where it is empty. Of layers
            it is a box always; of other region scorers as maps, bool [P, h, w].
        patches: the first patch l that has it, int64 [P, 4]: top, bottom, left, right, half-open, pixels.
    """

    outputs: NDArray[Any]
    patches: NDArray[np.int64]


@dataclass(frozen=True)
class ReceptiveField:
    """What each output of a stack of layers sees of an image.

    Attributes:
        rows: the layers along the rows.
        columns: the layers along the columns; those along the rows unless given.

    Raises:
        InputError: no layers, or one that is none.
    """

    rows: Layers
    columns: Layers = ()

    def __post_init__(self) -> None:
        """Take the layers as tuples, so that equal stacks are equal, and check them."""
        object.__setattr__(self, "rows", _checked("rows", self.rows))
        object.__setattr__(self, "columns", _checked("columns", self.columns or self.rows))

    @property
    def size(self) -> Size:
        """Rows and columns from the first to the last pixel that an output sees."""
        return _window(self.rows)[0], _window(self.columns)[0]

    @property
    def jump(self) -> Size:
        """Rows and columns between the windows of neighbouring outputs, pixels."""
        return _window(self.rows)[1], _window(self.columns)[1]

    @property
    def offset(self) -> Size:
        """First row and column of the window of the first output, pixels; negative in the padding."""
        return _window(self.rows)[2], _window(self.columns)[2]

    def output_size(self, image_size: Size) -> Size:
        """Rows and columns of outputs that an image of so many pixels has.

        Raises:
            InputError: a kernel is larger than what it is laid on.
        """
        return _outputs("rows", self.rows, image_size[0]), _outputs("columns", self.columns, image_size[1])

    def reached(self, image_size: Size, boxes: ArrayLike) -> NDArray[np.int64]:
        """The outputs that the pixels of each box can change, int64 [Q, 4]: top, bottom, left, right, half-open.

        Where a box changes no output, all four are 0.

        Args:
            image_size: rows and columns of the image, pixels.
            boxes: top, bottom, left, right, half-open, pixels within the image; whole numbers [Q, 4].

        Raises:
            InputError: the image is too small, or the boxes are none in it.
        """
        self.output_size(image_size)
        edges = checked_boxes("boxes", np.asarray(boxes), image_size)
        rows = _reached(self.rows, image_size[0], edges[:, :2])
        columns = _reached(self.columns, image_size[1], edges[:, 2:])
        found = np.concatenate([rows, columns], axis=1)
        return np.where(((rows[:, 0] < rows[:, 1]) & (columns[:, 0] < columns[:, 1]))[:, None], found, 0)

    def affected(self, image_size: Size, output_size: Size, patch_sizes: Size | Sequence[Size]) -> NDArray[np.int64]:
        """R(l) of every position of a patch, each once, int64 [P, 4]: the outputs of :meth:`places`."""
        return self.places(image_size, output_size, patch_sizes).outputs

    def places(self, image_size: Size, output_size: Size, patch_sizes: Size | Sequence[Size]) -> Places:
        """R(l) of every position of a patch, each once, with a patch that has it.

        Args:
            image_size: rows and columns of the image, pixels.
            output_size: rows and columns of the region scores, which must be what these layers make of the image.
            patch_sizes: rows and columns of the patch, pixels; or a list of them, where the patch may have any, as
                :func:`patchcert.masks.patch_sizes_from_text` gives them for an area.

        Raises:
            InputError: no size, one that does not fit into the image, or region scores of another size.
        """
        made = self.output_size(image_size)
        if tuple(output_size) != made:
            raise InputError(
                f"output_size: {tuple(output_size)}, but these layers make {made} of an image of {tuple(image_size)} pixels; "
                "write the layers of the network that scores the regions"
            )
        found = []
        for size in checked_patch_sizes(patch_sizes):
            patches = patch_positions(image_size, size)
            found.append(_distinct(Places(self.reached(image_size, patches), patches), made))
        return _distinct(Places(*map(np.concatenate, zip(*found, strict=True))), made)


def checked_patch_sizes(patch_sizes: Size | Sequence[Size]) -> list[Size]:
    """Rows and columns of each size a patch may have, of one size or of a list of them, or an InputError."""
    sizes = np.atleast_2d(np.array(patch_sizes))
    if sizes.size == 0 or sizes.shape[1:] != (2,):
        raise InputError(f"patch_sizes: {patch_sizes!r}; write rows and columns, such as [5, 5], or a list of such sizes")
    return [(rows, columns) for rows, columns in sizes.tolist()]


def checked_boxes(name: str, boxes: NDArray[np.generic], size: Size) -> NDArray[np.int64]:
    """Boxes within so many rows and columns, int64 [P, 4]; ``name`` is what the message of an InputError calls them."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iu":
        raise InputError(f"{name}: {boxes.dtype} of shape {boxes.shape}; write whole numbers, [boxes, 4]")
    edges = boxes.astype(np.int64)
    top, bottom, left, right = edges.T
    wrong = (top < 0) | (top > bottom) | (bottom > size[0]) | (left < 0) | (left > right) | (right > size[1])
    if wrong.any():
        raise InputError(
            f"{name}: {edges[wrong.argmax()].tolist()} is no box in {size[0]}x{size[1]}; "
            "write top, bottom, left and right, half-open"
        )
    return edges


def _distinct(places: Places, output_size: Size) -> Places:
    rows, columns = output_size
    # numbers are sorted far faster than rows of numbers, and in the same order
    numbers = np.ravel_multi_index(tuple(places.outputs.T), (rows + 1, rows + 1, columns + 1, columns + 1))
    _, first = np.unique(numbers, return_index=True)
    return Places(places.outputs[first], places.patches[first])


def _reached(layers: Layers, pixels: int, runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of changed elements, int64 [Q, 2], followed through the layers; begin and end alike where nothing changes."""
    begin, end = runs.T
    for kernel, stride, padding in layers:
        pixels = _made(pixels, kernel, stride, padding)
        changes = begin < end
        begin = np.maximum((begin + padding - kernel) // stride + 1, 0)
        end = np.where(changes, np.minimum(-(-(end + padding) // stride), pixels), begin)
    return np.stack([begin, np.maximum(begin, end)], axis=1)


def _window(layers: Layers) -> tuple[int, int, int]:
    """Size, jump and offset along one axis."""
    size, jump, offset = 1, 1, 0
    for kernel, stride, padding in layers:
        size, offset, jump = size + (kernel - 1) * jump, offset - padding * jump, jump * stride
    return size, jump, offset


def _outputs(name: str, layers: Layers, pixels: int) -> int:
    made = pixels
    for number, layer in enumerate(layers):
        if made + 2 * layer[2] < layer[0]:
            raise InputError(
                f"{name}: layer {number} has a kernel of {layer[0]} on {made} elements; {pixels} pixels are too few"
            )
        made = _made(made, *layer)
    return made


def _made(elements: int, kernel: int, stride: int, padding: int) -> int:
    return (elements + 2 * padding - kernel) // stride + 1


def _checked(name: str, layers: Layers) -> tuple[tuple[int, int, int], ...]:
    found = tuple(tuple(layer) for layer in layers)
    for layer in found:
        whole = len(layer) == 3 and all(isinstance(part, int | np.integer) for part in layer)
        if not whole or layer[0] < 1 or layer[1] < 1 or layer[2] < 0:
            raise InputError(f"{name}: {layer!r} is no layer; write kernel, stride and padding, such as (3, 1, 1)")
    if not found:
        raise InputError(f"{name}: no layers; write at least one, such as (3, 1, 1)")
    return tuple((int(kernel), int(stride), int(padding)) for kernel, stride, padding in found)
