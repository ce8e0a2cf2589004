"""Findings: each statement with numbers that bear it out and with numbers that do not, and a golden file of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert.report.findings import ABOUT, APART, COST, findings
from patchcert.report.terms import patch_area
from patchcert.report.verdicts import SIMILAR, Finding

from . import masked_noise, regions

GOLDEN = Path(__file__).parents[1] / "golden"
RUN = {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "seed": 0, "patch": "5x5", "budget": "6x6"}
VIT, CONVNEXT = {"model": "small_vit"}, {"model": "small_convnext"}
STRATEGIES = {
    "plain": "plain",
    "random_cutout": "random_cutout",
    "greedy_cutout_6x6": "greedy_cutout",
    "greedy_cutout_3x3": "greedy_cutout",
}
PC = "PatchCleanser"

Measured = tuple[Mapping[str, Any], float, float]
"""Facts that differ from ``RUN``, clean and certified accuracy, per cent."""


def results_of(*runs: Measured) -> pd.DataFrame:
    rows = []
    for facts, clean, certified in runs:
        for metric, percent in (("undefended_clean", clean + 1), ("defended_clean", clean), ("certified", certified)):
            share = {"percent": percent, "low": percent - 2, "high": percent + 2, "hits": round(4 * percent), "total": 400}
            counts = {"near_flips": 0, "passes": 666.0, "pairs": 666}
            rows.append(RUN | {"defense": "double_masking"} | counts | facts | {"metric": metric} | share)
    return pd.DataFrame(rows)


def trained(model: str, training: str, budget: str, clean: float, certified: float, **facts: Any) -> Measured:
    return {"model": model, "training": training, "budget": budget} | facts, clean, certified


# in the order of a configuration, which is not the alphabet's; the ViT was trained in one way only, the ConvNeXt in two
GRID = [
    trained("small_vit", "plain", "6x6", 88.0, 31.5, passes=266.4),
    trained("small_vit", "plain", "3x3", 88.5, 22.25),
    trained("small_resnetv2", "plain", "6x6", 94.0, 40.0, passes=266.4),
    trained("small_resnetv2", "plain", "3x3", 95.0, 35.0),
    trained("small_resnetv2", "random_cutout", "6x6", 95.5, 50.0, passes=406.26),
    trained("small_resnetv2", "random_cutout", "3x3", 96.0, 30.0),
    trained("small_resnetv2", "greedy_cutout_6x6", "6x6", 92.5, 61.0),
    trained("small_resnetv2", "greedy_cutout_6x6", "3x3", 93.0, 55.0),
    trained("small_resnetv2", "greedy_cutout_3x3", "6x6", 94.5, 49.0),
    trained("small_resnetv2", "greedy_cutout_3x3", "3x3", 92.5, 57.0),
    trained("small_convnext", "plain", "6x6", 90.0, 20.0),
    trained("small_convnext", "plain", "3x3", 90.0, 20.0),
    trained("small_convnext", "random_cutout", "6x6", 91.0, 45.5),
    trained("small_convnext", "random_cutout", "3x3", 91.0, 20.0),
]


def of_grid(*runs: Measured) -> list[Finding]:
    return findings(results_of(*runs), STRATEGIES, {}).get("grid", [])


def of_analysis(name: str, **frames: pd.DataFrame) -> dict[str, Finding]:
    """What an analysis found, by statement."""
    found = findings(results_of(({}, 90.0, 50.0)), STRATEGIES, {name: frames})
    assert set(found) <= {name}
    statements = found.get(name, [])
    assert len({finding.statement for finding in statements}) == len(statements)
    return {finding.statement: finding for finding in statements}


def asked(name: str, words: str, **frames: pd.DataFrame) -> tuple[str, str]:
    """Verdict and evidence of the one statement that has these words."""
    (finding,) = (finding for statement, finding in of_analysis(name, **frames).items() if words in statement)
    return finding.verdict, finding.evidence


def patches(*values: tuple[str, float, float], **facts: Any) -> list[Measured]:
    return [(facts | {"patch": patch}, clean, certified) for patch, clean, certified in values]


def budgets(*values: tuple[str, float, float], **facts: Any) -> list[Measured]:
    return [(facts | {"budget": budget}, clean, certified) for budget, clean, certified in values]


def times_of(calls: Mapping[str, Mapping[str, float]], **facts: Any) -> pd.DataFrame:
    """Forward passes by algorithm and mask budget, below one row of the undefended classifier."""
    asked = [("", "", "undefended", 1.0)]
    asked += [("5x5", budget, name, number) for name, each in calls.items() for budget, number in each.items()]
    return pd.DataFrame(
        [
            RUN | facts | {"patch": patch, "budget": budget, "algorithm": algorithm, "milliseconds": 3.0, "calls": number}
            for patch, budget, algorithm, number in asked
        ]
    )


def reports_of(curve: list[tuple[float, int, int]], **facts: Any) -> pd.DataFrame:
    """Threshold, right answers and certificates of 200 images."""
    return pd.DataFrame(
        [
            RUN
            | {"defense": "minority_reports", "total": 200}
            | facts
            | {"threshold": threshold, "clean": clean, "certified": certified}
            for threshold, clean, certified in curve
        ]
    )


def images_of(*images: tuple[int, float, bool], **facts: Any) -> pd.DataFrame:
    """Label, object size and certificate of each image."""
    return pd.DataFrame(
        [
            RUN | facts | {"image_id": f"image-{number}", "label": label, "object_size": size, "certified": certified}
            for number, (label, size, certified) in enumerate(images)
        ]
    )


SIZES = results_of(
    *patches(("5x5", 97.0, 57.0), ("2x2", 98.0, 75.0)), *patches(("5x5", 92.0, 22.0), ("2x2", 93.5, 20.0), **VIT)
)
SHAPES = results_of(
    *patches(("area-10", 99.0, 30.0), ("2x2", 98.0, 70.0), ("3x3", 98.0, 66.0), ("2-of-3x3", 97.0, 61.0), ("4x4", 98.0, 61.0))
)
BUDGETS = results_of(
    *budgets(("6x6", 97.0, 57.0), ("2x2", 91.0, 22.0), ("3x3", 95.0, 45.0)),
    *budgets(("6x6", 97.0, 57.0), ("2x2", 92.0, 22.0), ("3x3", 94.0, 45.0), defense="challenger"),
)
TIMES = times_of(
    {"double_masking": {"2x2": 5.5, "3x3": 10.0, "6x6": 80.0}, "challenger": {"2x2": 5.5, "3x3": 12.0, "6x6": 40.0}}
)
PATCHES = results_of(
    *patches(("10x10", 96.0, 30.0), ("5x5", 98.0, 57.0), ("6x6", 98.5, 50.0)),
    *patches(("10x10", 91.0, 22.0), ("5x5", 93.5, 20.0), ("6x6", 93.0, 25.0), **VIT),
)
REPORTS = reports_of([(0.5, 180, 80), (0.0, 150, 130), (0.25, 170, 110), (0.75, 190, 20)])
DOUBLE = results_of(({}, 89.0, 45.0))
IMAGES = images_of(
    *((0, 10.0, True), (0, 30.0, True), (0, 40.0, True)),
    *((1, 20.0, False), (1, 5.0, True), (1, 35.0, False), (2, float("nan"), True)),
)


def scored_runs(*runs: tuple[Mapping[str, Any], Mapping[str, tuple[float, float, float]]]) -> dict[str, pd.DataFrame]:
    """The frames of the multi-label analysis: precision, recall and area of each setting of each run; two attackers of each."""
    points, areas, attackers = [], [], []
    for facts, settings_of_run in runs:
        run = RUN | facts | {"defense": "multilabel", "at": 0.8}
        for setting, (precision, recall, area) in settings_of_run.items():
            for threshold, lost in ((0.8, 0.0), (0.5, 0.4)):
                point = {
                    "setting": setting,
                    "threshold": threshold,
                    "precision": precision - lost,
                    "recall": recall + lost / 10,
                }
                points.append(run | point)
            areas.append(run | {"setting": setting, "exact": area})
        precision, recall, _ = settings_of_run["located"]
        for patch, gain in (("5x5", 0.0), ("1x1", 0.3)):
            row = {"threshold": 0.8, "actual_patch": patch, "precision": precision + gain, "recall": recall + gain}
            attackers += [run | row | {"attacker": "worst_case"}, run | row | {"attacker": "fn", "precision": 0.0}]
    return {"points": pd.DataFrame(points), "attackers": pd.DataFrame(attackers), "areas": pd.DataFrame(areas)}


AS_PUBLISHED = {
    "undefended": (0.88, 0.79, 0.80),
    "defended": (0.93, 0.62, 0.77),
    "certified": (0.47, 0.39, 0.37),
    "located": (0.50, 0.40, 0.40),
}
"""About the numbers of the Multi-Label PatchCleanser paper."""
OTHERWISE = {
    "undefended": (0.90, 0.60, 0.70),
    "defended": (0.85, 0.65, 0.72),
    "certified": (0.60, 0.30, 0.50),
    "located": (0.55, 0.40, 0.50),
}
SCORED = scored_runs(({"training": "plain"}, AS_PUBLISHED), ({"training": "random_cutout"}, OTHERWISE))
ANALYSES = {
    "patch_sizes": {"results": SIZES},
    "patch_shapes": {"results": SHAPES},
    "mask_budgets": {"results": BUDGETS, "times": TIMES},
    "overestimated_patch": {"results": PATCHES},
    "large_patches": {"results": PATCHES},
    "minority_reports": {"reports": REPORTS, "results": DOUBLE},
    "objects": {"images": IMAGES},
    "multilabel": SCORED,
    "bagcert_conditions": {"conditions": regions.CONDITIONS},
    "bagcert_patch_sizes": {"conditions": regions.SQUARES},
    "bagcert_aspect_ratios": {"conditions": regions.SHAPES},
    "bagcert_attacks": {"attacks": regions.ATTACKS},
    "bagcert_outputs": {"conditions": regions.OUTPUTS},
    "bagcert_times": {"region_times": regions.TIMES},
    "smoothing_places": masked_noise.PLACES,
    "smoothing_attacked": {"smoothing": masked_noise.ATTACKED["smoothing"]},
    "smoothing_mask_sizes": {"smoothing": masked_noise.MASK_SIZES["smoothing"]},
    "smoothing_trainings": {"radii": masked_noise.TRAININGS["radii"]},
    "smoothing_noise": {"smoothing": masked_noise.NOISE["smoothing"]},
    "smoothing_localisation": {"localisation": masked_noise.LOCALISATION},
}


def test_findings_are_as_they_were(golden: Callable[[Path, str], None]) -> None:
    found = findings(results_of(*GRID), STRATEGIES, ANALYSES)
    assert list(found) == ["grid", *ANALYSES]
    text = "\n".join(
        f"# {name}\n\n" + "".join(f"* {each.statement}\n  * {each.verdict}\n  * {each.evidence}\n" for each in statements)
        for name, statements in found.items()
    )
    assert "nan" not in text
    golden(GOLDEN / "findings.md", text)


# --- the grid of runs --------------------------------------------------------------------------------------------------------


def test_a_finding_is_told_whichever_way_it_falls() -> None:
    found = {finding.statement: finding for finding in of_grid(*GRID)}
    held = found["Certified accuracy with 6x6 masks rises: plain < random cutout (PatchCleanser, Table 5)"]
    assert held.verdict == "holds for 2 of 2 models", "the ViT has no training to compare with"
    assert held.evidence == "small resnetv2: 40.0, 50.0; small convnext: 20.0, 45.5"
    failed = found["Certified accuracy with 3x3 masks rises: plain < random cutout (PatchCleanser, Table 5)"]
    assert failed.verdict == "holds for 0 of 2 models", "no gain is no rise"
    assert failed.evidence == "small resnetv2: 35.0, 30.0 (does not hold); small convnext: 20.0, 20.0 (does not hold)"
    rises = "Certified accuracy with {} masks rises: plain < random cutout < greedy cutout {} (Greedy Cutout, Tables 1 and 3)"
    assert found[rises.format("6x6", "6x6")].verdict == "holds"
    assert found[rises.format("6x6", "3x3")].verdict == "does not hold"
    assert found[rises.format("6x6", "3x3")].evidence == "small resnetv2: 40.0, 50.0, 49.0 (does not hold)"
    assert found[rises.format("3x3", "6x6")].evidence == "small resnetv2: 35.0, 30.0 (does not hold), 55.0"


def clean_cost(*runs: Measured) -> Finding:
    (finding,) = (finding for finding in of_grid(*runs) if "defended clean accuracy" in finding.statement)
    return finding


def test_the_cost_in_clean_accuracy_is_the_worst_trainings() -> None:
    found = clean_cost(*GRID)
    assert found.statement == "Training on masked images costs at most 2 points of defended clean accuracy"
    assert found.verdict == "holds for 1 of 2 models"
    assert found.evidence == (
        "small resnetv2: loses 2.5 points at most (greedy cutout 3x3) (does not hold); "
        "small convnext: gains 1.0 points at least (random cutout)"
    )


@pytest.mark.parametrize(
    ("clean", "verdict", "evidence"),
    [
        # a little more than 2 in binary
        ((100 * 97 / 150, 100 * 94 / 150), "holds", "small vit: loses 2.0 points at most (random cutout)"),
        ((97.9, 95.8), "does not hold", "small vit: loses 2.1 points at most (random cutout) (does not hold)"),
        ((90.0, 90.0), "holds", "small vit: gains 0.0 points at least (random cutout)"),
    ],
)
def test_the_cost_at_its_limit(clean: tuple[float, float], verdict: str, evidence: str) -> None:
    names = ("plain", "random_cutout")
    found = clean_cost(*(trained("small_vit", name, "3x3", value, 0.0) for name, value in zip(names, clean, strict=True)))
    assert (found.verdict, found.evidence) == (verdict, evidence)


def test_several_seeds_count_by_their_mean() -> None:
    runs = [
        trained("small_vit", training, "3x3", 90.0, certified, seed=seed)
        for seed, values in enumerate([(10.0, 5.0), (20.0, 45.0)])
        for training, certified in zip(("plain", "random_cutout"), values, strict=True)
    ]
    assert of_grid(*runs)[0][1:] == ("holds", "small vit: 15.0, 25.0")


def test_datasets_and_patches_are_not_mixed() -> None:
    runs = [
        trained("small_vit", training, "3x3", 90.0, certified, dataset=dataset, patch=patch)
        for dataset, patch, values in [("digits", "5x5", (10, 20)), ("digits", "8x8", (10, 5)), ("birds_2", "5x5", (50, 60))]
        for training, certified in zip(("plain", "random_cutout"), values, strict=True)
    ]
    found = of_grid(*runs)
    assert [(finding.statement.split(" rises")[0], finding.evidence) for finding in found[::2]] == [
        ("Certified accuracy with 3x3 masks on digits against 5x5 patches", "small vit: 10.0, 20.0"),
        ("Certified accuracy with 3x3 masks on digits against 8x8 patches", "small vit: 10.0, 5.0 (does not hold)"),
        ("Certified accuracy with 3x3 masks on birds 2 against 5x5 patches", "small vit: 50.0, 60.0"),
    ]
    assert found[1].statement.endswith("defended clean accuracy on digits against 5x5 patches")


@pytest.mark.parametrize(
    "pairs",
    [
        [("small_vit", "plain")],
        [("small_vit", "random_cutout")],
        [("small_vit", "plain"), ("small_resnetv2", "random_cutout")],
        [("small_vit", "random_cutout"), ("small_vit", "greedy_cutout_3x3")],
    ],
    ids=["plain alone", "random alone", "different models", "no plain"],
)
def test_nothing_is_claimed_where_there_is_nothing_to_compare(pairs: list[tuple[str, str]]) -> None:
    runs = [trained(model, training, "3x3", 90.0, 10.0) for model, training in pairs]
    assert findings(results_of(*runs), STRATEGIES, {}) == {}


def test_a_model_without_one_of_the_trainings_is_left_out_of_what_it_lacks() -> None:
    runs = [
        trained("small_vit", "plain", "3x3", 90.0, 10.0),
        trained("small_vit", "greedy_cutout_3x3", "3x3", 89.0, 20.0),
        trained("small_resnetv2", "plain", "3x3", 90.0, 10.0),
        trained("small_resnetv2", "random_cutout", "3x3", 95.0, 20.0),
    ]
    assert "Greedy Cutout" not in "".join(finding.statement for finding in of_grid(*runs)), "no model has all three trainings"
    assert clean_cost(*runs).evidence == (
        "small vit: loses 1.0 points at most (greedy cutout 3x3); small resnetv2: gains 5.0 points at least (random cutout)"
    )


def certificate_mode(*runs: Measured) -> list[tuple[str, str]]:
    return [(each.verdict, each.evidence) for each in of_grid(*runs) if "certificate mode" in each.statement]


def test_certificate_mode_is_asked_of_every_training_under_the_most_masks() -> None:
    # of 666 pairs: 40 % twice, and 61 %
    assert certificate_mode(*GRID) == [
        (
            "holds for 2 of 3 runs",
            "small vit, plain: 40.0 of at most 41.5; small resnetv2, plain: 40.0 of at most 50.0; "
            "small resnetv2, random cutout: 61.0 of at most 60.0 (does not hold)",
        )
    ]


def test_what_certificate_mode_may_cost_includes_its_bound() -> None:
    facts = {"pairs": 10, "passes": 5.0}
    assert certificate_mode((facts, 90.0, 40.0)) == [("holds", "small resnetv2: 50.0 of at most 50.0")]
    assert certificate_mode((facts, 90.0, 39.9))[0][0] == "does not hold"


def test_runs_whose_pairs_were_all_classified_say_nothing_of_certificate_mode() -> None:
    assert certificate_mode(({"pairs": 666, "passes": 666.0}, 90.0, 40.0)) == []


# --- patches -----------------------------------------------------------------------------------------------------------------


def test_the_smaller_patch_is_certified_at_least_as_often() -> None:
    assert asked("patch_sizes", f"({PC}, Table 2)", results=SIZES) == (
        "holds for 1 of 2 models",
        "small resnetv2: 75.0 (2x2), 57.0 (5x5); small vit: 20.0 (2x2), 22.0 (5x5) (does not hold)",
    )
    level = results_of(*patches(("2x2", 98.0, 40.0), ("5x5", 97.0, 40.0)))
    assert asked("patch_sizes", "at least as often", results=level)[0] == "holds"


def test_one_patch_has_nothing_to_be_compared_with() -> None:
    alone = results_of(*patches(("5x5", 98.0, 40.0)))
    for name in ("patch_sizes", "patch_shapes", "overestimated_patch", "large_patches"):
        assert of_analysis(name, results=alone) == {}


def test_shapes_and_several_patches_stand_beside_a_square_of_their_pixels() -> None:
    # 9 of at most 10 pixels rather than 4; 16 pixels rather than 9, beside twice 9
    assert asked("patch_shapes", "Any rectangle", results=SHAPES) == (
        "holds",
        "small resnetv2: 66.0 (one 3x3 square), 30.0 (every rectangle of at most 10 px)",
    )
    assert asked("patch_shapes", "Several patches", results=SHAPES) == (
        "does not hold",
        "small resnetv2: 61.0 (one 4x4 square), 61.0 (two 3x3 squares) (does not hold)",
    )
    assert all(statement.endswith(f"({PC}, Table 4)") for statement in of_analysis("patch_shapes", results=SHAPES))


@pytest.mark.parametrize(
    ("names", "statements"),
    [
        (["area-9", "3x3"], ["Any rectangle"]),
        (["area-8", "3x3"], []),
        (["area-9", "1x9", "2-of-3x3"], []),
        (["2-of-2x2", "3x3"], ["Several"]),
        (["2-of-2x2", "4x4"], []),
        (["2-of-4x5", "6x6"], ["Several"]),
        (["2-of-4x5", "5x5"], []),
        (["area-9", "2-of-2x2", "3x3"], ["Any rectangle", "Several"]),
    ],
    ids="-and-".join,
)
def test_only_a_square_of_about_the_pixels_will_do(names: list[str], statements: list[str]) -> None:
    found = of_analysis("patch_shapes", results=results_of(*patches(*((name, 90.0, 50.0) for name in names))))
    assert [statement.split(" of an ")[0].split(" patches ")[0] for statement in found] == statements


@pytest.mark.parametrize(("side", "about"), [(8, False), (9, True), (10, True), (11, True), (12, False)])
def test_the_limit_of_about_as_many_pixels(side: int, about: bool) -> None:
    assert ABOUT == 0.25
    names = ["2-of-5x10", f"{side}x{side}"]  # 100 pixels
    found = of_analysis("patch_shapes", results=results_of(*patches(*((name, 90.0, 50.0) for name in names))))
    assert bool(found) == about


def test_of_several_squares_the_nearest_will_do() -> None:
    names = ["2-of-5x10", "11x11", "10x10", "9x9"]
    results = results_of(*patches(*((name, 90.0, 10.0 + number) for number, name in enumerate(names))))
    assert (
        asked("patch_shapes", "Several", results=results)[1]
        == "small resnetv2: 12.0 (one 10x10 square), 10.0 (two 5x10 rectangles)"
    )


def test_over_estimating_the_patch() -> None:
    assert asked("overestimated_patch", "Certified accuracy", results=PATCHES) == (
        "holds for 1 of 2 models",
        "small resnetv2: 57.0 (5x5), 50.0 (6x6), 30.0 (10x10); "
        "small vit: 20.0 (5x5), 25.0 (6x6) (does not hold), 22.0 (10x10) (does not hold)",
    )
    assert asked("overestimated_patch", "Clean accuracy", results=PATCHES) == (
        "holds for 1 of 2 models",
        "small resnetv2: 98.0 (5x5), 98.5 (6x6), 96.0 (10x10); small vit: 93.5 (5x5), 93.0 (6x6), 91.0 (10x10) (does not hold)",
    )
    for statement in of_analysis("overestimated_patch", results=PATCHES):
        assert f"up to 4 times its area ({PC}, Figure 6)" in statement


@pytest.mark.parametrize(
    ("larger", "verdict"), [(92.0, "holds"), (88.0, "holds"), (92.1, "does not hold"), (87.9, "does not hold")]
)
def test_clean_accuracy_may_change_either_way(larger: float, verdict: str) -> None:
    assert COST == 2
    results = results_of(*patches(("5x5", 90.0, 40.0), ("6x6", larger, 30.0)))
    assert asked("overestimated_patch", "Clean accuracy", results=results)[0] == verdict


def test_larger_patches() -> None:
    clean, certified = of_analysis("large_patches", results=PATCHES).values()
    assert clean == (
        f"Clean accuracy falls from the smallest patch to the largest, and rises at no step ({PC}, Figure 7)",
        "holds for 1 of 2 models",
        "small resnetv2: 98.0 (5x5), 98.5 (6x6) (does not hold), 96.0 (10x10); small vit: 93.5 (5x5), 93.0 (6x6), 91.0 (10x10)",
    )
    assert certified.statement.startswith("Certified accuracy falls")
    assert certified.statement.endswith(f"({PC}, Figure 8)")
    assert certified.verdict == "holds for 1 of 2 models"


accuracies = st.lists(st.integers(0, 8).map(lambda eighths: 12.5 * eighths), min_size=2, max_size=5)


@settings(deadline=None)
@given(accuracies, st.randoms())
def test_a_fall_by_its_definition(values: list[float], random: Any) -> None:
    sides = [3 * number for number in range(1, len(values) + 1)]
    runs = patches(*((f"{side}x{side}", 90.0, value) for side, value in zip(sides, values, strict=True)))
    random.shuffle(runs)  # the order of the configuration does not matter
    verdict, evidence = asked("large_patches", "Certified accuracy", results=results_of(*runs))
    falls = values == sorted(values, reverse=True) and values[0] > values[-1]
    assert verdict == ("holds" if falls else "does not hold")
    assert ("does not hold" in evidence) == (not falls)
    shown = [part.split(" (")[:2] for part in evidence.removeprefix("small resnetv2: ").split(", ")]
    assert [float(number) for number, _ in shown] == [round(value, 1) for value in values]
    assert [patch_area(patch.rstrip(")")) for _, patch in shown] == [side**2 for side in sides]


# --- masks -------------------------------------------------------------------------------------------------------------------


def test_certified_accuracy_rises_with_the_masks_and_saturates() -> None:
    assert asked("mask_budgets", "rises", results=BUDGETS, times=TIMES) == (
        "holds",
        "small resnetv2: 22.0 (2x2), 45.0 (3x3), 57.0 (6x6)",
    )
    assert asked("mask_budgets", "saturates", results=BUDGETS, times=TIMES) == (
        "holds",
        "small resnetv2: 23.0 (to 3x3), 12.0 (to 6x6)",
    )


@pytest.mark.parametrize(
    ("values", "rises", "saturates"),
    [
        ((10.0, 30.0, 50.0), "holds", "does not hold"),
        ((10.0, 30.0, 30.0), "holds", "holds"),
        ((10.0, 30.0, 29.0), "does not hold", "holds"),
        ((10.0, 10.0, 20.0), "holds", "does not hold"),
        ((10.0, 10.0, 10.0), "does not hold", "does not hold"),
    ],
)
def test_how_it_rises(values: tuple[float, ...], rises: str, saturates: str) -> None:
    named = zip(("2x2", "4x4", "10x10"), values, strict=True)
    results = results_of(*budgets(*((budget, 90.0, value) for budget, value in named)))
    assert asked("mask_budgets", "rises", results=results, times=TIMES)[0] == rises
    assert asked("mask_budgets", "saturates", results=results, times=TIMES)[0] == saturates


def test_two_budgets_cannot_saturate_and_challenger_masking_may_be_missing() -> None:
    results = results_of(*budgets(("2x2", 90.0, 10.0), ("3x3", 91.0, 30.0)))
    (statement,) = of_analysis("mask_budgets", results=results, times=TIMES[TIMES["algorithm"] != "challenger"])
    assert "rises" in statement


def test_challenger_masking_is_judged_in_each_of_its_parts() -> None:
    statements = [
        statement for statement in of_analysis("mask_budgets", results=BUDGETS, times=TIMES) if "hallenger" in statement
    ]
    assert [statement.split("(")[1] for statement in statements] == [
        *(f"{PC}, Figure 10)", f"{PC}, Figure 10)", f"{PC}, Appendix C)"),
    ]
    assert asked("mask_budgets", "forward passes", results=BUDGETS, times=TIMES) == (
        "does not hold",
        "small resnetv2: 5.5 against 5.5 (2x2), 12.0 against 10.0 (3x3) (does not hold), 40.0 against 80.0 (6x6)",
    )
    assert asked("mask_budgets", "as accurate on clean images", results=BUDGETS, times=TIMES) == (
        "does not hold",
        "small resnetv2: 92.0 against 91.0 (2x2) (does not hold), 94.0 against 95.0 (3x3), 97.0 against 97.0 (6x6)",
    )
    assert asked("mask_budgets", "is certified", results=BUDGETS, times=TIMES) == (
        "holds",
        "small resnetv2: 22.0 against 22.0 (2x2), 45.0 against 45.0 (3x3), 57.0 against 57.0 (6x6)",
    )


@pytest.mark.parametrize("certified", [21.75, 22.25])
def test_certificates_that_differ_either_way_are_not_the_same(certified: float) -> None:
    results = results_of(
        *budgets(("2x2", 90.0, 10.0), ("6x6", 90.0, 22.0)),
        *budgets(("2x2", 90.0, 10.0), ("6x6", 90.0, certified), defense="challenger"),
    )
    times = times_of({"double_masking": {"2x2": 5.0, "6x6": 50.0}, "challenger": {"2x2": 5.0, "6x6": 40.0}})
    found = {words: asked("mask_budgets", words, results=results, times=times) for words in ("is certified", "passes", "rises")}
    assert [verdict for verdict, _ in found.values()] == ["does not hold", "holds", "holds"]
    assert found["rises"][1] == "small resnetv2: 10.0 (2x2), 22.0 (6x6)", "the number of masks is asked of double masking alone"


# --- minority reports --------------------------------------------------------------------------------------------------------


def test_minority_reports_beside_double_masking() -> None:
    # double masking: 89 and 45 per cent; at threshold 0.5: 180 and 80 of 200
    assert asked("minority_reports", "threshold 0", reports=REPORTS, results=DOUBLE) == (
        "holds",
        "small resnetv2: 65.0 against 45.0",
    )
    assert asked("minority_reports", "nearest", reports=REPORTS, results=DOUBLE) == (
        "holds",
        "small resnetv2: 40.0 against 45.0 where clean accuracy is 90.0 against 89.0",
    )
    assert all(
        f"({PC}, Figure 9)" in statement for statement in of_analysis("minority_reports", reports=REPORTS, results=DOUBLE)
    )


@pytest.mark.parametrize(
    ("ours", "robust", "similar"),
    [
        (65.0, "holds", "does not hold"),
        (65.5, "does not hold", "does not hold"),
        (35.0, "holds", "holds"),
        (34.5, "holds", "does not hold"),
    ],
)
def test_the_limits_of_the_comparison(ours: float, robust: str, similar: str) -> None:
    assert SIMILAR == 5
    results = results_of(({}, 89.0, ours))
    assert asked("minority_reports", "threshold 0", reports=REPORTS, results=results)[0] == robust
    assert asked("minority_reports", "nearest", reports=REPORTS, results=results)[0] == similar


def test_of_equally_near_thresholds_the_smallest_counts() -> None:
    reports = reports_of([(0.5, 180, 60), (0.375, 180, 80), (0.25, 176, 100), (0.0, 100, 120)])
    both = asked("minority_reports", "nearest", reports=reports, results=DOUBLE)  # 89 lies between 88 and 90
    assert both[1] == "small resnetv2: 50.0 against 45.0 where clean accuracy is 88.0 against 89.0"
    above = asked("minority_reports", "nearest", reports=reports, results=results_of(({}, 90.0, 45.0)))
    assert above[1] == "small resnetv2: 40.0 against 45.0 where clean accuracy is 90.0 against 90.0"


def test_every_seed_has_its_own_threshold_and_every_mask_set_its_own_answer() -> None:
    reports = pd.concat(
        [
            reports_of([(0.0, 100, 120), (0.5, 180, 60)]),
            reports_of([(0.0, 160, 80), (0.25, 170, 40)], seed=1),
            reports_of([(0.0, 20, 10)], budget="3x3"),
        ],
        ignore_index=True,
    )
    results = results_of(({}, 88.0, 30.0), ({"seed": 1}, 81.0, 40.0), ({"budget": "3x3"}, 10.0, 10.0))
    assert asked("minority_reports", "nearest", reports=reports, results=results) == (
        "holds for 2 of 2 runs",
        "small resnetv2, budget 6x6: 35.0 against 35.0 where clean accuracy is 85.0 against 84.5; "
        "small resnetv2, budget 3x3: 5.0 against 10.0 where clean accuracy is 10.0 against 10.0",
    )
    assert asked("minority_reports", "threshold 0", reports=reports, results=results) == (
        "holds for 1 of 2 runs",
        "small resnetv2, budget 6x6: 50.0 against 35.0; small resnetv2, budget 3x3: 5.0 against 10.0 (does not hold)",
    )


# --- objects -----------------------------------------------------------------------------------------------------------------


def test_larger_objects_beside_smaller_ones() -> None:
    # sizes 5, 10, 20 beside 30, 35, 40; the image without a size is in no half
    assert asked("objects", "half", images=IMAGES) == ("holds", "small resnetv2: 66.7 against 66.7")
    fewer = IMAGES.assign(certified=IMAGES["certified"] & (IMAGES["object_size"] < 40))
    assert asked("objects", "half", images=fewer) == ("does not hold", "small resnetv2: 33.3 against 66.7 (does not hold)")


def test_objects_of_one_size_have_no_larger_half() -> None:
    images = images_of((0, 10.0, True), (1, 10.0, False), (1, float("nan"), True))
    assert [statement.split("(")[1] for statement in of_analysis("objects", images=images)] == [f"{PC}, Figure 13)"]
    assert of_analysis("objects", images=images_of((0, float("nan"), True), (0, float("nan"), False))) == {}


def test_classes_differ() -> None:
    # class 0 is always certified, class 1 once in three times
    assert asked("objects", "classes", images=IMAGES) == ("holds", "small resnetv2: from 33.3 (class 1) to 100.0 (class 2)")


@pytest.mark.parametrize(
    ("hits", "verdict"), [(20, "holds"), (21, "does not hold"), (30, "does not hold"), (39, "does not hold"), (40, "holds")]
)
def test_from_where_on_classes_differ(hits: int, verdict: str) -> None:
    assert APART == 10
    images = images_of(
        *((label, 1.0, number < certified) for label, certified in ((0, 30), (1, hits)) for number in range(100))
    )
    assert asked("objects", "classes", images=images)[0] == verdict


def test_objects_of_each_run_by_themselves() -> None:
    images = pd.concat([IMAGES, IMAGES.assign(certified=False, **VIT)], ignore_index=True)
    verdict, evidence = asked("objects", "classes", images=images)
    assert verdict == "holds for 1 of 2 models"
    assert evidence.endswith("to 100.0 (class 2); small vit: from 0.0 (class 0) to 0.0 (class 2) (does not hold)")


# --- Multi-Label PatchCleanser -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "evidence"),
    [
        (
            "precision of clean",
            "small resnetv2, plain: 88.0 to 93.0; small resnetv2, random cutout: 90.0 to 85.0 (does not hold)",
        ),
        ("recall of clean", "small resnetv2, plain: 79.0 to 62.0; small resnetv2, random cutout: 60.0 to 65.0 (does not hold)"),
        (
            "one place certifies",
            "small resnetv2, plain: precision 50.0 against 47.0, recall 40.0 against 39.0; "
            "small resnetv2, random cutout: precision 55.0 against 60.0 (does not hold), recall 40.0 against 30.0",
        ),
        (
            "area under the curve falls",
            "small resnetv2, plain: 80.0 (undefended), 77.0 (defended), 40.0 (located), 37.0 (certified); "
            "small resnetv2, random cutout: 70.0 (undefended), 72.0 (defended) (does not hold), 50.0 (located), "
            "50.0 (certified) (does not hold)",
        ),
    ],
)
def test_labels_at_the_chosen_threshold_and_against_the_patch_of_the_masks(words: str, evidence: str) -> None:
    assert asked("multilabel", words, **SCORED) == ("holds for 1 of 2 runs", evidence)


def test_certified_areas_of_trainings_in_their_order() -> None:
    assert asked("multilabel", "raises the certified area: plain < random cutout", **SCORED) == (
        "holds",
        "small resnetv2: 37.0 (plain), 50.0 (random_cutout)",
    )


# --- BagCert -----------------------------------------------------------------------------------------------------------------


def of_regions(*runs: tuple[Mapping[str, Any], Mapping[str, float]]) -> pd.DataFrame:
    return regions.frame(regions.shares(facts, **percents) for facts, percents in runs)


def test_one_seed_whose_stronger_condition_certifies_fewer_is_enough_against_it() -> None:
    conditions = of_regions(
        (regions.bagcert(7, 0.5, seed=0), {"clean": 90.0, "condition_3_2": 60.0, "condition_3_3": 50.0}),
        (regions.bagcert(7, 0.5, seed=1), {"clean": 90.0, "condition_3_2": 50.0, "condition_3_3": 50.25}),
        (regions.bagcert(9, 0.5), {"clean": 90.0, "condition_3_2": 50.0, "condition_3_3": 50.0}),
    )
    assert asked("bagcert_conditions", "as many images", conditions=conditions) == (
        "holds for 1 of 2 models",
        "small bagcert rf7: -0.2 to 10.0 points more (does not hold); small bagcert rf9: 0.0 points more",
    )
    assert len(of_analysis("bagcert_conditions", conditions=conditions)) == 1, "one margin is not compared with itself"


@pytest.mark.parametrize(
    ("clean", "certified", "lower", "higher"),
    [
        ((95.0, 97.0, 94.0), (50.0, 40.0, 51.0), "holds", "holds"),
        ((95.0, 90.0, 95.0), (50.0, 60.0, 50.0), "does not hold", "does not hold"),
        ((94.0, 90.0, 95.0), (51.0, 60.0, 50.0), "does not hold", "does not hold"),
    ],
)
def test_the_largest_margin_is_compared_with_the_smallest(
    clean: tuple[float, ...], certified: tuple[float, ...], lower: str, higher: str
) -> None:
    conditions = of_regions(
        *(
            (regions.bagcert(7, margin), {"clean": right, "condition_3_2": sure, "condition_3_3": 0.0})
            for margin, right, sure in reversed([*zip((0.25, 0.5, 1.0), clean, certified, strict=True)])
        )
    )
    assert asked("bagcert_conditions", "lower clean", conditions=conditions)[0] == lower
    assert asked("bagcert_conditions", "higher certified", conditions=conditions)[0] == higher


def test_the_papers_configuration_is_held_against_the_best_at_each_size() -> None:
    runs = [(regions.bagcert(7, 0.5), 50.0), (regions.bagcert(9, 0.5), 55.0), (regions.bagcert(7, 1.0), 10.0)]
    runs += [(regions.bagcert(7, 0.5, patch="8x8"), 20.0), (regions.bagcert(9, 0.5, patch="8x8"), 25.25)]
    runs += [(regions.bagcert(7, 0.5, patch="1x24"), 0.0), (regions.bagcert(9, 0.5, patch="1x24"), 90.0)]
    runs += [(regions.smoothing("column"), 99.0)]
    conditions = of_regions(*((facts, {"condition_3_2": percent}) for facts, percent in runs))
    assert asked("bagcert_patch_sizes", "One configuration", conditions=conditions) == (
        "does not hold",
        f"small bagcert rf7: 50.0 against {50 + SIMILAR:.1f} (5x5), 20.0 against 25.2 (8x8) (does not hold)",
    )
    assert of_analysis("bagcert_patch_sizes", conditions=conditions[conditions["margin"] == 1.0]) == {}


def test_the_shape_of_a_patch() -> None:
    wide, square, high = "2x12", "4x6", "24x1"
    runs = [(regions.smoothing("column", patch), percent) for patch, percent in ((wide, 5.25), ("1x24", 5.0), (high, 90.0))]
    runs += [(regions.smoothing("block", wide), 70.0)]
    runs += [(regions.bagcert(7, 0.5, patch=patch), percent) for patch, percent in ((wide, 41.0), (square, 60.0), (high, 40.0))]
    runs += [(regions.bagcert(9, 0.5, patch=patch), percent) for patch, percent in ((wide, 39.75), (square, 60.0))]
    conditions = of_regions(*((facts, {"condition_3_2": percent}) for facts, percent in runs))
    assert asked("bagcert_aspect_ratios", "short but wide", conditions=conditions) == (
        "does not hold",
        "small column smoothing: 5.2 (2x12) (does not hold), 5.0 (1x24)",
    )
    assert asked("bagcert_aspect_ratios", "any aspect ratio", conditions=conditions) == (
        "holds for 1 of 2 models",
        "small bagcert rf7: 40.0 (24x1); small bagcert rf9: 39.8 (2x12) (does not hold)",
    )


@pytest.mark.parametrize(
    ("attacked", "verdict", "evidence"),
    [
        (
            (60.0, 90.0),
            "holds",
            "0.0 (certified to attacked), 0.0 (attacked to clean)",
        ),
        (
            (59.0, 80.0),
            "does not hold",
            "-1.0 (certified to attacked) (does not hold), 10.0 (attacked to clean)",
        ),
        (
            (70.0, 90.25),
            "does not hold",
            "10.0 (certified to attacked), -0.2 (attacked to clean) (does not hold)",
        ),
    ],
)
def test_the_attack_lies_between_certificate_and_clean(attacked: tuple[float, ...], verdict: str, evidence: str) -> None:
    attacks = of_regions(
        *(
            (regions.bagcert(7, 0.5, seed=seed), {"clean": 90.0, "attacked": percent, "condition_3_2": 60.0})
            for seed, percent in enumerate(attacked)
        )
    )
    assert asked("bagcert_attacks", "under attack", attacks=attacks) == (verdict, f"small bagcert rf7: {evidence}")


def test_outputs_are_compared_where_all_else_is_the_same() -> None:
    conditions = of_regions(
        (regions.bagcert(9, 0.5, "softmax"), {"clean": 90.0, "condition_3_2": 61.0}),
        (regions.bagcert(9, 0.5), {"clean": 90.0, "condition_3_2": 60.0}),
        (regions.bagcert(9, 0.5, seed=1), {"clean": 91.0, "condition_3_2": 63.0}),
        (regions.bagcert(9, 1.0), {"clean": 10.0, "condition_3_2": 10.0}),
        (regions.bagcert(7, 1.0, "sigmoid"), {"clean": 80.0, "condition_3_2": 50.0}),
    )
    assert asked("bagcert_outputs", "Heaviside", conditions=conditions) == (
        "holds",
        "small bagcert rf9: 90.5 against 90.0 (softmax, clean), 61.5 against 61.0 (softmax, certified)",
    )
    first = conditions[conditions["seed"] == 0]
    assert asked("bagcert_outputs", "Heaviside", conditions=first)[0] == "does not hold"


def test_times_are_compared_with_those_of_blocks() -> None:
    times = regions.TIMES[regions.TIMES["receptive_field"].isin([5, 7]) | regions.TIMES["receptive_field"].isna()]
    slower = times.assign(milliseconds=times["milliseconds"].where(times["receptive_field"] != 7, 5.0))
    # 99.75 ms against 3.33 and 10
    assert asked("bagcert_times", "blocks", region_times=slower) == (
        "holds for 1 of 2 models",
        "small bagcert rf5: 30.0 times; small bagcert rf7: 10.0 times (does not hold)",
    )
    assert of_analysis("bagcert_times", region_times=times[~times["model"].str.contains("block")]) == {}
