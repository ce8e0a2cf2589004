"""The paper study as it is planned: the published datasets, models and settings, from the raw files to every table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from workflow_study import ROOT, fresh_copy

from patchcert.study.config import complete, settings_of

pytestmark = pytest.mark.workflow

DATASETS = {"imagenet": 4, "imagenette": 1, "cifar10": 1, "cifar100": 1, "svhn": 2, "coco": 3, "voc2007": 2}
"""Files of each."""
WEIGHTS = {
    "tresnet_l_coco2014": "2021/MS_COCO_TRresNet_L_448_86.6.pth",
    "convnext_tiny.fb_in22k_ft_in1k": "timm/model.safetensors",
    "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k": "timm/model.safetensors",
    "resmlp_24_224.fb_distilled_in1k": "timm/model.safetensors",
    "resnetv2_50x1_bit.goog_distilled_in1k": "timm/model.safetensors",
    "tresnet_l.miil_in1k_448": "timm/model.safetensors",
    "vit_base_patch16_224.augreg_in21k_ft_in1k": "timm/model.safetensors",
}
"""Published ones that trainings start from."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = fresh_copy(tmp_path_factory.mktemp("paper") / "study")
    study.config = "config/paper.yaml"
    return study


def runs(jobs):
    """Dataset, model and training of the trainings among jobs."""
    return {tuple(Path(made).parts[-4:-1]) for rule, made in jobs if rule == "train"}


def test_every_table_is_planned_from_the_raw_files(study):
    jobs = study.jobs()
    fetched = {made for rule, made in jobs if rule == "fetch"}
    weights = {str(Path("data", name, file).with_suffix("")) for name, file in WEIGHTS.items()}
    assert weights < fetched
    assert len(fetched) == sum(DATASETS.values()) + len(weights)
    assert {Path(made).name for rule, made in jobs if rule == "prepare"} == DATASETS.keys()
    planned = study.plan()
    large = {(side, 6) for side in (23, 32, 39, 40, 48, 56, 64, *range(32, 193, 16))}
    several = {(32, budget) for budget in (2, 3, 4, 5, 7)} | {(side, 3) for side in (23, 39)} | {("shapes", 6), ("pair", 6)}
    of_one_run = sum(made.startswith("imagenet/vit_base") for made in gathered(jobs, "random_cutout"))
    assert of_one_run == len(large | several)
    assert planned["predict"] == 8 * (planned["gather_predictions"] + planned["gather_scores"])
    assert planned["table/patch_sizes"] == planned["figure/minority_reports"] == planned["time_inference"] == 1


def gathered(jobs, training):
    """Runs of a training, and their mask sets, of which predictions are gathered."""
    made = [made.split("/predictions/", 1)[1] for rule, made in jobs if rule == "gather_predictions"]
    return [path for path in made if f"/{training}/" in path]


def test_every_published_classifier_has_a_run(study):
    """Each dataset, model and training of which the papers print an accuracy under masks is trained."""
    with (ROOT / "config/published.csv").open(newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream) if row["table"].startswith("Table") and row["defense"] == "double_masking"
        ]
    published = {(row["dataset"], row["model"], row["training"]) for row in rows if row["model"]}
    assert len(published) > 80
    assert published <= runs(study.jobs()) | runs(study.jobs("strategies"))


@pytest.mark.parametrize(
    ("model", "dataset", "learning_rate", "batch_size"),
    [
        ("resnetv2_50x1_bit.goog_distilled_in1k", "cifar10", 0.01, 64),
        ("resnetv2_50x1_bit.goog_distilled_in1k", "imagenet", 0.01, 128),
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", "svhn", 0.001, 64),
        ("convnext_tiny.fb_in22k_ft_in1k", "imagenet", 0.001, 128),
    ],
)
def test_the_recipe_is_the_papers(model, dataset, learning_rate, batch_size):
    """Greedy Cutout, section 4."""
    trainings = complete(yaml.safe_load((ROOT / "config/paper.yaml").read_text()))["trainings"]
    masked = {name for name in trainings if not name.startswith(("multilabel", "margin", "gaussian_patch"))}
    for name in masked - {"plain"}:
        settings = settings_of(trainings[name], model, dataset)
        assert (settings["learning_rate"], settings["batch_size"]) == (learning_rate, batch_size)
        assert (settings["pretrained"], settings["optimizer"], settings["epochs"]) == (True, "sgd", 10)
        assert settings["decay_after"] == [5]
    assert settings_of(trainings["plain"], model, dataset)["epochs"] == (0 if dataset == "imagenet" else 10)


def test_the_published_checkpoint_is_taken_as_it_is():
    """Multi-Label PatchCleanser certifies it on MSCOCO; what else there is starts from ImageNet."""
    training = complete(yaml.safe_load((ROOT / "config/paper.yaml").read_text()))["trainings"]["multilabel_plain"]
    published = settings_of(training, "tresnet_l.miil_in1k_448", "coco")
    assert (published["pretrained"], published["epochs"], published["loss"]) == ("tresnet_l_coco2014", 0, "asymmetric")
    for run in (("tresnet_l.miil_in1k_448", "voc2007"), ("eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", "coco")):
        settings = settings_of(training, *run)
        assert (settings["pretrained"], settings["epochs"]) == (True, 10)


def test_bagcert_is_planned_as_published(study):
    """Every network of BagCert's Figure 2 and Table 1, from the raw files to a page, by the recipes of appendix A.1."""
    networks = {f"bagcert_cifar10_rf{field}" for field in (5, 7, 9, 11, 13)}
    margins = {"margin_025": 0.25, "margin_050": 0.5, "margin_075": 0.75, "margin_100": 1.0}
    wanted = {("cifar10_32", model, training) for model in networks for training in margins}
    wanted |= {("imagenet", f"bagcert_imagenet_rf{field}", "margin_025_one_hot") for field in (17, 25, 29)}
    assert wanted <= runs(study.jobs("bagcert"))
    trainings = complete(yaml.safe_load((ROOT / "config/paper.yaml").read_text()))["trainings"]
    keys = ("margin", "one_hot_penalty", "epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "flip")
    for name, margin in margins.items():
        settings = settings_of(trainings[name], "bagcert_cifar10_rf7", "cifar10_32")
        assert [settings[key] for key in keys] == [margin, 0, 350, 96, "adam", 0.001, 0, True]
        assert (settings["warmup_epochs"], settings["shift"]) == (10, 4)
    settings = settings_of(trainings["margin_025_one_hot"], "bagcert_imagenet_rf17", "imagenet")
    assert [settings[key] for key in keys] == [0.25, 1, 60, 64, "adam", 0.00033, 0, True]
