"""Derandomized smoothing as a classifier: its votes against a plain loop, what a patch can change, what training shows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from patchcert import InputError
from patchcert.defenses.derandomized_smoothing import Ablation, Kind
from patchcert.masking import box_pixels
from patchcert.masks import Size, patch_positions
from patchcert.models import registry
from patchcert.models.region_classifier import RegionClassifier
from patchcert.models.smoothed import SmoothedVote

torch.set_num_threads(1)

SMOOTHED: list[tuple[Kind, int]] = [("block", 4), ("column", 2)]
SIZE = (9, 11)


def smoothed(kind: Kind, kept: int, classes: int = 3) -> SmoothedVote:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
    base(torch.zeros(1, 6, *SIZE))
    for parameter in base.parameters():
        nn.init.normal_(parameter, std=0.5)
    return SmoothedVote(base, kind, kept).eval()


def normalised(count: int, size: Size = SIZE) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Watched(nn.Module):
    """Two logits, and what they were asked of."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = torch.empty(0)

    def forward(self, copies: torch.Tensor) -> torch.Tensor:
        self.shown = copies
        return copies.flatten(1)[:, :2]


@pytest.mark.parametrize(("kind", "kept"), SMOOTHED)
def test_votes_are_those_of_a_plain_loop_over_all_copies(kind: Kind, kept: int) -> None:
    model, images = smoothed(kind, kept), normalised(5)
    ablation = Ablation(kind, kept, SIZE)
    with torch.inference_mode():
        said = torch.stack([model.base(copies).softmax(dim=1) for copies in ablation.copies((images + 1) / 2)], dim=2)
    said = said.unflatten(2, ablation.places)
    scores, unsure = model.scores_and_unsure(images, 0.02)
    clear = (said - 0.3).abs() > 1e-5
    assert (scores.shape, scores.dtype) == (said.shape, torch.float32)
    assert torch.equal(scores[clear], (said > 0.3).float()[clear])
    assert 0.1 < scores.mean() < 0.9
    near = (said - 0.3).abs()
    assert unsure[near < 0.0199].all()
    assert not unsure[near > 0.0201].any()
    assert torch.equal(model.scores(images), scores)


@pytest.mark.parametrize(("margin", "unsure"), [(0.0, [False] * 3), (0.02, [True, False, False]), (0.06, [True, True, False])])
def test_a_vote_is_unsure_where_its_softmax_is_near_the_threshold(margin: float, unsure: list[bool]) -> None:
    class Fixed(nn.Module):
        def forward(self, copies: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.31, 0.25, 0.44]).log().expand(len(copies), 3)

    scores, near = SmoothedVote(Fixed(), "block", 2).eval().scores_and_unsure(normalised(2), margin)
    assert scores.unique(dim=0).flatten(2).unique(dim=2).flatten().tolist() == [1, 0, 1]
    assert near.unique(dim=0).flatten(2).unique(dim=2).flatten().tolist() == unsure


@pytest.mark.parametrize(
    ("kind", "size", "rows", "columns"),
    [
        ("block", (9, 11), [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 4, 5, 6, 8, 9]),
        ("block", (16, 5), [0, 2, 4, 6, 8, 10, 12, 14], [0, 1, 2, 3, 4]),
        ("column", (9, 11), [0], list(range(11))),
        ("column", (9, 128), [0], list(range(0, 128, 2))),
    ],
)
def test_epochs_are_compared_by_the_votes_of_an_even_spread_of_places(
    kind: Kind, size: Size, rows: list[int], columns: list[int]
) -> None:
    model = SmoothedVote(nn.Sequential(nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten()), kind, 3).eval()
    model.threshold = 1 / 36
    images = normalised(3, size)
    wanted = model.scores(images)[:, :, rows][..., columns].mean(dim=(2, 3))
    torch.testing.assert_close(model(images), wanted)
    assert len(wanted.unique()) > 1


# --- what a patch can change -------------------------------------------------------------------------------------------------


def region_classifier(name: str) -> RegionClassifier:
    torch.manual_seed(0)
    model = smoothed(*MODELS[name]) if name in MODELS else registry.build(name, 3, SIZE).eval()
    assert isinstance(model, RegionClassifier)
    return model


MODELS = {kind: (kind, kept) for kind, kept in SMOOTHED}


@pytest.mark.parametrize("name", ["small_bagcert_rf5", *MODELS])
@pytest.mark.parametrize("sizes", [[(2, 3)], [(1, 5), (4, 1)]], ids=str)
def test_a_patch_changes_no_score_but_those_said_to_be_affected(name: str, sizes: list[Size]) -> None:
    model = region_classifier(name)
    images, random = normalised(8), torch.Generator().manual_seed(2)
    clean = model.scores(images)
    places = model.places(SIZE, sizes)
    affected = model.affected(SIZE, sizes)
    assert np.array_equal(affected, places.outputs)
    size = (clean.shape[2], clean.shape[3])
    maps = torch.tensor(affected) if affected.ndim == 3 else box_pixels(affected, size)
    assert len(maps.flatten(1).unique(dim=0)) == len(maps) == len(places.patches)

    def changed(box: np.ndarray) -> torch.Tensor:
        top, bottom, left, right = box
        patched = images.clone()
        noise = torch.randint(2, patched[..., top:bottom, left:right].shape, generator=random)
        patched[..., top:bottom, left:right] = noise * 2.0 - 1
        return (model.scores(patched) != clean).any(dim=1).any(dim=0)

    ever = torch.zeros(size, dtype=torch.bool)
    for box, region in zip(places.patches, maps, strict=True):
        found = changed(box)
        assert not (found & ~region).any()
        ever |= found
    assert ever.float().mean() > 0.5
    for box in itertools.chain.from_iterable(patch_positions(SIZE, each)[::5] for each in sizes):
        assert (changed(box) <= maps).flatten(1).all(dim=1).any()


@pytest.mark.parametrize(
    ("kind", "sizes", "count"),
    [
        ("block", (5, 5), 28 * 28),
        ("block", [(5, 5), (5, 5)], 28 * 28),
        ("block", (24, 3), 30),  # shown in all rows of places
        ("column", (5, 5), 28),
        ("column", [(5, 5), (1, 5)], 28),
        ("column", [(1, 31), (32, 32)], 1),
    ],
)
def test_places_that_show_on_the_same_copies_count_once(kind: Kind, sizes: Size | list[Size], count: int) -> None:
    model = registry.build(f"small_{kind}_smoothing", 10, (32, 32))
    assert isinstance(model, SmoothedVote)
    places = model.places((32, 32), sizes)
    assert len(places.outputs) == count
    assert places.patches[:, 0].max() == (0 if count < 100 else 27)
    assert places.outputs.shape[1:] == ((32, 32) if kind == "block" else (1, 32))


# --- training ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "kept"), SMOOTHED)
def test_training_shows_of_each_image_one_part_anywhere(kind: Kind, kept: int) -> None:
    base = Watched()
    model, image = SmoothedVote(base, kind, kept), normalised(1)
    ablation = Ablation(kind, kept, SIZE)
    count = ablation.places[0] * ablation.places[1]
    torch.manual_seed(0)
    assert torch.equal(model(image.expand(60 * count, -1, -1, -1)), base.shown.flatten(1)[:, :2])
    copies = torch.cat(list(ablation.copies((image + 1) / 2))).flatten(1)
    drawn = torch.cdist(base.shown.flatten(1), copies, p=float("inf"))
    assert (drawn.amin(dim=1) < 1e-6).all()
    times = drawn.argmin(dim=1).bincount(minlength=count)
    assert 25 < times.min() <= times.max() < 100, "every part is as likely as any other: 60 times, give or take 8"


@pytest.mark.parametrize(("kind", "kept"), SMOOTHED)
def test_parts_depend_on_the_global_generator_alone_and_votes_on_no_generator(kind: Kind, kept: int) -> None:
    model, images = smoothed(kind, kept), normalised(6)
    said = []
    for seed, training in itertools.product((1, 1, 2), (True, False)):
        torch.manual_seed(seed)
        said.append(model.train(training)(images))
    assert torch.equal(said[0], said[2])
    assert not torch.equal(said[0], said[4])
    assert torch.equal(said[1], said[3])
    assert torch.equal(said[1], said[5])
    assert said[0].requires_grad
    assert not said[1].requires_grad


# --- what is refused ---------------------------------------------------------------------------------------------------------


def test_an_image_that_the_kept_part_does_not_fit_into() -> None:
    with pytest.raises(InputError, match=r"^kept: 12; write a whole number of pixels from 1 to 8$"):
        registry.build("small_block_smoothing", 10, (32, 8))(torch.zeros(1, 3, 32, 8))


def test_a_patch_that_has_no_size() -> None:
    with pytest.raises(InputError, match=r"^patch_sizes: \[\]; write rows and columns"):
        smoothed("block", 4).affected(SIZE, [])
