"""The engine against a plain loop over images and masks, one copy at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from patchcert import InputError
from patchcert.masks import MaskSet, mask_set
from patchcert.predict import box_pixels, mask_out, masked_copies, on_device, pair_labels, predict

torch.set_num_threads(1)

CLASSES = 5
MASKS = mask_set((9, 7), (3, 2), (2, 3))  # six masks, of 6x3 pixels, 21 pairs
BATCH_SIZES = [1, 7, 64, None]


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.GELU(),
        nn.Dropout(0.5),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 3, CLASSES),
    )


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, CLASSES))


@pytest.fixture(params=[convolutions, linear], ids=lambda maker: maker.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A random classifier in training mode whose labels depend on the masks."""
    torch.manual_seed(3)
    made = request.param().train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return made


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(11, 3, 9, 7, generator=torch.Generator().manual_seed(5))


def plain_loop(model: nn.Module, images: torch.Tensor, masks: MaskSet, fill: float) -> tuple[np.ndarray, ...]:
    """Labels [N, K, K], margins [N, K, K] and unmasked labels [N]: one image, one copy, one forward pass at a time."""
    model.eval()
    count = len(masks)
    labels = np.empty((len(images), count, count), dtype=int)
    margins = np.empty((len(images), count, count))
    unmasked = []
    with torch.no_grad():
        for number, image in enumerate(images):
            unmasked.append(int(model(image[None]).argmax()))
            for first, one in enumerate(masks.boxes.tolist()):
                for second, other in enumerate(masks.boxes.tolist()):
                    copy = image.clone()
                    for top, bottom, left, right in (one, other):
                        copy[:, top:bottom, left:right] = fill
                    logits = sorted(enumerate(model(copy[None])[0].tolist()), key=lambda item: -item[1])
                    labels[number, first, second] = logits[0][0]
                    margins[number, first, second] = logits[0][1] - logits[1][1]
    return labels, margins, np.array(unmasked)


@pytest.mark.parametrize("fill", [0.0, -3.5])
def test_answers_are_those_of_a_plain_loop(model: nn.Module, images: torch.Tensor, fill: float) -> None:
    labels, margins, unmasked = plain_loop(model, images, MASKS, fill)
    assert margins.min() > 1e-5  # no label hangs on the order of additions
    assert (labels != unmasked[:, None, None]).any()
    assert (labels != labels.diagonal(axis1=1, axis2=2)[:, :, None]).any()
    for batch_size in BATCH_SIZES:
        found = pair_labels(model, images, MASKS, fill=fill, batch_size=batch_size)
        assert found.dtype == np.int64
        assert (found == labels).all(), batch_size
        answers = predict(model, images, MASKS, fill=fill, batch_size=batch_size)
        assert (answers.labels == labels[:, MASKS.pairs[:, 0], MASKS.pairs[:, 1]]).all()
        assert (answers.unmasked == unmasked).all()
        np.testing.assert_allclose(answers.margins, margins.min(axis=(1, 2)), rtol=1e-3, atol=1e-5)
        assert (answers.labels.dtype, answers.unmasked.dtype, answers.margins.dtype) == (np.int64, np.int64, np.float32)


def test_the_fill_value_changes_answers(model: nn.Module, images: torch.Tensor) -> None:
    dark, bright = (pair_labels(model, images, MASKS, fill=fill) for fill in (0.0, 4.0))
    assert (dark != bright).any()
    assert (predict(model, images, MASKS, fill=4.0).unmasked == predict(model, images, MASKS).unmasked).all()


def test_labels_are_symmetric_with_one_mask_on_the_diagonal(model: nn.Module, images: torch.Tensor) -> None:
    labels = pair_labels(model, images, MASKS)
    assert labels.shape == (11, 6, 6)
    assert (labels == labels.transpose(0, 2, 1)).all()
    for mask, (top, bottom, left, right) in enumerate(MASKS.boxes):
        copies = images.clone()
        copies[:, :, top:bottom, left:right] = 0
        with torch.no_grad():
            assert (labels[:, mask, mask] == model(copies).argmax(dim=1).numpy()).all()


def test_the_model_is_left_in_evaluation_mode_and_learns_nothing(model: nn.Module, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = images.clone()
    predict(model, images, MASKS)
    assert not any(module.training for module in model.modules())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(images, given)


class Recorder(nn.Module):
    """Answers two logits from the sum of an image, and remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[torch.Tensor] = []
        self.autocast: list[bool] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.batches.append(batch.clone())
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        total = batch.sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(total), total], dim=1)


def test_batches_are_filled_across_images_and_never_exceed_their_size(images: torch.Tensor) -> None:
    recorder = Recorder()
    predict(recorder, images, MASKS, batch_size=8)
    # 8 images, then their 168 copies; 3 images, then their 63 copies
    assert [len(batch) for batch in recorder.batches] == [8] + [8] * 21 + [3] + [8] * 7 + [7]
    assert torch.equal(torch.cat([recorder.batches[0], recorder.batches[22]]), images)
    assert not any(recorder.autocast)
    recorder = Recorder()
    predict(recorder, images, MASKS)
    assert [len(batch) for batch in recorder.batches] == [11, 64, 64, 64, 39]


def test_one_image_is_spread_over_many_batches(model: nn.Module, images: torch.Tensor) -> None:
    few, many = (predict(model, images[:1], MASKS, batch_size=size) for size in (2, 999))
    assert (few.labels == many.labels).all()


def test_the_smallest_margin_of_each_image_by_hand() -> None:
    masks = mask_set((1, 2), (1, 1), (1, 2))  # a mask on either pixel, and both
    images = torch.tensor([[3.0, -1.0], [0.25, 0.5]])[:, None, None, :]
    answers = predict(Recorder(), images, masks, fill=2.0)
    # sums under (0, 0), (0, 1), (1, 1): 1, 4, 5 and 2.5, 4, 2.25; unmasked 2 and 0.75
    assert answers.labels.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert answers.unmasked.tolist() == [1, 1]
    assert answers.margins.tolist() == [1.0, 2.25]
    assert predict(Recorder(), images - 4, masks, fill=0.0).labels.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_bfloat16_runs_under_autocast_and_gives_float32_margins(model: nn.Module, images: torch.Tensor) -> None:
    recorder = Recorder()
    predict(recorder, images, MASKS, dtype="bfloat16")
    assert all(recorder.autocast)
    seen: list[torch.dtype] = []
    model.register_forward_hook(lambda module, given, logits: seen.append(logits.dtype))
    half = predict(model, images, MASKS, dtype="bfloat16")
    assert set(seen) == {torch.bfloat16}
    full = predict(model, images, MASKS)
    assert seen[-1] == torch.float32
    assert half.margins.dtype == np.float32
    assert (half.margins != full.margins).any()
    np.testing.assert_allclose(half.margins, full.margins, atol=0.05)
    assert (half.labels == full.labels).mean() > 0.9
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_no_image_gives_no_answer(model: nn.Module) -> None:
    nothing = torch.zeros(0, 3, 9, 7)
    answers = predict(model, nothing, MASKS)
    assert (answers.labels.shape, answers.unmasked.shape, answers.margins.shape) == ((0, 21), (0,), (0,))
    assert pair_labels(model, nothing, MASKS).shape == (0, 6, 6)


def test_images_in_any_memory_layout_give_the_same(model: nn.Module, images: torch.Tensor) -> None:
    strided = torch.stack([images, images + 1], dim=1)[:, 0]
    assert not strided.is_contiguous()
    expected = pair_labels(model, images, MASKS)
    for layout in (strided, images.contiguous(memory_format=torch.channels_last)):
        assert (pair_labels(model, layout, MASKS) == expected).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 3, 9, 8), (3, 9, 7), (1, 2, 3, 9, 7)], ids=str)
def test_images_have_the_size_of_the_masks(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        predict(linear(), torch.zeros(shape), MASKS)
    assert str(caught.value) == f"images: shape {shape}; the masks want [N, C, 9, 7]"


@pytest.mark.parametrize("dtype", ["float16", "", "Float32"])
def test_an_unknown_dtype(images: torch.Tensor, dtype: str) -> None:
    with pytest.raises(InputError, match=f"^dtype: '{dtype}'; write one of float32, bfloat16$"):
        pair_labels(linear(), images, MASKS, dtype=dtype)


@pytest.mark.parametrize("batch_size", [0, -8])
def test_a_batch_holds_at_least_one(images: torch.Tensor, batch_size: int) -> None:
    with pytest.raises(InputError, match=f"^batch_size: {batch_size}; write a whole number from 1 up$"):
        pair_labels(linear(), images, MASKS, batch_size=batch_size)


class Sometimes(nn.Module):
    """Gives one bad logit for copies on which the first pixel is hidden, or for all."""

    def __init__(self, bad: float, always: bool) -> None:
        super().__init__()
        self.bad, self.always = bad, always

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([batch.sum(dim=(1, 2, 3)), torch.ones(len(batch))], dim=1)
        logits[(batch[:, 0, 0, 0] == 0) | self.always, 1] = self.bad
        return logits


@pytest.mark.parametrize("always", [True, False], ids=["unmasked", "masked"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_not_finite(images: torch.Tensor, bad: float, always: bool) -> None:
    with pytest.raises(InputError, match=r"^the classifier gave a logit that is not finite; no label can be read from it$"):
        predict(Sometimes(bad, always), images, MASKS)
    assert predict(Sometimes(0.0, always), images, MASKS).labels.shape == (11, 21)


class Constant(nn.Module):
    """One label for images with a visible first pixel, another for the rest."""

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.visible, self.hidden = visible, hidden

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        labels = torch.where(batch[:, 0, 0, 0] == 0, self.hidden, self.visible)
        return nn.functional.one_hot(labels, 65537).float()


@pytest.mark.parametrize(("visible", "hidden"), [(0, 65536), (65536, 0)])
def test_labels_fit_into_the_stored_type(visible: int, hidden: int) -> None:
    masks = mask_set((1, 2), (1, 1), (1, 1))  # a mask that hides all
    with pytest.raises(InputError, match=r"^labels up to 65536; predictions hold at most 65535$"):
        predict(Constant(visible, hidden), torch.ones(1, 1, 1, 2), masks)
    answers = predict(Constant(min(visible, 65535), min(hidden, 65535)), torch.ones(1, 1, 1, 2), masks)
    assert answers.unmasked.tolist() + answers.labels[0].tolist() == [min(visible, 65535), min(hidden, 65535)]


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


@pytest.mark.parametrize(
    "layout",
    [lambda images: images, lambda images: images.contiguous(memory_format=torch.channels_last)],
    ids=["contiguous", "channels-last"],
)
def test_masked_copies(images: torch.Tensor, layout: Callable[[torch.Tensor], torch.Tensor]) -> None:
    given = layout(images.clone())
    rows = torch.tensor([4, 0, 4])
    hidden = box_pixels(MASKS.boxes[[0, 3, 5]], (9, 7))
    copies = masked_copies(given, rows, hidden, fill=7.0)
    expected = images[rows].clone()
    for copy, (top, bottom, left, right) in zip(expected, MASKS.boxes[[0, 3, 5]], strict=True):
        copy[:, top:bottom, left:right] = 7.0
    assert torch.equal(copies, expected)
    assert copies.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(given, images)
    assert (masked_copies(given, rows, hidden)[0, :, 0, 0] == 0).all()


def test_mask_out_hides_pixels_of_all_channels_and_leaves_its_input(images: torch.Tensor) -> None:
    hidden = box_pixels(MASKS.boxes[[0, 3, 5]], (9, 7))
    given = images[:3].clone()
    shown = mask_out(given, hidden, fill=-2.0)
    assert torch.equal(shown, masked_copies(given, torch.arange(3), hidden, -2.0))
    assert torch.equal(given, images[:3])
    assert (mask_out(given, hidden)[:, 1][hidden] == 0).all()
    assert torch.equal(mask_out(given, hidden)[:, 1][~hidden], given[:, 1][~hidden])


def test_weights_are_laid_out_channels_last() -> None:
    model = on_device(convolutions(), "cpu")
    assert model[4].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[4].weight.device.type == "cpu"


def test_a_model_without_two_classes_is_refused():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 1))
    with pytest.raises(InputError, match="logits of two classes or more"):
        pair_labels(model, torch.zeros(1, 3, 4, 4), mask_set((4, 4), (1, 1), (2, 2)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_plainly():
    with pytest.raises(InputError, match=r"device: 'cuda', and torch finds no GPU here; write cpu"):
        pair_labels(torch.nn.Identity(), torch.zeros(1, 3, 4, 4), mask_set((4, 4), (1, 1), (2, 2)), device="cuda")
