"""Numbers of the ledger as something to ask a study for: what gives each, what was measured, and whether it still holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from patchcert import InputError
from patchcert.claims import readings, targets
from patchcert.claims import record as records
from patchcert.claims import status as statuses
from patchcert.claims.measured import LEDGER, Results, ledger_of, row_of, survey
from patchcert.claims.record import path_of, record, target_of, verify
from patchcert.claims.targets import Target, target
from patchcert.provenance import code_digest, write_json
from patchcert.report.ledger import COLUMNS, read_ledger

from .configurations import configured

ROOT = Path(__file__).parents[2]
BIT, VIT = "resnetv2_50x1_bit.goog_distilled_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k"
MRS = "mask_guided_randomized_smoothing"


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return read_ledger(ROOT / "config" / "published.csv")


@pytest.fixture(scope="module")
def rows(ledger: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in ledger.to_dict("records")}


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return configured("paper")


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return configured("study")


# --- what gives a number -----------------------------------------------------------------------------------------------------


def test_every_number_has_a_target_in_the_paper_study_or_a_reason(rows, paper) -> None:
    found = {identity: target(row, paper) for identity, row in rows.items()}
    assert Counter(each if isinstance(each, str) else each.kind for each in found.values()) == {
        "certificates": 748,
        "training_times": 25,
        "region_times": 15,
        "times": 2,
        "quoted from others": 135,
        "a defense of others that the study does not have": 70,
        "time of the authors' hardware": 9,
        "a difference from a number of others": 6,
    }
    for identity, each in found.items():
        assert isinstance(each, Target) == (each not in targets.REASONS)
        if isinstance(each, Target):
            assert each.facts
            assert not rows[identity]["quoted_from"]


@pytest.mark.parametrize(
    ("identity", "analysis", "facts"),
    [
        (
            "patchcleanser_table2_cifar10_vit_2_4_percent_robust",
            "grid",
            {"dataset": "cifar10", "model": VIT, "training": "random_cutout", "patch": "35x35", "budget": "6x6"},
        ),
        (
            "patchcleanser_table4_cifar10_two_squares_1_percent_robust",
            "patch_shapes",
            {"dataset": "cifar10", "patch": "2-of-23x23", "budget": "6x6"},
        ),
        ("patchcleanser_table4_imagenet_rectangle_1_percent_clean", "patch_shapes", {"patch": "area-501"}),
        ("patchcleanser_figure8_imagenet_vit_64x64_robust", "large_patches", {"patch": "64x64"}),
        ("patchcleanser_figure5_imagenet_vit_most_efficient_time", "mask_budgets", {"budget": "2x2", "patch": "32x32"}),
        (
            "patchcleanser_table3_imagenette_resnet",
            "grid",
            {"dataset": "imagenette", "model": BIT, "training": "random_cutout"},
        ),
        ("multilabel_patchcleanser_table3_fn_recall", "multilabel", {"dataset": "coco", "training": "multilabel_plain"}),
        (
            "bagcert_section4_cifar10_certified",
            "bagcert_conditions",
            {"dataset": "cifar10_32", "model": "bagcert_cifar10_rf7", "training": "margin_050", "patch": "5x5"},
        ),
        (
            "bagcert_section4_imagenet_condition_3_3",
            "bagcert_conditions",
            {"model": "bagcert_imagenet_rf17", "training": "margin_025_one_hot", "patch": "32x32"},
        ),
        ("bagcert_table1_cifar10_rf9_parameters", "bagcert_times", {"model": "bagcert_cifar10_rf9"}),
        (f"{MRS}_table1_cifar10_ours_certified", "smoothing_attacked", {"place": "attacked", "sigma": 7, "patch": "5x5"}),
        (f"{MRS}_table1_imagenet_ours_clean", "smoothing_attacked", {"place": "clean", "training": "gaussian_patch_large"}),
        (f"{MRS}_section4_2_cifar10_grad_cam_certified", "smoothing_places", {"place": "grad_cam", "sigma": 7}),
        (f"{MRS}_section4_3_cifar10_sigma_80_certified", "smoothing_noise", {"place": "center", "sigma": 80}),
        (f"{MRS}_section4_3_cifar10_30x30_answered", "smoothing_mask_sizes", {"place": "center", "patch": "30x30"}),
        (
            "greedy_cutout_tablea1_vit_grid_cutout_6x6_passes",
            "strategies",
            {"dataset": "cifar10", "model": VIT, "training": "grid_cutout_6x6"},
        ),
        (
            "multilabel_patchcleanser_section4b_certified_robust_area_share",
            "multilabel",
            {"dataset": "coco", "training": "multilabel_plain", "patch": "64x64"},
        ),
    ],
)
def test_the_certificate_of_a_number(rows, paper, identity, analysis, facts) -> None:
    found = target(rows[identity], paper)
    assert isinstance(found, Target)
    assert found.analysis == analysis
    assert len(found.facts) == 1
    assert facts.items() <= found.facts[0].items()


@pytest.mark.parametrize(
    ("identity", "told", "values"),
    [
        ("patchcleanser_section4_2_imagenet_vit_every_patch_clean", "patch", ["23x23", "32x32", "39x39"]),
        ("bagcert_section4_cifar10_24_pixels_certified", "patch", [f"{a}x{24 // a}" for a in (1, 2, 3, 4, 6, 8, 12, 24)]),
        ("patchcleanser_section4_2_imagenet_vit_every_patch_clean_loss", "patch", ["23x23", "32x32", "39x39"]),
        (f"{MRS}_section4_3_cifar10_tolerated_noise", "sigma", [7, 20, 50, 80]),
        ("bagcert_appendix_a3_cifar10_sigmoid_unstable", "seed", [0, 1, 2, 3, 4]),
        (
            "patchcleanser_figure9_imagenet_minority_reports_as_accurate_robust",
            "defense",
            ["minority_reports", "double_masking"],
        ),
    ],
)
def test_a_number_of_several_certificates(rows, paper, identity, told, values) -> None:
    found = target(rows[identity], paper)
    assert isinstance(found, Target)
    assert [facts[told] for facts in found.facts] == values
    assert len({tuple((k, v) for k, v in facts.items() if k != told) for facts in found.facts}) == 1


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ("greedy_cutout_table1_cifar10_cbn_robust", targets.QUOTED),
        ("patchcleanser_table2_imagenet_ds_2_percent_robust", targets.OTHERS),
        ("patchcleanser_figure5_imagenet_bagcert_time", targets.HARDWARE),
        ("bagcert_section4_imagenet_time", targets.HARDWARE),
        (f"{MRS}_section4_2_imagenet_gain", targets.DIFFERENCE),
    ],
)
def test_why_a_number_has_no_target(rows, paper, identity, reason) -> None:
    assert target(rows[identity], paper) == reason


@pytest.mark.parametrize(
    ("identity", "facts"),
    [
        (
            "patchcleanser_table2_cifar10_resnet_2_4_percent_robust",
            {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "patch": "5x5", "budget": "6x6"},
        ),
        ("patchcleanser_table4_cifar10_rectangle_1_percent_clean", {"patch": "area-10", "budget": "3x3"}),
        ("multilabel_patchcleanser_table1_certified_robust_class_recall", {"dataset": "scenes", "patch": "9x9"}),
        ("bagcert_table1_cifar10_ds_bs_time", {"model": "small_block_smoothing"}),
        (f"{MRS}_table1_cifar10_ours_certified", {"model": "small_resnetv2", "place": "attacked"}),
    ],
)
def test_the_counterpart_of_a_number(rows, default, identity, facts) -> None:
    found = target(rows[identity], default)
    assert isinstance(found, Target)
    assert facts.items() <= found.facts[0].items()


def test_numbers_have_the_counterparts_that_the_ledger_names(ledger, default) -> None:
    """But those of one paper's trainings and mask sets that are too many for a small study."""
    found = ledger[[isinstance(target(row, default), Target) for row in ledger.to_dict("records")]]
    named = ledger[ledger["default_model"] != ""]
    assert set(found["id"]) < set(named["id"])
    without = named[~named["id"].isin(found["id"])]
    assert set(without["paper"] + " " + without["table"]) == {
        "greedy_cutout Table 1",
        "greedy_cutout Table A1",
        f"{MRS} Section 4.1",
        f"{MRS} Section 4.4",
    }
    assert len(without) == 62


def test_what_was_taken_out_of_a_configuration_is_said(rows, paper) -> None:
    less = paper | {"analyses": {name: block for name, block in paper["analyses"].items() if name != "large_patches"}}
    assert target(rows["patchcleanser_figure7_imagenet_vit_192x192_clean"], less) == targets.NOT_CONFIGURED


def test_labels_of_named_classes_are_places_in_the_order_of_wordnet_ids() -> None:
    from timm.data import ImageNetInfo

    assert {name: ImageNetInfo().index_to_label_name(label) for name, label in targets.LABELS.items()} == {
        name: name for name in targets.LABELS
    }


# --- what was measured -------------------------------------------------------------------------------------------------------

RUN = {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "seed": 0}
GRID_FACTS = RUN | {"patch": "5x5", "budget": "6x6", "defense": "double_masking"}
ROBUST = "patchcleanser_table2_cifar10_resnet_2_4_percent_robust"


def paper_facts(rows: dict[str, dict[str, Any]], paper: dict[str, Any], identity: str) -> list[dict[str, Any]]:
    found = target(rows[identity], paper)
    assert isinstance(found, Target)
    return found.facts


def store(root: Path, config: dict[str, Any], path: str, content: dict[str, Any]) -> None:
    write_json(root / config["directories"]["results"] / path, content)


@pytest.mark.parametrize(("value", "status"), [(76.4, statuses.WITHIN), (81.2, statuses.WITHIN), (76.3, statuses.OUTSIDE)])
def test_a_number_is_held_against_the_metrics_of_its_certificate(ledger, rows, paper, tmp_path, value, status) -> None:
    (facts,) = paper_facts(rows, paper, ROBUST)
    runs = [facts | {"patch": "14x14", "certified": {"percent": 50.0}}, facts | {"certified": {"percent": value}}]
    store(tmp_path, paper, "metrics/patch_sizes/double_masking.json", {"runs": runs})
    found = survey(ledger[ledger["id"] == ROBUST], Results(paper, tmp_path)).iloc[0]
    assert (found["status"], found["measured"]) == (status, value)
    assert found["difference"] == pytest.approx(value - 78.8)


@pytest.mark.parametrize(
    ("relation", "value", "status"),
    [
        ("=", 52.4, statuses.WITHIN),
        ("=", 47.5, statuses.OUTSIDE),
        ("~", 52.5, statuses.OUTSIDE),
        (">", 99, statuses.WITHIN),
        (">", 47.5, statuses.OUTSIDE),
        ("<", 0, statuses.WITHIN),
        ("<", 52.5, statuses.OUTSIDE),
    ],
)
def test_a_bound_is_kept_on_one_side(relation, value, status) -> None:
    assert statuses.status({"published": 50.0, "tolerance": 2.4, "relation": relation}, value) == status


def test_a_time_is_told_and_not_judged(ledger, rows, paper, tmp_path) -> None:
    identity = "bagcert_table1_cifar10_rf7_time"
    (facts,) = paper_facts(rows, paper, identity)
    parts = [{"patch": "5x5", "milliseconds": each, "parameters": 38e6} for each in (3.0, 0.5)]
    store(
        tmp_path,
        paper,
        f"region_times/{'/'.join(map(str, (facts['dataset'], facts['model'], facts['training'])))}/seed-0.json",
        {"rows": parts},
    )
    rows_of = ledger[ledger["id"].isin([identity, "bagcert_table1_cifar10_rf7_parameters"])]
    found = survey(rows_of, Results(paper, tmp_path))
    # 3.5 ms an image
    assert found[["measured", "status"]].to_numpy().tolist() == [[35.0, statuses.ORDER_ONLY], [38.0, statuses.WITHIN]]


def test_a_number_of_several_certificates_waits_for_all_of_them(ledger, rows, paper, tmp_path) -> None:
    identity = "bagcert_section4_cifar10_24_pixels_certified"
    facts = paper_facts(rows, paper, identity)
    runs = [each | {"condition_3_2": {"percent": 40.0 + place}} for place, each in enumerate(facts)]
    results = []
    for number in (len(runs) - 1, len(runs)):
        store(tmp_path, paper, "metrics/bagcert_aspect_ratios/bagcert.json", {"runs": runs[:number]})
        found = survey(ledger[ledger["id"] == identity], Results(paper, tmp_path)).iloc[0]
        results.append((found["status"], found["measured"]))
    assert results[1] == (statuses.WITHIN, 40.0)
    assert results[0][0] == statuses.NOT_RUN


def test_where_nothing_has_run_every_number_says_so_or_why_not(ledger, paper, tmp_path) -> None:
    found = survey(ledger, Results(paper, tmp_path))
    assert found["status"].value_counts().to_dict() == {"not run": 790, "quoted": 135, "not reproducible": 85}
    assert found["measured"].isna().all()
    assert ((found["reason"] == "") == (found["status"] == "not run")).all()


def test_counterparts_are_read_from_the_metrics_or_else_from_the_tables(ledger, default, tmp_path) -> None:
    tables = tmp_path / "reports" / "tables"
    tables.mkdir(parents=True)
    line = GRID_FACTS | {"metric": "certified", "percent": 57.5}
    pd.DataFrame([line | {"budget": "3x3", "percent": 1.0}, line]).to_csv(tables / "accuracy.csv", index=False)
    row = ledger[ledger["id"] == ROBUST]
    assert survey(row, Results(default, tmp_path)).iloc[0][["measured", "status"]].tolist() == [57.5, statuses.COUNTERPART]
    store(tmp_path, default, "metrics/grid/double_masking.json", {"runs": [GRID_FACTS | {"certified": {"percent": 58.0}}]})
    assert survey(row, Results(default, tmp_path))["measured"].tolist() == [58.0]


def test_the_committed_report_has_counterparts_of_every_defense_in_it(ledger, paper, default, tmp_path) -> None:
    """What a fresh clone shows, where nothing has run: the cells of the committed tables."""
    empty = default | {"directories": default["directories"] | {"results": "nothing"}}
    found = survey(ledger, Results(paper, tmp_path), Results(empty, ROOT)).set_index("id")["counterpart"]
    shown = pd.read_csv(ROOT / "reports/tables/accuracy.csv")
    (robust,) = shown.loc[
        (shown[list(GRID_FACTS)] == pd.Series(GRID_FACTS)).all(axis=1) & (shown["metric"] == "certified"), "percent"
    ]
    assert found[ROBUST] == robust
    overall = pd.read_csv(ROOT / "reports/tables/multilabel_overall.csv").set_index(["training", "setting"])
    recall = overall.loc[("multilabel_plain", "certified"), "recall"]
    assert found["multilabel_patchcleanser_table1_certified_robust_overall_recall"] == pytest.approx(100 * recall)
    times = pd.read_csv(ROOT / "reports/tables/bagcert_times.csv").groupby("model")["seconds"].sum()
    assert found["bagcert_table1_cifar10_rf9_time"] == pytest.approx(times["small_bagcert_rf9"], abs=1e-3)
    assert found[ledger.loc[ledger["default_model"] == "", "id"]].isna().all()


def test_the_ledger_that_is_written_has_every_column_and_what_became_of_a_number(ledger, paper, default, tmp_path) -> None:
    store(tmp_path, default, "metrics/grid/double_masking.json", {"runs": [GRID_FACTS | {"certified": {"percent": 57.50004}}]})
    of_paper = GRID_FACTS | {"dataset": "cifar10", "model": BIT, "patch": "35x35"}
    store(tmp_path, paper, "metrics/grid/double_masking.json", {"runs": [of_paper | {"certified": {"percent": 77.8}}]})
    quoted = "greedy_cutout_table1_cifar10_cbn_robust"
    rows = ledger[ledger["id"].isin([ROBUST, quoted])]
    written = ledger_of(survey(rows, Results(paper, tmp_path), Results(default, tmp_path)))
    assert tuple(written) == LEDGER
    assert set(COLUMNS) < set(LEDGER)
    found = written.set_index("id")
    assert found.loc[ROBUST, ["target", "measured", "difference", "default_measured", "status", "reason"]].tolist() == [
        f"build/paper/results/claims/{ROBUST}.json",
        *(77.8, -1.0, 57.5, statuses.WITHIN, ""),
    ]
    assert found.loc[quoted, ["target", "status", "reason"]].tolist() == ["", "quoted", "quoted from others"]


def test_a_number_that_was_regenerated_alone_is_in_the_ledger(ledger, rows, default, regenerated) -> None:
    found = survey(ledger[ledger["id"] == ROBUST], Results(default, regenerated)).iloc[0]
    assert found[["measured", "status"]].tolist() == [75.0, statuses.COUNTERPART]


def test_the_committed_ledger_has_the_published_numbers_and_their_targets(ledger, paper) -> None:
    """The default study writes it; a change of the published numbers is followed by a run of it."""
    committed = pd.read_csv(ROOT / "reports/claims.csv", keep_default_na=False, dtype=str)
    assert tuple(committed) == LEDGER
    as_text = pd.read_csv(ROOT / "config/published.csv", keep_default_na=False, dtype=str)
    numbers = ["published", "tolerance"]
    assert committed[[name for name in COLUMNS if name not in numbers]].equals(as_text.drop(columns=numbers))
    for name in numbers:
        assert pd.to_numeric(committed[name]).equals(ledger[name])
    made = [isinstance(target(row, paper), Target) for row in ledger.to_dict("records")]
    assert (committed["target"] != "").tolist() == made
    assert set(committed["status"]) <= set(statuses.STATUSES)


def test_an_unknown_id_is_told_the_nearest_ones(ledger) -> None:
    with pytest.raises(InputError) as caught:
        row_of(ledger, "bagcert_table1_cifar10_rf8_time")
    assert "no number has the id 'bagcert_table1_cifar10_rf8_time'; did you mean bagcert_table1_cifar10_rf" in str(caught.value)


# --- how it is read ----------------------------------------------------------------------------------------------------------

CURVE = {"clean": [60, 84, 90], "certified": [80, 62, 10], "total": [100, 100, 100]}
PASSES = (("plain", 0.0), ("greedy", 17.0))
NOISY = [
    {"sigma": sigma, "unrestricted": {"percent": percent, "high": percent + 4}}
    for sigma, percent in ((80, 11.0), (7, 80.0), (20, 76.5), (50, 75.5))
]
"""Under a noise of 20 the interval reaches the 80 per cent of the training's noise, under 50 it does not."""
CLASSES = [
    {"class": number, "setting": setting, "area": area}
    for setting, areas in {"certified": [0.2, 0.9, None, 0.1], "defended": [0.5, 0.6, 0.7, 0.8]}.items()
    for number, area in enumerate(areas)
]


@pytest.mark.parametrize(
    ("read", "measures", "value"),
    [
        (readings.share("clean"), [{"clean": {"percent": 40}}, {"clean": {"percent": 60}}], 50),
        (readings.share("clean", min), [{"clean": {"percent": 40}}, {"clean": {"percent": 60}}], 40),
        (readings.gain("a", "b"), [{"a": {"percent": 5}, "b": {"percent": 2}}, {"a": {"percent": 7}, "b": {"percent": 6}}], 2),
        (
            readings.gain("a", "b", max),
            [{"a": {"percent": 5}, "b": {"percent": 2}}, {"a": {"percent": 7}, "b": {"percent": 6}}],
            3,
        ),
        (readings.difference(readings.share("a"), readings.share("b")), [{"a": {"percent": 5}, "b": {"percent": 2}}], 3),
        (readings.portion(readings.share("a"), readings.share("b")), [{"a": {"percent": 3}, "b": {"percent": 4}}], 75),
        (readings.largest([readings.share("a"), readings.share("b")]), [{"a": {"percent": 5}, "b": {"percent": 2}}], 5),
        (readings.passes("greedy"), [{"rows": [{"training": name, "passes": taken} for name, taken in PASSES]}], 17),
        (readings.tolerated_noise(7), NOISY, 20 / 7),
        (readings.chance_level("clean"), [{"clean": {"percent": percent}} for percent in (10, 20, 20.1, 80)], 2),
        (readings.of_label(7), [{"certified_by_label": {"7": 96.0, "8": 4.0}}], 96),
        (readings.largest_radius, [{"largest_radius": 28.0, "sigma": 7}], 4),
        (readings.most_robust, [{"curve": CURVE}], 80),
        (readings.as_accurate("certified"), [{"curve": CURVE}, {"defended_clean": {"percent": 85.0}}], 62),
        (readings.as_accurate("clean"), [{"curve": CURVE}, {"defended_clean": {"percent": 85.0}}], 84),
        (readings.area_of_extreme_class("defended", best=True), [{"classes": CLASSES}], 0.6),
        (readings.area_of_extreme_class("defended", best=False), [{"classes": CLASSES}], 0.8),
        (
            readings.cell("points", "recall", "per cent", setting="certified", threshold=0.8),
            [{"points": [{"setting": "certified", "threshold": at, "recall": at / 2} for at in (0.7, 0.8000000000000002)]}],
            40,
        ),
        (
            readings.milliseconds("5x5", "6x6", "double_masking"),
            [
                {
                    "rows": [
                        GRID_FACTS | {"algorithm": name, "milliseconds": time}
                        for name, time in (("challenger", 1), ("double_masking", 2))
                    ]
                }
            ],
            2,
        ),
    ],
)
def test_readings(read, measures, value) -> None:
    assert read(measures) == pytest.approx(value)


@pytest.mark.parametrize(
    "read",
    [
        readings.share("certified"),
        readings.of_label(7),
        readings.largest_radius,
        readings.cell("points", "recall", "per cent", setting="certified"),
        readings.area_of_extreme_class("defended", best=True),
        readings.milliseconds("5x5", "6x6", "double_masking"),
        readings.passes("greedy"),
        readings.difference(readings.share("clean"), readings.share("certified")),
    ],
)
def test_measures_of_something_else_are_not_read(read) -> None:
    with pytest.raises(KeyError):
        read([{"clean": {"percent": 40}, "points": [], "classes": [], "rows": []}])


# --- a number that was regenerated -------------------------------------------------------------------------------------------

CERTIFICATE = "results/certificates/double_masking.parquet"
UPSTREAM = {
    "predictions": ["results/predictions.npz"],
    "weights": ["checkpoints/w.safetensors"],
    "records": ["checkpoints/r.json"],
}


@pytest.fixture
def regenerated(rows, default, tmp_path, monkeypatch) -> Path:
    """A project in which three of four images are certified, and the record of that number."""
    monkeypatch.chdir(tmp_path)
    labels = [3, 3, 1, 0]
    columns = {"label": labels, "undefended": labels, "defended": labels, "certified": [True, False, True, True]}
    Path(CERTIFICATE).parent.mkdir(parents=True)
    pd.DataFrame(columns | {"near_flip": False, "passes": 9, "pairs": 45}).to_parquet(CERTIFICATE)
    for path in (path for paths in UPSTREAM.values() for path in paths):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"as it was")
    write_json(path_of(default, ROBUST), record(rows[ROBUST], default, [[CERTIFICATE]], UPSTREAM))
    return tmp_path


def changes(row: dict[str, Any], config: dict[str, Any], root: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        verify(row, config, root)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_a_record_has_the_number_and_where_it_came_from(rows, default, regenerated) -> None:
    stored = verify(rows[ROBUST], default, regenerated)
    assert (stored["measured"], stored["published"], stored["status"], stored["difference"]) == (
        75.0,
        78.8,
        "counterpart",
        None,
    )
    assert stored["certificates"] == [{"facts": GRID_FACTS, "files": [CERTIFICATE]}]
    provenance = stored["provenance"]
    assert {kind: list(files) for kind, files in provenance["files"].items()} == {"certificates": [CERTIFICATE], **UPSTREAM}
    assert provenance["files"]["weights"] == {UPSTREAM["weights"][0]: hashlib.sha256(b"as it was").hexdigest()}
    assert (provenance["device"], provenance["seeds"]) == ("cpu", [0])
    assert {"trainings.random_cutout", "trainings.plain", "datasets.digits"} < set(provenance["configuration"])
    assert {"claim.py", "certify.py", "predict.py", "train.py", "prepare.py"} <= set(provenance["code"])


def test_a_record_of_the_published_setting_is_held_to_its_tolerance(rows, paper, regenerated) -> None:
    found = record(rows[ROBUST], paper, [[CERTIFICATE]], {})
    assert (found["status"], found["difference"], found["counterpart"]) == (statuses.OUTSIDE, pytest.approx(-3.8), False)


@pytest.mark.parametrize("kind", ["certificates", *UPSTREAM])
def test_one_byte_upstream_fails_and_is_named(rows, default, regenerated, kind) -> None:
    (name,) = UPSTREAM.get(kind, [CERTIFICATE])
    content = bytearray((regenerated / name).read_bytes())
    content[len(content) // 2] ^= 1
    (regenerated / name).write_bytes(content)
    assert changes(rows[ROBUST], default, regenerated) == [f"{kind}: {name}"]
    (regenerated / name).unlink()
    assert changes(rows[ROBUST], default, regenerated) == [f"{kind}: {name} is missing"]


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("trainings.plain", {"epochs": 41}),
        ("trainings.random_cutout", {"learning_rate": 0.5}),
        ("datasets.digits", {"resize": 40}),
        ("defenses.double_masking", {"numerical_margin": 0.1}),
    ],
)
def test_a_changed_configuration_fails_and_is_named(rows, default, regenerated, key, change) -> None:
    block, name = key.split(".")
    edited = default | {block: default[block] | {name: default[block][name] | change}}
    assert changes(rows[ROBUST], edited, regenerated) == [f"configuration key {key}"]


def test_what_the_number_does_not_depend_on_may_change(rows, default, regenerated) -> None:
    trainings = default["trainings"] | {"gutout_3x3": default["trainings"]["gutout_3x3"] | {"epochs": 1}}
    edited = default | {"trainings": trainings, "report": {}, "targets": {}}
    assert verify(rows[ROBUST], edited, regenerated)["measured"] == 75.0


def test_changed_code_and_ledger_fail_and_are_named(rows, default, regenerated, monkeypatch) -> None:
    found = code_digest
    monkeypatch.setattr(records, "code_digest", lambda *code: "other" if "train.py" in code[0] else found(*code))
    assert changes(rows[ROBUST] | {"published": 70.0}, default, regenerated) == [
        "config/published.csv: published is 70.0, and was 78.8",
        "code: workflow/scripts/train.py, or a module that it uses",
    ]


def test_a_record_that_was_edited_does_not_follow_from_its_certificates(rows, default, regenerated) -> None:
    path = regenerated / path_of(default, ROBUST)
    path.write_text(path.read_text().replace('"measured": 75.0', '"measured": 78.8'))
    assert changes(rows[ROBUST], default, regenerated) == [
        "measured: recomputed 75.0 from the certificates, and the record has 78.8"
    ]


def test_a_number_that_was_not_regenerated_says_how(rows, default, tmp_path) -> None:
    with pytest.raises(InputError, match=f"was not regenerated here; snakemake results/claims/{ROBUST}.json makes it"):
        verify(rows[ROBUST], default, tmp_path)


def test_a_number_that_cannot_be_regenerated_says_why(rows, paper, default) -> None:
    with pytest.raises(InputError, match="the study 'paper' cannot regenerate it: quoted from others"):
        target_of(rows["greedy_cutout_table1_cifar10_cbn_robust"], paper)
    with pytest.raises(InputError, match=r"no counterpart in this study; config/paper\.yaml has the published settings"):
        target_of(rows["patchcleanser_abstract_imagenet_2_percent_clean"], default)


def test_certified_accuracy_of_one_class_is_read_from_the_images(rows, paper, regenerated) -> None:
    table = pd.read_parquet(CERTIFICATE).assign(label=[333, 333, 1, 0])
    table.to_parquet(CERTIFICATE)
    found = record(rows["patchcleanser_figure13_imagenet_hamster_robust"], paper, [[CERTIFICATE]], {})
    assert (found["measured"], found["status"]) == (50.0, statuses.OUTSIDE)


def test_the_code_of_every_target_is_there(rows, paper, default) -> None:
    """The digest refuses names of modules and adapters that do not exist."""
    for config in (paper, default):
        found = [each for row in rows.values() if isinstance(each := target(row, config), Target)]
        digests = [records.code_digests(each, config) for each in {str(each.facts): each for each in found}.values()]
        trainers = [{"train.py", "time_training.py"} & set(each) for each in digests]
        assert all({"claim.py", "prepare.py"} < set(each) for each in digests)
        assert Counter(map(str, trainers)).keys() == {"{'train.py'}", "{'time_training.py'}"}
