"""BagCert's conditions: by hand, against the paper's definitions place by place, and against every attack on tiny images."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from patchcert import InputError, bagcert_bench
from patchcert.defenses import bagcert
from patchcert.defenses.bagcert import Condition, certify, infer, margins, sweep, weakest
from patchcert.masks import Size, patch_positions
from patchcert.receptive_field import ReceptiveField

CONDITIONS: tuple[Condition, ...] = ("3.1", "3.2", "3.3")
EIGHTHS = np.arange(9) / 8
"""Scores of which sums are exact in any order."""

FIGURE_5 = np.array([[[1, 1, 0, 1, 1, 1, 1, 1]], [[1, 0, 1, 0, 0, 1, 0, 0]]])[None]
"""One image, two classes, eight outputs: the differences are 0, 1, -1, 1, 1, 0, 1, 1, which sum up to 4."""


def as_maps(boxes: np.ndarray, size: Size) -> np.ndarray:
    maps = np.zeros((len(boxes), *size), dtype=bool)
    for each, (top, bottom, left, right) in zip(maps, boxes, strict=True):
        each[top:bottom, left:right] = True
    return maps


def middle(scores: torch.Tensor) -> torch.Tensor:
    """The lower median of the region scores: monotone, and no sum."""
    return scores.flatten(-2).median(dim=-1).values


def with_prior(scores: torch.Tensor) -> torch.Tensor:
    """A sum of which no class has more than three, and the last class a little more."""
    return scores.sum(dim=(-2, -1)).clamp(max=3) + 0.25 * torch.arange(scores.shape[-3])


@pytest.mark.parametrize(
    ("box", "left", "certified"),
    [
        pytest.param((0, 1, 0, 3), {"3.2": 1, "3.3": -2}, {"3.1", "3.2"}, id="like-figure-5"),
        pytest.param((0, 1, 3, 5), {"3.2": 0, "3.3": 0}, set(), id="tie"),
        pytest.param((0, 1, 2, 3), {"3.2": 4, "3.3": 2}, {"3.1", "3.2", "3.3"}, id="one-output-that-is-wrong-already"),
        pytest.param((0, 0, 0, 0), {"3.2": 4, "3.3": 4}, {"3.1", "3.2", "3.3"}, id="no-output"),
        pytest.param((0, 1, 0, 8), {"3.2": -8, "3.3": -12}, set(), id="every-output"),
    ],
)
def test_one_place_by_hand(box: tuple[int, ...], left: dict[str, int], certified: set[str]) -> None:
    boxes = np.array([box])
    for affected in (boxes, as_maps(boxes, (1, 8))):
        assert {condition for condition in CONDITIONS if certify(FIGURE_5, [0], affected, condition)[0]} == certified
        found = margins(FIGURE_5, [0], affected)
        assert (found.condition_3_2.tolist(), found.condition_3_3.tolist()) == ([left["3.2"]], [left["3.3"]])
        assert not certify(FIGURE_5, [1], affected, "3.2").any()
    assert infer(FIGURE_5).tolist() == [0]


def test_ties_go_to_the_smallest_class() -> None:
    scores = np.zeros((2, 3, 2, 2), dtype=bool)
    scores[0, 1:, 0] = True
    assert infer(scores).tolist() == [1, 0]
    assert infer(scores, aggregate=with_prior).tolist() == [2, 2]


@st.composite
def scored(draw: st.DrawFn, *, binary: bool | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [N, C, H, W], labels [N] that lead in most images, and boxes [P, 4], some of them empty."""
    most = {"images": 4, "classes": 4, "rows": 4, "columns": 5, "places": 6}
    images, classes, rows, columns, places = (draw(st.integers(1 + (name == "classes"), size)) for name, size in most.items())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = np.array([0, 1]) if (draw(st.booleans()) if binary is None else binary) else EIGHTHS
    falling = np.geomspace(6, 1, len(levels)) / np.geomspace(6, 1, len(levels)).sum()
    labels = random.integers(0, classes, images)
    scores = random.choice(levels, (images, classes, rows, columns), p=falling)
    scores[np.arange(images), labels] = random.choice(levels[::-1], (images, rows, columns), p=falling)
    edges = [np.sort(random.integers(0, side + 1, (places, 2)), axis=1) for side in (rows, columns)]
    return scores.astype(draw(st.sampled_from([np.float32, np.float64]))), labels, np.concatenate(edges, axis=1)


def as_written(scores: np.ndarray, label: int, maps: np.ndarray, condition: Condition, aggregate: Any) -> bool:
    """A condition of the paper for one image [C, H, W], over every class and place."""
    others = [name for name in range(len(scores)) if name != label]
    delta = scores[label] - scores.astype(float)
    if condition == "3.3":
        return bool(min(delta[name].sum() for name in others) > 2 * max(place.sum() for place in maps))
    if condition == "3.2":
        return all(min(delta[name][~place].sum() for name in others) > place.sum() for place in maps)
    for place in maps:
        worst = scores.astype(float)
        worst[:, place] = 1
        worst[label, place] = 0
        classes = aggregate(torch.tensor(worst)).tolist()
        if any(classes[label] <= classes[name] for name in others):
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(scored(), st.sampled_from([None, middle, with_prior]))
def test_conditions_are_those_of_the_paper(given_scores: tuple[np.ndarray, ...], aggregate: Any) -> None:
    scores, labels, boxes = given_scores
    maps = as_maps(boxes, scores.shape[2:])
    found = {}
    for condition in CONDITIONS:
        options = {"aggregate": aggregate} if condition == "3.1" else {}
        found[condition] = certify(scores, labels, boxes, condition, **options)
        assert found[condition].dtype == np.bool_
        assert certify(scores, labels, maps, condition, **options).tolist() == found[condition].tolist()
        summed = aggregate or (lambda each: each.sum(dim=(-2, -1)))
        expected = [as_written(*one, maps, condition, summed) for one in zip(scores, labels, strict=True)]
        assert found[condition].tolist() == expected
    assert (found["3.2"] >= found["3.3"]).all()
    if aggregate is None:
        assert found["3.1"].tolist() == found["3.2"].tolist()
    for condition in CONDITIONS:
        assert (infer(scores, aggregate=aggregate if condition == "3.1" else None) == labels)[found[condition]].all()


@settings(max_examples=150, deadline=None)
@given(scored())
def test_margins_are_the_least_leads(given_scores: tuple[np.ndarray, ...]) -> None:
    scores, labels, boxes = given_scores
    maps = as_maps(boxes, scores.shape[2:])
    for affected in (boxes, maps):
        found = margins(scores, labels, affected)
        for image, (each, label) in enumerate(zip(scores.astype(float), labels, strict=True)):
            delta = each[label] - each
            left = [
                (delta[name][~place].sum() - place.sum(), name, number)
                for name in range(len(each))
                for number, place in enumerate(maps)
                if name != label
            ]
            assert (found.condition_3_2[image], found.target[image], found.place[image]) == min(left)
            least = min(delta[name].sum() for name in range(len(each)) if name != label)
            assert found.condition_3_3[image] == least - 2 * maps.sum(axis=(1, 2)).max()
        assert (found.condition_3_2 > 0).tolist() == certify(scores, labels, affected, "3.2").tolist()
        assert (found.condition_3_3 > 0).tolist() == certify(scores, labels, affected, "3.3").tolist()
        kind = np.int64 if np.isin(scores, (0, 1)).all() else np.float64
        assert (found.condition_3_2.dtype, found.condition_3_3.dtype) == (kind, kind)
        assert [each.tolist() for each in weakest(scores, labels, affected)] == [found.place.tolist(), found.target.tolist()]


@settings(max_examples=50, deadline=None)
@given(scored(), st.sampled_from([1, 40, 200]))
def test_blocks_kinds_and_several_threats_change_nothing(given_scores: tuple[np.ndarray, ...], numbers: int) -> None:
    scores, labels, boxes = given_scores
    maps = as_maps(boxes, scores.shape[2:])
    threats = [boxes, maps[:1], boxes[::-1]]
    expected = [margins(scores, labels, affected) for affected in threats]
    held = {condition: certify(scores, labels, boxes, condition) for condition in CONDITIONS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bagcert.NUMBERS, "cpu", numbers)
        for found in (sweep(scores, labels, threats), sweep(torch.tensor(scores), torch.tensor(labels), threats)):
            for several, one in zip(found, expected, strict=True):
                for mine, theirs in zip(several, one, strict=True):
                    assert np.array_equal(np.asarray(mine), theirs)
        for condition in CONDITIONS:
            tensors = certify(torch.tensor(scores), torch.tensor(labels), torch.tensor(maps), condition)
            assert isinstance(tensors, torch.Tensor)
            assert tensors.tolist() == certify(scores, labels, boxes, condition).tolist() == held[condition].tolist()
        assert infer(torch.tensor(scores)).tolist() == infer(scores).tolist()


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float16])
def test_scores_of_any_kind(kind: type) -> None:
    assert certify(FIGURE_5.astype(kind), [0], [[0, 1, 0, 3]], "3.2").tolist() == [True]
    read_only = np.broadcast_to(FIGURE_5.astype(kind), (3, 2, 1, 8))[:, ::-1]
    assert infer(read_only).tolist() == [1, 1, 1]


def test_scores_that_are_still_being_trained_keep_no_graph() -> None:
    logits = torch.tensor(FIGURE_5, dtype=torch.float32).sub(0.5).requires_grad_()
    found = margins(logits.sigmoid(), [0], [[0, 1, 0, 3]])
    assert not found.condition_3_2.requires_grad
    assert not certify(logits.sigmoid(), [0], [[0, 1, 0, 3]], "3.1").requires_grad


def test_no_answer_or_certificate_hangs_on_the_order_of_a_sum() -> None:
    """0.1 + 0.2 + 0.3 is less than 0.3 + 0.2 + 0.1 in floating point."""
    orders = np.array(list(itertools.permutations([0.1, 0.2, 0.3])))[:, None]
    place = np.array([[0, 0, 0, 0]])
    for first, second in itertools.product(orders, repeat=2):
        scores = np.stack([first, second])[None]
        assert infer(scores).tolist() == [0]
        assert margins(scores, [0], place).condition_3_2.tolist() == [0]
        assert not any(certify(scores, [label], place, condition)[0] for label in (0, 1) for condition in CONDITIONS)
    random = np.random.default_rng(0)
    scores, labels = random.random((20, 5, 9, 9), dtype=np.float32), random.integers(0, 5, 20)
    boxes = patch_positions((9, 9), (3, 3))
    for mine, theirs in zip(margins(scores, labels, boxes), margins(scores, labels, as_maps(boxes, (9, 9))), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_numerical_margin(scale: float) -> None:
    """What is left must be more than the margin; in units of the aggregate."""
    scores, box = FIGURE_5 * scale, [[0, 0, 0, 0]]
    for condition in CONDITIONS:
        held = [certify(scores, [0], box, condition, numerical_margin=4 * scale - off)[0] for off in (0, 0.01, 1)]
        assert held == [False, True, True]


def test_no_images() -> None:
    nothing = np.zeros((0, 3, 2, 2))
    assert infer(nothing).shape == (0,)
    for condition in CONDITIONS:
        assert certify(nothing, np.zeros(0, dtype=int), [[0, 1, 0, 1]], condition).shape == (0,)
    assert margins(nothing, np.zeros(0, dtype=int), [[0, 1, 0, 1]]).place.shape == (0,)


GOOD: dict[str, Any] = {"scores": FIGURE_5, "labels": [0], "affected": [[0, 1, 0, 3]], "condition": "3.2"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scores": FIGURE_5[0]}, r"^scores: int64 of shape \(2, 1, 8\); write numbers from 0 to 1, \[images, classes, rows"),
        ({"scores": FIGURE_5[:, :1]}, "two classes or more$"),
        ({"scores": FIGURE_5.astype(complex)}, "^scores: complex128"),
        ({"scores": FIGURE_5 * 2}, "^scores: 0 to 2; write numbers from 0 to 1"),
        ({"scores": FIGURE_5 - 0.5}, "^scores: -0.5 to 0.5; "),
        ({"scores": np.where(FIGURE_5, np.nan, 0)}, "^scores: nan to nan; "),
        ({"labels": [0, 1]}, r"^labels: int64 of shape \(2,\); write one whole number for each of the 1 images$"),
        ({"labels": [0.0]}, "^labels: float64 of shape"),
        ({"labels": [True]}, "^labels: bool of shape"),
        ({"labels": [2]}, "^labels: 2; write whole numbers from 0 to 1$"),
        ({"labels": [-1]}, "^labels: -1; "),
        ({"affected": np.zeros((0, 4), dtype=int)}, "^affected: there is no place; "),
        ({"affected": np.zeros((0, 1, 8), dtype=bool)}, "^affected: there is no place; "),
        ({"affected": [0, 1, 0, 3]}, r"^affected: torch.int64 of shape \(4,\); write bool maps, \[places, 1, 8\], or boxes"),
        ({"affected": np.zeros((1, 1, 8))}, "^affected: torch.float64 of shape"),
        ({"affected": np.zeros((1, 2, 8), dtype=bool)}, "^affected: torch.bool of shape"),
        ({"affected": [[0.0, 1, 0, 3]]}, "^affected: float64 of shape"),
        ({"affected": [[0, 1, 0, 3], [0, 1, 5, 9]]}, r"^affected: \[0, 1, 5, 9\] is no box in 1x8; "),
        ({"condition": "3.4"}, "^condition: '3.4'; write one of 3.1, 3.2, 3.3$"),
        ({"aggregate": middle}, "^aggregate: condition 3.2 is for sums; "),
        ({"aggregate": torch.sum, "condition": "3.1"}, r"^aggregate: it makes \(\) of \(1, 1, 2, 1, 8\); "),
        ({"numerical_margin": float("nan")}, "^numerical_margin: nan; "),
        ({"numerical_margin": -1}, "^numerical_margin: -1; "),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify(**(GOOD | wrong))


@settings(max_examples=150, deadline=None)
@given(scored(binary=True))
def test_condition_3_2_is_tight_for_a_scorer_that_can_say_anything(given_scores: tuple[np.ndarray, ...]) -> None:
    """Every content of R(l) at every place: an attack succeeds exactly where the worst case is lost, but for lucky ties."""
    scores, labels, boxes = given_scores
    image, label, classes = scores[0], labels[0], scores.shape[1]
    maps = as_maps(boxes, scores.shape[2:])
    few = maps.sum(axis=(1, 2)) * classes <= 12
    assume(few.any())
    attacked, lost, lucky = False, False, False
    for place in maps[few]:
        turned = classes * int(place.sum())
        attacks = np.repeat(image[None], 2**turned, axis=0)
        attacks[:, :, place] = ((np.arange(2**turned)[:, None] >> np.arange(turned)) & 1).reshape(
            2**turned, classes, -1 if turned else 0
        )
        attacked |= bool((infer(attacks) != label).any())
        left = (image[label] - image)[:, ~place].sum(axis=1) - place.sum()
        lost |= any(left[name] < (name < label) for name in range(classes) if name != label)
        lucky |= any(left[name] == 0 for name in range(label + 1, classes))
    assert attacked == lost
    assert certify(scores[:1], labels[:1], boxes[few], "3.2")[0] == (not attacked and not lucky)


LAYERS = {
    "row": ((1, 9), ReceptiveField([(1, 1, 0)], [(2, 1, 0)]), [(1, 1)]),
    "padded-row": ((1, 9), ReceptiveField([(1, 1, 0)], [(2, 1, 0), (2, 1, 1)]), [(1, 1)]),
    "two-sizes": ((1, 11), ReceptiveField([(1, 1, 0)], [(1, 1, 0)]), [(1, 2), (1, 1)]),
    "3x4": ((3, 4), ReceptiveField([(2, 1, 0)], [(1, 1, 0)]), [(1, 1)]),
    "strided": ((1, 15), ReceptiveField([(1, 1, 0)], [(3, 1, 0), (1, 2, 0)]), [(1, 1)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_no_attack_on_any_image_succeeds_where_it_is_certified(name: str) -> None:
    """Heaviside networks on all black and white images, under every content of a patch at every position."""
    size, field, patch_sizes = LAYERS[name]
    pixels = size[0] * size[1]
    codes = np.arange(2**pixels)
    images = torch.tensor((codes[:, None] >> np.arange(pixels)) & 1, dtype=torch.float32).reshape(-1, 1, *size)
    affected = field.affected(size, field.output_size(size), patch_sizes)
    counts = dict.fromkeys([*CONDITIONS, "middle"], 0)
    for seed in range(8):
        scores = heaviside_network(field, images, seed)
        for label, aggregate, conditions in [(0, None, CONDITIONS), (1, None, CONDITIONS), (0, middle, ("3.1",))]:
            answers = infer(scores, aggregate=aggregate).numpy()
            attackable = np.zeros(len(codes), dtype=bool)
            for patch_size in patch_sizes:
                for top, bottom, left, right in patch_positions(size, patch_size):
                    hidden = as_maps(np.array([[top, bottom, left, right]]), size).ravel() @ (1 << np.arange(pixels))
                    seen = codes & ~hidden
                    wrong = np.zeros(len(codes), dtype=bool)
                    wrong[seen[answers != label]] = True
                    attackable |= wrong[seen]
            labels = np.full(len(codes), label)
            for condition in conditions:
                options = {"aggregate": aggregate} if aggregate else {}
                held = certify(scores, labels, affected, condition, **options).numpy()
                assert not (held & attackable).any()
                counts["middle" if aggregate else condition] += int(held.sum())
    assert counts["3.1"] == counts["3.2"] > counts["3.3"] > 0
    assert counts["middle"] > 0


def heaviside_network(field: ReceptiveField, images: torch.Tensor, seed: int) -> torch.Tensor:
    """Binary region scores [U, 3, h, w] of a random network; class 0 or 1 scores in most regions, the others in few."""
    generator, values = torch.Generator().manual_seed(seed), images
    for rows, columns in itertools.zip_longest(field.rows, field.columns, fillvalue=(1, 1, 0)):
        weights = torch.randn(3, values.shape[1], rows[0], columns[0], generator=generator)
        stride, padding = zip(rows[1:], columns[1:], strict=True)
        values = torch.nn.functional.conv2d(values, weights, stride=stride, padding=padding).sin()
    quantiles = [0.2, 0.8, 0.8] if seed % 2 else [0.8, 0.2, 0.8]
    steps = [values[:, name].quantile(share) for name, share in enumerate(quantiles)]
    return values >= torch.stack(steps)[:, None, None]


SMALL = [
    "--images",
    "6",
    "--few-images",
    "2",
    "--classes",
    "3",
    "--pixels",
    "12",
    "--patch",
    "2",
    "--width",
    "4",
    "--rounds",
    "2",
]


def test_the_benchmark_times_every_condition_and_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bagcert_bench.main([*SMALL, "--output", str(tmp_path / "bench.csv")]) == 0
    found = pd.read_csv(tmp_path / "bench.csv")
    assert found["contender"].tolist() == [
        bagcert_bench.PLAIN_LOOP, "condition 3.1", "condition 3.2", "condition 3.3", bagcert_bench.FORWARD
    ]  # fmt: skip
    assert found["images"].tolist() == [2, 2, 6, 6, 6]
    assert (found[["microseconds", "images_per_second"]] > 0).all(axis=None)
    assert found["of_forward"].iloc[-1] == 1
    assert bagcert_bench.PLAIN_LOOP in capsys.readouterr().out


def test_the_benchmark_compares_what_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = bagcert_bench.Setting(classes=3, pixels=16, patch=1, width=4, device="cpu")
    scores, labels = bagcert_bench.random_scores(setting, 60)
    found = bagcert_bench.plain_loop(scores, labels, setting.boxes)
    assert found.tolist() == certify(scores, labels, setting.boxes, "3.1").tolist()
    assert 0 < found.sum() < 60
    region_scores = bagcert_bench.network(setting)(torch.rand(2, 3, 16, 16))
    assert (region_scores.dtype, tuple(region_scores.shape)) == (torch.bool, (2, 3, 16, 16))
    monkeypatch.setattr(bagcert_bench, "certify", lambda scores, *_: np.full(len(scores), False))
    with pytest.raises(RuntimeError, match="do not agree"):
        bagcert_bench.compare(setting, 60, 60, 1)


@pytest.mark.parametrize(("option", "message"), [("--rounds", "--rounds: 0; write"), ("--patch", "--patch: 0; write")])
def test_the_benchmark_refuses_what_it_cannot_measure(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bagcert_bench.main([*SMALL, option, "0"]) == 1
    assert message in capsys.readouterr().err
    assert bagcert_bench.main([*SMALL, "--patch", "13"]) == 1
    assert "patch_size 13x13 has more rows than image_size 12x12" in capsys.readouterr().err
