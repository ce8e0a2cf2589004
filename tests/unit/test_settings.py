"""Which certificates of a study a published number belongs beside, and what the reports show of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from patchcert import InputError
from patchcert.report.ledger import COLUMNS, PER_CENT, read_ledger
from patchcert.report.published import accuracies, dataset_beside, of_whom, patches_here
from patchcert.report.settings import SAME, matched_by, of_study, patches_of, setting_of

from .configurations import SMALL, configured, seen

SHIPPED_LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
BIT, VIT = "resnetv2_50x1_bit.goog_distilled_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k"
FACTS = {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "patch": "5x5", "budget": "6x6"}
ROW = dict.fromkeys(COLUMNS, "") | {
    "paper": "patchcleanser",
    "table": "Table 2",
    "defense": "double_masking",
    "metric": "certified",
    "unit": PER_CENT,
    "published": 78.8,
    "relation": "=",
    "dataset": "cifar10",
    "model": BIT,
    "training": "random_cutout",
    "patch": "2.4 % (5x5 of 32x32)",
    "mask_budget": "6x6",
    "default_model": "small_resnetv2",
    "default_training": "random_cutout",
    "default_patch": "5x5",
}
EXACT = FACTS | {"dataset": "cifar10", "model": BIT, "patch": "35x35"}


def ledger_of(*rows: dict[str, Any]) -> pd.DataFrame:
    """A ledger of rows like ``ROW``, each with the given differences."""
    return pd.DataFrame([ROW | {"id": f"row_{number}"} | row for number, row in enumerate(rows)])


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    return read_ledger(SHIPPED_LEDGER)


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return configured("paper")


# --- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"seed": 3}, True),
        ({"dataset": "imagenette"}, False),
        ({"dataset": "digits"}, False),
        ({"dataset": "cifar10_32", "patch": "5x5"}, True),
        ({"patch": "5x5"}, False),
        ({"patch": "14x14"}, False),
        ({"model": VIT}, False),
        ({"model": "small_resnetv2"}, False),
        ({"training": "greedy_cutout_multisize"}, False),
        ({"budget": "3x3"}, False),
    ],
)
def test_a_number_belongs_beside_its_own_setting_where_the_study_has_its_images(paper, change, fits) -> None:
    setting = setting_of(ROW, paper)
    assert not setting.counterpart
    assert setting.fits(EXACT | change) == fits


@pytest.mark.parametrize(
    ("row", "facts", "fits"),
    [
        ({}, {}, True),
        ({}, {"dataset": "birds"}, True),
        ({}, {"model": BIT}, False),
        ({}, {"patch": "35x35"}, False),
        ({}, {"budget": "3x3"}, False),
        ({"default_model": "", "default_training": "", "default_patch": ""}, {}, False),
        ({"default_training": ""}, {"training": "plain"}, True),
        ({"default_patch": "", "mask_budget": ""}, {"patch": "9x9", "budget": "3x3"}, True),
        ({"default_training": "margin_050"}, {"training": "margin_050"}, True),
        ({"default_training": "margin_050"}, {"training": "margin_025"}, False),
    ],
)
def test_a_number_belongs_beside_its_counterpart_elsewhere(row, facts, fits) -> None:
    assert setting_of(ROW | row, SMALL).fits(FACTS | facts) == fits


def test_trainings_of_one_margin_are_one_and_smoothing_names_none(paper) -> None:
    assert setting_of(ROW | {"training": "margin_025"}, paper).trainings == ["margin_025", "margin_025_one_hot"]
    assert setting_of(ROW | {"paper": "mask_guided_randomized_smoothing"}, paper).trainings is None
    assert setting_of(ROW | {"paper": "mask_guided_randomized_smoothing"}, SMALL).trainings == ["random_cutout"]


def test_masks_may_be_left_open_of_counterparts_alone(paper) -> None:
    assert setting_of(ROW, SMALL).under_any_masks().fits(FACTS | {"budget": "3x3"})
    assert not setting_of(ROW, paper).under_any_masks().fits(EXACT | {"budget": "3x3"})


@pytest.mark.parametrize("study", ["study", "paper"])
def test_reports_are_told_all_that_numbers_are_matched_by(shipped, study) -> None:
    config = configured(study)
    shown = set(config["trainings"])
    assert list(matched_by(config, shown)) == ["datasets", "trainings"]
    pd.testing.assert_frame_equal(of_study(shipped, matched_by(config, shown)), of_study(shipped, config))


def test_reports_of_trainings_without_a_margin_are_told_none(shipped, paper) -> None:
    found, whole = (of_study(shipped, study) for study in (matched_by(paper, {"plain"}), paper))
    assert matched_by(paper, {"plain"})["trainings"] == {}
    others = ~shipped["training"].str.startswith("margin")
    pd.testing.assert_frame_equal(found[others], whole[others])


@pytest.mark.parametrize(
    ("published", "size", "wanted"),
    [
        ("2.4 % (5x5 of 32x32)", (224, 224), ["35x35"]),
        ("2.4 % (5x5 of 32x32)", (32, 32), ["5x5"]),
        ("1 % (23x23 of 224x224)", (32, 32), []),
        ("two patches of 1 % (23x23 of 224x224)", (224, 224), ["2-of-23x23"]),
        ("any rectangle of 1 % (of 224x224)", (224, 224), ["area-501"]),
        ("any rectangle of 24 px (of 32x32)", (32, 32), ["1x24", "2x12", "3x8", "4x6", "6x4", "8x3", "12x2", "24x1"]),
        ("any rectangle of 24 px (of 32x32)", (224, 224), []),
        ("(1x24 of 32x32)", (32, 32), ["1x24"]),
    ],
)
def test_what_a_patch_is_called_in_images_of_a_size(published, size, wanted) -> None:
    assert patches_of(published, size) == wanted


def test_a_patch_without_a_size_says_what_to_write() -> None:
    with pytest.raises(InputError, match=r"patch '2 %'; write for example 2\.4 % \(5x5 of 32x32\)$"):
        patches_of("2 %", (32, 32))


# --- values beside ours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference",
    [
        {"defense": "minority_reports"},
        {"defense": "undefended"},
        {"relation": ">"},
        {"relation": "~"},
        {"metric": "inference_time", "unit": "milliseconds"},
        {"metric": "defended_clean"},
        {"mask_budget": "3x3"},
        {"default_patch": "2x2"},
        {"default_training": "plain"},
        {"default_model": "small_vit"},
        {"table": "Section 4.2"},
        {"table": "Figure 13"},
    ],
)
def test_only_measured_accuracies_of_the_defense_in_its_setting_stand_beside_ours(difference) -> None:
    ledger = seen(ledger_of({"published": 50.0} | difference, {}))
    assert accuracies(ledger, FACTS, "certified")["id"].tolist() == ["row_1"]


def test_what_stands_beside_undefended_accuracy_is_undefended() -> None:
    bare = {"metric": "undefended_clean", "mask_budget": "", "default_patch": ""}
    ledger = seen(ledger_of(bare | {"defense": "undefended"}, bare | {"published": 50.0}))
    assert accuracies(ledger, FACTS, "undefended_clean")["id"].tolist() == ["row_0"]


def test_a_value_that_a_paper_prints_twice_is_returned_once_from_the_later_table() -> None:
    rows = [{}, {"published": 77.0}, {"table": "Table 5"}, {"paper": "greedy_cutout", "table": "Table 1"}]
    assert accuracies(seen(ledger_of(*rows)), FACTS, "certified")["id"].tolist() == ["row_1", "row_2", "row_3"]


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        (("small_resnetv2", "random_cutout", "certified", "5x5", "6x6"), [("Table 5", 78.8), ("Table 1", 77.8)]),
        (("small_vit", "random_cutout", "defended_clean", "5x5", "6x6"), [("Table 5", 98.7), ("Table 1", 98.6)]),
        (("small_resmlp", "plain", "certified", "5x5", "6x6"), [("Table 5", 62.0)]),
        (("small_resmlp", "random_cutout", "certified", "2x2", "6x6"), [("Table 2", 86.1)]),
        (("small_vit", "random_cutout", "certified", "2x2", "6x6"), [("Table 2", 94.3), ("Table 1", 93.4)]),
        (("small_convnext", "random_masks_both", "certified", "2x2", "3x3"), [("Table 1", 84.6)]),
        (("small_resnetv2", "gutout_both", "certified", "5x5", "3x3"), [("Table 3", 75.1)]),
        (("small_vit", "greedy_cutout_multisize", "defended_clean", "5x5", "6x6"), [("Table 1", 98.8)]),
        (("small_vit", "greedy_cutout_multisize", "certified", "5x5", "6x6"), [("Table A1", 92.0)]),
        (("small_resnetv2", "random_cutout", "certified", "area-10", "6x6"), [("Table 4", 82.6)]),
        (("small_resnetv2", "random_cutout", "certified", "3x3", "6x6"), [("Table 4", 92.6)]),
        (("small_resnetv2", "random_cutout", "certified", "2-of-3x3", "6x6"), [("Table 4", 76.6)]),
        (("small_resnetv2", "random_cutout", "defended_clean", "4x4", "6x6"), [("Table 4", 99.0)]),
        (("small_resnetv2", "plain", "undefended_clean", "5x5", "6x6"), [("Table 3", 98.3)]),
        (("small_convnext", "plain", "certified", "5x5", "6x6"), []),
    ],
)
def test_published_numbers_beside_the_default_study(shipped, setting, wanted) -> None:
    model, training, metric, patch, budget = setting
    facts = {"dataset": "digits", "model": model, "training": training, "patch": patch, "budget": budget}
    found = accuracies(seen(shipped), facts, metric)
    assert list(zip(found["table"], found["published"], strict=True)) == wanted


@pytest.mark.parametrize(
    ("facts", "metric", "wanted"),
    [
        ({}, "certified", [("Table 5", 78.8), ("Table 1", 77.8)]),
        (
            {"dataset": "imagenet", "model": VIT, "patch": "32x32"},
            *("certified", [("Table 4", 63.2), ("Table 5", 62.1), ("Table 1", 61.2)]),
        ),
        ({"dataset": "svhn", "model": VIT}, "undefended_clean", []),
        ({"dataset": "imagenet", "model": "resnet50.tv_in1k", "training": "gaussian_patch_large"}, "undefended_clean", []),
    ],
)
def test_published_numbers_beside_the_paper_study(shipped, paper, facts, metric, wanted) -> None:
    found = accuracies(seen(shipped, paper), EXACT | facts, metric)
    assert list(zip(found["table"], found["published"], strict=True)) == wanted


@pytest.mark.parametrize(
    ("study", "ours", "theirs", "patch"),
    [
        ("study", "digits", "cifar10", "5x5"),
        ("study", "scenes", "cifar10", "10x10"),
        ("paper", "imagenet", "imagenet", "35x35"),
        ("paper", "cifar10_32", "cifar10", "5x5"),
        ("paper", "svhn", "svhn", "35x35"),
    ],
)
def test_the_dataset_and_the_patch_of_values_beside_ours(shipped, study, ours, theirs, patch) -> None:
    ledger = seen(shipped, configured(study))
    assert dataset_beside(ledger, ours) == theirs
    named = patches_here(ledger, ours)
    assert named[ledger["patch"] == "2.4 % (5x5 of 32x32)"].unique().tolist() == [patch]
    assert named[ledger["patch"] == ""].unique().tolist() == [""]


@pytest.mark.parametrize(("study", "said"), [("study", "full size"), ("paper", SAME)])
def test_legends_say_of_whom_values_are(shipped, study, said) -> None:
    ledger = seen(shipped, configured(study))
    assert of_whom(ledger[ledger["dataset"] == "cifar10"], "full size") == said
    assert of_whom(ledger.iloc[:0], "full size") == "full size"
