"""What runs again after which edit, by the jobs that snakemake plans."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

pytestmark = pytest.mark.workflow

PACKAGE = "workflow/patchcert"
TABLES = {"table": 2}
FROM_METRICS = {"figure_strategies": 1, **TABLES, "page": 1}
FROM_PREDICTIONS = {"evaluate": 1, **FROM_METRICS}
ALL_PREDICTIONS = {"predict": 8, "gather_predictions": 4, "certify": 4, "figure_mask_set": 1, **FROM_PREDICTIONS}


def one_run(figure_of_the_run: bool = False) -> dict[str, int]:
    jobs = {"train": 1, "predict": 2, "gather_predictions": 1, "certify": 1, "figure_training_curves": 1, **FROM_PREDICTIONS}
    return jobs | ({"figure_mask_set": 1} if figure_of_the_run else {})


def test_nothing_changed_plans_nothing(finished):
    assert finished.plan() == Counter()


def test_file_times_alone_plan_nothing(finished):
    for path in [*finished.folder.glob("workflow/**/*.py"), *finished.folder.glob("config/*")]:
        os.utime(path)
    assert finished.plan() == Counter()


@pytest.mark.parametrize(("key", "value"), [("palette", "deep"), ("font_size", 10), ("resolution", 100)])
def test_a_figures_style_reruns_figures_and_page(finished, key, value):
    finished.edit_config(f"report.{key}", value)
    assert finished.plan() == {"figure_mask_set": 1, "figure_strategies": 1, "figure_training_curves": 1, "page": 1}


def test_a_plotting_module_reruns_figures_and_page(finished):
    finished.replace(f"{PACKAGE}/report/style.py", "WIDTH = 7.2", "WIDTH = 7.0")
    assert finished.plan() == {"figure_mask_set": 1, "figure_strategies": 1, "figure_training_curves": 1, "page": 1}


def test_a_figures_own_module_reruns_that_figure(finished):
    finished.replace(f"{PACKAGE}/report/figures/strategies.py", "0.8 / len(trainings)", "0.7 / len(trainings)")
    assert finished.plan() == {"figure_strategies": 1, "page": 1}


def test_a_tables_own_module_reruns_that_table(finished):
    finished.replace(f"{PACKAGE}/report/tables/vanilla.py", '"published, %"', '"published value, %"')
    assert finished.plan() == {"table": 1, "page": 1}


def test_a_confidence_level_reruns_metrics_and_report(finished):
    finished.edit_config("evaluate.confidence", 0.9)
    assert finished.plan() == FROM_PREDICTIONS


@pytest.mark.parametrize(("key", "value"), [("patch_sizes", [[4, 4]]), ("mask_budgets", [[2, 2]])])
def test_patch_size_and_budget_rerun_predictions_but_no_training(finished, key, value):
    finished.edit_config(f"defenses.double_masking.{key}", value)
    assert finished.plan() == ALL_PREDICTIONS


def test_the_engines_settings_rerun_predictions_but_no_training(finished):
    finished.edit_config("predict.fill", 0.5)
    assert finished.plan() == ALL_PREDICTIONS


def test_a_further_budget_keeps_the_predictions_of_the_first(finished):
    finished.edit_config("defenses.double_masking.mask_budgets", [[3, 3], [2, 2]])
    assert finished.plan() == ALL_PREDICTIONS


def test_a_numerical_margin_reruns_certificates(finished):
    finished.edit_config("defenses.double_masking.numerical_margin", 0.5)
    assert finished.plan() == {"certify": 4, **FROM_PREDICTIONS}


def test_a_training_key_reruns_that_strategys_chain(finished):
    finished.edit_config("trainings.random_cutout.learning_rate", 0.0005)
    assert finished.plan() == one_run()


def test_a_training_that_others_start_from_reruns_them_too(finished):
    finished.edit_config("trainings.plain.weight_decay", 0.01)
    assert finished.plan() == {**ALL_PREDICTIONS, "train": 4, "figure_training_curves": 1}


def test_a_module_of_the_trainer_reruns_every_training(finished):
    finished.replace(f"{PACKAGE}/training/trainer.py", "half a cosine", "half of a cosine")
    assert finished.plan() == Counter()
    finished.replace(f"{PACKAGE}/training/trainer.py", "max(epochs - warmup, 1e-9)", "max(epochs - warmup, 1e-8)")
    assert finished.plan() == {**ALL_PREDICTIONS, "train": 4, "figure_training_curves": 1}


def test_a_module_that_the_trainer_imports_reruns_every_training(finished):
    finished.replace(f"{PACKAGE}/predict.py", "masked_fill(hidden[:, None], fill)", "masked_fill(hidden[:, None], fill + 0)")
    assert finished.plan()["train"] == 4


def test_a_strategys_module_reruns_that_strategy(finished):
    finished.replace(f"{PACKAGE}/training/strategies/greedy_cutout.py", "for _ in range(2)", "for _ in range(1 + 1)")
    assert finished.plan() == one_run()


def test_an_architectures_module_reruns_that_model(finished):
    finished.replace(f"{PACKAGE}/models/architectures/small_vit.py", "num_heads=2", "num_heads=4")
    assert finished.plan() == one_run()


def test_a_further_strategy_or_loader_or_architecture_reruns_nothing(finished):
    folders = ("training/strategies", "datasets/loaders", "models/architectures", "defenses", "report/tables", "report/figures")
    for folder in folders:
        (finished.folder / PACKAGE / folder / "another.py").write_text('"""Another one."""\n')
    assert finished.plan() == Counter()


def test_a_certificates_module_reruns_no_prediction(finished):
    finished.replace(f"{PACKAGE}/defenses/double_masking.py", "AGREED = 1", "AGREED = 4")
    assert finished.plan() == {"certify": 4, "figure_mask_set": 1, **FROM_PREDICTIONS}


def test_a_log_message_reruns_nothing(finished):
    finished.replace(f"{PACKAGE}/study/adapter.py", "the job failed", "the job has failed")
    assert finished.plan() == Counter()


def test_a_comment_in_an_adapter_reruns_nothing(finished):
    path = finished.folder / "workflow/scripts/train.py"
    path.write_text(path.read_text() + "# a remark\n")
    assert finished.plan() == Counter()


def test_an_adapters_code_reruns_its_rule(finished):
    path = finished.folder / "workflow/scripts/evaluate.py"
    path.write_text(path.read_text() + "assert True\n")
    assert finished.plan() == FROM_PREDICTIONS


def test_a_deleted_shard_is_replanned_with_what_follows(finished):
    shards = sorted((finished.folder / "build/ci/results/predictions").glob("**/random_cutout/**/shards/*.npz"))
    shards[0].unlink()
    assert finished.plan() == {"predict": 1, "gather_predictions": 1, "certify": 1, **FROM_PREDICTIONS}


def test_a_deleted_certificate_is_replanned_without_a_model(finished):
    next((finished.folder / "build/ci/results/certificates").glob("**/random_cutout/**/*.parquet")).unlink()
    assert finished.plan() == {"certify": 1, **FROM_PREDICTIONS}


def test_a_mirror_reruns_nothing(finished):
    assert finished.run("--config", "mirror=http://127.0.0.1:9", "--dry-run").stdout.count("Nothing to be done") == 1


def test_the_split_reruns_everything(finished):
    finished.edit_config("datasets.digits.split_seed", 1)
    jobs = finished.plan()
    assert (jobs["fetch"], jobs["prepare"], jobs["train"], jobs["predict"]) == (0, 1, 4, 8)


def test_a_loaders_module_reruns_everything(finished):
    finished.replace(f"{PACKAGE}/datasets/loaders/digits.py", "BICUBIC", "BILINEAR")
    jobs = finished.plan()
    assert (jobs["fetch"], jobs["prepare"], jobs["train"], jobs["predict"]) == (0, 1, 4, 8)


def test_deleted_results_keep_the_weights_where_the_index_is_made_first(finished):
    shutil.rmtree(finished.folder / "build/ci/results")
    assert finished.plan()["train"] == 4
    finished.run("prepared")
    assert finished.plan()["train"] == 0
