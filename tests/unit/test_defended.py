"""The defended classifier as an object: the answers of the algorithms on stored labels, for as few forward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from patchcert import InputError, defended
from patchcert.defended import ALGORITHMS, DefendedClassifier
from patchcert.defenses import asking, challenger, double_masking
from patchcert.masks import mask_set, masks_from_text
from patchcert.predict import Engine, pair_labels

from .scripted import Scripted, area_numbers, row_of_masks
from .worlds import Recorder

torch.set_num_threads(1)

INFER = {"double_masking": double_masking.infer, "challenger": challenger.infer}
MASKS = {
    "one-patch": mask_set((9, 7), (3, 2), (2, 3)),
    "any-six-pixels": masks_from_text((9, 7), "area-6", "2x2"),
    "two-patches": masks_from_text((9, 7), "2-of-3x2", "2x3"),
}


def random_script(name: str, seed: int, images: int = 10) -> Scripted:
    """Random labels under every masked area: unanimous ones, a few that err, and a patch that the last mask alone removes."""
    random, areas = np.random.default_rng(seed), area_numbers(MASKS[name])
    labels = random.integers(0, 4, images)[:, None].repeat(areas.max() + 1, axis=1)
    for image in range(images):
        elsewhere = random.random(labels.shape[1]) < (0, 0.1, 0.4, 0)[image % 4]
        labels[image, elsewhere] = random.integers(0, 4, elsewhere.sum())
        if image % 4 == 3:
            labels[image, areas[-1]] += 1
    return Scripted(MASKS[name], labels[:, areas], random.integers(0, 4, images))


@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_answers_are_those_of_the_algorithm_on_all_pairs(
    algorithm: str, name: str, batch_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    differ = 0
    for seed in range(3):
        script = random_script(name, seed)
        labels = pair_labels(script, script.images, MASKS[name])
        assert (labels == script.labels).all()
        expected = INFER[algorithm](labels)
        differ += int((expected != asking.smallest_majority(labels.diagonal(axis1=1, axis2=2))).sum())
        for shown in (3, 10, 128):
            monkeypatch.setattr(defended, "IMAGES_SHOWN", shown)
            script.seen.clear()
            classifier = DefendedClassifier(script, MASKS[name], algorithm=algorithm, batch_size=batch_size)
            answers = classifier(script.images)
            assert answers.dtype == torch.int64
            assert answers.tolist() == expected.tolist()
            assert len(script.seen) == len(set(script.seen)) == classifier.engine.passes
            assert classifier(script.images[:4]).tolist() == expected[:4].tolist()
    assert differ > 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_more_images_are_on_the_device_than_are_to_be_shown(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script, shown = random_script("one-patch", 0), []
    plain = Engine.show
    monkeypatch.setattr(Engine, "show", lambda engine, images: shown.append(len(images)) or plain(engine, images))
    monkeypatch.setattr(defended, "IMAGES_SHOWN", 4)
    classifier = DefendedClassifier(script, MASKS["one-patch"], algorithm=algorithm)
    classifier(script.images)
    classifier.undefended(script.images)
    assert shown == [4, 4, 2] * 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_unanimous_image_costs_one_pass_a_mask(algorithm: str) -> None:
    labels = np.tile([[[4]], [[0]], [[2]]], (1, 5, 5))
    labels[:, 1, 3] = labels[:, 3, 1] = 1  # two masks together are not asked about
    script = Scripted(row_of_masks(5), labels, unmasked=3)
    classifier = DefendedClassifier(script, row_of_masks(5), algorithm=algorithm)
    assert classifier(script.images).tolist() == [4, 0, 2]
    assert classifier.engine.passes == len(script.seen) == 3 * 5
    assert classifier(script.images[:1]).tolist() == [4]
    assert classifier.engine.passes == 3 * 5 + 5


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_passes_of_images_that_disagree(batch_size: int) -> None:
    random = np.random.default_rng(0)
    labels = np.triu(random.integers(0, 2, (8, 5, 5)))
    labels += np.triu(labels, 1).transpose(0, 2, 1)
    masks = row_of_masks(5)
    script = Scripted(masks, labels)
    classifier = DefendedClassifier(script, masks, algorithm="challenger", batch_size=batch_size)
    games = challenger.decide(labels).games
    assert games.max() > 1
    classifier(script.images)
    assert classifier.engine.passes == 8 * 5 + games.sum()
    asked = Recorder(labels)
    double_masking.infer_online(asked, 8, 5, wave=batch_size)
    requests = {(image, *sorted(pair)) for call in asked.calls for image, *pair in call}
    classifier = DefendedClassifier(script, masks, batch_size=batch_size)
    classifier(script.images)
    assert 8 * 5 < classifier.engine.passes == len(requests) < 8 * 15


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_certificates_are_those_of_all_pairs_and_hold_for_the_answers(algorithm: str, name: str) -> None:
    for seed in range(3):
        script = random_script(name, seed)
        classifier = DefendedClassifier(script, MASKS[name], algorithm=algorithm, batch_size=6)
        answers = classifier(script.images).numpy()
        truth = np.where(np.arange(10) < 7, answers, 3)
        certified = classifier.certify(script.images, truth)
        assert certified.dtype == np.bool_
        assert certified.tolist() == double_masking.certify(script.labels, truth).tolist()
        assert 0 < certified.sum() < 10
        assert (answers == truth)[certified].all()


def test_what_the_classifier_says_undefended() -> None:
    script = random_script("one-patch", 1)
    classifier = DefendedClassifier(script, MASKS["one-patch"], batch_size=3)
    labels = classifier.undefended(script.images)
    assert labels.dtype == torch.int64
    assert labels.tolist() == script.unmasked.tolist()
    assert classifier.engine.passes == len(script.seen) == 10
    assert script.batches == [3, 3, 3, 1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_image_gives_no_answer(algorithm: str) -> None:
    classifier = DefendedClassifier(nn.Identity(), row_of_masks(3), algorithm=algorithm)
    nothing = torch.zeros(0, 1, 1, 4)
    for labels in (classifier(nothing), classifier.undefended(nothing)):
        assert (labels.shape, labels.dtype) == ((0,), torch.int64)
    assert classifier.certify(nothing, np.zeros(0, dtype=int)).shape == (0,)
    assert classifier.engine.passes == 0


def test_answers_are_tensors_like_any_other() -> None:
    """Not such as torch forbids to change, which inference mode would leave."""
    script = random_script("one-patch", 2)
    classifier = DefendedClassifier(script, MASKS["one-patch"])
    for labels in (classifier(script.images), classifier.undefended(script.images)):
        assert not labels.is_inference()
        labels += 1


def test_arguments_of_the_engine_reach_it() -> None:
    images = torch.randn(6, 3, 9, 7, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 5))
    for arguments in ({}, {"fill": 4.0}, {"fill": 4.0, "dtype": "bfloat16", "batch_size": 2}):
        classifier = DefendedClassifier(model, MASKS["one-patch"], **arguments)
        expected = double_masking.infer(pair_labels(model, images, MASKS["one-patch"], **arguments))
        assert classifier(images).tolist() == expected.tolist()
    assert classifier.engine.batch_size == 2
    assert (
        DefendedClassifier(model, MASKS["one-patch"], fill=4.0)(images).tolist()
        != DefendedClassifier(model, MASKS["one-patch"])(images).tolist()
    )


@pytest.mark.parametrize("algorithm", ["double-masking", "", "Challenger"])
def test_an_unknown_algorithm(algorithm: str) -> None:
    with pytest.raises(InputError, match=f"^algorithm: '{algorithm}'; write double_masking or challenger$"):
        DefendedClassifier(nn.Identity(), row_of_masks(3), algorithm=algorithm)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, "^dtype: 'float16'; write one of float32, bfloat16$"),
        ({"batch_size": 0}, "^batch_size: 0; write a whole number from 1 up$"),
    ],
)
def test_arguments_that_the_engine_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DefendedClassifier(nn.Identity(), row_of_masks(3), **arguments)


def test_images_have_the_size_of_the_masks() -> None:
    classifier = DefendedClassifier(nn.Identity(), row_of_masks(3))
    for ask in (classifier, classifier.undefended, lambda images: classifier.certify(images, [0, 0])):
        with pytest.raises(InputError, match=r"^images: shape \(2, 1, 1, 5\); the masks want \[N, C, 1, 4\]$"):
            ask(torch.zeros(2, 1, 1, 5))
