"""Training strategies: which masks they choose, at what cost, and that they leave the classifier and the images alone.

The toy classifiers are functions of which masks cover an image, so that the worst pair is known by trying every pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from patchcert import InputError, masking
from patchcert.masking import box_pixels, mask_out
from patchcert.masks import MaskSet, mask_set
from patchcert.training.strategies.gaussian_patch import GaussianPatch
from patchcert.training.strategies.greedy_cutout import GreedyCutout, MultiSizeGreedyCutout
from patchcert.training.strategies.grid_cutout import GridCutout
from patchcert.training.strategies.gutout import Gutout
from patchcert.training.strategies.random_cutout import RandomCutout
from patchcert.training.strategies.random_masks import RandomMasks
from patchcert.training.strategy import Search, Strategy, random_pairs, searching, strategy

torch.set_num_threads(1)

LOSS = {"loss": "cross_entropy", "label_smoothing": 0.0}
GREEDY_3X3 = LOSS | {"strategy": "greedy_cutout", "patch_size": [5, 5], "mask_budgets": [[3, 3]]}
GREEDY_6X6 = GREEDY_3X3 | {"mask_budgets": [[6, 6]]}
MULTI_SIZE = GREEDY_3X3 | {"mask_budgets": [[3, 3], [6, 6]]}
RANDOM = LOSS | {"strategy": "random_cutout", "cutout_size": [18, 18]}
PLAIN = LOSS | {"strategy": "plain"}
RANDOM_MASKS = MULTI_SIZE | {"strategy": "random_masks"}
GUTOUT, GUTOUT_BOTH = (settings | {"strategy": "gutout"} for settings in (GREEDY_3X3, MULTI_SIZE))
GRID_3X3, GRID_6X6 = (settings | {"strategy": "grid_cutout"} for settings in (GREEDY_3X3, GREEDY_6X6))
GAUSSIAN = LOSS | {"strategy": "gaussian_patch", "noise_sides": [5, 10], "noise_sigma": 7.0}
EVERY = {
    "plain": PLAIN,
    "random": RANDOM,
    "random masks": RANDOM_MASKS,
    "greedy 3x3": GREEDY_3X3,
    "greedy 6x6": GREEDY_6X6,
    "multi-size": MULTI_SIZE,
    "grid 3x3": GRID_3X3,
    "grid 6x6": GRID_6X6,
    "gutout": GUTOUT,
    "gutout both": GUTOUT_BOTH,
    "gaussian": GAUSSIAN,
}
RANDOMLY = ("random", "random masks", "gaussian")


class Toy(torch.nn.Module):
    """A classifier of two labels whose loss for label 0 grows with a score; it counts the images that it is shown."""

    def __init__(self, score: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.score = score
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training, "a search looks at the classifier in evaluation mode"
        assert not torch.is_grad_enabled(), "a search needs no gradients"
        self.seen.append(images.clone())
        score = self.score(images)
        return torch.stack([-score, score], dim=1)

    @property
    def shown(self) -> int:
        return sum(len(images) for images in self.seen)


def linear(weights: torch.Tensor) -> Toy:
    """The score is a weighted sum of the pixels that are masked; images are ones, and masks set them to zero."""
    return Toy(lambda images: ((1 - images[:, 0]) * weights).sum(dim=(1, 2)))


def ones(count: int, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    return torch.ones(count, 3, *size)


def zeros(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.int64)


def nothing() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def exhaustive(model: Toy, images: torch.Tensor, labels: torch.Tensor, masks: MaskSet) -> list[set[int]]:
    """The pair of masks with the highest loss for each image, by trying all of them."""
    losses = []
    with searching(model):
        for first, second in masks.pairs.tolist():
            hidden = masks.boxes[[first, second]][None].repeat(len(images), axis=0)
            losses.append(cross_entropy(model(mask_out(images, hidden)), labels, reduction="none"))
    model.seen.clear()
    return [set(masks.pairs[best].tolist()) for best in torch.stack(losses).argmax(dim=0).tolist()]


def pair_of(hidden: torch.Tensor, masks: MaskSet) -> set[int]:
    """The pair of different masks whose union is hidden."""
    pixels = box_pixels(masks.boxes, masks.image_size)
    found = [
        {first, second}
        for first, second in itertools.combinations(range(len(masks)), 2)
        if torch.equal(pixels[first] | pixels[second], hidden)
    ]
    assert found, "the hidden pixels are no union of two different masks"
    return found[0]


# --- the greedy search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [(3, 3), (6, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_on_disjoint_masks_and_a_linear_classifier_greedy_is_exhaustive(budget: tuple[int, int], seed: int) -> None:
    # a patch of one pixel gives masks that do not overlap, whose effects on a linear score add up
    masks = mask_set((24, 24), (1, 1), budget)
    assert box_pixels(masks.boxes, (24, 24)).sum(dim=0).max() == 1
    weights = torch.rand(24, 24, generator=torch.Generator().manual_seed(seed)) * 0.05 + 0.01
    images = torch.stack([torch.ones(3, 24, 24), torch.full((3, 24, 24), 0.5)])
    model = linear(weights)
    wanted = exhaustive(model, images, zeros(2), masks)
    (hidden,) = GreedyCutout(masks).hidden(model, images, zeros(2), nothing())
    assert [pair_of(pixels, masks) for pixels in hidden] == wanted


@pytest.mark.parametrize("seed", range(3))
def test_the_second_mask_is_the_worst_beside_the_first(seed: int) -> None:
    masks = mask_set((32, 32), (5, 5), (3, 3))
    weights = torch.randn(32, 32, generator=torch.Generator().manual_seed(seed)) * 0.1
    pixels = box_pixels(masks.boxes, (32, 32)).float()
    alone = (pixels * weights).sum(dim=(1, 2))
    first = int(alone.argmax())
    union = ((pixels + pixels[first]).clamp(max=1) * weights).sum(dim=(1, 2))
    union[first] = -torch.inf
    (hidden,) = GreedyCutout(masks).hidden(linear(weights), ones(1), zeros(1), nothing())
    assert pair_of(hidden[0], masks) == {first, int(union.argmax())}


def pair_score(masks: MaskSet, table: Mapping[tuple[int, ...], float]) -> Toy:
    """The score is looked up by the masks that are wholly zero in an image."""
    pixels = box_pixels(masks.boxes, masks.image_size)

    def score(images: torch.Tensor) -> torch.Tensor:
        covered = ((images[:, :1] == 0) | ~pixels).all(dim=(2, 3))
        return torch.tensor([table.get(tuple(np.flatnonzero(row).tolist()), 0.0) for row in covered.numpy()])

    return Toy(score)


def test_where_two_harmless_masks_are_harmful_together_greedy_misses_them() -> None:
    masks = mask_set((24, 24), (1, 1), (3, 3))
    model = pair_score(masks, {(4,): 1.0, (2, 4): 2.0, (1, 7): 9.0})
    assert exhaustive(model, ones(1, (24, 24)), zeros(1), masks) == [{1, 7}]
    (hidden,) = GreedyCutout(masks).hidden(model, ones(1, (24, 24)), zeros(1), nothing())
    assert pair_of(hidden[0], masks) == {2, 4}


def test_each_image_has_its_own_masks_by_its_own_label() -> None:
    masks = mask_set((24, 24), (1, 1), (3, 3))
    model = pair_score(masks, {(4,): 1.0, (2, 4): 2.0, (8,): -1.0, (3, 8): -2.0})
    (hidden,) = GreedyCutout(masks).hidden(model, ones(2, (24, 24)), torch.tensor([0, 1]), nothing())
    assert [pair_of(pixels, masks) for pixels in hidden] == [{2, 4}, {3, 8}]


def test_the_second_mask_is_never_the_first() -> None:
    masks = mask_set((24, 24), (1, 1), (3, 3))
    for first in range(9):
        # any second mask makes the loss smaller, so that the first one again would be the worst
        model = pair_score(masks, {(first,): 5.0})
        (hidden,) = GreedyCutout(masks).hidden(model, ones(1, (24, 24)), zeros(1), nothing())
        assert first in pair_of(hidden[0], masks)


def test_the_second_round_shows_every_mask_but_the_first_one_beside_it() -> None:
    masks = mask_set((24, 24), (1, 1), (3, 3))
    model = pair_score(masks, {(5,): 5.0})
    GreedyCutout(masks).hidden(model, ones(1, (24, 24)), zeros(1), nothing())
    shown = [pixels == 0 for pixels in torch.cat(model.seen)[:, 0]]
    pixels = box_pixels(masks.boxes, (24, 24))
    assert all(torch.equal(hidden, mask) for hidden, mask in zip(shown[:9], pixels, strict=True))
    assert sorted(min(pair_of(hidden, masks) - {5}) for hidden in shown[9:]) == [0, 1, 2, 3, 4, 6, 7, 8]


# --- the multi-size search ---------------------------------------------------------------------------------------------------


def reference_multi_size(
    model: Toy, image: torch.Tensor, large: MaskSet, small: MaskSet
) -> tuple[list[int], list[int], list[list[int]]]:
    """Section 3.4 of the paper read aloud for one image of label 0: worst masks of each size, and the small ones tried."""

    def loss(image: torch.Tensor, masks: MaskSet, mask: int) -> float:
        with searching(model):
            return float(cross_entropy(model(mask_out(image, masks.boxes[mask][None, None])), zeros(1)))

    image_large, image_small = image, image
    chosen_large: list[int] = []
    chosen_small: list[int] = []
    tried = []
    for _ in range(2):
        losses = [loss(image_large, large, mask) for mask in range(len(large))]
        chosen_large.append(int(np.argmax(losses)))
        under = small.fewest_covering(large.boxes[chosen_large[-1]]).tolist()
        tried.append(under)
        chosen_small.append(under[int(np.argmax([loss(image_small, small, mask) for mask in under]))])
        image_large = mask_out(image_large, large.boxes[chosen_large[-1]][None, None])
        image_small = mask_out(image_small, small.boxes[chosen_small[-1]][None, None])
    model.seen.clear()
    return chosen_large, chosen_small, tried


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("size", "patch"), [((32, 32), (5, 5)), ((56, 56), (10, 10))])
def test_multi_size_is_the_papers_two_rounds(size: tuple[int, int], patch: tuple[int, int], seed: int) -> None:
    large, small = (mask_set(size, patch, budget) for budget in ((3, 3), (6, 6)))
    model = linear(torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 0.1)
    chosen_large, chosen_small, tried = reference_multi_size(model, ones(1, size), large, small)
    hidden = MultiSizeGreedyCutout(large, small).hidden(model, ones(1, size), zeros(1), nothing())
    assert hidden.shape == (2, 1, *size)
    for pixels, chosen, masks in ((hidden[0, 0], chosen_large, large), (hidden[1, 0], chosen_small, small)):
        assert torch.equal(pixels, box_pixels(masks.boxes[chosen], masks.image_size).any(dim=0))
    # what it showed the classifier: every large mask, then exactly the small masks under the worst one, and again
    shown = torch.cat(model.seen)[:, 0] == 0
    widest = max(len(small.fewest_covering(box)) for box in large.boxes)
    boxes = [*large.boxes, *small.boxes[tried[0]], *small.boxes[tried[0]][-1:].repeat(widest - len(tried[0]), axis=0)]
    wanted = box_pixels(np.array(boxes), size)
    assert torch.equal(shown[: len(large) + widest], wanted)


def test_multi_size_masks_at_224_pixels_are_the_four_under_each_large_one() -> None:
    large, small = (mask_set((224, 224), (39, 39), budget) for budget in ((3, 3), (6, 6)))
    plan = MultiSizeGreedyCutout(large, small)
    assert plan.under.shape == (9, 4)
    for box, under in zip(large.boxes, plan.under, strict=True):
        covered = box_pixels(small.boxes[under], (224, 224)).any(dim=0)
        assert (covered | ~box_pixels(box, (224, 224))).all()
        assert len(set(under)) == 4


def test_a_large_mask_with_fewer_small_ones_tries_no_other() -> None:
    large, small = mask_set((32, 32), (5, 5), (3, 3)), mask_set((32, 32), (5, 5), (5, 5))
    plan = MultiSizeGreedyCutout(large, small)
    lengths = {len(small.fewest_covering(box)) for box in large.boxes}
    assert len(lengths) > 1, "this pair of sets must have large masks with different numbers of small ones"
    for box, under in zip(large.boxes, plan.under.tolist(), strict=True):
        assert set(under) == set(small.fewest_covering(box).tolist())


# --- the exhaustive search ---------------------------------------------------------------------------------------------------


def test_the_exhaustive_search_finds_what_greedy_misses() -> None:
    masks = mask_set((24, 24), (1, 1), (3, 3))
    model = pair_score(masks, {(4,): 1.0, (2, 4): 2.0, (1, 7): 9.0})
    (hidden,) = GridCutout(masks).hidden(model, ones(2, (24, 24)), torch.tensor([0, 0]), nothing())
    assert [pair_of(pixels, masks) for pixels in hidden] == [{1, 7}] * 2


@pytest.mark.parametrize("seed", range(3))
def test_the_exhaustive_search_is_the_argmax_over_all_pairs(seed: int) -> None:
    masks = mask_set((32, 32), (5, 5), (3, 3))
    model = linear(torch.randn(32, 32, generator=torch.Generator().manual_seed(seed)) * 0.1)
    images = torch.stack([torch.ones(3, 32, 32), torch.full((3, 32, 32), 0.5)])
    wanted = exhaustive(model, images, torch.tensor([0, 1]), masks)
    (boxes,) = GridCutout(masks).boxes(model, images, torch.tensor([0, 1]), nothing())
    numbers = {tuple(box): number for number, box in enumerate(masks.boxes.tolist())}
    assert [{numbers[tuple(box)] for box in pair} for pair in boxes.tolist()] == wanted


# --- guided by Grad-CAM ------------------------------------------------------------------------------------------------------


class Salient(torch.nn.Module):
    """A classifier whose Grad-CAM for label 0 is the red channel, wherever it is not masked."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = torch.nn.Sequential(torch.nn.Identity())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = self.stages(images)[:, 0].sum(dim=(1, 2))
        return torch.stack([red, -red], dim=1)


@pytest.mark.parametrize("budget", [(3, 3), (6, 6)])
def test_gutout_hides_what_is_most_salient_in_two_rounds(budget: tuple[int, int]) -> None:
    masks = mask_set((32, 32), (5, 5), budget)
    images = torch.rand(4, 3, 32, 32, generator=nothing()) ** 8
    red = images[:, 0].clone()
    wanted = []
    for map_ in red.numpy():
        chosen = []
        for _ in range(2):
            sums = [map_[top:bottom, left:right].sum() for top, bottom, left, right in masks.boxes]
            chosen.append(int(np.argmax(sums)))
            top, bottom, left, right = masks.boxes[chosen[-1]]
            map_[top:bottom, left:right] = 0
        wanted.append(masks.boxes[chosen].tolist())
    plan = Gutout([masks])
    assert plan.boxes(Salient(), images, zeros(4), nothing()).tolist() == [wanted]
    assert plan.passes == 4 * 4, "a forward and a backward pass in each of two rounds"


def test_gutout_hides_two_places_though_a_map_points_to_the_first_again() -> None:
    """The map of this classifier is that of the unmasked image, whatever is masked."""
    masks = mask_set((32, 32), (5, 5), (6, 6))
    images = torch.rand(4, 3, 32, 32, generator=nothing()) ** 8
    plan, fixed = Gutout([masks]), images[:, 0]
    plan._saliency = lambda *asked: fixed  # type: ignore[method-assign]
    sums = torch.stack([fixed[:, top:bottom, left:right].sum(dim=(1, 2)) for top, bottom, left, right in masks.boxes], dim=1)
    wanted = masks.boxes[sums.argsort(dim=1, descending=True)[:, :2].numpy()]
    assert np.array_equal(plan.boxes(Salient(), images, zeros(4), nothing())[0], wanted)


def test_gutout_with_two_sets_makes_two_copies_and_shares_the_first_map() -> None:
    large, small = (mask_set((32, 32), (5, 5), budget) for budget in ((3, 3), (6, 6)))
    images = torch.rand(4, 3, 32, 32, generator=nothing())
    both, alone = Gutout([large, small]), [Gutout([masks]) for masks in (large, small)]
    found = both.boxes(Salient(), images, zeros(4), nothing())
    assert found.shape == (2, 4, 2, 4)
    for copies, plan in zip(found, alone, strict=True):
        assert np.array_equal(copies, plan.boxes(Salient(), images, zeros(4), nothing())[0])
    assert (both.copies, both.passes) == (2, 6 * 4)


# --- cost --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patch"), [((224, 224), [39, 39]), ((32, 32), [5, 5])], ids=["224/39", "32/5"])
@pytest.mark.parametrize(
    ("settings", "passes", "copies"),
    [
        (GREEDY_3X3, 17, 1),
        (GREEDY_6X6, 71, 1),
        (MULTI_SIZE, 26, 2),
        (GRID_3X3, 45, 1),
        (GRID_6X6, 666, 1),
        (RANDOM_MASKS, 0, 2),
        (RANDOM, 0, 1),
        (PLAIN, 0, 1),
        (GAUSSIAN, 0, 1),
    ],
    ids=["greedy 3x3", "greedy 6x6", "multi-size", "grid 3x3", "grid 6x6", "random masks", "random", "plain", "gaussian"],
)
def test_extra_passes_are_as_published_and_as_counted(
    size: tuple[int, int], patch: list[int], settings: dict[str, Any], passes: int, copies: int
) -> None:
    plan = strategy(settings | ({"patch_size": patch} if "patch_size" in settings else {}), size)
    model = linear(torch.full(size, 0.001))
    hidden = plan.hidden(model, ones(2, size), zeros(2), nothing())
    assert (plan.passes, plan.copies) == (2 * passes, copies)
    assert model.shown == 2 * passes
    assert hidden.shape == (copies, 2, *size)
    assert hidden.dtype == torch.bool


def test_a_search_never_shows_more_images_at_once_than_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(32, 32, generator=nothing()) * 0.1
    images = torch.rand(5, 3, 32, 32, generator=nothing()) + 0.5
    hidden = []
    for size in (128, 7):
        monkeypatch.setattr(masking, "BATCH_SIZES", {"cpu": size})
        model = linear(weights)
        hidden.append(strategy(GREEDY_3X3, (32, 32)).hidden(model, images, zeros(5), nothing()))
        assert max(len(batch) for batch in model.seen) <= size
    assert torch.equal(*hidden)


def test_a_tie_goes_to_the_first_candidate() -> None:
    boxes = mask_set((32, 32), (5, 5), (3, 3)).boxes[[[3, 1, 2], [8, 0, 4]]][:, :, None]
    model = Toy(lambda images: torch.zeros(len(images)))
    with searching(model):
        assert Search(plan_of("plain"), model, ones(2), zeros(2)).worst(boxes).tolist() == [0, 0]


# --- random squares ----------------------------------------------------------------------------------------------------------


def test_two_squares_an_image_anywhere_partly_outside_allowed() -> None:
    plan = RandomCutout((20, 20), (6, 6))
    hidden = plan.hidden(torch.nn.Identity(), ones(4000, (20, 20)), zeros(4000), nothing())
    assert hidden.shape == (1, 4000, 20, 20)
    areas = hidden[0].sum(dim=(1, 2))
    assert int(areas.max()) == 2 * 36, "two whole squares side by side"
    # the centre is in the image, so that a square in a corner keeps a quarter at least
    assert 9 <= int(areas.min()) < 36


def test_squares_have_their_size_rows_before_columns() -> None:
    plan = RandomCutout((30, 40), (3, 10))
    hidden = box_pixels(plan.calibration_boxes(2000, nothing()), (30, 40)).any(dim=1)
    rows, columns = hidden.any(dim=2).sum(dim=1), hidden.any(dim=1).sum(dim=1)
    assert int(rows.max()) == 6
    assert int(columns.max()) == 20
    assert int(hidden.sum(dim=(1, 2)).max()) == 2 * 30


@pytest.mark.parametrize("cutout", [5, 6])
def test_centres_are_uniform_over_the_image(cutout: int) -> None:
    boxes = RandomCutout((12, 7), (cutout, cutout)).calibration_boxes(20_000, nothing())
    assert boxes.shape == (20_000, 2, 4)
    for axis, image in enumerate((12, 7)):
        start, stop = boxes[:, :, 2 * axis], boxes[:, :, 2 * axis + 1]
        assert start.min() == 0
        assert stop.max() == image
        # what was cut off at one edge is known from the other
        centres = np.where(start > 0, start + cutout // 2, stop - cutout + cutout // 2)
        counts = np.bincount(centres.ravel(), minlength=image)
        assert len(counts) == image
        # 40,000 draws: five standard deviations around the mean of each place
        expected = 40_000 / image
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
        # the two squares of an image are independent of each other
        assert abs(np.corrcoef(centres[:, 0], centres[:, 1])[0, 1]) < 0.03
    assert abs(np.corrcoef(boxes[:, 0, 0], boxes[:, 0, 2])[0, 1]) < 0.03


# --- noise in squares --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(2, 5), (3, 3), (1, 7)])
def test_squares_are_inside_the_image_with_sides_and_places_alike(sides: tuple[int, int]) -> None:
    boxes = GaussianPatch((12, 7), sides, 1.0).calibration_boxes(20_000, nothing())
    assert (boxes.dtype, boxes.shape) == (np.int64, (20_000, 1, 4))
    top, bottom, left, right = boxes[:, 0].T
    side = bottom - top
    assert np.array_equal(side, right - left)
    for values, begin, stop in ((side, sides[0], sides[1] + 1), *((top[side == each], 0, 13 - each) for each in set(side)),
                                *((left[side == each], 0, 8 - each) for each in set(side))):  # fmt: skip
        counts = np.bincount(values)[begin:]
        expected = len(values) / (stop - begin)
        assert len(counts) == stop - begin
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_noise_is_added_inside_the_squares_by_the_deviation_before_normalisation() -> None:
    plan, std = GaussianPatch((32, 32), (5, 10), 7.0), (0.25, 0.5, 2.0)
    images = torch.rand(400, 3, 32, 32, generator=nothing())
    kept = images.clone()
    boxes = plan.boxes(torch.nn.Identity(), images, zeros(400), nothing())[0]
    shown = plan.show(images, boxes, std, torch.Generator().manual_seed(1))
    assert torch.equal(images, kept)
    inside = box_pixels(boxes, (32, 32)).any(dim=1)[:, None].expand_as(images)
    assert torch.equal(shown[~inside], images[~inside])
    for channel, divided in enumerate(std):
        noise = (shown - images)[:, channel][inside[:, channel]]
        assert abs(noise.mean()) < 5 * 7 / divided / len(noise) ** 0.5
        assert noise.std() == pytest.approx(7 / divided, rel=0.03)
        assert len(noise.unique()) > 0.99 * len(noise), "no two images share noise"
    assert torch.equal(shown, plan.show(images, boxes, std, torch.Generator().manual_seed(1)))
    assert not torch.equal(shown, plan.show(images, boxes, std, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("name", EVERY)
def test_without_a_box_images_are_shown_as_they_are(name: str) -> None:
    images = torch.randn(3, 3, 32, 32, generator=nothing())
    assert torch.equal(plan_of(name).show(images, np.empty((3, 0, 4), dtype=np.int64), (0.5, 0.5, 0.5), nothing()), images)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "gaussian"])
def test_strategies_of_masks_blank_their_boxes_out_and_draw_nothing(name: str) -> None:
    images, generator = torch.randn(2, 3, 32, 32, generator=nothing()), nothing()
    shown = plan_of(name).show(images, np.array([[[0, 3, 4, 9]], [[1, 2, 0, 32]]]), (0.5, 0.5, 0.5), generator)
    wanted = images.clone()
    wanted[0, :, :3, 4:9] = wanted[1, :, 1] = 0
    assert torch.equal(shown, wanted)
    assert torch.equal(generator.get_state(), nothing().get_state())


# --- what every strategy keeps to --------------------------------------------------------------------------------------------


class Small(torch.nn.Module):
    """A network with BatchNorm and dropout, in which training mode shows."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
        self.norm = torch.nn.BatchNorm2d(4)
        self.dropout = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.norm(self.stages(images))).mean(dim=(2, 3)))
        return logits


def plan_of(name: str) -> Strategy:
    return strategy(EVERY[name], (32, 32))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("training", [True, False])
def test_a_search_leaves_classifier_images_and_labels_alone(name: str, training: bool) -> None:
    torch.manual_seed(0)
    model = Small().train(training)
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1, 0, 1, 0])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    kept = images.clone(), labels.clone()
    state = torch.get_rng_state()
    hidden = plan_of(name).hidden(model, images, labels, nothing())
    assert model.training is training
    assert model.norm.training is training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert torch.equal(images, kept[0])
    assert torch.equal(labels, kept[1])
    assert torch.equal(torch.get_rng_state(), state), "random numbers come only from the generator that was handed over"
    assert all(parameter.grad is None for parameter in model.parameters())
    assert hidden.dtype == torch.bool


@pytest.mark.parametrize("name", EVERY)
def test_the_same_generator_gives_the_same_masks(name: str) -> None:
    torch.manual_seed(0)
    model, images, labels = Small(), torch.randn(6, 3, 32, 32), zeros(6)
    plan = plan_of(name)
    first, again, other = (plan.hidden(model, images, labels, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(first, other) is (name not in RANDOMLY)


@pytest.mark.parametrize("name", ["greedy 3x3", "multi-size"])
@pytest.mark.parametrize("training", [True, False])
def test_the_former_mode_comes_back_after_an_exception(name: str, training: bool) -> None:
    def fail(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    model = Toy(fail).train(training)
    with pytest.raises(RuntimeError, match="out of memory"):
        plan_of(name).hidden(model, ones(1), zeros(1), nothing())
    assert model.training is training
    assert torch.is_grad_enabled()


def test_plain_hides_nothing() -> None:
    hidden = plan_of("plain").hidden(torch.nn.Identity(), ones(3), zeros(3), nothing())
    assert hidden.shape == (1, 3, 32, 32)
    assert not hidden.any()


@pytest.mark.parametrize(
    ("name", "count"),
    [("plain", 0), *((name, 5) for name in ("random", "random masks", "greedy 3x3", "multi-size", "grid 3x3", "gaussian"))],
)
def test_calibration_draws_are_fixed_by_their_generator(name: str, count: int) -> None:
    first, again, other = (plan_of(name).calibration_boxes(5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert first.shape == (count, {"plain": 0, "gaussian": 1}.get(name, 2), 4)
    assert first.dtype == np.int64
    assert np.array_equal(first, again)
    if count:
        assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "budget"),
    [("greedy 3x3", (3, 3)), ("greedy 6x6", (6, 6)), ("multi-size", (6, 6)), ("random masks", (6, 6)), ("grid 6x6", (6, 6))],
)
def test_calibration_draws_of_a_search_are_pairs_of_its_finest_masks(name: str, budget: tuple[int, int]) -> None:
    boxes = {tuple(box) for box in mask_set((32, 32), (5, 5), budget).boxes.tolist()}
    drawn = plan_of(name).calibration_boxes(20, nothing())
    assert {tuple(box) for box in drawn.reshape(-1, 4).tolist()} <= boxes


def test_random_pairs_reach_every_pair() -> None:
    masks = mask_set((32, 32), (5, 5), (2, 2))
    numbers = {tuple(box): number for number, box in enumerate(masks.boxes.tolist())}
    found = {(numbers[tuple(first)], numbers[tuple(second)]) for first, second in random_pairs(masks, 500, nothing()).tolist()}
    assert found == set(itertools.product(range(4), repeat=2))


# --- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"strategy": "greedy_cut"},
            "strategies: 'greedy_cut' is unknown; did you mean 'greedy_cutout'? write one of gaussian_patch, "
            "greedy_cutout, grid_cutout, gutout, plain, random_cutout, random_masks",
        ),
        (
            {"strategy": "zzz"},
            "strategies: 'zzz' is unknown; write one of gaussian_patch, greedy_cutout, grid_cutout, gutout, plain, "
            "random_cutout, random_masks",
        ),
        (
            GREEDY_3X3 | {"mask_budgets": [[2, 2], [3, 3], [6, 6]]},
            "mask_budgets: 3 of them; write one, or two (large masks first) for the multi-size search",
        ),
        (
            GREEDY_3X3 | {"mask_budgets": []},
            "mask_budgets: 0 of them; write one, or two (large masks first) for the multi-size search",
        ),
        (
            GRID_3X3 | {"mask_budgets": [[3, 3], [6, 6]]},
            "mask_budgets: 2 of them; write one for the exhaustive search",
        ),
        (
            GREEDY_3X3 | {"patch_size": [5, 33]},
            "patch_size 5x33 has more columns than image_size 32x32; write at most 32",
        ),
        *(
            (
                GAUSSIAN | {"noise_sides": sides},
                f"noise_sides: {sides}; write the smallest and the largest side of the square, from 1 to 32 pixels, "
                "such as [5, 10]",
            )
            for sides in ([0, 5], [6, 5], [5, 33])
        ),
        *(
            (
                GAUSSIAN | {"noise_sigma": sigma},
                f"noise_sigma: {sigma}; write a number above 0, for pixel values in [0, 1], such as 7",
            )
            for sigma in (0, -1.0, float("inf"), float("nan"))
        ),
    ],
)
def test_settings_that_a_strategy_cannot_take(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        strategy(settings, (32, 32))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("random", RandomCutout),
        ("random masks", RandomMasks),
        ("gutout both", Gutout),
        ("greedy 6x6", GreedyCutout),
        ("multi-size", MultiSizeGreedyCutout),
        ("grid 6x6", GridCutout),
        ("gaussian", GaussianPatch),
    ],
)
def test_settings_choose_the_strategy(name: str, kind: type[Strategy]) -> None:
    assert type(plan_of(name)) is kind
    assert plan_of(name).image_size == (32, 32)
