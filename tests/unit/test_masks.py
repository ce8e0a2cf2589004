"""Mask sets: hand-computed ones, and every promise against an enumeration in pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.masks import (
    Grid,
    MaskSet,
    Size,
    covering_shapes,
    mask_set,
    masks_from_text,
    multi_patch_set,
    pair_index,
    patch_positions,
    patch_sizes_from_text,
    shape_set,
    shapes_of_heights,
    size_from_text,
    strided_mask_set,
)

Axis = tuple[int, int, int]


@st.composite
def axes(draw: st.DrawFn, largest: int = 11, most: int = 9) -> Axis:
    """Pixels, pixels of the patch, and budget along one axis."""
    pixels = draw(st.integers(1, largest))
    return pixels, draw(st.integers(1, pixels)), draw(st.integers(1, most))


def made(rows: Axis, columns: Axis) -> MaskSet:
    image, patch, budget = zip(rows, columns, strict=True)
    return mask_set(image, patch, budget)


def one_grid(image: Size, patch: Size, mask: Size, row_starts: tuple[int, ...], column_starts: tuple[int, ...]) -> MaskSet:
    return MaskSet(image, (Grid(patch, mask, row_starts, column_starts),))


def pictures(masks: MaskSet) -> np.ndarray:
    """The masks as bool images [K, H, W], true where masked, painted row by row."""
    painted = np.zeros((len(masks), *masks.image_size), dtype=bool)
    for picture, boxes in zip(painted, masks.boxes.reshape(len(masks), -1, 4).tolist(), strict=True):
        for top, bottom, left, right in boxes:
            for row in range(top, bottom):
                for column in range(left, right):
                    picture[row, column] = True
    return painted


def covers_in_pixels(masks: MaskSet, patch: Size) -> bool:
    """Definition 1 word by word: for each patch, some mask leaves none of its pixels visible."""
    visible = (~pictures(masks)).reshape(len(masks), -1).astype(int)
    for top in range(masks.image_size[0] - patch[0] + 1):
        for left in range(masks.image_size[1] - patch[1] + 1):
            shown = np.zeros(masks.image_size, dtype=int)
            shown[top : top + patch[0], left : left + patch[1]] = 1
            if (visible @ shown.ravel()).min() > 0:
                return False
    return True


def row_of_masks(pixels: int, patch: int, budget: int) -> MaskSet:
    """One row of pixels: the paper's 1-D image."""
    return mask_set((1, pixels), (1, patch), (1, budget))


@pytest.mark.parametrize(
    ("budget", "size", "starts"),
    [(5, 2, (0, 1, 2, 3, 4)), (3, 3, (0, 2, 3)), (2, 4, (0, 2)), (1, 6, (0,)), (4, 3, (0, 2, 3)), (99, 2, (0, 1, 2, 3, 4))],
    ids=["figure-3-left", "figure-3-right", "two", "one-mask", "fewer-suffice", "no-more-than-positions"],
)
def test_a_row_of_six_pixels_with_a_patch_of_two(budget: int, size: int, starts: tuple[int, ...]) -> None:
    masks = row_of_masks(6, 2, budget)
    assert (masks.mask_size, masks.row_starts, masks.column_starts) == ((1, size), (0,), starts)


@pytest.mark.parametrize(
    ("image", "patch", "budget", "size", "starts"),
    [
        (224, 39, 6, 69, (0, 31, 62, 93, 124, 155)),
        (224, 39, 3, 100, (0, 62, 124)),
        (32, 5, 3, 14, (0, 10, 18)),
        (32, 5, 6, 9, (0, 5, 10, 15, 20, 23)),
        (8, 8, 4, 8, (0,)),
        (1, 1, 1, 1, (0,)),
    ],
)
def test_square_sets_by_hand(image: int, patch: int, budget: int, size: int, starts: tuple[int, ...]) -> None:
    masks = mask_set((image, image), (patch, patch), (budget, budget))
    assert masks == one_grid((image, image), (patch, patch), (size, size), starts, starts)
    assert (masks.patch_size, masks.mask_size) == ((patch, patch), (size, size))


def test_each_axis_is_settled_alone() -> None:
    masks = mask_set((6, 32), (2, 5), (3, 6))
    assert masks == one_grid((6, 32), (2, 5), (3, 9), (0, 2, 3), (0, 5, 10, 15, 20, 23))
    assert len(masks) == 18


def test_boxes_are_half_open_and_row_major() -> None:
    boxes = mask_set((6, 5), (2, 1), (2, 3)).boxes  # rows: stride 3, size 4; columns: stride 2, size 2
    assert boxes.dtype == np.int64
    assert boxes.tolist() == [[0, 4, 0, 2], [0, 4, 2, 4], [0, 4, 3, 5], [2, 6, 0, 2], [2, 6, 2, 4], [2, 6, 3, 5]]


def test_pairs_are_unordered_and_hold_each_mask_with_itself() -> None:
    pairs = mask_set((1, 6), (1, 2), (1, 3)).pairs
    assert pairs.dtype == np.int64
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]


@pytest.mark.parametrize(("budget", "count"), [(6, 666), (3, 45), (1, 1)])
def test_number_of_pairs(budget: int, count: int) -> None:
    pairs = mask_set((224, 224), (39, 39), (budget, budget)).pairs
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs) == count
    assert (pairs[:, 0] <= pairs[:, 1]).all()
    assert pairs.max() == budget**2 - 1


@given(axes(), axes())
def test_a_set_covers_its_patch_within_the_budget_and_the_image(rows: Axis, columns: Axis) -> None:
    masks = made(rows, columns)
    assert masks.covers(masks.patch_size)
    assert covers_in_pixels(masks, masks.patch_size)
    for starts, size, (pixels, patch, budget) in zip(
        (masks.row_starts, masks.column_starts), masks.mask_size, (rows, columns), strict=True
    ):
        stride = math.ceil((pixels - patch + 1) / budget)
        assert size == patch + stride - 1
        assert set(starts) == {stride * step for step in range((pixels - size) // stride + 1)} | {pixels - size}
        assert list(starts) == sorted(set(starts))
        assert len(starts) == math.ceil((pixels - size) / stride) + 1 <= budget  # equation 2
        assert starts[0] == 0
        assert starts[-1] + size == pixels
    assert len(masks) == len(masks.boxes) == len(masks.row_starts) * len(masks.column_starts)
    assert pictures(masks).any(axis=0).all()


@given(axes(8, 5), axes(8, 5), st.data())
def test_covers_agrees_with_pixels_for_every_patch_size(rows: Axis, columns: Axis, data: st.DataObject) -> None:
    masks = made(rows, columns)
    patch = data.draw(st.tuples(st.integers(1, rows[0]), st.integers(1, columns[0])), label="patch")
    assert masks.covers(patch) == covers_in_pixels(masks, patch)


@given(axes(30, 9), st.integers(1, 30))
def test_the_largest_covered_patch_follows_from_the_widest_step(axis: Axis, patch: int) -> None:
    pixels, _, budget = axis
    masks = row_of_masks(*axis)
    steps = np.diff(masks.column_starts)
    largest = masks.mask_size[1] - steps.max() + 1 if len(steps) else pixels
    stride = math.ceil((pixels - axis[1] + 1) / budget)
    assert largest >= masks.mask_size[1] - stride + 1 == axis[1]  # Lemma 4, an equality where two masks are a stride apart
    if patch <= pixels:
        assert masks.covers((1, patch)) == (patch <= largest)


@pytest.mark.parametrize("budget", [(6, 6), (3, 3), (6, 3)])
def test_lemma_4_is_tight(budget: Size) -> None:
    masks = mask_set((224, 224), (39, 39), budget)
    assert masks.covers((39, 39))
    assert masks.covers((1, 39))
    assert not masks.covers((40, 39))
    assert not masks.covers((39, 40))


def test_every_patch_size_on_one_image_both_ways() -> None:
    masks = mask_set((7, 10), (2, 3), (3, 2))
    answers = {patch: masks.covers(patch) for patch in itertools.product(range(1, 8), range(1, 11))}
    assert answers == {patch: covers_in_pixels(masks, patch) for patch in answers}
    assert {patch for patch, covered in answers.items() if covered} == {(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)}


def test_a_patch_as_large_as_the_image_is_covered_by_the_one_mask_that_hides_all() -> None:
    assert mask_set((4, 5), (4, 5), (6, 6)).covers((4, 5))
    assert not mask_set((4, 5), (4, 4), (6, 6)).covers((4, 5))


@settings(deadline=None)
@given(axes(6, 3), axes(6, 3), st.data())
def test_fewest_covering_is_the_smallest_of_all_subsets(rows: Axis, columns: Axis, data: st.DataObject) -> None:
    masks = made(rows, columns)
    top, bottom = sorted(data.draw(st.lists(st.integers(0, rows[0]), min_size=2, max_size=2, unique=True), label="rows"))
    left, right = sorted(data.draw(st.lists(st.integers(0, columns[0]), min_size=2, max_size=2, unique=True), label="columns"))
    wanted = np.zeros(masks.image_size, dtype=bool)
    wanted[top:bottom, left:right] = True
    painted = pictures(masks)

    def cover(chosen: tuple[int, ...]) -> bool:
        return bool(painted[list(chosen)].any(axis=0)[wanted].all())

    found = masks.fewest_covering((top, bottom, left, right))
    assert found.dtype == np.int64
    assert found.tolist() == sorted(set(found.tolist()))
    assert cover(tuple(found))
    assert not any(cover(chosen) for chosen in itertools.combinations(range(len(masks)), len(found) - 1))
    beyond = painted[found].any(axis=0).sum()
    for chosen in itertools.combinations(range(len(masks)), len(found)):
        if cover(chosen):
            assert beyond <= painted[list(chosen)].any(axis=0).sum()


@pytest.mark.parametrize("large", range(9))
def test_four_small_masks_make_up_each_large_one_at_224_pixels(large: int) -> None:
    box = mask_set((224, 224), (39, 39), (3, 3)).boxes[large]
    small = mask_set((224, 224), (39, 39), (6, 6))
    chosen = small.fewest_covering(box)
    row, column = divmod(large, 3)
    corners = [(2 * row + down) * 6 + 2 * column + right for down in (0, 1) for right in (0, 1)]
    assert chosen.tolist() == corners
    union = np.zeros((224, 224), dtype=bool)
    for top, bottom, left, right in small.boxes[chosen]:
        union[top:bottom, left:right] = True
    exactly = np.zeros((224, 224), dtype=bool)
    exactly[box[0] : box[1], box[2] : box[3]] = True
    assert (union == exactly).all()


def test_an_empty_box_needs_no_mask() -> None:
    assert mask_set((6, 6), (2, 2), (3, 3)).fewest_covering((2, 2, 0, 4)).tolist() == []


@pytest.mark.parametrize(
    ("box", "pixel", "span"),
    [((0, 7, 0, 6), 6, "0 to 7"), ((0, 6, -1, 3), -1, "-1 to 3"), ((0, 6, 4, 9), 6, "4 to 9")],
)
def test_a_box_that_leaves_the_image_cannot_be_covered(box: tuple[int, ...], pixel: int, span: str) -> None:
    with pytest.raises(InputError, match=f"^no mask covers pixel {pixel} of the box; its span is {span}$"):
        mask_set((6, 6), (2, 2), (3, 3)).fewest_covering(box)


def test_a_box_across_a_gap_cannot_be_covered() -> None:
    masks = one_grid((1, 9), (1, 1), (1, 3), (0,), (0, 5))
    assert masks.fewest_covering((0, 1, 5, 8)).tolist() == [1]
    with pytest.raises(InputError, match="no mask covers pixel 3 of the box; its span is 1 to 6"):
        masks.fewest_covering((0, 1, 1, 6))
    assert not masks.covers((1, 1))


BAD_SIZES = [(0, 3), (3, 0), (-1, 3), (3,), (3, 3, 3), (), (True, 3), (3, False), (2.5, 3), (3, 2.5)]


@pytest.mark.parametrize("bad", BAD_SIZES, ids=str)
@pytest.mark.parametrize("name", ["image_size", "patch_size", "budget"])
def test_a_size_is_two_positive_whole_numbers(name: str, bad: Size) -> None:
    sizes = {"image_size": (6, 6), "patch_size": (2, 2), "budget": (3, 3)} | {name: bad}
    with pytest.raises(InputError) as caught:
        mask_set(**sizes)
    assert str(caught.value) == (
        f"{name}: {bad!r} is no size; write two positive whole numbers, rows and columns, such as [6, 6]"
    )


def test_sizes_may_come_as_lists_and_numpy_numbers_and_become_plain_ones() -> None:
    masks = mask_set([6, np.int64(6)], np.array([2, 2]), [3, 3])
    assert masks == mask_set((6, 6), (2, 2), (3, 3))
    assert all(type(part) is int for part in (*masks.image_size, *masks.patch_size, *masks.mask_size, *masks.row_starts))


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ((7, 2), "patch_size 7x2 has more rows than image_size 6x8; write at most 6"),
        ((2, 9), "patch_size 2x9 has more columns than image_size 6x8; write at most 8"),
    ],
)
def test_a_patch_fits_into_the_image(patch: Size, message: str) -> None:
    with pytest.raises(InputError) as caught:
        mask_set((6, 8), patch, (3, 3))
    assert str(caught.value) == message
    with pytest.raises(InputError, match=f"^patch_size {patch[0]}x{patch[1]} is larger than the image, 6x8$"):
        mask_set((6, 8), (1, 1), (3, 3)).covers(patch)


@pytest.mark.parametrize("bad", BAD_SIZES, ids=str)
def test_covers_wants_a_size(bad: Size) -> None:
    with pytest.raises(InputError, match=r"^patch_size: .* is no size; write two positive whole numbers"):
        mask_set((6, 6), (2, 2), (3, 3)).covers(bad)


def test_a_size_out_of_a_path() -> None:
    assert size_from_text("5x17") == (5, 17)
    with pytest.raises(InputError, match=r"^size: \(0, 7\) is no size"):
        size_from_text("0x7")


@pytest.mark.parametrize("size", [6, None, "ab", [float("nan"), 2], [3.0, 3], np.array([True, True]), [[1, 2], [3, 4]]])
def test_what_is_no_size_at_all_says_what_to_write(size):
    with pytest.raises(InputError, match=r"budget: .* is no size; write two positive whole numbers"):
        mask_set((32, 32), (5, 5), size)


@pytest.mark.parametrize("text", ["5", "5x", "x5", "5x5x5", "5 x 5", "-5x5", "0x5"])
def test_a_size_in_a_path_that_is_none(text):
    with pytest.raises(InputError, match="write"):
        size_from_text(text)


def test_a_size_in_a_path():
    assert size_from_text("5x7") == (5, 7)


# --- a given stride ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "patch", "stride", "size", "starts"),
    [
        (224, 39, 31, 69, (0, 31, 62, 93, 124, 155)),
        (32, 5, 4, 8, (0, 4, 8, 12, 16, 20, 24)),
        (6, 2, 1, 2, (0, 1, 2, 3, 4)),
        (6, 2, 3, 4, (0, 2)),
        (6, 2, 5, 6, (0,)),
        (6, 2, 6, 6, (0,)),  # a mask of 7 would leave the image
        (6, 6, 1, 6, (0,)),
    ],
)
def test_a_given_stride_by_hand(pixels: int, patch: int, stride: int, size: int, starts: tuple[int, ...]) -> None:
    masks = strided_mask_set((3, pixels), (1, patch), (1, stride))
    assert masks == one_grid((3, pixels), (1, patch), (1, size), (0, 1, 2), starts)


@given(axes(12), axes(12))
def test_any_stride_covers_with_as_many_masks_as_equation_2_says(rows: Axis, columns: Axis) -> None:
    image, patch, stride = zip(rows, columns, strict=True)
    masks = strided_mask_set(image, patch, stride)
    assert covers_in_pixels(masks, patch)
    counts = len(masks.row_starts), len(masks.column_starts)
    assert counts == tuple(
        math.ceil((pixels - size) / step) + 1 for pixels, size, step in zip(image, masks.mask_size, stride, strict=True)
    )


def test_a_stride_is_a_size_and_the_patch_fits() -> None:
    with pytest.raises(InputError, match=r"^stride: \(0, 1\) is no size; write two positive whole numbers"):
        strided_mask_set((6, 6), (2, 2), (0, 1))
    with pytest.raises(InputError, match=r"^patch_size 7x2 has more rows than image_size 6x8; write at most 6$"):
        strided_mask_set((6, 8), (7, 2), (1, 1))


# --- several shapes ----------------------------------------------------------------------------------------------------------

PAPER_SHAPES = ((5, 224), (12, 83), (23, 38), (39, 20), (84, 12), (224, 5))


def rectangles(image: Size, area: int) -> list[Size]:
    """Every rectangle of at most that area that fits into the image."""
    sides = itertools.product(range(1, image[0] + 1), range(1, image[1] + 1))
    return [(height, width) for height, width in sides if height * width <= area]


def contained(inner: Size, outers: Sequence[Size]) -> bool:
    return any(inner[0] <= height and inner[1] <= width for height, width in outers)


def largest(shapes: Sequence[Size]) -> int:
    return max(height * width for height, width in shapes)


def test_the_six_shapes_of_the_paper() -> None:
    assert shapes_of_heights((224, 224), 501, (5, 12, 23, 39, 84, 224)) == PAPER_SHAPES


@pytest.mark.parametrize(
    ("image", "area", "shapes"),
    [
        ((32, 32), 10, ((1, 10), (2, 5), (3, 3), (5, 2), (10, 1))),  # every maximal rectangle of 10 pixels: nothing to save
        ((32, 32), 1, ((1, 1),)),
        ((2, 3), 6, ((2, 3),)),
        ((2, 3), 99, ((2, 3),)),
        ((3, 2), 5, ((2, 2), (3, 1))),  # no rectangle has 5 pixels here
        ((1, 9), 4, ((1, 4),)),
    ],
)
def test_covering_shapes_by_hand(image: Size, area: int, shapes: tuple[Size, ...]) -> None:
    found = covering_shapes(image, area)
    assert all(contained(rectangle, found) for rectangle in rectangles(image, area))
    assert found == shapes


@pytest.mark.parametrize(("image", "area"), [((224, 224), 501), ((32, 32), 10), ((32, 32), 25)])
def test_covering_shapes_contain_every_rectangle(image: Size, area: int) -> None:
    shapes = covering_shapes(image, area)
    assert len(shapes) <= 6
    assert all(contained(rectangle, shapes) for rectangle in rectangles(image, area))


@pytest.mark.parametrize(
    ("count", "shapes"),
    [
        (1, ((10, 10),)),
        (2, ((3, 10), (10, 2))),
        (3, ((2, 10), (5, 3), (10, 1))),
        (4, ((1, 10), (3, 5), (5, 2), (10, 1))),
    ],
)
def test_fewer_shapes_are_larger_and_none_is_taller_than_it_must_be(count: int, shapes: tuple[Size, ...]) -> None:
    assert covering_shapes((32, 32), 10, count) == shapes


def test_the_shapes_of_the_paper_contain_every_rectangle_and_are_not_the_smallest() -> None:
    assert all(contained(rectangle, PAPER_SHAPES) for rectangle in rectangles((224, 224), 501))
    assert largest(PAPER_SHAPES) == 1120
    assert largest(covering_shapes((224, 224), 501)) == 1000


@given(st.tuples(st.integers(1, 14), st.integers(1, 14)), st.integers(1, 220), st.integers(1, 8))
def test_covering_shapes_fit_contain_all_and_none_lies_in_another(image: Size, area: int, count: int) -> None:
    shapes = covering_shapes(image, area, count)
    assert 1 <= len(shapes) <= count
    assert all(contained(shape, [image]) for shape in shapes)
    assert all(contained(rectangle, shapes) for rectangle in rectangles(image, area))
    assert not any(contained(one, [other]) for one, other in itertools.permutations(shapes, 2))
    # each is needed as large as it is: were it a row or a column smaller, some rectangle would be left
    for shape in shapes:
        others = [other for other in shapes if other != shape]
        for smaller in ((shape[0] - 1, shape[1]), (shape[0], shape[1] - 1)):
            assert not all(contained(rectangle, [*others, smaller]) for rectangle in rectangles(image, area))
    heights = [height for height, _ in shapes]
    assert shapes_of_heights(image, area, heights) == shapes


@settings(deadline=None)
@given(st.tuples(st.integers(1, 4), st.integers(1, 5)), st.integers(1, 20), st.integers(1, 4))
@example((4, 5), 7, 2)
@example((4, 5), 11, 2)
def test_no_shapes_have_a_smaller_largest_and_no_fewer_do_as_well(image: Size, area: int, count: int) -> None:
    wanted = rectangles(image, area)
    possible = rectangles(image, image[0] * image[1])
    enough = [
        (largest(chosen), number)
        for number in range(1, count + 1)
        for chosen in itertools.combinations(possible, number)
        if all(contained(rectangle, chosen) for rectangle in wanted)
    ]
    shapes = covering_shapes(image, area, count)
    assert (largest(shapes), len(shapes)) == min(enough)


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.integers(1, 150), st.data())
def test_shapes_of_any_heights_contain_every_rectangle(image: Size, area: int, data: st.DataObject) -> None:
    tallest = min(image[0], area)
    lower = data.draw(st.sets(st.integers(1, tallest)), label="heights")
    heights = sorted(lower | {tallest})
    shapes = shapes_of_heights(image, area, heights)
    assert [height for height, _ in shapes] == heights
    assert all(contained(shape, [image]) for shape in shapes)
    assert all(contained(rectangle, shapes) for rectangle in rectangles(image, area))


@pytest.mark.parametrize(
    ("heights", "shown"),
    [((), "[]"), ((5, 5, 10), "[5, 5, 10]"), ((7, 5, 10), "[7, 5, 10]"), ((5, 9), "[5, 9]"), ([5, 32], "[5, 32]")],
    ids=["none", "equal", "decreasing", "too-short", "too-tall"],
)
def test_heights_increase_up_to_the_tallest_rectangle(heights: Sequence[int], shown: str) -> None:
    with pytest.raises(InputError) as caught:
        shapes_of_heights((32, 32), 10, heights)
    assert str(caught.value) == f"heights: {shown}; write increasing ones that end at 10, the tallest rectangle"


@pytest.mark.parametrize("bad", [0, -1, True, 2.5, "3", None])
def test_an_area_a_height_a_count_and_a_number_of_patches_are_positive_whole_numbers(bad: int) -> None:
    for name, call in {
        "area": lambda: covering_shapes((6, 6), bad),
        "count": lambda: covering_shapes((6, 6), 4, bad),
        "heights": lambda: shapes_of_heights((6, 6), 4, (bad, 4)),
        "patches": lambda: multi_patch_set(mask_set((6, 6), (2, 2), (2, 2)), bad),
    }.items():
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == f"{name}: {bad!r} is wrong; write a whole number from 1 up"
    with pytest.raises(InputError, match=r"^area: .* is wrong"):
        shapes_of_heights((6, 6), bad, (4,))


def test_shapes_want_an_image_size() -> None:
    for call in (lambda: covering_shapes((0, 6), 4), lambda: shapes_of_heights((0, 6), 4, (4,))):
        with pytest.raises(InputError, match=r"^image_size: \(0, 6\) is no size"):
            call()


def test_a_shape_set_is_the_union_of_the_mask_sets_in_order() -> None:
    shapes = ((2, 6), (3, 3), (6, 2))
    masks = shape_set((6, 6), shapes, (2, 3))
    sets = [mask_set((6, 6), shape, (2, 3)) for shape in shapes]
    assert masks == MaskSet((6, 6), tuple(grid for single in sets for grid in single.grids))
    assert masks.boxes.tolist() == [box for single in sets for box in single.boxes.tolist()]
    assert len(masks) == 2 * 1 + 2 * 2 + 1 * 3  # a stride of 2 leaves two starts for the 3x3 shape's columns
    assert masks.pairs.tolist() == [[first, second] for first in range(9) for second in range(first, 9)]
    assert all(masks.covers(shape) and covers_in_pixels(masks, shape) for shape in shapes)
    assert not masks.covers((4, 4))
    assert not covers_in_pixels(masks, (4, 4))


def test_equal_boxes_of_different_grids_are_kept_once() -> None:
    masks = shape_set((1, 6), ((1, 2), (1, 3), (1, 2)), (1, 2))  # strides 3 and 2: boxes of 4 pixels from 0 and 2, both times
    assert [grid.column_starts for grid in masks.grids] == [(0, 2)] * 3
    assert masks.boxes.tolist() == [[0, 1, 0, 4], [0, 1, 2, 6]]
    assert (len(masks), len(masks.pairs)) == (2, 3)


def test_the_masks_of_the_paper_for_any_rectangle() -> None:
    masks = shape_set((224, 224), PAPER_SHAPES, (6, 6))
    assert (len(masks), len(masks.pairs)) == (156, 12_246)
    for patch in [*PAPER_SHAPES, (1, 224), (2, 224), (22, 22), (16, 31), (100, 5), (167, 3), (223, 2)]:
        assert masks.covers(patch), patch
    assert not masks.covers((39, 39))


@pytest.mark.parametrize(("image", "area"), [((6, 7), 5), ((5, 5), 9), ((7, 4), 4)])
def test_a_set_of_covering_shapes_covers_every_rectangle_everywhere(image: Size, area: int) -> None:
    masks = shape_set(image, covering_shapes(image, area, 3), (3, 3))
    answers = {patch: masks.covers(patch) for patch in rectangles(image, image[0] * image[1])}
    assert all(answers[patch] for patch in rectangles(image, area))
    assert answers == {patch: covers_in_pixels(masks, patch) for patch in answers}
    assert not all(answers.values())


def test_a_shape_set_has_shapes() -> None:
    with pytest.raises(InputError, match=r"^patch_sizes: there are none; write at least one size, such as \[\[5, 7\]\]$"):
        shape_set((6, 6), (), (3, 3))
    with pytest.raises(InputError, match=r"^patch_size 7x1 has more rows than image_size 6x6; write at most 6$"):
        shape_set((6, 6), [(2, 2), (7, 1)], (3, 3))


@pytest.mark.parametrize("name", ["patch_size", "mask_size", "row_starts", "column_starts"])
def test_several_grids_have_no_single_size_or_starts(name: str) -> None:
    message = r"^a mask set of 2 shapes has no single grid; give one of mask_set, or use \.grids$"
    masks = shape_set((6, 6), [(2, 3), (3, 2)], (3, 3))
    with pytest.raises(InputError, match=message):
        getattr(masks, name)
    with pytest.raises(InputError, match=message):
        masks.fewest_covering((0, 2, 0, 2))


# --- several patches ---------------------------------------------------------------------------------------------------------


def test_two_patches_by_hand() -> None:
    masks = multi_patch_set(row_of_masks(6, 2, 3), 2)
    left, middle, right = [0, 1, 0, 3], [0, 1, 2, 5], [0, 1, 3, 6]
    assert masks.members.dtype == masks.boxes.dtype == np.int64
    assert masks.members.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]
    assert masks.boxes.tolist() == [
        [left, left],
        [left, middle],
        [left, right],
        [middle, middle],
        [middle, right],
        [right, right],
    ]
    assert (len(masks), len(masks.pairs)) == (6, 21)
    assert masks.column_starts == (0, 2, 3)


def test_one_patch_is_the_set_itself() -> None:
    masks = mask_set((6, 7), (2, 2), (3, 2))
    assert multi_patch_set(masks, 1) == masks
    assert masks.members.tolist() == [[mask] for mask in range(6)]
    assert masks.boxes.tolist() == masks.base_boxes.tolist()


@pytest.mark.parametrize(("boxes", "patches"), [(1, 1), (1, 3), (2, 4), (4, 2), (5, 3)])
def test_number_of_masks_for_several_patches(boxes: int, patches: int) -> None:
    masks = multi_patch_set(row_of_masks(boxes, 1, boxes), patches)
    found = [tuple(member) for member in masks.members.tolist()]
    assert found == sorted({tuple(sorted(some)) for some in itertools.product(range(boxes), repeat=patches)})
    assert len(masks) == len(found)
    assert masks.boxes.shape == ((boxes, 4) if patches == 1 else (len(found), patches, 4))


def hides_every_placement(masks: MaskSet, patches: Sequence[Size]) -> bool:
    """Whether, for every placement of patches of these sizes, some mask leaves no pixel of any of them visible."""
    positions = [
        [
            (top, top + height, left, left + width)
            for top in range(masks.image_size[0] - height + 1)
            for left in range(masks.image_size[1] - width + 1)
        ]
        for height, width in patches
    ]
    painted = pictures(masks)
    for placement in itertools.product(*positions):
        visible = np.zeros(masks.image_size, dtype=bool)
        for top, bottom, left, right in placement:
            visible[top:bottom, left:right] = True
        if not painted[:, visible].all(axis=1).any():
            return False
    return True


def test_two_patches_anywhere_are_hidden_by_one_mask() -> None:
    single = mask_set((6, 6), (2, 2), (2, 2))
    masks = multi_patch_set(single, 2)
    assert masks.covers((2, 2))
    assert hides_every_placement(masks, [(2, 2), (2, 2)])
    assert hides_every_placement(masks, [(1, 2), (2, 1)])
    assert not masks.covers((4, 2))
    assert not hides_every_placement(masks, [(4, 2), (4, 2)])
    assert not hides_every_placement(single, [(2, 2), (2, 2)])
    assert not hides_every_placement(masks, [(2, 2)] * 3)


def test_two_patches_of_any_two_of_the_shapes_are_hidden_by_one_mask() -> None:
    shapes = covering_shapes((4, 5), 3)
    masks = multi_patch_set(shape_set((4, 5), shapes, (2, 2)), 2)
    assert len(shapes) == 2
    assert all(hides_every_placement(masks, pair) for pair in itertools.combinations_with_replacement(shapes, 2))
    assert not hides_every_placement(masks, [shapes[0], (4, 5)])


@settings(deadline=None)
@given(axes(3, 3), axes(4, 4), st.data())
def test_a_covered_patch_is_hidden_with_any_other(rows: Axis, columns: Axis, data: st.DataObject) -> None:
    masks = multi_patch_set(made(rows, columns), 2)
    patch = data.draw(st.tuples(st.integers(1, rows[0]), st.integers(1, columns[0])), label="patch")
    if masks.covers(patch):
        assert hides_every_placement(masks, [patch, patch])


def test_a_patch_that_only_two_boxes_hide_is_cautiously_not_covered() -> None:
    masks = multi_patch_set(row_of_masks(2, 1, 2), 2)
    assert hides_every_placement(masks, [(1, 2), (1, 2)])
    assert not masks.covers((1, 2))


def test_a_set_for_several_patches_is_not_combined_again() -> None:
    masks = multi_patch_set(mask_set((6, 6), (2, 2), (2, 2)), 3)
    with pytest.raises(InputError, match=r"^mask_set: it is for 3 patches already; give the set for one patch$"):
        multi_patch_set(masks, 2)
    with pytest.raises(InputError, match=r"^a mask set for 3 patches has no single masks; give one of mask_set$"):
        masks.fewest_covering((0, 2, 0, 2))


# --- pairs and areas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [1, 2, 3, 9, 36, 325])
def test_pair_index_finds_every_pair_in_either_order(masks: int) -> None:
    first, second = np.triu_indices(masks)
    for one, other in ((first, second), (second, first)):
        found = pair_index(masks, one, other)
        assert found.dtype == np.int64
        assert (found == np.arange(masks * (masks + 1) // 2)).all()


def test_pair_index_broadcasts_and_does_not_overflow() -> None:
    assert pair_index(3, np.arange(3)[:, None], np.arange(3)).tolist() == [[0, 1, 2], [1, 3, 4], [2, 4, 5]]
    assert pair_index(325, np.uint16([324]), np.uint16([324])).tolist() == [52_974]
    assert pair_index(3, 2, 1) == 4


def check_areas(masks: MaskSet) -> int:
    """The areas against the painted pairs; returns how many there are."""
    painted = pictures(masks).reshape(len(masks), -1)
    numbers: dict[bytes, int] = {}
    expected = [numbers.setdefault((painted[i] | painted[j]).tobytes(), len(numbers)) for i, j in masks.pairs.tolist()]
    areas = masks.areas
    assert {part.dtype for part in areas} == {np.dtype(np.int64)}
    assert areas.of_pair.tolist() == expected
    assert areas.of_mask.tolist() == [numbers[picture.tobytes()] for picture in painted]
    base = pictures(MaskSet(masks.image_size, masks.grids)).reshape(len(masks.base_boxes), -1)
    assert areas.boxes.shape == (len(numbers), 2 * masks.patches)
    assert [union.tobytes() for union in base[areas.boxes].any(axis=1)] == list(numbers)
    return len(numbers)


def test_areas_of_a_row_by_hand() -> None:
    areas = row_of_masks(6, 2, 3).areas  # 0 to 3, 2 to 5, 3 to 6: all six unions differ
    assert areas.of_pair.tolist() == [0, 1, 2, 3, 4, 5]
    assert areas.boxes.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]
    assert areas.of_mask.tolist() == [0, 3, 5]
    nested = one_grid((2, 2), (1, 1), (2, 1), (0,), (0, 1)).grids + one_grid((2, 2), (1, 1), (2, 2), (0,), (0,)).grids
    areas = MaskSet((2, 2), nested).areas  # the left half, the right half, and all: four of the pairs are all
    assert areas.of_pair.tolist() == [0, 1, 1, 2, 1, 1]
    assert areas.boxes.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert areas.of_mask.tolist() == [0, 2, 1]


@pytest.mark.parametrize(("image", "patch"), [(224, 32), (224, 23), (224, 39), (32, 5)])
def test_all_pairs_of_an_ordinary_set_differ(image: int, patch: int) -> None:
    masks = mask_set((image, image), (patch, patch), (6, 6))
    assert masks.areas.of_pair.tolist() == list(range(666))
    assert masks.areas.boxes.tolist() == masks.pairs.tolist()
    if image == 32:
        assert check_areas(masks) == 666


def test_two_patches_share_areas_among_their_pairs() -> None:
    masks = multi_patch_set(mask_set((224, 224), (32, 32), (5, 5)), 2)
    assert (len(masks), len(masks.pairs)) == (325, 52_975)
    areas = masks.areas
    assert len(areas.boxes) == sum(math.comb(25, boxes) for boxes in (1, 2, 3, 4)) == 15_275
    assert [len(set(boxes)) for boxes in areas.boxes[areas.of_mask].tolist()] == [len(set(m)) for m in masks.members.tolist()]
    boxes_of_pairs = masks.members[masks.pairs].reshape(-1, 4)
    boxes_of_areas = areas.boxes[areas.of_pair]
    assert all(set(one) == set(other) for one, other in zip(boxes_of_pairs.tolist(), boxes_of_areas.tolist(), strict=True))


def test_two_patches_share_areas_in_pixels() -> None:
    assert check_areas(multi_patch_set(mask_set((9, 9), (2, 2), (3, 3)), 2)) == sum(
        math.comb(9, boxes) for boxes in (1, 2, 3, 4)
    )


def test_the_areas_of_the_paper_shapes_all_differ() -> None:
    masks = shape_set((224, 224), PAPER_SHAPES, (6, 6))
    assert masks.areas.of_pair.tolist() == list(range(12_246))


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.integers(1, 2),
)
def test_areas_are_those_in_pixels(image: Size, patches: list[Size], budget: Size, used: int) -> None:
    fitting = [(min(height, image[0]), min(width, image[1])) for height, width in patches]
    masks = multi_patch_set(shape_set(image, fitting, budget), used)
    assert 1 <= check_areas(masks) <= len(masks.pairs)


# --- names in paths ----------------------------------------------------------------------------------------------------------


def test_the_masks_that_a_path_names() -> None:
    single = mask_set((32, 32), (3, 4), (6, 5))
    assert masks_from_text((32, 32), "3x4", "6x5") == single
    assert masks_from_text((32, 32), "2-of-3x4", "6x5") == multi_patch_set(single, 2)
    assert masks_from_text((32, 32), "area-10", "6x5") == shape_set((32, 32), covering_shapes((32, 32), 10), (6, 5))


@pytest.mark.parametrize(
    ("patch", "sizes"),
    [
        ("3x4", ((3, 4),)),
        ("area-1", ((1, 1),)),
        ("area-7", ((1, 5), (2, 3), (3, 2), (4, 1))),
        ("area-99", ((1, 5), (2, 5), (3, 5), (4, 5))),
    ],
)
def test_the_patch_sizes_that_a_path_names(patch: str, sizes: tuple[Size, ...]) -> None:
    assert patch_sizes_from_text((4, 5), patch) == sizes


def test_several_patches_or_too_large_ones_have_no_size() -> None:
    with pytest.raises(InputError, match=r"^patch: '2-of-3x3' is for several patches at once; write a single one"):
        patch_sizes_from_text((4, 5), "2-of-3x3")
    with pytest.raises(InputError, match=r"^patch_size 3x6 has more columns than image_size 4x5; "):
        patch_sizes_from_text((4, 5), "3x6")


def test_patch_positions_by_hand() -> None:
    assert patch_positions((3, 4), (2, 3)).tolist() == [[0, 2, 0, 3], [0, 2, 1, 4], [1, 3, 0, 3], [1, 3, 1, 4]]


@pytest.mark.parametrize(
    "patch",
    ["", "5", "5x", "5x5x5", "-5x5", "of-5x5", "2-of-5", "2-of-area-5", "area-", "area-5x5", "area--5", "5x5 ", "5x5\n"],
)
def test_a_patch_in_a_path_that_is_none(patch: str) -> None:
    with pytest.raises(InputError) as caught:
        masks_from_text((32, 32), patch, "6x6")
    assert str(caught.value) == f"patch: {patch!r} names none; write 5x7, 2-of-5x5 or area-25"


@pytest.mark.parametrize(
    ("patch", "budget", "message"),
    [
        ("5x5", "6", "^budget: '6' is none; write rows x columns, such as 5x7$"),
        ("area-5", "0x6", r"^budget: \(0, 6\) is no size"),
        ("0x5", "6x6", r"^patch: \(0, 5\) is no size"),
        ("0-of-5x5", "6x6", "^patches: 0 is wrong; write a whole number from 1 up$"),
        ("area-0", "6x6", "^area: 0 is wrong; write a whole number from 1 up$"),
        ("2-of-33x5", "6x6", "^patch_size 33x5 has more rows than image_size 32x32; write at most 32$"),
    ],
)
def test_a_patch_or_a_budget_in_a_path_that_is_wrong(patch: str, budget: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        masks_from_text((32, 32), patch, budget)
