"""The sweep against the direct computation at each threshold, in blocks and from mapped files, and against the plain loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.curves import class_totals, totals, turning_points
from patchcert.defenses.attackers import worst_class_recall, worst_metric
from patchcert.defenses.multilabel import Extrema, certify, certify_located, infer
from patchcert.defenses.places import at_places
from patchcert.defenses.sweeps import GRID, blocks, sweep
from patchcert.multilabel_bench import Size, main, pairs_sweep, plain_loop, write_extrema, write_pairs

from .scored import LEVELS, scored


@settings(max_examples=40, deadline=None)
@given(scored(images=5), st.data())
def test_a_sweep_is_the_direct_computation_at_every_threshold(given_scores, data: st.DataObject) -> None:
    scores, labels = given_scores
    extrema, masks = Extrema.from_pairs(scores), scores.shape[1]
    sets = data.draw(st.sampled_from([None, np.eye(masks, dtype=bool)[:1], np.tri(masks, dtype=bool)]))
    turns = turning_points(LEVELS)
    cuts = np.unique(np.concatenate([turns, np.nextafter(turns[1:], np.float32(0)), [0.3]]).astype(np.float32))
    found = sweep(extrema, labels, cuts, covering_sets=sets, size=data.draw(st.integers(1, 6)))
    bounds = extrema if sets is None else at_places(extrema, sets)
    assert set(turning_points(found.defended, found.certified, found.located)) <= set(turns)
    defended, alone = class_totals(found.defended, labels, cuts), class_totals(found.certified, labels, cuts)
    located = totals(found.located, labels, cuts)
    for number, cut in enumerate(cuts):
        answer = infer(extrema, cut)
        assert defended.tp[number].tolist() == (answer & labels).sum(axis=0).tolist()
        assert defended.fp[number].tolist() == (answer & ~labels).sum(axis=0).tolist()
        for part, expected in zip(alone, certify(bounds, labels, cut), strict=True):
            assert part[number].tolist() == expected.sum(axis=0).tolist()
        for whole, attacker in ((located, "worst_case"), (found.fn_attacker, "fn"), (found.fp_attacker, "fp")):
            expected = certify_located(bounds, labels, cut, attacker)
            assert [part[number] for part in whole] == [part.sum() for part in expected]
        for metric in ("precision", "recall", "f1"):
            np.testing.assert_equal(getattr(found, metric)[number], worst_metric(bounds, labels, cut, metric).value)
        expected = worst_class_recall(bounds, labels, cut).value
        assert found.class_recall[number] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_blocks_are_views_of_all_images_in_order(tmp_path: Path) -> None:
    size = Size(images=7, masks=3, classes=4, thresholds=5)
    write_extrema(tmp_path / "made", size)
    names = ("single", "lowest", "highest")
    arrays = {name: np.load(tmp_path / "made" / f"{name}.npy", mmap_mode="r") for name in names}
    labels = np.load(tmp_path / "made" / "labels.npy")
    found = list(blocks(Extrema(**arrays), labels, 3))
    assert [len(block) for block, _ in found] == [3, 3, 1]
    for name in names:
        assert np.array_equal(np.concatenate([getattr(block, name) for block, _ in found]), arrays[name])
        assert all(np.shares_memory(getattr(block, name), arrays[name]) for block, _ in found)
    assert np.array_equal(np.concatenate([part for _, part in found]), labels)
    mapped = sweep(Extrema(**arrays), labels, size=2)
    read = sweep(Extrema(**{name: np.array(values) for name, values in arrays.items()}), labels)
    for one, other in zip(mapped, read, strict=True):
        np.testing.assert_equal(one, other)


def test_the_paper_s_grid() -> None:
    assert [GRID[0], GRID[1], GRID[80], GRID[99], len(GRID)] == [0, 0.01, 0.8, 0.99, 100]


def test_no_image_gives_no_count() -> None:
    found = sweep(Extrema.from_pairs(np.zeros((0, 3, 3, 2), dtype=np.float32)), np.zeros((0, 2), dtype=bool), [0.5])
    assert found.located.shape == (0, 2)
    assert found.fn_attacker.fn.tolist() == [0]
    assert np.isnan([found.precision, found.recall, found.f1, found.class_recall]).all()


def test_bad_sweeps() -> None:
    extrema, labels = Extrema.from_pairs(np.full((1, 2, 2, 1), 0.5)), [[1]]
    for thresholds in ([0.5, 0.5], [0.5, 0.2], [0.5, 0.5 + 1e-12]):
        with pytest.raises(InputError, match=r"^thresholds: .* do not increase as float32; write increasing ones, each once$"):
            sweep(extrema, labels, thresholds)
    with pytest.raises(InputError, match=r"^size: 0; write the number of images in a block, from 1 up$"):
        sweep(extrema, labels, size=0)


def test_the_plain_loop_of_the_benchmark_finds_the_same(tmp_path: Path) -> None:
    size = Size(images=3, masks=4, classes=30, thresholds=9)
    write_pairs(tmp_path / "few", size)
    found = plain_loop(tmp_path / "few", size)
    assert np.array_equal(found, pairs_sweep(tmp_path / "few", size))
    assert (found.max(axis=1) > found.min(axis=1)).all()


def test_a_benchmark_of_nothing_is_refused(capsys) -> None:
    assert main(["--images", "0"]) == 1
    assert "--images: 0; write a whole number from 1 up" in capsys.readouterr().err
