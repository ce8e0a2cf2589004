"""Derandomized smoothing: copies and votes by hand, certificates against every change of votes and against every attack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses import bagcert
from patchcert.defenses.derandomized_smoothing import Ablation, certify, count, infer, votes
from patchcert.masks import patch_positions

ABLATIONS = [
    Ablation("block", 2, (3, 5)),
    Ablation("block", 3, (3, 4)),
    Ablation("column", 1, (2, 6)),
    Ablation("column", 3, (2, 5)),
]


def test_copies_by_hand() -> None:
    image = torch.tensor([[[[0.25, 0.5, 1.0]]]])
    found = [copies[0, :, 0].tolist() for copies in Ablation("column", 2, (1, 3)).copies(image)]
    assert found == [[[0.25, 0.5, 0], [0.75, 0.5, 0]], [[0, 0.5, 1], [0, 0.5, 0]], [[0.25, 0, 1], [0.75, 0, 0]]]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_every_copy_keeps_one_part_that_goes_round_the_edge(ablation: Ablation) -> None:
    rows, columns = ablation.image_size
    images = torch.rand(2, 3, rows, columns)
    copies = list(ablation.copies(images))
    assert len(copies) == ablation.places[0] * ablation.places[1]
    for place, each in zip(np.ndindex(ablation.places), copies, strict=True):
        assert each.shape == (2, 6, rows, columns)
        height = ablation.kept if ablation.kind == "block" else rows
        kept = np.ix_(
            [(place[0] + step) % rows for step in range(height)], [(place[1] + step) % columns for step in range(ablation.kept)]
        )
        expected = torch.zeros_like(each)
        for channels, values in ((slice(0, 3), images), (slice(3, 6), 1 - images)):
            expected[:, channels][:, :, kept[0], kept[1]] = values[:, :, kept[0], kept[1]]
        assert torch.equal(each, expected)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
@pytest.mark.parametrize("patch_size", [(1, 1), (2, 1), (1, 3), (2, 4)])
def test_what_copies_show_of_a_patch(ablation: Ablation, patch_size: tuple[int, int]) -> None:
    image = torch.rand(1, 1, *ablation.image_size)
    clean = torch.cat(list(ablation.copies(image)))
    shown = set()
    for top, bottom, left, right in patch_positions(ablation.image_size, patch_size):
        patched = image.clone()
        patched[..., top:bottom, left:right] = (patched[..., top:bottom, left:right] + 0.5) % 1
        differs = (torch.cat(list(ablation.copies(patched))) != clean).flatten(1).any(dim=1)
        shown.add(tuple(differs.tolist()))
    affected = ablation.affected(patch_size)
    assert {tuple(each) for each in affected.reshape(len(affected), -1).tolist()} == shown
    assert ablation.touched(patch_size) == max(map(sum, shown))


@pytest.mark.parametrize(
    ("ablation", "patch_size", "touched"),
    [
        (Ablation("block", 12, (32, 32)), (5, 5), 16**2),
        (Ablation("column", 4, (32, 32)), (5, 5), 8),
        (Ablation("block", 12, (32, 32)), (2, 24), 13 * 32),
        (Ablation("column", 25, (299, 299)), (7, 42), 66),
    ],
)
def test_how_many_copies_a_patch_touches(ablation: Ablation, patch_size: tuple[int, int], touched: int) -> None:
    assert ablation.touched(patch_size) == touched


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_votes_by_hand(kind) -> None:
    scores = kind([[[[0.5, 0.3, 0.2]], [[0.3, 0.3, 0.8]], [[0.2, 0.4, 0.0]]]])
    found = votes(scores, 0.3)
    assert type(found) is type(scores)
    assert found.tolist() == [[[[True, False, False]], [[False, False, True]], [[False, True, False]]]]
    assert count(votes(scores, 0.2)).tolist() == [[2, 3, 1]]
    assert infer(count(found)).tolist() == [0]


@pytest.mark.parametrize(
    ("counts", "label", "touched", "certified"),
    [
        ([5, 1, 1], 0, 2, True),
        ([1, 5, 1], 1, 2, False),
        ([1, 6, 1], 1, 2, True),
        ([0, 5, 1], 1, 2, True),
        ([4, 1, 0], 0, 2, False),
        ([3, 3, 0], 0, 0, True),
        ([3, 3, 0], 1, 0, False),
        ([0], 0, 9, True),
    ],
)
def test_certificates_by_hand(counts: list[int], label: int, touched: int, certified: bool) -> None:
    assert certify([counts], [label], touched).tolist() == [certified]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(0, 4), st.data())
def test_the_certificate_is_that_no_change_of_votes_turns_the_answer(
    counts: list[int], touched: int, data: st.DataObject
) -> None:
    label = data.draw(st.integers(0, len(counts) - 1))
    step = np.indices((2 * touched + 1,) * len(counts)).reshape(len(counts), -1).T - touched
    changed = np.array(counts) + 2 * touched + step  # so many more for all that no number of votes falls below none
    assert certify([counts], [label], touched)[0] == (infer(changed) == label).all()


@pytest.mark.parametrize(
    "ablation", [Ablation("column", 2, (1, 11)), Ablation("column", 1, (2, 6)), Ablation("block", 2, (3, 4))], ids=str
)
def test_no_attack_on_any_image_succeeds_where_it_is_certified(ablation: Ablation) -> None:
    """Arbitrary classifiers of the copies, all black and white images, every content of a pixel; BagCert's conditions too."""
    pixels = ablation.image_size[0] * ablation.image_size[1]
    codes = np.arange(2**pixels)
    images = torch.tensor((codes[:, None] >> np.arange(pixels)) & 1, dtype=torch.float32).reshape(-1, 1, *ablation.image_size)
    worth = 2.0 ** torch.arange(pixels)
    affected, touched = ablation.affected((1, 1)), ablation.touched((1, 1))
    held = dict.fromkeys(["smoothing", "3.2", "3.3"], 0)
    for seed in range(6):
        random = np.random.default_rng(seed)
        label = seed % 3
        likely = np.where(np.arange(3) == label, 0.75, 0.1)
        said = [
            (random.random((2**pixels, 3)) < likely)[(copies[:, 0].flatten(1) @ worth).long().numpy()]
            for copies in ablation.copies(images)
        ]
        region_votes = np.stack(said, axis=2).reshape(len(codes), 3, *ablation.places)
        counts = count(region_votes)
        answers = infer(counts)
        assert answers.tolist() == bagcert.infer(region_votes).tolist()
        attackable = np.zeros(len(codes), dtype=bool)
        for pixel in range(pixels):
            seen = codes & ~(1 << pixel)
            wrong = np.zeros(len(codes), dtype=bool)
            wrong[seen[answers != label]] = True
            attackable |= wrong[seen]
        labels = np.full(len(codes), label)
        found = {"smoothing": certify(counts, labels, touched)}
        for condition in ("3.2", "3.3"):
            found[condition] = bagcert.certify(region_votes, labels, affected, condition)
        assert (found["3.3"] <= found["3.2"]).all()
        assert (found["3.3"] <= found["smoothing"]).all()
        for name, certified in found.items():
            assert not (certified & attackable).any()
            held[name] += int(certified.sum())
    assert 0 < held["3.3"] < held["smoothing"]
    assert held["3.3"] < held["3.2"] or touched == 1  # with one output the two are the same


GOOD = Ablation("block", 2, (4, 6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ablation("row", 2, (4, 6)), "^kind: 'row'; write one of block, column$"),
        (lambda: Ablation("block", 5, (4, 6)), "^kept: 5; write a whole number of pixels from 1 to 4$"),
        (lambda: Ablation("column", 0, (4, 6)), "^kept: 0; write a whole number of pixels from 1 to 6$"),
        (lambda: GOOD.touched((5, 1)), "^patch_size 5x1 has more rows than image_size 4x6"),
        (lambda: GOOD.copies(torch.rand(1, 3, 6, 4)), r"^images: torch.float32 of shape \(1, 3, 6, 4\); write floating-point"),
        (lambda: GOOD.copies(torch.ones(1, 3, 4, 6, dtype=torch.uint8)), "^images: torch.uint8 of shape"),
        (lambda: votes(np.zeros((1, 3, 4)), 0.5), r"^scores: shape \(1, 3, 4\); write \[images, classes, rows, columns\]$"),
        (lambda: votes(np.zeros((1, 3, 4, 6)), 1.5), "^threshold: 1.5; write a number from 0 to 1$"),
        (lambda: certify([[1.0, 0.0]], [0], 1), "^counts: float64 of shape"),
        (lambda: certify([[1, -1]], [0], 1), "^counts: int64 of shape"),
        (
            lambda: certify([1, 0], [0], 1),
            r"^counts: int64 of shape \(2,\); write whole numbers from 0 up, \[images, classes\]$",
        ),
        (lambda: certify([[1, 0]], [2], 1), "^labels: 2 to 2; write whole numbers from 0 to 1$"),
        (lambda: certify([[1, 0]], [0, 1], 1), "^labels: int64 of shape"),
        (lambda: certify([[1, 0]], [0], -1), "^touched: -1; write a whole number from 0 up$"),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
