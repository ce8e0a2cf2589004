"""Images with several labels as the paper study takes them, from a server to the tables.

The archives and the weights have the published layout and little in them; the images are small.
"""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from workflow_study import ROOT

from patchcert.datasets.sources import read_sources

from ..published import publish, publish_weights, registry, serving, timm_weights, tresnet_checkpoint

pytestmark = pytest.mark.workflow

CHECKPOINT = "tresnet_l_coco2014"
MODEL = "tresnet_l.miil_in1k_448"
DATASETS = ("coco2014", "voc2007")
TABLES = ("overall", "areas", "attackers", "classes")
FIGURES = ("precision_recall", "class_curves", "certification_histograms")
SMALL = {
    "device": "cpu",
    "datasets": {
        "coco": {"classes": 3, "image_size": [32, 32], "split_sizes": {"train": 6, "calibration": 2, "test": 3}},
        "voc2007": {"image_size": [32, 32], "split_sizes": {"train": 6, "calibration": 2, "test": 2}},
    },
    "trainings": {
        "multilabel_plain": {"epochs": 1, "batch_size": 3, "calibration_masks": 1},
        "multilabel_random_cutout": {"epochs": 1, "batch_size": 3, "calibration_masks": 1},
        "multilabel_greedy_cutout_6x6": {"epochs": 1, "batch_size": 3, "calibration_masks": 1},
    },
    "predict": {"shards": 1},
    "analyses": {"multilabel": {"budgets": [[2, 2]], "also": []}},
}
"""What the paper study is given in place of its own, for the sake of time."""


def small_patches(config):
    """The sizes of the paper study, which are of 448x448 pixels, for 32x32: a patch of 2 % among them."""
    config["trainings"]["multilabel_random_cutout"]["cutout_size"] = [14, 14]
    config["trainings"]["multilabel_greedy_cutout_6x6"]["patch_size"] = [5, 5]
    config["analyses"]["multilabel"]["patches"] = [[5, 5]]
    return config | {"defenses": {"multilabel": {"smaller_patches": [[3, 3]]}}}


@pytest.fixture
def study(fresh):
    """The paper study with a server; every test is within its life."""
    server = fresh.folder / "server"
    writers = {CHECKPOINT: lambda path: tresnet_checkpoint(path, 3), MODEL: lambda path: timm_weights(path, MODEL)}
    with serving(server) as address:
        sources = read_sources(ROOT / "config/sources.csv")
        for name in DATASETS:
            sources[name], _ = publish(name, server, address)
        for name, write in writers.items():
            sources[name] = [publish_weights(*sources[name], server, address, write)]
        with (fresh.folder / "config/sources.csv").open("w") as stream:
            stream.write(registry([entry for rows in sources.values() for entry in rows]))
        (fresh.folder / "small.yaml").write_text(yaml.safe_dump(small_patches(SMALL)))
        fresh.config = ["config/paper.yaml", "small.yaml"]
        fresh.environment = {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
        yield fresh


def test_the_paper_study_from_the_archives_to_its_tables(study):
    """Every stage runs for real, on the published model with weights in the published layout."""
    reports = study.folder / "build/paper/reports"
    tables = [f"tables/multilabel_{name}.csv" for name in TABLES]
    study.run(*(f"build/paper/reports/{path}" for path in [*tables, *(f"figures/{name}.svg" for name in FIGURES)]))
    overall = pd.read_csv(reports / "tables/multilabel_overall.csv")
    assert len(overall) >= 3 * 3  # trainings and settings
    with (reports / "tables/multilabel_areas.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) > 1
    assert (study.folder / f"data/{CHECKPOINT}/2021/MS_COCO_TRresNet_L_448_86.6.pth.sha256").is_file()
    certificates = study.folder / f"build/paper/results/certificates/multilabel/coco/{MODEL}/multilabel_plain"
    scores = pd.read_parquet(next(certificates.glob("**/records.parquet")))
    assert scores["image_id"].str.startswith("COCO_val2014_").all()
    assert study.plan("build/paper/reports/tables/multilabel_overall.csv") == {}


def test_trainings_start_from_the_weights_of_timm_that_were_fetched(study):
    """Of an ImageNet classifier with a new last layer, for the classes of VOC."""
    run = study.folder / f"build/paper/checkpoints/voc2007/{MODEL}/multilabel_plain/seed-0"
    study.run(str(run.relative_to(study.folder) / "weights.safetensors"))
    fetched = study.folder / f"data/{MODEL}/timm/model.safetensors"
    assert fetched.read_bytes() == (study.folder / f"server/{MODEL}/timm/model.safetensors").read_bytes()
    record, trained = json.loads((run / "record.json").read_text()), load_file(run / "weights.safetensors")
    assert record["identity"]["start_sha256"] == fetched.with_name("model.safetensors.sha256").read_text().split()[0]
    assert len(trained["head.fc.weight"]) == record["identity"]["classes"] == 20
