"""Masked copies: the same pixels however they are filled, in whatever batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcert.masking import MaskedCopies, box_pixels, mask_out, usual_batch_size
from patchcert.masks import mask_set

torch.set_num_threads(1)

MASKS = mask_set((9, 7), (3, 2), (2, 3))  # six masks, of 6x3 pixels


def test_boxes_become_pixels() -> None:
    boxes = np.array([[[0, 2, 1, 3]], [[1, 1, 0, 4]]])
    expected = [[[[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]], [[[0] * 4] * 3]]
    pixels = box_pixels(boxes, (3, 4))
    assert pixels.dtype == torch.bool
    assert pixels.int().tolist() == expected
    assert box_pixels(boxes[0, 0], (3, 4)).int().tolist() == expected[0][0]
    every = box_pixels(MASKS.boxes, (9, 7))
    assert every.shape == (6, 9, 7)
    for picture, (top, bottom, left, right) in zip(every, MASKS.boxes.tolist(), strict=True):
        assert picture.sum() == picture[top:bottom, left:right].sum() == (bottom - top) * (right - left) == 18


def by_hand(images: torch.Tensor, rows: np.ndarray, boxes: np.ndarray, fill: float) -> torch.Tensor:
    copies = images[torch.from_numpy(rows)].clone()
    for copy, hidden in zip(copies, boxes, strict=True):
        for top, bottom, left, right in hidden:
            copy[:, top:bottom, left:right] = fill
    return copies


@given(
    boxes=st.lists(
        st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(0, 7)] * 2), min_size=2, max_size=2), min_size=1, max_size=9
    ),
    batch_size=st.integers(1, 10),
    by_pixel=st.booleans(),
)
def test_copies_show_their_image_with_their_boxes_filled(
    boxes: list[list[tuple[int, int, int, int]]], batch_size: int, by_pixel: bool
) -> None:
    images = torch.randn(4, 3, 9, 7, generator=torch.Generator().manual_seed(5))
    before = images.clone()
    hidden, rows = np.array(boxes), np.arange(len(boxes)) % 4
    copies = MaskedCopies("cpu", batch_size, fill=7.0)
    if by_pixel:  # what a GPU does
        copies._fill_by_box = copies._fill_by_pixel  # type: ignore[method-assign]
    pixels = images.permute(0, 2, 3, 1).contiguous()
    said = copies.ask(pixels, rows, hidden.__getitem__, lambda shown, part: (shown.clone(), part))
    assert [part.stop - part.start for _, part in said[:-1]] == [batch_size] * (len(said) - 1)
    assert torch.equal(torch.cat([shown for shown, _ in said]), by_hand(images, rows, hidden, 7.0))
    assert all(shown.is_contiguous(memory_format=torch.channels_last) for shown, _ in said)
    assert torch.equal(images, before)


def test_whole_batches_have_one_shape() -> None:
    pixels, boxes = torch.ones(2, 9, 7, 3), MASKS.boxes[:5, None]
    said = MaskedCopies("cpu", 4).ask(
        pixels, np.zeros(5, dtype=np.int64), boxes.__getitem__, lambda shown, part: shown.clone(), whole_batches=True
    )
    assert [len(shown) for shown in said] == [4, 4]
    assert all(shown.isfinite().all() for shown in said)
    assert said[1][0].sum() == 3 * (63 - 18)


def test_memory_that_runs_out_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    def say(shown: torch.Tensor, part: slice) -> int:
        if len(shown) > 2:
            raise torch.OutOfMemoryError
        return len(shown)

    copies = MaskedCopies("cpu", 8)
    assert copies.ask(torch.ones(1, 9, 7, 3), np.zeros(5, dtype=np.int64), MASKS.boxes[:5, None].__getitem__, say) == [2, 2, 1]
    assert copies.batch_size == 2
    assert caplog.text.count("the device's memory is exhausted") == 2


def test_one_copy_that_does_not_fit() -> None:
    def say(shown: torch.Tensor, part: slice) -> int:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        MaskedCopies("cpu", 1).ask(torch.ones(1, 9, 7, 3), np.zeros(1, dtype=np.int64), MASKS.boxes[:1, None].__getitem__, say)


def test_mask_out_hides_pixels_of_all_channels_and_leaves_its_input() -> None:
    images = torch.randn(3, 3, 9, 7).contiguous(memory_format=torch.channels_last)
    before, boxes = images.clone(), MASKS.boxes[[[0, 1], [3, 3], [5, 2]]]
    shown = mask_out(images, boxes, fill=-2.0)
    assert torch.equal(shown, by_hand(images, np.arange(3), boxes, -2.0))
    assert torch.equal(images, before)
    assert torch.equal(mask_out(images, boxes[:, :0]), images)


def test_a_gpu_takes_larger_batches() -> None:
    assert usual_batch_size("cpu") < usual_batch_size("cuda:1")
