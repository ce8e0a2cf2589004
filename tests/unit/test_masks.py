"""Mask sets: hand-computed ones, and every promise against an enumeration in pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.masks import MaskSet, Size, mask_set, size_from_text

Axis = tuple[int, int, int]


@st.composite
def axes(draw: st.DrawFn, largest: int = 11, most: int = 9) -> Axis:
    """Pixels, pixels of the patch, and budget along one axis."""
    pixels = draw(st.integers(1, largest))
    return pixels, draw(st.integers(1, pixels)), draw(st.integers(1, most))


def made(rows: Axis, columns: Axis) -> MaskSet:
    image, patch, budget = zip(rows, columns, strict=True)
    return mask_set(image, patch, budget)


def pictures(masks: MaskSet) -> np.ndarray:
    """The masks as bool images [K, H, W], true where masked, painted row by row."""
    painted = np.zeros((len(masks), *masks.image_size), dtype=bool)
    for picture, (top, bottom, left, right) in zip(painted, masks.boxes.tolist(), strict=True):
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
    assert masks == MaskSet((image, image), (patch, patch), (size, size), starts, starts)


def test_each_axis_is_settled_alone() -> None:
    masks = mask_set((6, 32), (2, 5), (3, 6))
    assert masks == MaskSet((6, 32), (2, 5), (3, 9), (0, 2, 3), (0, 5, 10, 15, 20, 23))
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
    masks = MaskSet((1, 9), (1, 1), (1, 3), (0,), (0, 5))
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
