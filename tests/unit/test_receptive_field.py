"""Which outputs a patch can reach: by hand, and against convolutions in which every input raises every output that sees it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.masks import Size, patch_positions, patch_sizes_from_text
from patchcert.receptive_field import Layers, ReceptiveField

CONVOLUTION, STRIDED, POINT = (3, 1, 1), (3, 2, 1), (1, 1, 0)
LAYER = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))


@pytest.mark.parametrize(
    ("layers", "size", "jump", "offset"),
    [
        ([CONVOLUTION], 3, 1, -1),
        ([CONVOLUTION, CONVOLUTION, POINT, CONVOLUTION], 7, 1, -3),
        ([CONVOLUTION, STRIDED, POINT, STRIDED, POINT, CONVOLUTION], 17, 4, -8),
        ([CONVOLUTION, STRIDED, CONVOLUTION, STRIDED, POINT, CONVOLUTION, POINT, CONVOLUTION], 29, 4, -14),
        ([(2, 2, 0), (3, 1, 0)], 6, 2, 0),
    ],
)
def test_the_window_by_hand(layers: Layers, size: int, jump: int, offset: int) -> None:
    field = ReceptiveField(layers, [(5, 3, 2)])
    assert (field.size, field.jump, field.offset) == ((size, 5), (jump, 3), (offset, -2))
    assert ReceptiveField(layers).size == (size, size)


@pytest.mark.parametrize(
    ("layers", "pixels", "patch", "runs"),
    [
        pytest.param([(3, 1, 1)], 6, 2, [(0, 3), (0, 4), (1, 5), (2, 6), (3, 6)], id="clipped-at-both-ends"),
        pytest.param([(3, 1, 0)], 6, 2, [(0, 2), (0, 3), (0, 4), (1, 4), (2, 4)], id="no-padding"),
        pytest.param([(2, 2, 0)], 6, 1, [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (2, 3)], id="stride-as-large-as-the-kernel"),
        pytest.param([(1, 3, 0)], 5, 1, [(0, 1), (0, 0), (0, 0), (1, 2), (0, 0)], id="pixels-that-no-window-reads"),
        pytest.param([(2, 3, 0)], 7, 1, [(0, 1), (0, 1), (0, 0), (1, 2), (1, 2), (0, 0), (0, 0)], id="past-the-last-window"),
        pytest.param([(1, 2, 0), (2, 1, 0)], 5, 1, [(0, 1), (0, 0), (0, 2), (0, 0), (1, 2)], id="gaps-within-a-window"),
        pytest.param([(3, 4, 0), (3, 1, 1)], 10, 1, [(0, 2)] * 3 + [(0, 0)] + [(0, 2)] * 3 + [(0, 0)] * 3, id="inner-padding"),
    ],
)
def test_what_is_reached_by_hand(layers: Layers, pixels: int, patch: int, runs: list[Size]) -> None:
    field = ReceptiveField([(1, 1, 0)], layers)
    found = field.reached((1, pixels), [(0, 1, left, left + patch) for left in range(pixels - patch + 1)])
    assert found.dtype == np.int64
    assert found.tolist() == [[0, int(begin < end), begin, end] for begin, end in runs]
    expected = sorted({(0, int(begin < end), begin, end) for begin, end in runs})
    assert [tuple(box) for box in field.affected((1, pixels), field.output_size((1, pixels)), (1, patch)).tolist()] == expected


def convolved(field: ReceptiveField, images: torch.Tensor) -> torch.Tensor:
    """Images [n, H, W] through convolutions with positive whole weights: exact, and no two changes cancel."""
    values = images[:, None].double()
    longest = itertools.zip_longest(field.rows, field.columns, fillvalue=(1, 1, 0))
    generator = torch.Generator().manual_seed(0)
    for rows, columns in longest:
        weights = torch.randint(1, 4, (1, 1, rows[0], columns[0]), generator=generator).double()
        stride, padding = zip(rows[1:], columns[1:], strict=True)
        values = torch.nn.functional.conv2d(values, weights, stride=stride, padding=padding)
    return values[:, 0]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[ReceptiveField, Size]:
    layers = st.lists(LAYER, min_size=1, max_size=3)
    field = ReceptiveField(draw(layers), draw(layers))
    image = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    try:
        field.output_size(image)
    except InputError:
        assume(False)
    return field, image


@settings(max_examples=150, deadline=None)
@given(stacks(), st.data())
def test_exactly_the_outputs_reached_change(given_stack: tuple[ReceptiveField, Size], data: st.DataObject) -> None:
    field, image = given_stack
    sizes = data.draw(st.lists(st.tuples(*(st.integers(1, pixels) for pixels in image)), min_size=1, max_size=2))
    clean = torch.randint(0, 5, image, generator=torch.Generator().manual_seed(1))
    before = convolved(field, clean[None])[0]
    assert tuple(before.shape) == field.output_size(image)
    every = set()
    for size in sizes:
        patches = patch_positions(image, size)
        changed = clean.repeat(len(patches), 1, 1)
        for each, (top, bottom, left, right) in zip(changed, patches, strict=True):
            each[top:bottom, left:right] += 1
        differs = (convolved(field, changed) != before).numpy()
        reached = field.reached(image, patches)
        for box, outputs in zip(reached.tolist(), differs, strict=True):
            expected = np.zeros(before.shape, dtype=bool)
            expected[box[0] : box[1], box[2] : box[3]] = True
            assert (outputs == expected).all()
            assert outputs.any() or box == [0, 0, 0, 0]
            every.add(tuple(box))
    places = field.places(image, field.output_size(image), sizes)
    assert [tuple(box) for box in places.outputs.tolist()] == sorted(every)
    assert field.reached(image, places.patches).tolist() == places.outputs.tolist()
    assert field.affected(image, field.output_size(image), sizes).tolist() == places.outputs.tolist()


@settings(max_examples=50, deadline=None)
@given(stacks())
def test_gradients_begin_and_end_with_the_window(given_stack: tuple[ReceptiveField, Size]) -> None:
    field, image = given_stack
    pixels = torch.rand(1, *image, dtype=torch.float64, requires_grad=True)
    outputs = convolved(field, pixels)[0]
    for output in np.ndindex(tuple(outputs.shape)):
        first = [offset + place * jump for offset, place, jump in zip(field.offset, output, field.jump, strict=True)]
        last = [begin + size - 1 for begin, size in zip(first, field.size, strict=True)]
        if min(first) < 0 or any(end >= side for end, side in zip(last, image, strict=True)):
            continue
        (gradient,) = torch.autograd.grad(outputs[output], pixels, retain_graph=True)
        seen = gradient[0].nonzero()
        assert seen.amin(dim=0).tolist() == first
        assert seen.amax(dim=0).tolist() == last


def test_what_the_papers_networks_reach() -> None:
    """Section 3.2's formula, without strides; clipped at the edges, and fewer distinct places with strides."""
    field = ReceptiveField([CONVOLUTION, CONVOLUTION, POINT, CONVOLUTION, CONVOLUTION])
    found = field.affected((32, 32), (32, 32), (5, 5))
    expected = [[max(r - 4, 0), min(r + 9, 32), max(c - 4, 0), min(c + 9, 32)] for r in range(28) for c in range(28)]
    assert found.tolist() == sorted(expected)
    strided = ReceptiveField([CONVOLUTION, STRIDED, POINT, STRIDED, POINT, CONVOLUTION])
    found = strided.affected((224, 224), (56, 56), (32, 32))
    assert len(found) < 193**2 / 8
    assert ((found[:, 1] - found[:, 0]).max(), (found[:, 3] - found[:, 2]).max()) == (12, 12)


def test_every_rectangle_of_an_area() -> None:
    """The widest patch of each height reaches whatever any patch of the area does."""
    field, image, area = ReceptiveField([(3, 2, 1)], [(2, 1, 0)]), (7, 6), 8
    widest = field.affected(image, field.output_size(image), patch_sizes_from_text(image, "area-8"))
    for height, width in itertools.product(range(1, 8), range(1, 7)):
        if height * width > area:
            continue
        for top, bottom, left, right in field.affected(image, field.output_size(image), (height, width)):
            inside = (widest[:, 0] <= top) & (bottom <= widest[:, 1]) & (widest[:, 2] <= left) & (right <= widest[:, 3])
            assert inside.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReceptiveField([]), "^rows: no layers; "),
        (lambda: ReceptiveField([(3, 1, 1)], [(3, 0, 1)]), r"^columns: \(3, 0, 1\) is no layer; write kernel"),
        (lambda: ReceptiveField([(3, 1)]), r"\(3, 1\) is no layer; "),
        (lambda: ReceptiveField([(3, 1, 0)] * 3).output_size((7, 6)), "^columns: layer 2 has a kernel of 3 on 2 elements; 6 "),
        (lambda: ReceptiveField([(3, 1, 1)]).reached((4, 4), [[0, 2, 3, 5]]), r"^boxes: \[0, 2, 3, 5\] is no box in 4x4; "),
        (lambda: ReceptiveField([(3, 1, 1)]).reached((4, 4), [[0.0, 2, 3, 4]]), "^boxes: float64 of shape"),
        (lambda: ReceptiveField([(3, 2, 1)]).affected((8, 8), (8, 8), (2, 2)), r"^output_size: \(8, 8\), but .* \(4, 4\)"),
        (lambda: ReceptiveField([(3, 1, 1)]).affected((8, 8), (8, 8), []), r"^patch_sizes: \[\]; "),
        (lambda: ReceptiveField([(3, 1, 1)]).affected((8, 8), (8, 8), (9, 2)), "^patch_size 9x2 has more rows"),
    ],
)  # fmt: skip
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
