"""A published dataset on its way through the rules, from a server to the prepared images."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from workflow_study import ROOT, Study, fresh_copy

from patchcert.datasets.index import SPLITS, open_split
from patchcert.datasets.sources import Source, read_sources

from ..published import REGISTRY, Known, publish, registry, serving

pytestmark = pytest.mark.workflow

SETTINGS: dict[str, Any] = {
    "study": "tiny",
    "datasets": {
        "small_images": {
            "loader": "cifar10",
            "source": "cifar10",
            "classes": 10,
            "image_size": [64, 64],
            "split_sizes": {"train": 20, "calibration": 4, "test": 3},
        }
    },
    "trainings": {"plain": {"strategy": "plain", "epochs": 1, "learning_rate": 0.01}},
    "runs": [{"dataset": "small_images", "models": ["small_vit"], "trainings": ["plain"]}],
    "defenses": {"double_masking": {"patch_sizes": [[5, 5]], "mask_budgets": [[2, 2]]}},
}


def configure(study: Study, dataset: dict[str, Any]) -> None:
    datasets = {"small_images": SETTINGS["datasets"]["small_images"] | dataset}
    study.config = "config/tiny.yaml"
    (study.folder / study.config).write_text(yaml.safe_dump(SETTINGS | {"datasets": datasets}))


def publish_cifar10(study: Study, address: str) -> dict[str, Known]:
    """Put CIFAR-10 on the server and into the registry; its images by id."""
    configure(study, {})
    entries, images = publish("cifar10", study.folder / "server", address)
    (study.folder / "config/sources.csv").write_text(registry(entries))
    study.environment = {"NO_PROXY": "127.0.0.1"}
    return {image.image_id: image for image in images}


def test_cifar10_is_fetched_and_prepared(fresh):
    with serving(fresh.folder / "server") as address:
        images = publish_cifar10(fresh, address)
        fresh.run("prepared")
    assert (fresh.folder / "data/cifar10/2009/cifar-10-python.tar.gz").is_file()
    folder = fresh.folder / "results/prepared/small_images"
    table, pixels = pd.read_parquet(folder / "index.parquet"), np.load(folder / "pixels.npy")
    assert table["image_id"].tolist() == list(images)
    used = table[table["row"] >= 0]
    assert len(used) == len(pixels) == 27
    for image_id, split, row in zip(used["image_id"], used["split"], used["row"], strict=True):
        assert images[image_id].part == ("test" if split == "test" else "train")
        wanted = images[image_id].picture.resize((64, 64), 3)  # bicubically
        np.testing.assert_array_equal(pixels[row], np.asarray(wanted).transpose(2, 0, 1))
    assert fresh.plan("prepared") == {}


PAPER = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
SOURCES = {name: block["source"] for name, block in PAPER["datasets"].items()}
PREPARED = "build/paper/results/prepared"
FEW = {"train": None, "calibration": 3, "test": 3}
SMALL = {
    "device": "cpu",
    "datasets": {name: {"split_sizes": FEW} for name in SOURCES},
    "predict": {"shards": 1, "timed_images": 1},
    "defenses": {"bagcert": {"timed_images": 1, "attacked_images": 1}, "mask_smoothing": {"images": 1}},
    "analyses": {name: {"images": 2} for name, block in PAPER["analyses"].items() if block.get("images")},
}
"""What the paper study is given in place of its own numbers of images."""


class Paper(NamedTuple):
    """The paper study with all its datasets prepared, and what was published, by source."""

    study: Study
    published: dict[str, tuple[list[Source], list[Known]]]


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """ImageNet, which needs a mirror, comes out of a folder, and all others from a server."""
    study, server = fresh_copy(tmp_path_factory.mktemp("paper") / "study"), tmp_path_factory.mktemp("server")
    study.config, study.environment = ["config/paper.yaml", "small.yaml"], {"NO_PROXY": "127.0.0.1"}
    with serving(server) as address:
        published = {name: publish(name, server, address) for name in dict.fromkeys(SOURCES.values())}
        others = [entry for name, entries in read_sources(REGISTRY).items() if name not in published for entry in entries]
        entries = [entry for entries, _ in published.values() for entry in entries]
        (study.folder / "config/sources.csv").write_text(registry(others + entries))
        for mirrored in (True, False):
            (study.folder / "small.yaml").write_text(yaml.safe_dump(SMALL | ({"mirror": str(server)} if mirrored else {})))
            study.run(*(f"{PREPARED}/{name}/index.parquet" for name in SOURCES if (SOURCES[name] == "imagenet") == mirrored))
    return Paper(study, published)


@pytest.mark.parametrize("name", SOURCES)
def test_every_dataset_of_the_paper_study_is_prepared_from_its_published_layout(paper, name):
    folder, (entries, images) = paper.study.folder / PREPARED / name, paper.published[SOURCES[name]]
    drawn = {split: open_split(folder / "index.parquet", folder / "pixels.npy", split).read() for split in SPLITS}
    known = {image.image_id: image for image in images}
    trained = sum(image.part == "train" and image.label != [] for image in images) - FEW["calibration"]
    assert {split: len(some) for split, some in drawn.items()} == FEW | {"train": trained}
    for split, some in drawn.items():
        assert {known[image_id].part for image_id in some.ids} == {"test" if split == "test" else "train"}
        assert some.pixels.shape[2:] == tuple(PAPER["datasets"][name]["image_size"])
        shown = [np.flatnonzero(label).tolist() if some.labels.ndim == 2 else label for label in some.labels]
        assert shown == [known[image_id].label for image_id in some.ids]
    record = json.loads((folder / "record.json").read_text())
    assert record["files"] == {entry.file: entry.digest for entry in entries}


def test_pixels_that_are_made_again_retrain_nothing(fresh):
    with serving(fresh.folder / "server") as address:
        publish_cifar10(fresh, address)
        fresh.run("trained")
    assert fresh.plan("trained") == {}
    pixels = fresh.folder / "results/prepared/small_images/pixels.npy"
    pixels.write_bytes(pixels.read_bytes() + b"newer, and other content")
    assert fresh.plan("trained") == {}
    pixels.unlink()
    assert fresh.plan("prepared") == {"prepare": 1}
    fresh.run("prepared")
    assert pixels.is_file()
    assert fresh.plan("prepared", "trained") == {}


def test_a_subset_of_the_test_images_is_drawn_predicted_and_evaluated(fresh):
    """Of two certificates of an analysis the grid asks one of all images; the other is made on the subset alone."""
    sizes = {"train": 40, "calibration": 10, "test": 30}
    digits = {
        "loader": "digits",
        "source": "digits",
        "classes": 10,
        "image_size": [16, 16],
        "split_sizes": sizes,
        "split_seed": 5,
    }
    run = SETTINGS["runs"][0] | {"models": ["small_resnetv2"]}
    few = run | {"patches": [[2, 2]], "budgets": [[2, 2], [3, 3]], "images": 8}
    settings = SETTINGS | {
        "datasets": {"small_images": digits},
        "runs": [run | {"patch_sizes": [[2, 2]]}],
        "analyses": {"mask_budgets": few},
        "predict": {"timed_images": 1},
    }
    fresh.config = "config/tiny.yaml"
    (fresh.folder / fresh.config).write_text(yaml.safe_dump(settings))
    fresh.run("results/metrics/mask_budgets/double_masking.json", "results/metrics/grid/double_masking.json")
    metrics, grid = (
        json.loads((fresh.folder / f"results/metrics/{name}/double_masking.json").read_text())
        for name in ("mask_budgets", "grid")
    )
    prepared = fresh.folder / "results/prepared/small_images"
    chosen = open_split(prepared / "index.parquet", prepared / "pixels.npy", "test").drawn(8, 5).ids.tolist()
    assert metrics["subset"] == {"images": 8, "seeds": {"small_images": 5}, "image_ids": {"small_images": chosen}}
    certificates = (fresh.folder / "results/certificates").rglob("masks-*.parquet")
    records = {path.stem.removeprefix("masks-"): pd.read_parquet(path).set_index("image_id") for path in certificates}
    assert {budget: len(table) for budget, table in records.items()} == {"2x2": 30, "3x3": 8}
    for each in metrics["runs"]:
        assert each["passes"] == records[each["budget"]].loc[chosen, "passes"].mean()
        assert each["certified"]["percent"] == 100 * records[each["budget"]].loc[chosen, "certified"].mean()
    assert "subset" not in grid
    assert grid["runs"][0]["passes"] == records["2x2"]["passes"].mean()


def test_a_dataset_that_people_register_for_says_where(fresh):
    configure(fresh, {"loader": "imagenet", "source": "imagenet", "classes": 1000, "image_size": [224, 224], "resize": 256})
    done = fresh.run("prepared", check=False)
    assert done.returncode != 0
    for file in (entry.file for entry in read_sources(REGISTRY)["imagenet"]):
        assert f"put the file at FOLDER/imagenet/2012/{file} in a folder of yours" in done.stdout + done.stderr
    assert "register at https://image-net.org/download.php" in done.stdout + done.stderr


def test_scenes_are_made_and_prepared(fresh):
    sizes = {"train": 40, "calibration": 10, "test": 60}
    digits = {"loader": "digits", "source": "digits", "classes": 10, "image_size": [32, 32], "split_sizes": sizes}
    scenes = {"loader": "coco", "source": "scenes_small", "classes": 10, "image_size": [64, 64], "split_sizes": sizes}
    block = {"dataset": "scenes", "models": ["small_resnetv2"], "trainings": ["asymmetric"]}
    settings = SETTINGS | {
        "datasets": {"small_images": digits, "scenes": scenes},
        "trainings": SETTINGS["trainings"] | {"asymmetric": SETTINGS["trainings"]["plain"] | {"loss": "asymmetric"}},
        "analyses": {"multilabel": block | {"patches": [[5, 5]], "budgets": [[2, 2]]}},
    }
    fresh.config = "config/tiny.yaml"
    (fresh.folder / fresh.config).write_text(yaml.safe_dump(settings))
    fresh.run("prepared")
    made = sorted(path.name for path in (fresh.folder / "data/scenes_small/1").iterdir())
    assert made == ["annotations.zip", "test.zip", "train.zip"]
    folder = fresh.folder / "results/prepared/scenes"
    assert [len(open_split(folder / "index.parquet", folder / "pixels.npy", split)) for split in SPLITS] == [40, 10, 60]
    test = open_split(folder / "index.parquet", folder / "pixels.npy", "test")
    record = json.loads((folder / "record.json").read_text())
    assert record["images"] == {"train": 40, "calibration": 10, "test": 60, "unused": 250}
    assert record["unlabelled"] == {"test": 0, "train": 0}
    assert record["images_by_label"]["test"] == {str(label): count for label, count in enumerate(test.labels.sum(axis=0))}
    assert fresh.plan("prepared") == {}
