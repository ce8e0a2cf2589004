"""The engine against a plain loop over images and masks, one copy at a time, and its two modes against one another."""

from __future__ import annotations

import itertools
import logging
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from patchcert import InputError, predict
from patchcert.defenses import challenger, double_masking
from patchcert.defenses.asking import UNPREDICTED
from patchcert.evaluation.double_masking import records
from patchcert.masks import MaskSet, mask_set, masks_from_text
from patchcert.predict import ALGORITHMS, Engine, pair_labels
from patchcert.predictions import LARGEST_LABEL, Answers, Predictions, expand_pairs

from .scripted import Scripted, area_numbers, hidden_pixels, row_of_masks
from .worlds import stored_labels

torch.set_num_threads(1)

PACKAGE_PARENT = Path(predict.__file__).parents[1]
SIZE = (9, 7)
CLASSES = 5
MASKS = mask_set(SIZE, (3, 2), (2, 3))  # six masks, of 6x3 pixels, 21 pairs
MASK_SETS = {
    "one-patch": MASKS,
    "any-six-pixels": masks_from_text(SIZE, "area-6", "2x2"),
    "two-patches": masks_from_text(SIZE, "2-of-3x2", "2x3"),
}
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


def random_classifier(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A classifier in training mode whose labels depend on the masks."""
    torch.manual_seed(seed)
    made = make().train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return made


def random_images(count: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[convolutions, linear], ids=lambda maker: maker.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return random_classifier(request.param, 3)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return random_images(11)


def plain_loop(model: nn.Module, images: torch.Tensor, masks: MaskSet, fill: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits under every pair of masks, [N, P, C], and unmasked, [N, C]: one image, one copy, one forward pass at a time."""
    model.eval()
    hidden = torch.from_numpy(hidden_pixels(masks))
    with torch.no_grad():
        masked = [
            [model(torch.where(hidden[first] | hidden[second], fill, image)[None])[0] for first, second in masks.pairs]
            for image in images
        ]
        unmasked = [model(image[None])[0] for image in images]
    return np.array([[row.numpy() for row in rows] for rows in masked]), np.array([row.numpy() for row in unmasked])


def margins_of(logits: np.ndarray) -> np.ndarray:
    """The distance between the two largest logits."""
    ordered = np.sort(logits, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


# --- matrix mode -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [0.0, -3.5])
def test_answers_are_those_of_a_plain_loop(model: nn.Module, images: torch.Tensor, fill: float) -> None:
    logits, unmasked = plain_loop(model, images, MASKS, fill)
    labels, margins = logits.argmax(axis=-1), margins_of(logits)
    softmax = torch.softmax(torch.from_numpy(logits), dim=-1).amax(dim=-1).numpy()
    assert margins.min() > 1e-5  # no label hangs on the order of additions
    assert (labels != unmasked.argmax(axis=-1)[:, None]).any()
    assert (expand_pairs(labels, 6) != labels[:, MASKS.areas.of_mask][:, :, None]).any()
    for batch_size in BATCH_SIZES:
        found = pair_labels(model, images, MASKS, fill=fill, batch_size=batch_size)
        assert found.dtype == np.int64
        assert (found == expand_pairs(labels, 6)).all(), batch_size
        answers = Engine(model, MASKS, fill=fill, batch_size=batch_size).matrix(images)
        assert (answers.labels == labels).all()
        assert (answers.unmasked == unmasked.argmax(axis=-1)).all()
        np.testing.assert_allclose(answers.margins, margins.min(axis=1), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(answers.confidences, softmax[:, MASKS.areas.of_mask], rtol=0, atol=1e-6)
        assert answers.confidences.min() > 0
        assert answers.confidences.max() <= 1
        assert answers.passes.tolist() == [21] * 11
        assert [array.dtype for array in answers] == [np.int64, np.int64, np.float32, np.float32, np.int64]


def test_the_fill_value_changes_answers(model: nn.Module, images: torch.Tensor) -> None:
    dark, bright = (Engine(model, MASKS, fill=fill).matrix(images) for fill in (0.0, 4.0))
    assert (dark.labels != bright.labels).any()
    assert (dark.unmasked == bright.unmasked).all()


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
    for layout in (torch.contiguous_format, torch.channels_last):
        shown = given.contiguous(memory_format=layout)
        Engine(model, MASKS, fill=3.0).certificate(shown, Engine(model, MASKS, fill=3.0).matrix(shown).unmasked)
        assert torch.equal(shown, images)
    assert not any(module.training for module in model.modules())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_equal_masked_areas_are_predicted_once() -> None:
    masks = masks_from_text(SIZE, "2-of-1x1", "3x3")  # 45 masks of one or two of nine boxes
    model, images = random_classifier(linear, 4), random_images(2)
    rows: list[int] = []
    model.register_forward_hook(lambda module, given, logits: rows.append(len(logits)))
    answers = Engine(model, masks).matrix(images)
    # unions of one to four boxes out of nine: 9 + 36 + 84 + 126
    assert answers.passes.tolist() == [255, 255]
    assert sum(rows) == 2 * (1 + 255)
    assert answers.labels.shape == (2, 1035)
    logits, _ = plain_loop(model, images, masks)
    assert margins_of(logits).min() > 1e-5
    assert len(np.unique(logits.argmax(axis=-1))) > 1
    assert (answers.labels == logits.argmax(axis=-1)).all()


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


def test_batches_are_filled_across_images_and_never_exceed_their_size(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    Engine(recorder, MASKS).matrix(images)
    assert [len(batch) for batch in recorder.batches] == [11, 64, 64, 64, 39]
    assert torch.equal(recorder.batches[0], images)
    assert not any(recorder.autocast)
    recorder = Recorder()
    Engine(recorder, MASKS, batch_size=50).matrix(random_images(130))
    # 128 images, then their 2688 copies; 2 images, then their 42 copies
    assert [len(batch) for batch in recorder.batches] == [50, 50, 28] + [50] * 53 + [38] + [2, 42]
    recorder = Recorder()
    monkeypatch.setattr(predict, "IMAGES_SHOWN", 8)
    Engine(recorder, MASKS, batch_size=8).matrix(images)
    assert [len(batch) for batch in recorder.batches] == [8] + [8] * 21 + [3] + [8] * 7 + [7]
    assert torch.equal(torch.cat([recorder.batches[0], recorder.batches[22]]), images)


@pytest.mark.parametrize(("requests", "images_at_once"), [(1, 1), (21, 1), (62, 2), (63, 3), (1000, 11)])
def test_all_pairs_are_asked_about_for_a_few_images_at_a_time(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch, requests: int, images_at_once: int
) -> None:
    expected, recorder = Engine(Recorder(), MASKS).matrix(images), Recorder()
    monkeypatch.setattr(predict, "REQUESTS", requests)
    answers = Engine(recorder, MASKS, batch_size=999).matrix(images)
    assert [len(batch) for batch in recorder.batches] == [11, *(21 * len(part) for part in images.split(images_at_once))]
    for one, other in zip(answers, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_one_image_is_spread_over_many_batches(model: nn.Module, images: torch.Tensor) -> None:
    few, many = (Engine(model, MASKS, batch_size=size).matrix(images[:1]) for size in (2, 999))
    assert (few.labels == many.labels).all()


def test_the_smallest_margin_of_each_image_by_hand() -> None:
    masks = mask_set((1, 2), (1, 1), (1, 2))  # a mask on either pixel, and both
    images = torch.tensor([[3.0, -1.0], [0.25, 0.5]])[:, None, None, :]
    answers = Engine(Recorder(), masks, fill=2.0).matrix(images)
    # sums under (0, 0), (0, 1), (1, 1): 1, 4, 5 and 2.5, 4, 2.25; unmasked 2 and 0.75, which is no masked copy's margin
    assert answers.labels.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert answers.unmasked.tolist() == [1, 1]
    assert answers.margins.tolist() == [1.0, 2.25]
    np.testing.assert_allclose(answers.confidences, 1 / (1 + np.exp(-np.array([[1, 5], [2.5, 2.25]]))), rtol=1e-6)
    assert Engine(Recorder(), masks).matrix(images - 4).labels.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("mode", ["matrix", "certificate"])
def test_bfloat16_runs_under_autocast_and_gives_float32_margins(model: nn.Module, images: torch.Tensor, mode: str) -> None:
    truth = Engine(model, MASKS).matrix(images).unmasked
    recorder = Recorder()

    def answers(classifier: nn.Module, dtype: str) -> Answers:
        engine = Engine(classifier, MASKS, dtype=dtype)
        return engine.matrix(images) if mode == "matrix" else engine.certificate(images, truth)

    answers(recorder, "bfloat16")
    assert len(recorder.batches) > 1
    assert all(recorder.autocast)
    seen: list[torch.dtype] = []
    model.register_forward_hook(lambda module, given, logits: seen.append(logits.dtype))
    half = answers(model, "bfloat16")
    assert set(seen) == {torch.bfloat16}
    full = answers(model, "float32")
    assert seen[-1] == torch.float32
    assert half.margins.dtype == half.confidences.dtype == np.float32
    assert (half.margins != full.margins).any()
    np.testing.assert_allclose(half.confidences, full.confidences, atol=0.05)
    both = (half.labels != UNPREDICTED) & (full.labels != UNPREDICTED)
    assert (half.labels == full.labels)[both].mean() > 0.9
    if mode == "matrix":
        np.testing.assert_allclose(half.margins, full.margins, atol=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_no_image_gives_no_answer(model: nn.Module) -> None:
    nothing, engine = torch.zeros(0, 3, *SIZE), Engine(model, MASKS)
    for answers in (engine.matrix(nothing), engine.certificate(nothing, np.zeros(0, dtype=int))):
        assert [array.shape for array in answers] == [(0, 21), (0,), (0,), (0, 6), (0,)]
    assert engine.passes == 0
    assert pair_labels(model, nothing, MASKS).shape == (0, 6, 6)


def test_images_in_any_memory_layout_give_the_same(model: nn.Module, images: torch.Tensor) -> None:
    strided = torch.stack([images, images + 1], dim=1)[:, 0]
    assert not strided.is_contiguous()
    expected = pair_labels(model, images, MASKS)
    for layout in (strided, images.contiguous(memory_format=torch.channels_last)):
        assert (pair_labels(model, layout, MASKS) == expected).all()


# --- certificate mode against matrix mode ------------------------------------------------------------------------------------


def compare_modes(
    engine: Engine, matrix: Answers, images: torch.Tensor, truth: np.ndarray
) -> tuple[Answers, np.ndarray, np.ndarray]:
    """Answers of certificate mode, which images it certifies and which are right under every single mask, all checked."""
    masks = engine.mask_set
    areas = area_numbers(masks)[tuple(masks.pairs.T)]
    one_mask = (matrix.labels[:, masks.areas.of_mask] == truth[:, None]).all(axis=1)
    found = engine.certificate(images, truth, ALGORITHMS)
    whole, part = (expand_pairs(answers.labels, len(masks)) for answers in (matrix, found))
    certified = double_masking.certify(whole, truth)
    assert (double_masking.certify(part, truth) == certified).all()
    for decide in (double_masking.decide, challenger.decide):
        for one, other in zip(decide(part), decide(whole), strict=True):
            assert (one == other).all()
    held = found.labels != UNPREDICTED
    assert (found.labels == matrix.labels)[held].all()
    assert (found.unmasked == matrix.unmasked).all()
    np.testing.assert_allclose(found.confidences, matrix.confidences, rtol=0, atol=1e-6)
    assert found.passes.tolist() == [len(set(areas[row].tolist())) for row in held]
    assert (found.passes <= matrix.passes).all()
    assert (matrix.passes == areas.max() + 1).all()
    assert (found.passes[certified] == areas.max() + 1).all()
    assert (found.margins >= matrix.margins - 1e-5).all()
    np.testing.assert_allclose(found.margins[certified], matrix.margins[certified], rtol=1e-3, atol=1e-5)
    return found, certified, one_mask


@pytest.mark.parametrize("batch_size", BATCH_SIZES, ids=str)
@pytest.mark.parametrize("masks", MASK_SETS.values(), ids=MASK_SETS)
def test_both_modes_give_the_same_certificates_and_answers(model: nn.Module, masks: MaskSet, batch_size: int | None) -> None:
    images = random_images(6) * torch.linspace(0.2, 3, 6)[:, None, None, None]
    matrix = Engine(model, masks).matrix(images)
    assert matrix.margins.min() > 1e-6
    random = np.random.default_rng(2).integers(0, CLASSES, 6)
    for truth in (matrix.unmasked, random):
        engine = Engine(model, masks, batch_size=batch_size)
        found, _, _ = compare_modes(engine, matrix, images, truth)
        assert engine.passes == 6 + found.passes.sum()


def random_script(masks: MaskSet, seed: int, images: int = 5) -> tuple[Scripted, np.ndarray]:
    """A classifier with a few wrong labels here and there, some images unanimous under single masks, and the true labels."""
    random, areas = np.random.default_rng(seed), area_numbers(masks)
    truth = random.integers(0, 3, images)
    shape = (images, areas.max() + 1)
    rarely_wrong = random.choice([0.3, 0.03, 2 / shape[1], 0.3 / shape[1]], size=(images, 1))
    labels = np.where(random.random(shape) < rarely_wrong, random.integers(0, 3, shape), truth[:, None])
    unanimous = np.flatnonzero(random.random(images) < 0.5)
    labels[np.ix_(unanimous, areas.diagonal())] = random.integers(0, 3, (len(unanimous), 1)) // 2 + truth[unanimous, None]
    # a patch that the last mask alone removes
    for image in np.flatnonzero(random.random(images) < 0.2):
        labels[image], labels[image, areas[-1]] = truth[image] + 1, truth[image]
    gaps = random.integers(1, 5, shape).astype(float)
    script = Scripted(masks, labels[:, areas], random.integers(0, 3, images), gaps[:, areas])
    return script, np.where(random.random(images) < 0.8, truth, random.integers(0, 3, images))


@pytest.mark.parametrize("batch_size", BATCH_SIZES, ids=str)
@pytest.mark.parametrize("masks", MASK_SETS.values(), ids=MASK_SETS)
def test_both_modes_agree_on_classifiers_that_err_anywhere(masks: MaskSet, batch_size: int | None) -> None:
    came_up: Counter[str] = Counter()
    for seed in range(8):
        script, truth = random_script(masks, seed)
        matrix = Engine(script, masks).matrix(script.images)
        assert (expand_pairs(matrix.labels, len(masks)) == script.labels).all()
        assert (matrix.unmasked == script.unmasked).all()
        script.seen.clear()
        engine = Engine(script, masks, batch_size=batch_size)
        found, certified, one_mask = compare_modes(engine, matrix, script.images, truth)
        assert len(script.seen) == len(set(script.seen)) == engine.passes == 5 + found.passes.sum()
        cases = double_masking.decide(script.labels).cases
        came_up.update([double_masking.Case(case).name for case in cases])
        came_up["certified"] += int(certified.sum())
        came_up["one mask right, two masks wrong"] += int((one_mask & ~certified).sum())
        came_up["spared"] += int((found.passes < matrix.passes).sum())
    assert len(came_up) == 6
    assert min(came_up.values()) > 0, came_up


@pytest.mark.parametrize("shown", [1, 2, 4])
def test_how_many_images_are_shown_at_once_changes_no_answer(shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = 0
    for seed in range(8):
        script, truth = random_script(MASKS, seed)
        whole = Engine(script, MASKS).matrix(script.images)
        with monkeypatch.context() as patch:
            patch.setattr(predict, "IMAGES_SHOWN", shown)
            for one, other in zip(Engine(script, MASKS).matrix(script.images), whole, strict=True):
                assert (one == other).all()
            _, certified, _ = compare_modes(Engine(script, MASKS, batch_size=7), whole, script.images, truth)
        certificates += int(certified.sum())
    assert certificates > 0


@settings(max_examples=150, deadline=None)
@given(stored_labels(), st.integers(1, 30), st.data())
def test_both_modes_agree_whatever_the_classifier_says(labels: np.ndarray, batch_size: int, data: st.DataObject) -> None:
    images, masks = labels.shape[:2]
    truth = np.array([data.draw(st.sampled_from(sorted(set(matrix.ravel().tolist())))) for matrix in labels])
    gaps = np.array(data.draw(st.lists(st.integers(1, 4), min_size=masks, max_size=masks)), dtype=float)
    script = Scripted(row_of_masks(masks), labels, gaps=np.minimum(gaps[:, None], gaps)[None].repeat(images, axis=0))
    matrix = Engine(script, row_of_masks(masks)).matrix(script.images)
    assert (expand_pairs(matrix.labels, masks) == labels).all()
    assert len(script.seen) == len(set(script.seen)) == images * (1 + masks * (masks + 1) // 2)
    script.seen.clear()
    engine = Engine(script, row_of_masks(masks), batch_size=batch_size)
    found, _, _ = compare_modes(engine, matrix, script.images, truth)
    assert len(script.seen) == len(set(script.seen)) == engine.passes == images + found.passes.sum()
    assert set(script.batches) <= set(range(1, max(64, batch_size) + 1))


def test_the_passes_of_certificate_mode_by_hand() -> None:
    labels = np.full((4, 5, 5), 7)
    labels[0] = 6  # unanimous and wrong: the K one-mask passes are all
    labels[1, 1, 1] = 6  # wrong under mask 1: mask 0, 2, 3, 4 answer with 7, and mask 1 is refuted at (1, 0)
    labels[2, 2, 4] = labels[2, 4, 2] = 6  # all single masks are right, and two of them together are not
    gaps = np.full((4, 5, 5), 8.0)
    gaps[2, 2, 2], gaps[2, 4, 4] = 1.0, 2.0  # its least sure masks, so that this pair is asked for first
    masks = row_of_masks(5)
    script = Scripted(masks, labels, gaps=gaps)
    answers = Engine(script, masks, batch_size=1).certificate(script.images, [7, 7, 7, 7])
    assert answers.passes.tolist() == [5, 5 + 1, 5 + 1, 15]
    assert double_masking.certify(expand_pairs(answers.labels, 5), [7, 7, 7, 7]).tolist() == [False, False, False, True]
    assert answers.margins.tolist() == [8.0, 8.0, 1.0, 8.0]
    assert np.unravel_index(answers.confidences.argmin(), (4, 5)) == (2, 2)
    # larger batches ask ahead only as far as an image was asked before: the worst pair of the third image is asked alone
    answers = Engine(script, masks, batch_size=4).certificate(script.images[2:3], [7])
    assert answers.passes.tolist() == [5 + 1]


def test_only_the_algorithms_that_are_wanted_are_provided_for() -> None:
    # masks 0 and 1 disagree with the three others; mask 0 is the champion, and loses to mask 2
    labels = np.full((1, 5, 5), 7)
    labels[0, 0, 0], labels[0, 1, 1] = 6, 5
    script = Scripted(row_of_masks(5), labels)
    passes = {}
    for algorithms in ((), ("double_masking",), ("challenger",), ALGORITHMS):
        answers = Engine(script, row_of_masks(5)).certificate(script.images, [7], algorithms)
        passes[algorithms] = int(answers.passes[0])
        partial = expand_pairs(answers.labels, 5)
        assert not double_masking.certify(partial, [7])[0]
        if "challenger" in algorithms:
            assert challenger.decide(partial).labels.tolist() == [7]
        if "double_masking" in algorithms:
            assert double_masking.decide(partial).labels.tolist() == [7]
        if not algorithms:
            with pytest.raises(InputError, match="predict in matrix mode"):
                double_masking.decide(partial)
    assert passes[()] == 5 < min(passes["double_masking",], passes["challenger",])
    with pytest.raises(InputError, match=r"^algorithm: 'majority'; write double_masking or challenger$"):
        Engine(script, row_of_masks(5)).certificate(script.images, [7], ["majority"])


def test_passes_add_up_over_calls_and_count_unmasked_copies() -> None:
    script, truth = random_script(MASKS, 1)
    engine = Engine(script, MASKS, batch_size=7)
    engine.matrix(script.images)
    assert engine.passes == len(script.seen) == 5 * 22
    engine.certificate(script.images, truth)
    assert engine.passes == len(script.seen)
    assert 5 * 22 + 5 * 7 <= engine.passes <= 2 * 5 * 22


def test_nothing_that_was_said_of_the_images_shown_is_asked_again() -> None:
    script, _ = random_script(MASKS, 2)
    engine = Engine(script, MASKS)
    with engine.show(script.images) as shown:
        image, first, second = (np.array(column) for column in ([4, 0, 4, 4], [1, 2, 3, 1], [3, 2, 1, 1]))
        assert shown.ask(image, first, second).tolist() == script.labels[image, first, second].tolist()
        assert len(script.seen) == 3  # masks 1 and 3 together are masks 3 and 1 together
        partial = shown.answers()
        assert (partial.labels != UNPREDICTED).sum(axis=1).tolist() == partial.passes.tolist() == [1, 0, 0, 0, 2]
        assert np.isinf(partial.margins[1:4]).all()
        assert partial.confidences[1].tolist() == [0.0] * 6
        assert shown.ask_unmasked().tolist() == shown.ask_unmasked().tolist() == script.unmasked.tolist()
        shown.ask_one_mask()
        assert len(script.seen) == 3 + 5 + 5 * 6 - 2
        shown.ask_all()
        shown.ask_all()
        assert len(script.seen) == len(set(script.seen)) == engine.passes == 5 * 22
        assert (partial.labels != UNPREDICTED).sum() == 3  # what was handed out before stays as it was
    with engine.show(script.images) as shown:
        shown.ask_all()
    assert engine.passes == 5 * 22 + 5 * 21


@pytest.mark.parametrize(
    "truth", [[1, 2], [1.0] * 11, np.zeros((11, 1), dtype=int), [True] * 11], ids=["length", "float", "shape", "bool"]
)
def test_true_labels_that_do_not_fit(images: torch.Tensor, truth: list[float]) -> None:
    with pytest.raises(InputError, match=r"^labels: .*; write one whole number for each of the 11 images$"):
        Engine(linear(), MASKS).certificate(images, truth)


def test_certificates_do_not_hang_on_the_batch_size() -> None:
    near_flips = 0
    for seed in range(4):
        images, model, truth = random_images(8, seed), random_classifier(convolutions, seed), np.zeros(8, dtype=int)
        logits, _ = plain_loop(model, images, MASKS)
        # a bias with which label 0 wins under every pair on half of the images, on one of these by next to nothing
        ahead = (logits[..., 0] - logits[..., 1:].max(axis=-1)).min(axis=1)
        with torch.no_grad():
            model[-1].bias[0] += 1e-6 - float(np.sort(ahead)[4])
        certificates = []
        for batch_size in (1, 2, 7, 33, 64, 999):
            engine = Engine(model, MASKS, batch_size=batch_size)
            for answers in (engine.matrix(images), engine.certificate(images, truth)):
                stored = Predictions.of(np.arange(8).astype(str), answers, {})
                table = records(stored, truth, numerical_margin=1e-4)
                near_flips += int(table["near_flip"].sum())
                certificates.append(table["certified"].tolist())
        assert all(each == certificates[0] for each in certificates)
        assert sum(certificates[0]) == 3
    assert near_flips > 0


# --- the device's memory -----------------------------------------------------------------------------------------------------


class Hungry(nn.Module):
    """A classifier for which no more than a few copies at a time fit into memory."""

    def __init__(self, classifier: nn.Module, limit: int) -> None:
        super().__init__()
        self.classifier, self.limit = classifier, limit
        self.sizes: list[int] = []
        self.buffers: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        self.buffers.append(batch.untyped_storage().nbytes())
        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.classifier(batch)


@pytest.mark.parametrize("mode", ["matrix", "certificate"])
def test_batches_are_halved_when_memory_is_exhausted(
    model: nn.Module, images: torch.Tensor, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    expected = Engine(model, MASKS, batch_size=4).matrix(images)
    hungry = Hungry(model, 5)
    engine = Engine(hungry, MASKS, batch_size=64)
    with caplog.at_level(logging.WARNING, logger="patchcert.predict"):
        if mode == "matrix":
            answers = engine.matrix(images)
            assert (answers.labels == expected.labels).all()
            np.testing.assert_allclose(answers.margins, expected.margins, rtol=1e-3, atol=1e-5)
        else:
            answers, _, _ = compare_modes(engine, expected, images, expected.unmasked)
    assert hungry.sizes[:7] == [11, 11, 11, 8, 4, 4, 3]  # 11 images fit into batches of 64, 32 and 16
    assert max(hungry.sizes[5:]) == engine.batch_size == 4
    assert engine.passes == 11 + answers.passes.sum() == sum(size for size in hungry.sizes if size <= 5)
    assert [record.getMessage() for record in caplog.records] == [
        f"the device's memory is exhausted; going on with batches of {size}" for size in (32, 16, 8, 4)
    ]
    # the large buffers were given back: what the copies lie in has room for one batch of the present size
    assert hungry.buffers[:5] == [4 * 3 * 9 * 7 * size for size in (64, 32, 16, 8, 4)]
    assert set(hungry.buffers[5:]) == {4 * 3 * 9 * 7 * 4}


def test_answers_from_before_memory_was_exhausted_are_kept(model: nn.Module, images: torch.Tensor) -> None:
    hungry = Hungry(model, 64)
    engine = Engine(hungry, MASKS, batch_size=20)
    hooks = itertools.count()

    def shrink(*_: object) -> None:
        if next(hooks) == 5:
            hungry.limit = 10

    hungry.register_forward_pre_hook(shrink)
    assert (engine.matrix(images).labels == Engine(model, MASKS).matrix(images).labels).all()
    # 11 images, 80 copies, a batch that fails, and the other 151 copies in smaller ones
    assert hungry.sizes == [11] + [20] * 4 + [20] + [10] * 15 + [1]


def test_when_not_even_one_copy_fits_the_error_goes_on(images: torch.Tensor) -> None:
    engine = Engine(Hungry(linear(), 0), MASKS, batch_size=6)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        engine.matrix(images)
    assert engine.batch_size == 1


# --- masked copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", MASK_SETS.values(), ids=MASK_SETS)
def test_both_ways_to_fill_hide_the_same_pixels(images: torch.Tensor, masks: MaskSet) -> None:
    """A processor fills box by box, a GPU all pixels at once; the plain one is drawn pair by pair here."""
    engine = Engine(linear(), masks, fill=-2.5)
    areas = np.array([*range(len(engine._areas)), 0, 1])  # the last area of all is that of no pixel
    rows = np.resize(np.arange(11), len(areas))
    given = images.permute(0, 2, 3, 1).contiguous()
    by_box, by_pixel = given[rows], given[rows]
    engine._copies._fill_by_box(by_box, engine._areas[areas])
    engine._copies._fill_by_pixel(by_pixel, engine._areas[areas])
    hidden, of_pair = hidden_pixels(masks), masks.areas.of_pair
    drawn = {int(area): hidden[first] | hidden[second] for area, (first, second) in zip(of_pair, masks.pairs, strict=True)}
    drawn[engine.unmasked_area] = np.zeros(SIZE, dtype=bool)
    expected = torch.stack(
        [torch.where(torch.from_numpy(drawn[area]), -2.5, images[row]) for row, area in zip(rows, areas, strict=True)]
    )
    assert torch.equal(by_box.permute(0, 3, 1, 2), expected)
    assert torch.equal(by_pixel, by_box)
    assert torch.equal(given, images.permute(0, 2, 3, 1))


def test_what_was_hidden_in_one_batch_is_seen_in_the_next(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "IMAGES_SHOWN", 4)
    recorder = Recorder()
    Engine(recorder, MASKS, fill=9.0, batch_size=6).matrix(images)
    hidden = torch.from_numpy(hidden_pixels(MASKS))
    expected: list[torch.Tensor] = []
    for block in images.split(4):
        expected += list(block)
        expected += [
            torch.where(hidden[first] | hidden[second], 9.0, image) for image in block for first, second in MASKS.pairs
        ]
    assert torch.equal(torch.cat(recorder.batches), torch.stack(expected))


def test_a_classifier_that_writes_on_what_it_is_shown_does_no_harm(model: nn.Module, images: torch.Tensor) -> None:
    expected = Engine(model, MASKS, batch_size=7).matrix(images)

    def scribble(module: nn.Module, shown: tuple[torch.Tensor, ...], logits: torch.Tensor) -> None:
        shown[0].fill_(77.0)

    model.register_forward_hook(scribble)
    given = images.contiguous(memory_format=torch.channels_last).clone()
    assert (Engine(model, MASKS, batch_size=7).matrix(given).labels == expected.labels).all()
    assert torch.equal(given, images)


MEMORY = """
import resource, sys
import numpy as np, torch
from patchcert import predict
from patchcert.masks import mask_set
from patchcert.predictions import Predictions

torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(48, 4))
model[-1].bias.data[0] = 9.0  # all images are certified, and take all pairs in either mode

def peak(images, masks, mode):
    engine = predict.Engine(model, mask_set((32, 32), (5, 5), masks))
    stored = []
    for start in range(0, images, 200):
        pixels = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(start))
        truth = np.zeros(200, dtype=int)
        answers = engine.matrix(pixels) if mode == "matrix" else engine.certificate(pixels, truth)
        stored.append(Predictions.of(np.arange(start, start + 200).astype(str), answers, {}))
    Predictions.concatenate(stored)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

print(*(peak(images, masks, sys.argv[1]) for images, masks in [(400, (2, 2)), (2000, (2, 2)), (200, (6, 6))]))
"""


@pytest.mark.parametrize("mode", ["matrix", "certificate"])
def test_memory_grows_neither_with_the_images_nor_much_with_the_masks(mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, mode],
        capture_output=True,
        text=True,
        check=True,
        env={
            "PYTHONPATH": str(PACKAGE_PARENT),
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "MALLOC_MMAP_THRESHOLD_": "65536",  # bytes; larger arrays leave no holes that would blur the peak
        },
    )
    few_images, many_images, many_masks = map(float, done.stdout.split())
    assert many_images - few_images < 3  # MiB; the 1,600 more images have 19
    assert many_masks - many_images < 30  # MiB; all masked copies of the images shown have 1,000


# --- a compiled classifier ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["matrix", "certificate"])
def test_a_compiled_classifier_sees_batches_of_one_shape(
    model: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    shapes: set[tuple[int, ...]] = set()

    def compiled(given: nn.Module, **options: object) -> Callable[[torch.Tensor], torch.Tensor]:
        assert given is not model
        assert options == {"dynamic": False}

        def run(batch: torch.Tensor) -> torch.Tensor:
            shapes.add((*batch.shape, *batch.stride()))
            return given(batch)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    plain, engine = Engine(model, MASKS, batch_size=8), Engine(model, MASKS, batch_size=8, compiled=True)
    matrix = plain.matrix(images)
    if mode == "matrix":
        found = engine.matrix(images)
        assert (found.labels == matrix.labels).all()
        np.testing.assert_allclose(found.margins, matrix.margins, rtol=1e-3, atol=1e-5)
        assert engine.passes == plain.passes == 11 * 22
    else:
        found, _, _ = compare_modes(engine, matrix, images, matrix.unmasked)
        assert engine.passes == 11 + found.passes.sum()
    assert shapes == {(8, 3, 9, 7, 189, 1, 21, 3)}


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_compiled_classifier_gives_the_same_labels(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = random_classifier(convolutions, 1)
    expected = Engine(model, MASKS).matrix(images)
    found = Engine(model, MASKS, batch_size=16, compiled=True).matrix(images)
    assert expected.margins.min() > 1e-4
    assert (found.labels == expected.labels).all()
    np.testing.assert_allclose(found.margins, expected.margins, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.neg_()
    changed = Engine(model, MASKS, batch_size=16, compiled=True).matrix(images)
    np.testing.assert_allclose(changed.margins, Engine(model, MASKS).matrix(images).margins, rtol=1e-3, atol=1e-5)
    assert not np.allclose(changed.margins, found.margins)
    torch.compiler.reset()


# --- what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (2, 3, 9, 8), (3, 9, 7), (1, 2, 3, 9, 7)], ids=str)
def test_images_have_the_size_of_the_masks(shape: tuple[int, ...]) -> None:
    engine, truth = Engine(linear(), MASKS), np.zeros(shape[0], dtype=int)
    for ask in (engine.matrix, lambda given: engine.certificate(given, truth)):
        with pytest.raises(InputError) as caught:
            ask(torch.zeros(shape))
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
    engine = Engine(Sometimes(bad, always), MASKS)
    for ask in (engine.matrix, lambda given: engine.certificate(given, np.zeros(11, dtype=int))):
        with pytest.raises(InputError, match=r"^the classifier gave a logit that is not finite; no label can be read from it$"):
            ask(images)
    assert Engine(Sometimes(0.0, always), MASKS).matrix(images).labels.shape == (11, 21)


class Constant(nn.Module):
    """One label for images with a visible first pixel, another for the rest."""

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.visible, self.hidden = visible, hidden

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        labels = torch.where(batch[:, 0, 0, 0] == 0, self.hidden, self.visible)
        return nn.functional.one_hot(labels, 65537).float()


@pytest.mark.parametrize("too_large", [65535, 65536])
@pytest.mark.parametrize("masked", [True, False])
def test_labels_fit_into_the_stored_type(masked: bool, too_large: int) -> None:
    masks = mask_set((1, 2), (1, 1), (1, 1))  # a mask that hides all
    visible, hidden = (0, too_large) if masked else (too_large, 0)
    with pytest.raises(InputError, match=f"^labels up to {too_large}; predictions hold at most 65534$"):
        Engine(Constant(visible, hidden), masks).matrix(torch.ones(1, 1, 1, 2))
    answers = Engine(Constant(min(visible, 65534), min(hidden, 65534)), masks).matrix(torch.ones(1, 1, 1, 2))
    assert answers.unmasked.tolist() + answers.labels[0].tolist() == [min(visible, 65534), min(hidden, 65534)]
    assert LARGEST_LABEL == 65534


@pytest.mark.parametrize("shape", [(-1, 1), (-1,), (-1, 2, 1)], ids=str)
def test_a_model_without_two_classes_is_refused(images: torch.Tensor, shape: tuple[int, ...]) -> None:
    class Odd(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.flatten(1)[:, : 2 if len(shape) == 3 else 1].reshape(shape)

    with pytest.raises(
        InputError, match=r"^the classifier gave outputs of shape .*; it must give logits of two classes or more$"
    ):
        pair_labels(Odd(), images, MASKS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(InputError, match=r"^device: 'cuda', and torch finds no GPU here; write cpu$"):
        pair_labels(nn.Identity(), torch.zeros(1, 3, 4, 4), mask_set((4, 4), (1, 1), (2, 2)), device="cuda")
