"""What runs again after which edit, by the jobs that snakemake plans."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pandas as pd
import pytest
import yaml
from workflow_study import ROOT, Study

pytestmark = pytest.mark.workflow

PACKAGE = "workflow/patchcert"
RESULTS = "build/ci/results"


def once(kind: str, names: str) -> Counter[str]:
    return Counter(f"{kind}/{name}" for name in names.split())


PAGE = Counter(["page"])
LEDGER_PAGE = Counter(["page_of_claims"])
PAGES = PAGE | LEDGER_PAGE
"""The page of results, which shows all, and that of the ledger, which is made from metrics, times and tables."""
SHOWN = {
    "grid": once("table", "accuracy vanilla forward_passes") | once("figure", "strategies"),
    "mask_set": Counter(),
    "patch_sizes": once("table", "patch_sizes") | once("figure", "prior_defenses"),
    "patch_shapes": once("table", "patch_shapes"),
    "mask_budgets": once("figure", "mask_budgets overhead inference_algorithms"),
    "overestimated_patch": once("figure", "overestimated_patch"),
    "large_patches": once("figure", "large_patches"),
    "minority_reports": once("figure", "minority_reports"),
    "objects": Counter(),
    "defenses": once("table", "defenses"),
    "strategies": once("table", "strategies") | once("figure", "strategy_costs"),
    "strategy_budgets": once("figure", "strategy_budgets"),
}
"""The tables and figures that are made from the metrics of each analysis."""


def evaluated(analyses: str, defense: str = "double_masking") -> Counter[str]:
    """The metrics of a defense in some analyses, and what shows them."""
    jobs = PAGES
    for name in analyses.split():
        jobs = jobs | once("evaluate", f"{name}/{defense}") | SHOWN[name]
    return jobs


def both(one: Counter[str], other: Counter[str]) -> Counter[str]:
    """The jobs of two datasets: of predictions and trainings their sum, and of what shows them what either makes."""
    return (one | other) + Counter({name: min(one[name], other[name]) for name in ("predict", "train")})


FIGURES_OF_IMAGES = once("figure", "object_sizes classes")
MULTILABEL_TABLES = once("table", "multilabel_overall multilabel_areas multilabel_attackers multilabel_classes")
CERTIFICATION_HISTOGRAMS = once("figure", "certification_histograms")
EVALUATED_LABELS = (
    Counter(["evaluate_multilabel/multilabel/multilabel"])
    | MULTILABEL_TABLES
    | once("figure", "precision_recall class_curves")
    | PAGES
)
CERTIFIED_LABELS = EVALUATED_LABELS | Counter(["certify/multilabel"])
PREDICTED_LABELS = CERTIFIED_LABELS | Counter({"predict": 2, "gather_scores": 1}) | CERTIFICATION_HISTOGRAMS
ANALYSES_OF_REGIONS = ("bagcert_conditions", "bagcert_patch_sizes", "bagcert_attacks", "defenses")
EVALUATED_REGIONS = (
    Counter([f"evaluate_regions/{name}/bagcert" for name in ANALYSES_OF_REGIONS])
    | once("table", "bagcert_conditions defenses")
    | once("figure", "bagcert_conditions bagcert_patch_sizes")
    | PAGES
)
CERTIFIED_REGIONS = EVALUATED_REGIONS | Counter(["certify_regions/bagcert"])
PREDICTED_REGIONS = CERTIFIED_REGIONS | Counter(["predict_regions"])
EVALUATED_ATTACKS = Counter(["evaluate_attacks/bagcert_attacks/attacks", "figure/bagcert_attacks"]) | PAGE
ATTACKS = EVALUATED_ATTACKS | Counter({"attack_regions": 2})
ATTACK_EXAMPLE = once("figure", "bagcert_attack_example")
REGION_TIMES = Counter(["time_regions", "table/defenses"]) | PAGES
CURVES = once("figure", "smoothing_places smoothing_attacked")
TABLES_OF_NOISE = once("table", "mask_smoothing smoothing_places")
EVALUATED_NOISE = (
    Counter([f"evaluate/{name}/mask_smoothing" for name in ("smoothing_places", "smoothing_attacked")])
    | TABLES_OF_NOISE
    | CURVES
    | PAGES
)
CERTIFIED_NOISE = EVALUATED_NOISE | Counter({"certify_smoothing/mask_smoothing": 4})
SAMPLED = CERTIFIED_NOISE | Counter({"sample_noise": 4})
EVALUATED_PLACES = (
    Counter(["evaluate/smoothing_localisation/localisation"])
    | once("table", "localisation")
    | once("figure", "localisation")
    | PAGES
)
LOCATED = EVALUATED_PLACES | Counter({"locate/localisation": 2})
SMOOTHED = SAMPLED | LOCATED | Counter({"restore_images": 3, "attack_images": 2})
"""All that is asked of the classifier that was trained with noise."""
ATTACKED_NOISE = (
    LOCATED
    | Counter({"attack_images": 2, "restore_images": 2, "sample_noise": 1, "certify_smoothing/mask_smoothing": 1})
    | Counter(["evaluate/smoothing_attacked/mask_smoothing", "table/mask_smoothing", "figure/smoothing_attacked"])
)
"""What depends on the attacked images."""
FIGURE_OF_PAIRS = once("figure", "mask_set")
TRAINING_CURVES = once("figure", "training_curves")
TABLE_OF_TIMES = once("table", "inference_times")
THROUGHPUT = once("table", "training_throughput")
MASKED_IMAGES = once("figure", "masked_images")
TRAINED = once("figure", "training_curves strategy_costs") | once("table", "strategies") | MASKED_IMAGES
"""What shows how trainings went, of the analysis of strategies."""
TRAINING_TIMES = (
    Counter(["time_training"]) | once("table", "strategies training_throughput") | once("figure", "strategy_costs") | PAGES
)

METRICS = evaluated(" ".join(SHOWN))
CHALLENGER_METRICS = evaluated("mask_budgets", "challenger")
MINORITY_REPORTS_METRICS = evaluated("minority_reports", "minority_reports")
EVERY_METRIC = METRICS | CHALLENGER_METRICS | MINORITY_REPORTS_METRICS
FIGURES_OF_METRICS = Counter(name for name in METRICS if name.startswith("figure/"))
FIGURES = FIGURES_OF_METRICS | FIGURES_OF_IMAGES | FIGURE_OF_PAIRS | TRAINING_CURVES | MASKED_IMAGES
FIGURES |= once("figure", "precision_recall class_curves") | CERTIFICATION_HISTOGRAMS
FIGURES |= once("figure", "bagcert_conditions bagcert_patch_sizes bagcert_attacks") | ATTACK_EXAMPLE
FIGURES |= CURVES | once("figure", "localisation")
TIMES = Counter(["time_inference"]) | TABLE_OF_TIMES | SHOWN["mask_budgets"] | SHOWN["defenses"] | PAGES
CHALLENGER = Counter({"certify/challenger": 2}) | CHALLENGER_METRICS
MINORITY_REPORTS = Counter({"certify/minority_reports": 2}) | MINORITY_REPORTS_METRICS

PREDICTIONS_OF_DIGITS = (
    Counter({"predict": 16, "gather_predictions": 8, "certify/double_masking": 8})
    | FIGURE_OF_PAIRS
    | FIGURES_OF_IMAGES
    | CHALLENGER
    | MINORITY_REPORTS
    | METRICS
)
SMOOTHING_RUN = SMOOTHED | Counter(["train"]) | TRAINING_CURVES
MASKED_RUNS = Counter({"train": 4}) | TRAINING_CURVES | TRAINED | TRAINING_TIMES | PREDICTIONS_OF_DIGITS | TIMES
TRAININGS_OF_DIGITS = both(MASKED_RUNS, SMOOTHING_RUN)
PREDICTIONS = both(PREDICTIONS_OF_DIGITS, PREDICTED_LABELS)
MULTILABEL_RUN = PREDICTED_LABELS | Counter(["train"]) | TRAINING_CURVES
REGION_RUN = PREDICTED_REGIONS | ATTACKS | ATTACK_EXAMPLE | REGION_TIMES | Counter(["train"]) | TRAINING_CURVES
EVERYTHING_OF_DIGITS = both(TRAININGS_OF_DIGITS, REGION_RUN)
TRAININGS = both(EVERYTHING_OF_DIGITS, MULTILABEL_RUN)


def predicted(mask_sets: int, analyses: str) -> Counter[str]:
    """What follows from predictions that some analyses have certified by double masking alone and show as accuracies."""
    jobs = Counter({"predict": 2 * mask_sets, "gather_predictions": mask_sets, "certify/double_masking": mask_sets})
    return jobs | evaluated(analyses)


ONE_RUN = predicted(1, "grid") | Counter(["train"]) | TRAINING_CURVES
COMPARED_RUN = predicted(1, "grid strategies") | Counter(["train"]) | TRAINED | TRAINING_TIMES
ANALYSED_RUN = (
    predicted(4, "grid patch_shapes mask_budgets minority_reports objects defenses strategies strategy_budgets")
    | Counter(["train"])
    | TRAINED
    | TRAINING_TIMES
    | TIMES
    | CHALLENGER
    | MINORITY_REPORTS
    | FIGURES_OF_IMAGES
)
"""A run that is timed, certified by every defense, and shown image by image."""
LEFT_TO_A_TARGET = once("evaluate", "training_seeds/double_masking") | once("table", "training_seeds") | PAGE
SHOWN_BY_BAGCERT = once("table", "bagcert_times") | once("figure", "bagcert_aspect_ratios bagcert_outputs")
LEFT_TO_BAGCERT = (
    Counter([f"evaluate_regions/{name}/bagcert" for name in ("bagcert_aspect_ratios", "bagcert_outputs")])
    | Counter(["train", "predict_regions", "certify_regions/bagcert"])
    | SHOWN_BY_BAGCERT
    | PAGE
)
"""With a second output function; of what is timed, the bare run has the metrics and the times already."""
SHOWN_BY_SMOOTHING = once("figure", "smoothing_mask_sizes smoothing_trainings smoothing_noise")
LEFT_TO_SMOOTHING = (
    Counter([f"evaluate/{name}/mask_smoothing" for name in ("smoothing_mask_sizes", "smoothing_trainings", "smoothing_noise")])
    | Counter({"sample_noise": 3, "certify_smoothing/mask_smoothing": 3})
    | SHOWN_BY_SMOOTHING
    | PAGE
)
"""With two more masks and another deviation; one mask of each analysis the bare run has already."""


def test_nothing_changed_plans_nothing(finished):
    assert finished.plan() == {}
    assert "Nothing to be done" in finished.run("--dry-run").stdout


def test_file_times_alone_plan_nothing(finished):
    for path in [*finished.folder.glob("workflow/**/*.py"), *finished.folder.glob("config/*")]:
        os.utime(path)
    assert finished.plan() == {}


def test_the_whole_study_is_planned_where_nothing_is_there(fresh):
    jobs = fresh.plan()
    once_only = Counter({"fetch": 4, "prepare": 2})
    assert jobs == once_only | TRAININGS
    assert jobs.keys() == {
        *once_only,
        *("train", "predict", "time_inference", "gather_predictions", "gather_scores", "page", "page_of_claims"),
        *("certify/multilabel", "evaluate_multilabel/multilabel/multilabel"),
        *("predict_regions", "certify_regions/bagcert", "time_regions", "attack_regions"),
        *("attack_images", "restore_images", "sample_noise", "certify_smoothing/mask_smoothing", "locate/localisation"),
        *(f"evaluate/{name}/mask_smoothing" for name in ("smoothing_places", "smoothing_attacked")),
        "evaluate/smoothing_localisation/localisation",
        *(f"evaluate_regions/{name}/bagcert" for name in ANALYSES_OF_REGIONS),
        "evaluate_attacks/bagcert_attacks/attacks",
        *(f"certify/{defense}" for defense in ("double_masking", "challenger", "minority_reports")),
        *(f"evaluate/{analysis}/double_masking" for analysis in SHOWN),
        *("evaluate/mask_budgets/challenger", "evaluate/minority_reports/minority_reports"),
        *(
            f"{kind}/{file.stem}"
            for kind in ("table", "figure")
            for file in (ROOT / PACKAGE / f"report/{kind}s").glob("[!_]*.py")
        ),
    } - LEFT_TO_A_TARGET.keys() - SHOWN_BY_BAGCERT.keys() - SHOWN_BY_SMOOTHING.keys() | {"time_training", "page"}


def test_a_named_target_makes_what_the_bare_run_leaves_out(finished):
    assert finished.plan("strategies") == LEFT_TO_A_TARGET
    assert finished.plan("bagcert") == LEFT_TO_BAGCERT
    finished.run("bagcert")
    page = (finished.folder / "build/ci/reports/bagcert.md").read_text()
    assert all(shown.split("/")[1] in page for shown in SHOWN_BY_BAGCERT)
    assert finished.plan("smoothing") == LEFT_TO_SMOOTHING
    finished.edit_config("analyses.training_seeds.seeds", [0, 1])
    jobs = finished.plan("strategies")
    assert (jobs["train"], jobs["predict"]) == (3, 3 * 2)
    # the numbers of a named target are on it where they are there
    assert finished.plan() == LEDGER_PAGE


# --- an edit of the code -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("report/figures/strategies", once("figure", "strategies") | PAGE),
        ("report/figures/classes", once("figure", "classes") | PAGE),
        ("report/figures/mask_set", FIGURE_OF_PAIRS | PAGE),
        ("report/figures/training_curves", TRAINING_CURVES | PAGE),
        ("report/figures/masked_images", MASKED_IMAGES | PAGE),
        ("report/tables/vanilla", once("table", "vanilla") | PAGES),
        ("report/tables/inference_times", TABLE_OF_TIMES | PAGES),
        ("report/style", FIGURES | PAGE),
        ("report/page", PAGE),
        ("evaluation/double_masking", CHALLENGER | METRICS | FIGURES_OF_IMAGES | {"certify/double_masking": 8}),
        ("evaluation/challenger", CHALLENGER),
        ("evaluation/minority_reports", MINORITY_REPORTS),
        ("defenses/minority_reports", MINORITY_REPORTS),
        ("study/times", TIMES),
        ("defended", TIMES),
        ("training/throughput", TRAINING_TIMES),
        # the engine asks for the labels that these two look at
        ("defenses/double_masking", PREDICTIONS | TIMES),
        ("defenses/challenger", PREDICTIONS | TIMES),
        ("predict", PREDICTIONS | TIMES),
        ("study/shards", PREDICTIONS),
        ("training/strategies/greedy_cutout", COMPARED_RUN),
        ("training/strategies/gutout", {}),
        ("training/strategies/random_cutout", ANALYSED_RUN),
        ("models/architectures/small_vit", ONE_RUN),
        ("evaluation/multilabel", CERTIFIED_LABELS),
        ("report/figures/certification_histograms", CERTIFICATION_HISTOGRAMS | PAGE),
        ("report/tables/multilabel_areas", once("table", "multilabel_areas") | PAGES),
        ("row_extrema", PREDICTIONS | TIMES),
        ("evaluation/bagcert", CERTIFIED_REGIONS | EVALUATED_ATTACKS),
        ("study/regions", PREDICTED_REGIONS | ATTACKS | ATTACK_EXAMPLE | REGION_TIMES),
        ("models/architectures/small_bagcert", REGION_RUN),
        ("models/architectures/small_bagcert_softmax", {}),
        ("report/figures/bagcert_attacks", once("figure", "bagcert_attacks") | PAGE),
        ("report/figures/bagcert_attack_example", ATTACK_EXAMPLE | PAGE),
        ("evaluation/mask_smoothing", CERTIFIED_NOISE),
        ("evaluation/localisation", LOCATED),
        ("study/smoothing", SMOOTHED),
        ("training/strategies/gaussian_patch", SMOOTHING_RUN),
        ("report/figures/smoothing_places", once("figure", "smoothing_places") | PAGE),
        ("training/trainer", TRAININGS),
        ("device", TRAININGS),
        ("masking", TRAININGS),
        ("datasets/index", TRAININGS | {"prepare": 2}),
        ("datasets/loaders/digits", EVERYTHING_OF_DIGITS | {"prepare": 1}),
        ("datasets/loaders/coco", MULTILABEL_RUN | {"prepare": 1}),
        ("datasets/prepare", TRAININGS | {"prepare": 2}),
        ("datasets/loaders/cifar10", {}),
        ("study/adapter", {}),
        ("study/config", LEDGER_PAGE),
        ("claims/readings", LEDGER_PAGE),
        ("cli", {}),
        ("bench", {}),
    ],
)
def test_a_modules_code_reruns_the_rules_that_reach_it(finished, module, jobs):
    finished.append(f"{PACKAGE}/{module}.py")
    assert finished.plan() == jobs


def test_a_comment_or_docstring_reruns_nothing(finished):
    finished.replace(f"{PACKAGE}/training/trainer.py", "half a cosine", "half of a cosine")
    finished.append("workflow/scripts/train.py", "# a remark\n")
    assert finished.plan() == {}


def test_an_adapters_code_reruns_its_rule(finished):
    finished.append("workflow/scripts/evaluate.py")
    assert finished.plan() == EVERY_METRIC | EVALUATED_NOISE | EVALUATED_PLACES


def test_a_further_module_in_a_folder_of_parts_reruns_nothing(finished):
    parts = "training/strategies datasets/loaders models/architectures defenses evaluation report/tables report/figures"
    for folder in parts.split():
        (finished.folder / PACKAGE / folder / "another.py").write_text('"""Another one."""\n')
    assert finished.plan() == {}


def test_a_caption_reruns_what_it_stands_under(finished):
    finished.replace("rules/common.smk", '"caption": "What certificate mode costs', '"caption": "The cost of certificate mode')
    assert finished.plan() == once("table", "forward_passes") | PAGES


def test_a_published_number_reruns_what_shows_it(finished):
    finished.replace("config/published.csv", ",83.9,", ",83.8,")
    figures = "strategies strategy_costs prior_defenses mask_budgets overhead large_patches minority_reports precision_recall "
    figures += "bagcert_conditions bagcert_patch_sizes smoothing_places smoothing_attacked"
    tables = "accuracy vanilla patch_sizes patch_shapes strategies training_throughput bagcert_conditions mask_smoothing"
    assert finished.plan() == once("table", tables) | MULTILABEL_TABLES | once("figure", figures) | PAGES


# --- an edit of the configuration --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "jobs"),
    [
        ("report.palette", "deep", FIGURES | PAGE),
        ("report.font_size", 10, FIGURES | PAGE),
        (
            "evaluate.confidence",
            0.9,
            EVERY_METRIC
            | EVALUATED_REGIONS
            | EVALUATED_ATTACKS
            | EVALUATED_NOISE
            | EVALUATED_PLACES
            | TABLE_OF_TIMES
            | MULTILABEL_TABLES
            | THROUGHPUT,
        ),
        ("defenses.double_masking.numerical_margin", 0.5, METRICS | FIGURES_OF_IMAGES | {"certify/double_masking": 8}),
        # four runs; one of them is predicted under the second budget for an analysis already
        ("defenses.double_masking.patch_sizes", [[4, 4]], predicted(4, "grid")),
        ("defenses.double_masking.mask_budgets", [[3, 3], [2, 2]], predicted(3, "grid")),
        ("predict.fill", 0.5, PREDICTIONS | TIMES),
        ("predict.dtype", "bfloat16", PREDICTIONS | TIMES),
        ("predict.batch_size", 7, PREDICTIONS),
        ("predict.compiled", True, PREDICTIONS),
        ("predict.timed_images", 5, TIMES),
        ("trainings.random_cutout.learning_rate", 0.0005, ANALYSED_RUN),
        ("trainings.greedy_cutout_multisize.epochs", 2, COMPARED_RUN),
        # all others start from it
        ("trainings.plain.weight_decay", 0.01, TRAININGS_OF_DIGITS),
        ("trainings.multilabel_plain.weight_decay", 0.01, MULTILABEL_RUN),
        ("trainings.margin.margin", 0.25, REGION_RUN),
        ("trainings.gaussian_patch.noise_sigma", 5, SMOOTHING_RUN),
        ("defenses.mask_smoothing.alpha", 0.01, CERTIFIED_NOISE),
        ("defenses.mask_smoothing.estimation_samples", 60, SAMPLED),
        ("defenses.mask_smoothing.attack_places", 4, ATTACKED_NOISE),
        ("defenses.bagcert.numerical_margin", 0.01, PREDICTED_REGIONS),
        ("defenses.bagcert.attack_steps", 6, ATTACKS | ATTACK_EXAMPLE | LEDGER_PAGE),
        ("analyses.bagcert_patch_sizes.patches", [[2, 2], [3, 3]], CERTIFIED_REGIONS),
        ("defenses.multilabel.threshold", 0.5, EVALUATED_LABELS | CERTIFICATION_HISTOGRAMS),
        ("defenses.multilabel.smaller_patches", [[4, 4]], CERTIFIED_LABELS),
        ("datasets.digits.split_seed", 1, EVERYTHING_OF_DIGITS | {"prepare": 1}),
        ("datasets.digits.resize", 40, EVERYTHING_OF_DIGITS | {"prepare": 1}),
        ("datasets.scenes.split_seed", 1, MULTILABEL_RUN | {"prepare": 1}),
        ("mirror", "http://127.0.0.1:9", {}),
    ],
)
def test_a_key_reruns_what_depends_on_it(finished, key, value, jobs):
    finished.edit_config(key, value)
    assert finished.plan() == jobs


def test_a_key_that_only_moves_reruns_nothing(finished):
    path = finished.folder / finished.config
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=True))
    assert finished.plan() == {}


def gathered(study: Study) -> set[str]:
    """Runs and mask sets of which predictions are planned, as paths name them."""
    gathers = [made for rule, made in study.jobs() if rule == "gather_predictions"]
    return {made.removeprefix(f"{RESULTS}/predictions/").removesuffix("/predictions") for made in gathers}


def test_a_further_budget_of_an_analysis_predicts_only_that_mask_set(finished):
    finished.edit_config("analyses.mask_budgets.budgets", [[2, 2], [3, 3], [4, 4]])
    run = "digits/small_resnetv2/random_cutout/seed-0"
    asked = {job for job in finished.jobs() if job[0] in ("train", "predict", "certify", "time_inference")}
    assert asked == {
        ("predict", f"{RESULTS}/predictions/{run}/patch-5x5/masks-4x4/shards/1-of-2"),
        ("predict", f"{RESULTS}/predictions/{run}/patch-5x5/masks-4x4/shards/2-of-2"),
        ("certify", f"{RESULTS}/certificates/double_masking/{run}/patch-5x5/masks-4x4"),
        ("certify", f"{RESULTS}/certificates/challenger/{run}/patch-5x5/masks-4x4"),
        ("time_inference", f"{RESULTS}/times/{run}"),
    }


def test_a_further_patch_form_of_an_analysis_predicts_only_that_mask_set(finished):
    finished.edit_config("analyses.patch_shapes.patches", ["area-10", "2-of-3x3", [5, 5], "3-of-2x2"])
    assert finished.plan() == predicted(1, "patch_shapes")
    assert gathered(finished) == {"digits/small_resnetv2/random_cutout/seed-0/patch-3-of-2x2/masks-2x2"}


def test_a_mode_repredicts_the_mask_sets_that_nobody_had_in_whole(finished):
    """Of the two patches of this analysis, the 5x5 one is predicted in whole for the figure of the two rounds."""
    finished.edit_config("analyses.patch_sizes.mode", "matrix")
    assert finished.plan() == predicted(1, "patch_sizes overestimated_patch large_patches")
    assert gathered(finished) == {"digits/small_resnetv2/plain/seed-0/patch-2x2/masks-3x3"}


def test_an_analysis_that_is_taken_out_is_no_longer_shown(finished):
    analyses = yaml.safe_load((finished.folder / finished.config).read_text())["analyses"]
    finished.edit_config("analyses", {name: block for name, block in analyses.items() if name != "objects"})
    assert finished.plan() == PAGES
    finished.run()
    page = (finished.folder / "build/ci/reports/README.md").read_text()
    assert "classes.png" not in page
    assert "mask_budgets.png" in page


def test_a_study_without_analyses_shows_its_grid(fresh):
    fresh.edit_config("analyses", {})
    shown = {job for job in fresh.plan() if job.startswith(("figure/", "table/", "certify/", "time_inference"))}
    assert shown == {
        *("table/accuracy", "table/vanilla", "table/forward_passes", "figure/strategies", "figure/training_curves"),
        "certify/double_masking",
    }


# --- what is deleted ---------------------------------------------------------------------------------------------------------


def test_a_deleted_shard_is_replanned_with_what_follows(finished):
    masks = "digits/small_resnetv2/random_cutout/seed-0/patch-area-10/masks-2x2"
    (finished.folder / RESULTS / "predictions" / masks / "shards/2-of-2.npz").unlink()
    assert finished.plan() == predicted(1, "patch_shapes") | {"predict": 1}


def test_a_deleted_certificate_is_replanned_without_a_model(finished):
    masks = "digits/small_resnetv2/random_cutout/seed-0/patch-5x5/masks-2x2"
    (finished.folder / RESULTS / f"certificates/challenger/{masks}.parquet").unlink()
    assert finished.plan() == once("certify", "challenger") | CHALLENGER_METRICS


def test_one_figure_needs_only_its_own_runs(fresh):
    jobs = fresh.plan("build/ci/reports/figures/large_patches.svg")
    assert jobs == Counter(["fetch", "prepare", "train", "figure/large_patches", "evaluate/large_patches/double_masking"]) | {
        "predict": 4,
        "gather_predictions": 2,
        "certify/double_masking": 2,
    }


def test_a_deleted_figure_is_replanned_with_the_page(finished):
    (finished.folder / "build/ci/reports/figures/overhead.svg").unlink()
    assert finished.plan() == once("figure", "overhead") | PAGE


def test_deleted_results_keep_the_weights_where_the_index_is_made_first(finished):
    shutil.rmtree(finished.folder / RESULTS)
    assert finished.plan()["train"] == 7
    finished.run("prepared")
    assert finished.plan()["train"] == 0


# --- what two ways have in common --------------------------------------------------------------------------------------------


def test_both_modes_give_the_same_certificates(finished):
    masks = "digits/small_resnetv2/random_cutout/seed-0/patch-5x5/masks-2x2"
    path = f"{RESULTS}/certificates/double_masking/{masks}.parquet"
    # between the margins of the images that are two-mask correct, so that some of them are near a flip and some are not
    margins = pd.read_parquet(finished.folder / path).query("two_mask_correct")["margin"]
    finished.edit_config("defenses.double_masking.numerical_margin", float((margins.min() + margins.max()) / 2))
    records = {}
    for mode in ("certificate", "matrix"):
        finished.edit_config("analyses.mask_budgets.mode", mode)
        finished.run(path)
        records[mode] = pd.read_parquet(finished.folder / path)
    certificate, matrix = records["certificate"], records["matrix"]
    same = ["image_id", "label", "undefended", "defended", "case", "two_mask_correct", "near_flip", "certified"]
    pd.testing.assert_frame_equal(certificate[same], matrix[same])
    assert matrix[["two_mask_correct", "near_flip", "certified"]].nunique().eq(2).all()
    # in matrix mode every pair of masks is classified, and in the other what certificates and answers look at
    assert (matrix["passes"] == matrix["pairs"]).all()
    assert certificate["passes"].sum() < matrix["passes"].sum()
