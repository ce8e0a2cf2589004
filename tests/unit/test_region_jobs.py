"""What the workflow asks of trained region scorers: stored scores, times, and attacks that no certificate gives in to."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from patchcert import InputError
from patchcert.defenses import bagcert
from patchcert.evaluation.bagcert import attack_measures
from patchcert.models import registry
from patchcert.models.region_classifier import region_classifier
from patchcert.provenance import write_json
from patchcert.region_scores import load
from patchcert.report.figures import bagcert_attack_example
from patchcert.study.regions import attack_regions, predict_regions, region_times, threat
from patchcert.study.trained import Trained

from .test_shards import Held

torch.set_num_threads(1)

NAME = "small_bagcert_rf5"
SETTINGS = {"epochs": 1}


def noise(count: int) -> Held:
    """Images of which each quarter is bright or dark."""
    random = np.random.default_rng(0)
    quarters = np.kron(random.integers(0, 2, (count, 1, 2, 2)), np.ones((1, 3, 16, 16), dtype=np.int64))
    pixels = np.clip(200 * quarters + random.integers(0, 56, quarters.shape), 0, 255).astype(np.uint8)
    return Held(np.array([f"image-{number}" for number in range(count)]), pixels, np.zeros(count, dtype=np.int64))


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A network that has learned a little: its labels are its own answers, given by many votes."""
    torch.manual_seed(0)
    made = registry.build(NAME, 3, (32, 32))
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return made.eval()


@pytest.fixture(scope="module")
def images(model: torch.nn.Module) -> Held:
    shown = noise(16)
    with torch.inference_mode():
        labels = bagcert.infer(region_classifier(model, NAME).scores(registry.normalisation(NAME)(torch.tensor(shown.pixels))))
    return Held(shown.ids, shown.pixels, labels.numpy())


@pytest.fixture
def trained(model: torch.nn.Module, tmp_path: Path) -> Trained:
    registry.save_weights(model, tmp_path / "weights.safetensors")
    identity = {"model": NAME, "settings": SETTINGS, "seed": 0, "data": "d", "code": "t"}
    write_json(tmp_path / "record.json", {"identity": identity})
    return Trained(NAME, tmp_path / "weights.safetensors", tmp_path / "record.json", SETTINGS, 0, 3, (32, 32), "d")


def asked(trained: Trained, images: Held, folder: Path) -> dict[str, Path]:
    files = {"values": folder / "scores.npy", "unsure": folder / "unsure.npy", "record": folder / "scores.json"}
    predict_regions(trained, images, files, numerical_margin=1e-3, batch_size=5, device="cpu", code="c")
    return files


def test_region_scores_are_stored_with_what_they_depend_on(trained: Trained, images: Held, tmp_path: Path) -> None:
    stored = load(asked(trained, images, tmp_path))
    with torch.inference_mode():
        scorer = region_classifier(trained.load(), NAME)
        scores, unsure = scorer.scores_and_unsure(registry.normalisation(NAME)(torch.tensor(images.pixels)), 1e-3)
    ((_, values, doubted),) = stored.blocks()
    differ = values != scores.numpy().astype(bool)
    assert not (differ & ~unsure.numpy()).any()  # in other batches, only what is unsure may be another
    assert 0 < doubted.sum() < 0.01 * doubted.size
    assert stored.identity == trained.identity() | {
        "numerical_margin": 1e-3,
        "device": "cpu",
        "code": "c",
        "versions": stored.identity["versions"],
    }


def test_a_classifier_that_scores_no_regions_is_refused(tmp_path: Path, images: Held) -> None:
    plain = registry.build("small_convnext", 3, (32, 32))
    registry.save_weights(plain, tmp_path / "weights.safetensors")
    write_json(
        tmp_path / "record.json", {"identity": {"model": "small_convnext", "settings": SETTINGS, "seed": 0, "data": "d"}}
    )
    job = Trained("small_convnext", tmp_path / "weights.safetensors", tmp_path / "record.json", SETTINGS, 0, 3, (32, 32), "d")
    with pytest.raises(InputError, match="model: small_convnext scores no regions"):
        asked(job, images, tmp_path)
    assert not (tmp_path / "scores.npy").exists()


def test_times_of_both_parts(model: torch.nn.Module, images: Held) -> None:
    rows = region_times(model, NAME, images, "5x5", device="cpu", rounds=1)
    assert [row["part"] for row in rows] == ["forward", "certificate"]
    assert all(row["milliseconds"] > 0 and row["images"] == 16 for row in rows)
    assert rows[0]["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_no_attack_breaks_a_certificate(model: torch.nn.Module, images: Held) -> None:
    certified = []
    for side in (2, 8, 14):
        table, shown, targets, patches, reached = attack_regions(
            model, NAME, images, (side, side), steps=20, seed=0, device="cpu"
        )
        for changed, (top, bottom, left, right) in zip((shown != images.pixels).any(axis=1), patches, strict=True):
            assert (bottom - top, right - left) == (side, side)
            changed[top:bottom, left:right] = False
            assert not changed.any()
        assert (targets != images.labels).all()
        assert (reached[:, 1] > reached[:, 0]).all()
        assert table["image_id"].tolist() == images.ids.tolist()
        assert table["clean"].all()  # labels are the answers
        assert not (table["condition_3_2"] & ~table["attacked"]).any()
        certified.append(int(table["condition_3_2"].sum()))
        scores = region_classifier(model, NAME).scores(registry.normalisation(NAME)(torch.tensor(images.pixels)))
        boxes = threat(region_classifier(model, NAME), (32, 32), f"{side}x{side}")
        held = bagcert.certify(scores.detach(), torch.tensor(images.labels), boxes, "3.2")
        assert table["condition_3_2"].tolist() == held.tolist()
    assert certified[0] > certified[-1]
    assert attack_measures(table, 0.95)["attacked"]["hits"] < 16  # the largest patch does break some


def test_one_attack_is_drawn_with_its_votes_and_rectangles(model: torch.nn.Module, images: Held) -> None:
    _, shown, targets, patches, reached = attack_regions(model, NAME, images, (8, 8), steps=5, seed=0, device="cpu")
    pair = np.stack([images.pixels[0], shown[0]])
    with torch.inference_mode():
        scores = region_classifier(model, NAME).scores(registry.normalisation(NAME)(torch.tensor(pair))).numpy()
    classes = int(images.labels[0]), int(targets[0])
    style = {"palette": "colorblind", "font_size": 9, "resolution": 60}
    figure = bagcert_attack_example.draw(pair, scores, classes, (patches[0], reached[0]), style)
    for row, maps in enumerate(scores):
        picture, *votes = figure.axes[3 * row : 3 * row + 3]
        assert picture.get_title("left").endswith(f"answer {int(maps.sum(axis=(1, 2)).argmax())}")
        for panel, name in zip(votes, classes, strict=True):
            np.testing.assert_array_equal(panel.images[0].get_array(), maps[name])
            assert panel.get_title("left").endswith(f" {name}: {100 * maps[name].mean():.1f} % of votes")
        boxes = [panel.patches[0].get_bbox().bounds for panel in (picture, *votes)]
        for box, (top, bottom, left, right) in zip(boxes, (patches[0], reached[0], reached[0]), strict=True):
            assert box == (left - 0.5, top - 0.5, right - left, bottom - top)
    plt.close(figure)
