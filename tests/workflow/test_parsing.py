"""What a wrong configuration or registry says when the workflow is read, before anything runs."""

from __future__ import annotations

import pytest
from workflow_study import Study

pytestmark = pytest.mark.workflow


def refused(study: Study) -> str:
    done = study.run("--dry-run", check=False)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert not (study.folder / "build").exists()
    return text


def test_a_misspelt_key_stops_with_the_right_one(fresh):
    fresh.replace("config/ci.yaml", "split_sizes:", "split_size:")
    text = refused(fresh)
    assert "datasets.digits.split_size: unknown key" in text
    assert "split_sizes" in text


def test_a_wrong_value_stops_with_what_to_write(fresh):
    fresh.edit_config("trainings.plain.epochs", "many")
    text = refused(fresh)
    assert "trainings.plain.epochs" in text
    assert '"many"' in text


def test_a_training_that_is_not_described_stops(fresh):
    fresh.edit_config("runs", [{"dataset": "digits", "models": ["small_vit"], "trainings": ["plane"]}])
    text = refused(fresh)
    assert "runs.0.trainings" in text
    assert "plane" in text
    assert "did you mean" in text
    assert "plain" in text


def test_an_analysis_that_there_is_not_stops(fresh):
    fresh.replace("config/ci.yaml", "  patch_shapes:", "  patch_shape:")
    text = refused(fresh)
    assert "analyses.patch_shape: the name is wrong; did you mean 'patch_shapes'?" in text


def test_a_patch_that_does_not_fit_stops(fresh):
    fresh.replace("config/ci.yaml", "2-of-3x3", "2-of-33x3")
    text = refused(fresh)
    assert "analyses.patch_shapes.patches.1: 2-of-33x3 does not fit into images of [32, 32] pixels" in text


def test_a_source_that_is_not_registered_stops(fresh):
    fresh.edit_config("datasets.digits.source", "numerals")
    assert "config/sources.csv: no row named 'numerals'; it has digits" in refused(fresh)


def test_published_weights_that_are_not_registered_stop_with_the_row_to_add(fresh):
    fresh.edit_config("trainings.plain.pretrained", True)
    model = "test_byobnet.r160_in1k"
    fresh.edit_config("runs", [{"dataset": "digits", "models": [model], "trainings": ["plain"]}])
    fresh.edit_config("analyses", {})
    text = refused(fresh)
    assert f"pretrained: true of the model {model} (trainings plain): config/sources.csv has no row named" in text
    assert (
        f"{model},timm,model.safetensors,unpublished,unpublished,apache-2.0,https://huggingface.co/timm/{model}/resolve" in text
    )


def test_a_damaged_registry_stops_with_its_row(fresh):
    fresh.replace("config/sources.csv", "57523", "many")
    text = refused(fresh)
    assert "config/sources.csv" in text
    assert "bytes" in text


def test_a_wrong_digest_stops_the_fetch_with_both_and_leaves_nothing(fresh):
    registry = fresh.folder / "config/sources.csv"
    right = registry.read_text().splitlines()[1].split(",")[3]
    fresh.replace("config/sources.csv", right, wrong := "sha256:" + "0" * 64)
    done = fresh.run("prepared", check=False)
    assert done.returncode != 0
    assert right in done.stdout + done.stderr
    assert wrong in done.stdout + done.stderr
    assert not [path for path in (fresh.folder / "data/digits").glob("**/*") if path.is_file()]


def test_the_default_study_is_planned_from_an_empty_clone(fresh):
    fresh.config = "config/study.yaml"
    jobs = fresh.plan()
    # 20 mask sets of the grid, 16 more of the analyses, 3 of the scenes; what the named targets make is not among them
    assert (jobs["fetch"], jobs["prepare"], jobs["train"], jobs["predict"]) == (4, 2, 10 + 3 + 3 + 1, 20 + 16 + 3)
    assert jobs["predict_regions"] == 3
    # one attack; the patch is looked for in clean and in attacked images, and the mask also put at two given places
    assert (jobs["attack_images"], jobs["restore_images"], jobs["sample_noise"]) == (1, 2, 2 + 2)
