"""Scores of multi-label classifiers: the engine's extrema against all pairs, and the stored artifact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from patchcert import InputError
from patchcert.defenses.multilabel import Extrema
from patchcert.masking import MaskedCopies
from patchcert.masks import MaskSet, mask_set, masks_from_text
from patchcert.predict import Engine, extrema
from patchcert.scores import ScorePredictions, gather, open_scores

torch.set_num_threads(1)

SIZE = (9, 7)
CLASSES = 4
MASK_SETS = {
    "one-patch": mask_set(SIZE, (3, 2), (2, 3)),
    "any-six-pixels": masks_from_text(SIZE, "area-6", "2x2"),
    "two-patches": masks_from_text(SIZE, "2-of-3x2", "2x3"),
}


def classifier() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.GELU(), nn.Flatten(), nn.Linear(5 * 7 * 5, CLASSES))


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(2))


def pair_scores(model: nn.Module, pixels: torch.Tensor, masks: MaskSet, fill: float = 0.0) -> np.ndarray:
    """Scores under every ordered pair of masks, one copy at a time."""
    model = model.eval()
    count = len(masks)
    scores = np.empty((len(pixels), count, count, CLASSES), dtype=np.float32)
    for number, image in enumerate(pixels):
        for first in range(count):
            for second in range(count):
                copy = image.clone()
                for top, bottom, left, right in [
                    *masks.base_boxes[masks.members[first]],
                    *masks.base_boxes[masks.members[second]],
                ]:
                    copy[:, top:bottom, left:right] = fill
                with torch.inference_mode():
                    scores[number, first, second] = model(copy[None]).sigmoid()[0].numpy()
    return scores


@pytest.mark.parametrize("masks", MASK_SETS.values(), ids=list(MASK_SETS))
@pytest.mark.parametrize(("batch_size", "fill"), [(1, 0.0), (7, 0.5), (64, 0.0)])
def test_extrema_are_those_of_all_pairs(masks: MaskSet, batch_size: int, fill: float) -> None:
    model, pixels = classifier(), images()
    found = extrema(model, pixels, masks, batch_size=batch_size, fill=fill)
    wanted = Extrema.from_pairs(pair_scores(model, pixels, masks, fill))
    for name in ("single", "lowest", "highest"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=2e-6)
    assert (found.lowest < found.highest).all()


def test_scores_without_a_mask_and_passes() -> None:
    model, pixels, masks = classifier(), images(), MASK_SETS["one-patch"]
    engine = Engine(model, masks)
    found = engine.scores(pixels)
    with torch.inference_mode():
        np.testing.assert_allclose(found.unmasked, model(pixels).sigmoid().numpy(), atol=2e-6)
    assert engine.passes == len(pixels) * (len(masks.pairs) + 1)


def test_images_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels, masks = classifier(), images(), MASK_SETS["one-patch"]
    whole = extrema(model, pixels, masks)
    monkeypatch.setattr("patchcert.predict.IMAGES_SHOWN", 2)
    monkeypatch.setattr("patchcert.predict.REQUESTS", 23)
    np.testing.assert_allclose(extrema(model, pixels, masks).lowest, whole.lowest, atol=2e-6)


def test_memory_that_runs_out_halves_the_batch_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels, masks = classifier(), images(), MASK_SETS["one-patch"]
    whole, masked = extrema(model, pixels, masks), MaskedCopies._masked

    def scarce(self: MaskedCopies, *given: np.ndarray) -> torch.Tensor:
        if self.batch_size > 8:
            raise torch.OutOfMemoryError
        return masked(self, *given)

    monkeypatch.setattr(MaskedCopies, "_masked", scarce)
    engine = Engine(model, masks)
    np.testing.assert_allclose(engine.scores(pixels).extrema.highest, whole.highest, atol=2e-6)
    assert engine.batch_size == 8


@pytest.mark.parametrize(
    ("model", "pixels", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 63, 2)), torch.full((1, 3, *SIZE), torch.nan), "not finite"),
        (classifier(), torch.zeros(0, 3, *SIZE), "there is none"),
        (classifier(), torch.zeros(2, 3, 5, 5), "shape"),
    ],
)
def test_what_has_no_scores(model: nn.Module, pixels: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extrema(model, pixels, MASK_SETS["one-patch"])


# --- the stored artifact -----------------------------------------------------------------------------------------------------


def stored(*ids: str, identity: object = 1) -> ScorePredictions:
    random = np.random.default_rng(len(ids))
    scores = random.random((len(ids), 3, 3, 2), dtype=np.float32)
    rows = Extrema.from_pairs(np.maximum(scores, scores.transpose(0, 2, 1, 3)))
    return ScorePredictions.of(np.array(ids), random.random((len(ids), 2), dtype=np.float32), rows, {"made": identity})


def test_a_file_gives_back_what_was_saved_and_the_same_bytes(tmp_path: Path) -> None:
    made = stored("a", "b")
    for name in ("one.npz", "two.npz"):
        made.save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    read = ScorePredictions.load(tmp_path / "one.npz")
    np.testing.assert_array_equal(read.values, made.values)
    assert (read.image_ids.tolist(), read.identity) == (["a", "b"], {"made": 1})
    assert read.extrema.lowest.shape == (2, 3, 2)


def test_shards_become_one_mapped_array(tmp_path: Path) -> None:
    parts = [stored("a", "b"), stored("c")]
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    for part, path in zip(parts, paths, strict=True):
        part.save(path)
    gather(paths, tmp_path / "scores.npy", tmp_path / "scores.json")
    opened = open_scores(tmp_path / "scores.npy", tmp_path / "scores.json")
    joined = ScorePredictions.concatenate(parts)
    assert isinstance(opened.values.base, np.memmap) or isinstance(opened.values, np.memmap)
    np.testing.assert_array_equal(opened.values, joined.values)
    assert opened.image_ids.tolist() == ["a", "b", "c"]


def test_shards_that_were_made_otherwise_are_not_joined(tmp_path: Path) -> None:
    paths = [tmp_path / "0.npz", tmp_path / "1.npz"]
    stored("a").save(paths[0])
    stored("b", identity=2).save(paths[1])
    with pytest.raises(InputError, match="shards differ in made"):
        gather(paths, tmp_path / "scores.npy", tmp_path / "scores.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npz", "1.npz"]


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    stored("a", "b").save(tmp_path / "0.npz")
    gather([tmp_path / "0.npz"], tmp_path / "scores.npy", tmp_path / "scores.json")
    record = json.loads((tmp_path / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps(record | {"image_ids": ["a"]}))
    with pytest.raises(InputError, match=r"scores: shape \(2, 10, 2\) for 1 images"):
        open_scores(tmp_path / "scores.npy", tmp_path / "scores.json")


@pytest.mark.parametrize("name", ["scores.npz", "scores.npy"])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing")
    (tmp_path / "scores.json").write_text(json.dumps({"image_ids": [], "identity": {}}))
    with pytest.raises(InputError, match=f"{name}: no .*delete it and run snakemake again"):
        ScorePredictions.load(tmp_path / name) if name.endswith("z") else open_scores(tmp_path / name, tmp_path / "scores.json")


def test_image_ids_that_repeat() -> None:
    with pytest.raises(InputError, match="ids repeat"):
        stored("a", "a")
