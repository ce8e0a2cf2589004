"""The tables of PatchCleanser's and BagCert's analyses: golden files, and the long tables behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from patchcert.report.cells import as_markdown
from patchcert.report.ledger import COLUMNS, read_ledger
from patchcert.report.tables import (
    bagcert_conditions,
    bagcert_times,
    forward_passes,
    inference_times,
    patch_shapes,
    patch_sizes,
)

from . import regions
from .configurations import seen

GOLDEN = Path(__file__).parents[1] / "golden"
SHIPPED_LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
RUN = {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "seed": 0, "patch": "5x5", "budget": "6x6"}
VIT = {"model": "small_vit"}
CIFAR_PATCHES = {"2x2": "0.4 % (2x2 of 32x32)", "5x5": "2.4 % (5x5 of 32x32)"}


def results_of(*runs: tuple[dict[str, Any], float, float]) -> pd.DataFrame:
    """Results of runs: facts that differ from ``RUN``, clean and certified accuracy; the undefended one is a point above."""
    rows = []
    for facts, clean, certified in runs:
        for metric, percent in (("undefended_clean", clean + 1), ("defended_clean", clean), ("certified", certified)):
            share = {
                "percent": percent,
                "low": percent - 4.25,
                "high": min(percent + 3.5, 100),
                "hits": round(4 * percent),
                "total": 400,
            }
            counts = {"near_flips": 0, "passes": 100.0, "pairs": 666}
            rows.append(RUN | {"defense": "double_masking"} | counts | facts | {"metric": metric} | share)
    return pd.DataFrame(rows)


def published(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = dict.fromkeys(COLUMNS, "") | {"paper": "patchcleanser", "unit": "per cent", "relation": "=", "dataset": "cifar10"}
    return seen(pd.DataFrame([usual | row for row in rows], columns=list(COLUMNS)).astype({"published": float}))


def pair(clean: float, certified: float, **facts: Any) -> list[dict[str, Any]]:
    values = {"defended_clean": clean, "certified": certified}
    return [facts | {"metric": metric, "published": value} for metric, value in values.items()]


def of_table_2(name: str, defense: str, patch: str, clean: float, certified: float, **facts: Any) -> list[dict[str, Any]]:
    return pair(clean, certified, table="Table 2", row=name, defense=defense, patch=CIFAR_PATCHES[patch], **facts)


OURS = {"default_model": "small_resnetv2", "default_training": "random_cutout", "mask_budget": "6x6"}
LEDGER = published(
    *of_table_2("PC-ResNet", "double_masking", "2x2", 98.0, 88.5, default_patch="2x2", **OURS),
    *of_table_2("PC-ResNet", "double_masking", "5x5", 97.8, 78.8, default_patch="5x5", **OURS),
    *of_table_2("CBN", "clipped_bagnet", "2x2", 65.8, 51.9),
    *of_table_2("CBN", "clipped_bagnet", "5x5", 47.8, 30.8),
    *of_table_2("BagCert", "bagcert", "5x5", 86.0, 60.0),
    *of_table_2("DS", "derandomized_smoothing", "5x5", 44.4, 14.0, dataset="imagenet"),
    *pair(99.4, 82.6, table="Table 4", row="Any 1% rectangle", default_patch="area-10", **OURS),
    *pair(98.6, 76.6, table="Table 4", row="Two 1% square patches", default_patch="2-of-3x3", **OURS),
    *pair(11.1, 22.2, table="Table 4", row="Any 1% rectangle", mask_budget="6x6", dataset="imagenet"),
)
NO_LEDGER = published()
SIZES = results_of(
    ({"patch": "5x5"}, 97.0, 57.0),
    ({"patch": "2x2"}, 98.0, 75.0),
    (VIT | {"patch": "5x5"}, 92.0, 22.0),
    (VIT | {"patch": "2x2"}, 93.5, 40.25),
)
SHAPES = results_of(
    ({"patch": "area-10", "budget": "5x5"}, 99.0, 30.0),
    ({"patch": "3x3", "budget": "5x5"}, 98.0, 66.0),
    ({"patch": "2-of-3x3", "budget": "5x5"}, 97.0, 22.0),
    ({"patch": "4x4", "budget": "5x5"}, 98.0, 61.0),
)
PASSES = results_of(
    ({"budget": "3x3", "pairs": 45, "passes": 45.0}, 95.0, 45.0),
    ({"passes": 399.6}, 97.0, 57.0),
    (VIT | {"passes": 219.78}, 92.0, 22.0),
)


def times_of(*runs: dict[str, Any]) -> pd.DataFrame:
    """Times in the order of mask sets, as they are taken."""
    asked = [
        ("", "", "undefended", 1.0),
        *(
            ("5x5", budget, name, calls)
            for budget in ("6x6", "3x3")
            for name, calls in (("challenger", 9.5), ("double_masking", 12.25))
        ),
    ]
    return pd.DataFrame(
        [
            RUN
            | facts
            | {"patch": patch, "budget": budget, "algorithm": algorithm, "milliseconds": 1.5 * calls, "calls": calls}
            | {"images": 50, "device": "a processor, 2 threads"}
            for facts in runs
            for patch, budget, algorithm, calls in asked
        ]
    )


TIMES = times_of({}, VIT)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("patch_sizes", lambda: patch_sizes.make(results=SIZES, ledger=LEDGER)),
        ("patch_shapes", lambda: patch_shapes.make(results=SHAPES, ledger=LEDGER)),
        ("forward_passes", lambda: forward_passes.make(results=PASSES)),
        ("inference_times", lambda: inference_times.make(times=TIMES)),
        ("bagcert_times", lambda: bagcert_times.make(region_times=regions.TIMES, ledger=seen(read_ledger(SHIPPED_LEDGER)))),
        (
            "bagcert_conditions",
            lambda: bagcert_conditions.make(conditions=regions.CONDITIONS, ledger=seen(read_ledger(SHIPPED_LEDGER))),
        ),
    ],
)
def test_a_table_is_as_it_was(
    name: str, made: Callable[[], tuple[pd.DataFrame, pd.DataFrame]], golden: Callable[[Path, str], None]
) -> None:
    text = as_markdown(made()[1])
    assert "nan" not in text
    golden(GOLDEN / f"{name}.md", text)


# --- patch sizes -------------------------------------------------------------------------------------------------------------


def test_prior_defenses_stand_under_the_patch_of_their_size_and_never_among_our_numbers() -> None:
    table, compact = patch_sizes.make(SIZES, LEDGER)
    assert compact["model"].tolist() == ["small resnetv2", "small vit", "published: CBN", "published: BagCert"]
    assert list(compact.columns) == [
        *("model", "training"),
        *("5x5: clean, %", "5x5: certified, %", "5x5: published clean, %", "5x5: published certified, %"),
        *("2x2: clean, %", "2x2: certified, %", "2x2: published clean, %", "2x2: published certified, %"),
    ]
    rows = compact.set_index("model").fillna("")
    assert rows.loc["small resnetv2", "2x2: certified, %"] == "75.0 [70.8, 78.5]"
    assert rows.loc["small resnetv2", "2x2: published certified, %"] == "88.5 (PC Table 2)"
    assert rows.loc["small vit", "2x2: published certified, %"] == ""
    assert rows.loc["published: CBN", "2x2: published certified, %"] == "51.9 (PC Table 2)"
    assert rows.loc["published: BagCert", "5x5: published clean, %"] == "86.0 (PC Table 2)"
    assert rows.loc["published: BagCert", "2x2: published clean, %"] == ""
    ours = [column for column in compact.columns if column.endswith(("x5: clean, %", "x5: certified, %", "x2: clean, %"))]
    assert (rows.loc[["published: CBN", "published: BagCert"], ours] == "").all(axis=None)
    assert len(table) == 8 + 6
    assert table["hits"].dtype.kind == "i", "whole numbers are written as such"
    assert table[["dataset", "model", "patch", "metric", "published"]].iloc[8].tolist() == [
        *("cifar10", "CBN", "2x2", "defended_clean", "65.8 (PC Table 2)")
    ]


def test_a_prior_defense_without_a_value_for_our_patches_is_left_out() -> None:
    _, compact = patch_sizes.make(SIZES[SIZES["patch"] == "2x2"], LEDGER)
    assert compact["model"].tolist() == ["small resnetv2", "small vit", "published: CBN"]
    assert not [column for column in compact.columns if "5x5" in column]


@pytest.mark.parametrize("make", [patch_sizes.make, patch_shapes.make])
def test_tables_without_published_values(make: Callable[..., tuple[pd.DataFrame, pd.DataFrame]]) -> None:
    table, compact = make(SIZES, NO_LEDGER)
    assert len(table) == 8
    assert table["published"].eq("").all()
    assert not compact["model"].str.contains("published").any()


def test_rows_that_differ_in_seed_or_budget_say_so() -> None:
    runs = results_of(({"seed": 0}, 97.0, 57.0), ({"seed": 1}, 96.0, 50.0), ({"budget": "3x3"}, 90.0, 40.0))
    _, compact = patch_sizes.make(runs, NO_LEDGER)
    assert compact[["seed", "budget"]].to_numpy().tolist() == [[0, "6x6"], [1, "6x6"], [0, "3x3"]]
    _, compact = patch_shapes.make(runs, NO_LEDGER)
    assert compact[["seed", "budget"]].to_numpy().tolist() == [[0, "6x6"], [1, "6x6"], [0, "3x3"]]


# --- patch shapes ------------------------------------------------------------------------------------------------------------


def test_patches_are_named_in_words_and_published_values_are_those_of_the_counterpart() -> None:
    table, compact = patch_shapes.make(SHAPES, LEDGER)
    assert list(compact.columns) == [
        *("attacker places", "model", "training", "clean, %", "certified, %", "published clean, %", "published certified, %")
    ]
    rows = compact.set_index("attacker places")
    assert list(rows.index) == [*("every rectangle of at most 10 px", "one 3x3 square", "two 3x3 squares", "one 4x4 square")]
    assert rows["certified, %"].str.split().str[0].tolist() == ["30.0", "66.0", "22.0", "61.0"]
    assert rows["published clean, %"].tolist() == ["99.4 (PC Table 4)", "", "98.6 (PC Table 4)", ""]
    assert rows["published certified, %"].tolist() == ["82.6 (PC Table 4)", "", "76.6 (PC Table 4)", ""]
    assert set(table["metric"]) == {"defended_clean", "certified"}


# --- forward passes ----------------------------------------------------------------------------------------------------------


def test_the_share_of_the_matrix_is_held_against_certified_accuracy() -> None:
    table, compact = forward_passes.make(PASSES)
    assert table["budget"].unique().tolist() == ["6x6"], "the largest budget"
    assert table["share"].tolist() == pytest.approx([60.0, 33.0])
    assert table["bound"].tolist() == [67.0, 32.0]
    assert compact["holds"].tolist() == ["yes", "no"]
    assert compact["share of the matrix, %"].tolist() == ["60.0", "33.0"]
    assert compact["bound: certified + 10, %"].tolist() == ["67.0", "32.0"]


def test_a_share_at_its_bound_holds() -> None:
    table, _ = forward_passes.make(results_of(({"passes": 444.0}, 97.0, 56.0), ({"passes": 333.0, "pairs": 500}, 97.0, 56.6)))
    assert table["share"].tolist() == pytest.approx([66.6667, 66.6], abs=1e-4)
    assert table["holds"].tolist() == [False, True]


# --- inference times ---------------------------------------------------------------------------------------------------------


def test_times_are_listed_run_by_run_and_algorithm_by_algorithm() -> None:
    table, compact = inference_times.make(TIMES)
    pd.testing.assert_frame_equal(table, TIMES)
    assert compact["model"].tolist() == ["small resnetv2"] * 5 + ["small vit"] * 5
    assert list(zip(compact["algorithm"], compact["masks"], strict=True))[:5] == [
        ("undefended", ""),
        ("double masking", "6x6"),
        ("double masking", "3x3"),
        ("challenger masking", "6x6"),
        ("challenger masking", "3x3"),
    ]
    assert compact["time an image, ms"].tolist()[:2] == ["1.50", "18.38"]
    assert compact["forward passes an image"].tolist()[:2] == ["1.0", "12.2"]
    assert set(compact["device"]) == {"a processor, 2 threads"}
    assert "patch" not in compact.columns, "the undefended classifier has none, which is no second patch"


# --- BagCert -----------------------------------------------------------------------------------------------------------------


def test_ten_thousand_certificates_take_their_forward_passes_and_the_rest() -> None:
    table, compact = bagcert_times.make(regions.TIMES, NO_LEDGER)
    assert table["seconds"].tolist() == pytest.approx((10 * regions.TIMES["milliseconds"]).tolist())
    rows = compact.set_index("an output sees")
    assert list(rows.index) == ["5x5 px", "7x7 px", "9x9 px", "11x11 px", "13x13 px", "one block", "one column"]
    columns = ["forward passes, s", "certificates, s", "together, s", "parameters, millions"]
    # 98.5 and 1.25 ms an image
    assert rows.loc["one block", columns].tolist() == ["985.0", "12.50", "997.5", "1.10"]
    assert rows[["published together, s", "published parameters, millions"]].eq("").all(axis=None)


def test_the_gain_of_the_stronger_condition_has_the_interval_of_the_images_that_it_alone_certifies() -> None:
    runs = regions.frame(
        regions.shares(regions.bagcert(7, 0.5, seed=seed), clean=90.0, condition_3_2=strong, condition_3_3=50.0)
        for seed, strong in ((0, 50.0), (1, 60.0), (2, 49.0))
    )
    table, compact = bagcert_conditions.make(runs, NO_LEDGER)
    # Wilson's interval of 0 and of 40 of 400; where the weaker condition certifies more, a sign tells so
    assert compact["gain of 3.2, points"].tolist() == ["0.0 [0.0, 1.0]", "10.0 [7.4, 13.3]", "-1.0 [0.0, 1.0]"]
    assert compact["seed"].tolist() == [0, 1, 2]
    gains = table[table["metric"] == "gain"]
    assert gains[["percent", "hits", "total"]].to_numpy().tolist() == [[0.0, 0, 400], [10.0, 40, 400], [-1.0, -4, 400]]
    assert len(table) == 3 * 4
    assert list(table.columns) == list(runs.columns)


# --- the shipped ledger ------------------------------------------------------------------------------------------------------


def test_the_papers_values_stand_beside_ours() -> None:
    ledger = seen(read_ledger(SHIPPED_LEDGER))
    rows = patch_sizes.make(SIZES, ledger)[1].set_index("model").fillna("")
    assert list(rows.index[2:]) == [f"published: {name}" for name in ("IBP", "DS", "PG-BN", "PG-DS", "BagCert")]
    assert rows.loc["small vit", "2x2: published certified, %"] == "94.3 (PC Table 2); 93.4 (GC Table 1)"
    assert rows.loc["published: PG-DS", "5x5: published certified, %"] == "57.7 (PC Table 2)"
    shapes = patch_shapes.make(SHAPES, ledger)[1]
    assert shapes["published clean, %"].tolist() == [f"{value} (PC Table 4)" for value in (99.4, 99.0, 98.6, 99.0)]
    assert shapes["published certified, %"].tolist() == [f"{value} (PC Table 4)" for value in (82.6, 92.6, 76.6, 91.2)]
