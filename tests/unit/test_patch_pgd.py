"""The patch attack: optima that are known, pixels that must not change, and which of several attacks is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from patchcert import InputError
from patchcert.attacks.patch_pgd import Attacked, answers, random_places, strongest_patches, targeted, untargeted
from patchcert.defended import DefendedClassifier
from patchcert.defenses import bagcert, derandomized_smoothing, mask_smoothing
from patchcert.defenses.derandomized_smoothing import Ablation
from patchcert.defenses.mask_smoothing import infer, largest_norm
from patchcert.masks import mask_set
from patchcert.models import registry
from patchcert.models.region_scorer import Layer, RegionScorer, RegionVote
from patchcert.models.registry import Normalisation
from patchcert.models.smoothed import SmoothedVote
from patchcert.smoothing import sample_counts

torch.set_num_threads(1)

BOX = [[1, 3, 2, 5]]
"""Two rows and three columns."""


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 6, 7, generator=torch.Generator().manual_seed(100))


def inside(boxes: Any) -> torch.Tensor:
    found = torch.zeros(len(boxes), 1, 6, 7, dtype=torch.bool)
    for image, (top, bottom, left, right) in enumerate(boxes):
        found[image, :, top:bottom, left:right] = True
    return found


def brightness(shown: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An attacker who wants red pixels bright and the others dark, and is never content."""
    return (shown * torch.tensor([1.0, -1, -1])[:, None, None]).sum(dim=(1, 2, 3)), torch.zeros(len(shown), dtype=torch.bool)


def attack(count: int = 3, boxes: Any = None, **settings: Any) -> Attacked:
    return strongest_patches(brightness, images(count), boxes or [BOX] * count, **settings)


def test_the_optimum_is_found_and_nothing_outside_the_patch_changes() -> None:
    found = attack(steps=50, step_size=0.025)
    optimum = torch.where(inside(BOX * 3), torch.tensor([1.0, 0, 0])[:, None, None], images())
    assert torch.equal(found.images, optimum)
    torch.testing.assert_close(found.objective, brightness(optimum, torch.arange(3))[0])
    assert found.places.tolist() == [0, 0, 0]
    assert not found.succeeded.any()


def test_a_step_is_as_long_as_said_and_values_stay_between_zero_and_one() -> None:
    start, moved = attack(steps=0), attack(steps=1, step_size=0.3)
    wanted = (start.images + 0.3 * torch.tensor([1.0, -1, -1])[:, None, None]).clamp(0, 1)
    torch.testing.assert_close(moved.images, torch.where(inside(BOX * 3), wanted, images()))
    assert (start.images != images()).any(dim=1, keepdim=True).equal(inside(BOX * 3)), "it starts from noise"


def test_the_best_step_is_kept_where_the_last_one_is_worse() -> None:
    def near_the_middle(shown: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Steps of 0.4 overshoot and swing around it."""
        seen.append(-(shown - 0.5).abs().sum(dim=(1, 2, 3)))
        return seen[-1], torch.zeros(len(shown), dtype=torch.bool)

    for steps in (3, 4):
        seen: list[torch.Tensor] = []
        found = strongest_patches(near_the_middle, images(), [BOX] * 3, steps=steps, step_size=0.4)
        assert len(seen) == steps + 1
        torch.testing.assert_close(found.objective, torch.stack(seen).amax(dim=0).detach())
        torch.testing.assert_close(near_the_middle(found.images, torch.arange(3))[0], found.objective)


def test_the_worst_place_of_each_image_is_kept_and_the_earlier_of_equal_ones() -> None:
    """A bright red patch gains most where red is dark, or most pixels are covered."""
    dark = torch.full((2, 3, 6, 7), 0.0)
    dark[0, 0, :, :3] = 1  # red already on the left of the first image
    left, right, small = [0, 2, 0, 2], [0, 2, 5, 7], [4, 5, 4, 5]
    found = strongest_patches(brightness, dark, [[small, left, right], [right, left, small]], steps=40)
    assert found.places.tolist() == [2, 0]
    assert torch.equal(found.images[0] != dark[0], inside([right])[0] & torch.tensor([True, False, False])[:, None, None])


def test_the_seed_determines_the_noise() -> None:
    first, again, other = (attack(steps=0, seed=seed).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_image_alone_or_in_small_batches_is_attacked_alike() -> None:
    whole, parts = attack(count=5, steps=3), attack(count=5, steps=3, batch_size=2)
    assert torch.equal(whole.images, parts.images)
    assert torch.equal(whole.objective, parts.objective)


def test_success_is_worse_than_any_objective_and_ends_the_attack_on_its_image() -> None:
    asked: list[list[int]] = []

    def objective(shown: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The second image falls at its second place, in the second step there, to an attack of a low objective."""
        asked.append(rows.tolist())
        fallen = (rows == 1) & (len(asked) == 5)
        return torch.where(rows == 1, shown.sum(dim=(1, 2, 3)) - 100.0 * len(asked), shown.sum(dim=(1, 2, 3))), fallen

    found = strongest_patches(objective, images(), [BOX * 3] * 3, steps=2)
    assert found.succeeded.tolist() == [False, True, False]
    assert found.places[1] == 1
    everyone, others = [0, 1, 2], [0, 2]
    assert asked == [everyone] * 5 + [others] * 4
    assert found.objective[1] < -400


def test_no_gradient_stays_with_the_weights() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 6 * 7, 4))
    targeted(model, images(), [0, 1, 2], [1, 2, 3], BOX * 3, steps=2)
    assert all(parameter.grad is None for parameter in model.parameters())


# --- one target class --------------------------------------------------------------------------------------------------------


def linear(weights: torch.Tensor) -> torch.nn.Module:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(weights[0].numel(), len(weights), bias=False))
    model[1].weight.data = weights.flatten(1)
    return model


def test_a_linear_classifier_is_taken_to_the_known_optimum() -> None:
    """The lead of the target is linear, so its optimum is 1 where the weights say so and 0 elsewhere."""
    torch.manual_seed(0)
    weights, given = torch.randn(4, 3, 6, 7), images()
    weights[0] += 3  # the label wins whatever the patch shows
    labels, targets, boxes = [0, 0, 0], [1, 2, 3], [[0, 2, 0, 2], [1, 4, 3, 7], [5, 6, 6, 7]]
    found = targeted(linear(weights), given, labels, targets, boxes, steps=60, step_size=0.025)
    for image, target in enumerate(targets):
        best = (weights[target] > weights[0]).float()
        optimum = torch.where(inside(boxes)[image], best, given[image])
        assert torch.equal(found.images[image], optimum)
        lead = ((weights[target] - weights[0]) * optimum).sum()
        assert found.objective[image].item() == pytest.approx(lead.item(), rel=1e-4)
    assert not found.succeeded.any()


def test_any_wrong_answer_is_a_success_and_the_answer_is_that_of_the_image_given_back() -> None:
    torch.manual_seed(1)
    model, given = linear(torch.randn(4, 3, 6, 7)), images(40)
    labels = answers(model(given))
    found = targeted(model, given, labels, (labels + 1) % 4, [[1, 4, 2, 6]] * 40, steps=30, step_size=0.05)
    assert torch.equal(found.succeeded, answers(model(found.images)) != labels)
    assert 0.2 < found.succeeded.float().mean() < 1
    assert ((answers(model(found.images)) != (labels + 1) % 4) & found.succeeded).any(), "not only by the target class"


def test_a_step_that_is_flat_is_attacked_through_its_surrogate() -> None:
    """One vote of each class at every place, from the mean of the patch's pixels: the attacker needs all of them to turn."""
    scorer = RegionScorer(2, Layer(1, 1), [], output="heaviside").eval()
    with torch.no_grad():
        scorer.stem[0].weight.fill_(1 / 3)  # type: ignore[union-attr, operator]
        scorer.head.weight.copy_(torch.tensor([-8.0, 8.0]).view(2, 1, 1, 1))
        scorer.head.bias.copy_(torch.tensor([7.5, -7.5]))  # type: ignore[union-attr]  # class 1 where a pixel is nearly white
    model = RegionVote(scorer)
    dark = torch.zeros(1, 3, 6, 7)
    found = targeted(model, dark, [0], [1], [[1, 5, 1, 6]], steps=60)
    # 20 of 42 pixels turn: not enough to win
    assert found.objective.item() == pytest.approx((20 - 22) / 42)
    assert not found.succeeded
    assert targeted(model, dark, [0], [1], [[1, 5, 0, 6]], steps=60).succeeded


def test_a_tie_is_answered_by_the_smallest_label() -> None:
    assert answers(torch.tensor([[1.0, 3, 3], [2, 2, 2], [0, 0, 1]])).tolist() == [1, 0, 2]


def test_normalisation_is_left_to_the_classifier() -> None:
    normalise = registry.normalisation("small_bagcert_rf5")
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(normalise(pixels), normalise.of_unit(pixels.float() / 255))


# --- the greatest loss -------------------------------------------------------------------------------------------------------


def cross_entropy(model: torch.nn.Module, shown: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(shown), labels, reduction="none").detach()


def test_the_place_with_the_greatest_loss_is_kept_though_another_succeeds_before() -> None:
    """Of two classes the loss rises with the lead: at each place the optimum is 1 where the weights say so, or else 0."""
    torch.manual_seed(2)
    model, given = linear(torch.randn(2, 3, 6, 7)), images(12)
    labels = answers(model(given))
    boxes = random_places(12, (2, 3), (6, 7), places=6, seed=1)
    weights = model[1].weight.detach().view(2, 3, 6, 7)  # type: ignore[index]
    wanted = (weights[1 - labels] > weights[labels]).float()
    optima = [torch.where(inside(boxes[:, place]), wanted, given) for place in range(6)]
    losses = torch.stack([cross_entropy(model, each, labels) for each in optima])
    found = untargeted(model, given, labels, boxes, steps=45, step_size=0.025)
    assert torch.equal(found.places, losses.argmax(dim=0))
    assert torch.equal(found.images, torch.stack(optima)[found.places, torch.arange(12)])
    torch.testing.assert_close(found.objective, losses.amax(dim=0))
    assert torch.equal(found.succeeded, answers(model(found.images)) != labels)
    earlier = [(losses[:place, image] > np.log(2)).any() for image, place in enumerate(found.places.tolist())]
    assert sum(earlier) > 1, "an attack that ends with its first success would do"
    alone = untargeted(model, given, labels, boxes[:, 0], steps=45, step_size=0.025)
    assert torch.equal(alone.images, optima[0])


def test_success_is_that_of_the_greatest_loss() -> None:
    """The first place reaches a wrong answer at a small loss, the second a right one at a greater loss."""

    class Odd(torch.nn.Module):
        def forward(self, shown: torch.Tensor) -> torch.Tensor:
            changed = (shown[:, 0, 0, 0] != 0)[:, None]
            # cross-entropies of class 0: log 2.1 with another class ahead, and log 3 where all three are tied
            first = torch.tensor([[0.0, 0.01, -3.0]])
            return torch.where(changed, first, torch.zeros(1, 3)) + 0 * shown.sum(dim=(1, 2, 3))[:, None]

    found = untargeted(Odd(), torch.zeros(1, 3, 4, 4), [0], [[[0, 1, 0, 1], [3, 4, 3, 4]]], steps=1)
    assert (found.places.tolist(), found.succeeded.tolist()) == ([1], [False])
    assert found.objective.item() == pytest.approx(np.log(3))


@pytest.mark.parametrize("settings", [{}, {"batch_size": 2}, {"batch_size": 3}])
def test_the_greatest_loss_is_found_again_whatever_the_batches(settings: dict[str, Any]) -> None:
    torch.manual_seed(3)
    model, boxes = linear(torch.randn(3, 3, 6, 7)), random_places(5, (2, 2), (6, 7), places=3)

    def found(**others: Any) -> Attacked:
        return untargeted(model, images(5), [0, 1, 2, 0, 1], boxes, steps=4, **others)

    one, other = found(), found(**settings)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.places, other.places)
    assert not torch.equal(one.images, found(seed=1).images)


def test_random_places_are_different_ones_inside_the_image_and_an_image_keeps_its_own() -> None:
    found = random_places(40, (2, 3), (6, 7), places=9, seed=4)
    assert (found.shape, found.dtype) == ((40, 9, 4), np.int64)
    everywhere = {(top, top + 2, left, left + 3) for top in range(5) for left in range(5)}
    drawn = [set(map(tuple, image.tolist())) for image in found]
    assert all(len(image) == 9 and image <= everywhere for image in drawn)
    assert set().union(*drawn) == everywhere
    assert len(set(map(frozenset, drawn))) == 40
    assert np.array_equal(random_places(7, (2, 3), (6, 7), places=9, seed=4), found[:7])
    assert not np.array_equal(random_places(40, (2, 3), (6, 7), places=9, seed=5), found)
    # no more than there are, and of no image none
    assert set(map(tuple, random_places(1, (5, 7), (6, 7))[0].tolist())) == {(0, 5, 0, 7), (1, 6, 0, 7)}
    assert random_places(0, (2, 3), (6, 7)).shape == (0, 25, 4)


# --- every defense of the project --------------------------------------------------------------------------------------------

SIDES, PATCH = (8, 8), (2, 2)


class Brightness(torch.nn.Module):
    """Class 1 of images that are bright on average: logits from the sum of what is shown, of which 0 is grey."""

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        total = shown.sum(dim=(1, 2, 3))
        return torch.stack([-total, total], dim=1)


class Kept(torch.nn.Module):
    """The same of copies of which a part is kept, as x and 1 - x."""

    def forward(self, copies: torch.Tensor) -> torch.Tensor:
        return Brightness()(copies[:, :3] - copies[:, 3:])


class Defended(NamedTuple):
    """What the attacker climbs, what the defense answers, and the norm below which changes of the images are certified."""

    base: Callable[[torch.Tensor], torch.Tensor]
    answer: Callable[[torch.Tensor], Any]
    limits: np.ndarray


def double_masked(given: torch.Tensor, labels: np.ndarray, boxes: np.ndarray) -> Defended:
    defense = DefendedClassifier(Brightness(), mask_set(SIDES, PATCH, (3, 3)))
    limits = np.where(defense.certify(given - 0.5, labels), np.inf, 0)
    return Defended(lambda shown: Brightness()(shown - 0.5), lambda shown: defense(shown - 0.5), limits)


def region_scored(given: torch.Tensor, labels: np.ndarray, boxes: np.ndarray) -> Defended:
    scorer = RegionScorer(2, Layer(1, 1), [], output="heaviside").eval()
    with torch.no_grad():
        scorer.stem[0].weight.fill_(1 / 3)  # type: ignore[union-attr, operator]
        scorer.head.weight.copy_(torch.tensor([-8.0, 8.0]).view(2, 1, 1, 1))
        scorer.head.bias.copy_(torch.tensor([4.0, -4.0]))  # type: ignore[union-attr]
    vote = RegionVote(scorer)
    with torch.inference_mode():
        held = bagcert.certify(vote.scores(given).numpy(), labels, vote.affected(SIDES, PATCH), "3.2")
    return Defended(vote, lambda shown: answers(vote(shown)), np.where(held, np.inf, 0))


def derandomized(given: torch.Tensor, labels: np.ndarray, boxes: np.ndarray) -> Defended:
    model = SmoothedVote(Kept(), "column", 1).eval()
    copies = Ablation("column", 1, SIDES)

    def counts(shown: torch.Tensor) -> np.ndarray:
        return derandomized_smoothing.count(model.scores(2 * shown - 1).long()).numpy()

    def base(shown: torch.Tensor) -> torch.Tensor:
        return torch.stack([Kept()(each).softmax(dim=1) for each in copies.copies(shown)]).mean(dim=0)

    held = derandomized_smoothing.certify(counts(given), labels, copies.touched(PATCH))
    return Defended(
        base, lambda shown: torch.from_numpy(derandomized_smoothing.infer(counts(shown))), np.where(held, np.inf, 0)
    )


def smoothed(given: torch.Tensor, labels: np.ndarray, boxes: np.ndarray) -> Defended:
    half, names = Normalisation((0.5,) * 3, (1.0,) * 3), [str(number) for number in range(len(given))]
    settings: dict[str, Any] = {"normalisation": half, "sigma": 2.0, "estimation": 1000}
    sampled = sample_counts(Brightness(), given, boxes, names, **settings)
    certified = mask_smoothing.certify(sampled.selection, sampled.estimation, 2.0)

    def answer(shown: torch.Tensor) -> torch.Tensor:
        # noise of its own, as for another image
        return torch.from_numpy(infer(sample_counts(Brightness(), shown, boxes, names, seed=1, **settings).estimation))

    limits = np.where(certified.labels == labels, certified.radii, 0)
    assert (limits > largest_norm(PATCH)).any(), "of some images any patch is certified"
    return Defended(lambda shown: Brightness()(shown - 0.5), answer, limits)


@pytest.mark.parametrize("defend", [double_masked, region_scored, derandomized, smoothed])
def test_no_image_falls_whose_certificate_covers_the_attack(defend: Callable[..., Defended]) -> None:
    random = np.random.default_rng(0)
    light = random.uniform(0.44, 0.56, (150, 1, 1, 1)) + random.uniform(-0.3, 0.3, (150, 3, *SIDES))
    given = torch.tensor(light, dtype=torch.float32)
    labels = (light.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    boxes = random_places(150, PATCH, SIDES, places=1)
    defended = defend(given, labels, boxes[:, 0])
    attacked = untargeted(defended.base, given, labels, boxes, steps=20, step_size=0.1)
    size = (attacked.images - given).flatten(1).norm(dim=1).numpy()
    fallen = (defended.answer(attacked.images) != torch.tensor(labels)).numpy()
    covered = size < defended.limits
    assert not (covered & fallen).any()
    assert covered.any()
    assert fallen.any(), "an attack that never succeeds shows nothing"
    assert (defended.answer(given)[torch.from_numpy(fallen)].numpy() == labels[fallen]).any()


# --- what does not fit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 255 * images()}, r"images: .* to 25\d; divide by 255, and normalise in the classifier"),
        ({"images": images() - 0.5}, "divide by 255, and normalise in the classifier"),
        ({"images": images().byte()}, r"images: torch.uint8 of shape \(3, 3, 6, 7\); give float32"),
        ({"images": images()[0]}, r"images: torch.float32 of shape \(3, 6, 7\)"),
        ({"boxes": [BOX[0]] * 2}, r"boxes: shape \(2, 1, 4\); .*\[3, places, 4\]"),
        ({"boxes": np.zeros((3, 0, 4), dtype=np.int64)}, r"boxes: shape \(3, 0, 4\)"),
        ({"boxes": [[0.0, 1, 0, 1]] * 3}, "boxes: float64; write whole numbers"),
        ({"boxes": [BOX[0], [0, 7, 0, 1], BOX[0]]}, r"boxes: \[0, 7, 0, 1\] is no box in images of 6x7 pixels"),
        ({"boxes": [BOX[0], [2, 2, 0, 1], BOX[0]]}, r"boxes: \[2, 2, 0, 1\] is no box"),
        ({"boxes": [[-1, 2, 0, 1], BOX[0], BOX[0]]}, r"boxes: \[-1, 2, 0, 1\] is no box"),
        ({"labels": [0, 1]}, r"labels: int64 of shape \(2,\); write a whole number for each of 3 images"),
        ({"targets": [1.0, 2.0, 0.0]}, "targets: float64 of shape"),
        ({"targets": [1, 1, 0]}, "targets: 1 is the label of image 1 too; write another class"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"images": images(), "labels": [0, 1, 2], "targets": [1, 2, 0], "boxes": BOX * 3} | changes
    with pytest.raises(InputError, match=message):
        targeted(linear(torch.ones(3, 3, 6, 7)), **given)


def test_what_a_loss_or_random_places_cannot_be_had_of_is_refused() -> None:
    with pytest.raises(InputError, match=r"labels: int64 of shape \(2,\); write a whole number for each of 3 images"):
        untargeted(linear(torch.ones(3, 3, 6, 7)), images(), [0, 1], BOX * 3)
    with pytest.raises(InputError, match="places: 0; write a whole number from 1 up"):
        random_places(3, (2, 2), (6, 7), places=0)
