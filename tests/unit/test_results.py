"""What was measured, as tables: files of every stage in, and of them only what is shown, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert.provenance import write_json
from patchcert.report.results import (
    COUNTS,
    FACTS,
    SHARE,
    frames,
    in_order,
    read_curves,
    read_images,
    read_results,
    read_times,
    spoken,
)

from .configurations import SMALL

RUN = {"dataset": "digits", "model": "small_vit", "training": "plain", "seed": 0, "patch": "5x5", "budget": "6x6"}
DOUBLE, CHALLENGER, REPORTS = ({"defense": name} for name in ("double_masking", "challenger", "minority_reports"))


def share(percent: float) -> dict[str, float | int]:
    return {"percent": percent, "low": percent - 4.25, "high": percent + 3.5, "hits": round(4 * percent), "total": 400}


def measured(certified: float, **facts: Any) -> dict[str, Any]:
    """One run of a metrics file, its clean accuracies 90 and 80 per cent."""
    accuracies = {"undefended_clean": share(90.0), "defended_clean": share(80.0), "certified": share(certified)}
    return accuracies | RUN | DOUBLE | {"near_flips": 2, "passes": 43.5, "pairs": 666} | facts


def detecting(counts: Sequence[int], **facts: Any) -> dict[str, Any]:
    """One run of a detector's metrics file, of ten images, with a threshold for each of the counts of right answers."""
    curve = {
        "threshold": [number / 8 for number in range(len(counts))],
        "clean": list(counts),
        "certified": [count - 1 for count in counts],
        "alerts": [10 - count for count in counts],
        "total": [10] * len(counts),
    }
    return RUN | REPORTS | {"curve": curve} | facts


def write_runs(path: Path, *runs: dict[str, Any]) -> Path:
    write_json(path, {"confidence": 0.95, "runs": list(runs)})
    return path


def write_times(path: Path, model: str, *rows: dict[str, Any]) -> Path:
    run = {name: RUN[name] for name in ("dataset", "training", "seed")} | {"model": model}
    write_json(path, {"run": run, "device": "a processor, 1 thread", "rows": list(rows)})
    return path


def timed(algorithm: str, budget: str, calls: float) -> dict[str, Any]:
    patch = "5x5" if budget else ""
    return {"patch": patch, "budget": budget, "algorithm": algorithm, "milliseconds": 2 * calls, "calls": calls, "images": 40}


def write_certificates(path: Path, ids: str, certified: Sequence[bool]) -> Path:
    """Certificates of the images of one letter each; the labels are 7."""
    table = pd.DataFrame(
        {"image_id": list(ids), "label": 7, "undefended": 7, "defended": 6, "case": 1, "passes": 36, "certified": certified}
    )
    table.to_parquet(path, index=False)
    return path


def write_index(path: Path, ids: str, sizes: Sequence[float]) -> Path:
    path.parent.mkdir()
    pd.DataFrame({"image_id": list(ids), "label": 7, "split": "test", "object_size": sizes}).to_parquet(path, index=False)
    return path


# --- files -------------------------------------------------------------------------------------------------------------------


def test_results_have_a_row_a_run_and_metric(tmp_path: Path) -> None:
    table = read_results(write_runs(tmp_path / "a.json", measured(31.5), measured(22.25, budget="3x3", seed=1)))
    assert list(table.columns) == [*FACTS, "defense", "metric", *SHARE, *COUNTS]
    assert table["metric"].tolist() == 2 * ["undefended_clean", "defended_clean", "certified"]
    assert table["percent"].tolist() == [90.0, 80.0, 31.5, 90.0, 80.0, 22.25]
    assert table["budget"].tolist() == 3 * ["6x6"] + 3 * ["3x3"]
    assert table.iloc[2].to_dict() == RUN | DOUBLE | {
        **{"metric": "certified", "percent": 31.5, "low": 27.25, "high": 35.0, "hits": 126, "total": 400},
        **{"near_flips": 2, "passes": 43.5, "pairs": 666},
    }


def test_results_of_no_run_have_their_columns(tmp_path: Path) -> None:
    table = read_results(write_runs(tmp_path / "a.json"))
    assert (len(table), list(table.columns)) == (0, [*FACTS, "defense", "metric", *SHARE, *COUNTS])


def test_curves_have_a_row_a_run_and_threshold(tmp_path: Path) -> None:
    table = read_curves(write_runs(tmp_path / "a.json", detecting([4, 6]), detecting([9], budget="3x3")))
    assert set(table.columns) == {*FACTS, "defense", "threshold", "clean", "certified", "alerts", "total"}
    assert table[["budget", "threshold", "clean", "certified", "alerts", "total"]].to_numpy().tolist() == [
        ["6x6", 0.0, 4, 3, 6, 10],
        ["6x6", 0.125, 6, 5, 4, 10],
        ["3x3", 0.0, 9, 8, 1, 10],
    ]
    assert table[[*FACTS, "defense"]].iloc[1].to_dict() == RUN | REPORTS
    assert table.index.tolist() == [0, 1, 2]


def test_times_have_a_row_a_mask_set_and_algorithm(tmp_path: Path) -> None:
    rows = timed("undefended", "", 1.0), timed("double_masking", "6x6", 36.5)
    table = read_times(write_times(tmp_path / "a.json", "small_vit", *rows))
    assert table.to_dict("records") == [
        RUN
        | {"patch": "", "budget": "", "algorithm": "undefended", "milliseconds": 2.0, "calls": 1.0, "images": 40}
        | {"device": "a processor, 1 thread"},
        RUN
        | {"algorithm": "double_masking", "milliseconds": 73.0, "calls": 36.5, "images": 40}
        | {"device": "a processor, 1 thread"},
    ]


def test_images_have_the_facts_of_their_certificate_and_the_size_of_their_object(tmp_path: Path) -> None:
    certificates = [
        write_certificates(tmp_path / "first.parquet", "abc", [True, False, True]),
        write_certificates(tmp_path / "second.parquet", "ba", [True, True]),
    ]
    # the same id is another image in another dataset, and the index has images that no certificate is about
    indexes = [
        write_index(tmp_path / "digits" / "index.parquet", "dcba", [40.0, 30.0, float("nan"), 10.0]),
        write_index(tmp_path / "birds" / "index.parquet", "ab", [1.0, 2.0]),
    ]
    facts = [RUN | DOUBLE, RUN | DOUBLE | {"dataset": "birds", "seed": 3}]
    table = read_images(certificates, facts, indexes)
    assert list(table.columns) == [*FACTS, "image_id", "label", "undefended", "defended", "certified", "object_size"]
    assert table[["dataset", "seed", "image_id", "certified"]].to_numpy().tolist() == [
        ["digits", 0, "a", True],
        ["digits", 0, "b", False],
        ["digits", 0, "c", True],
        ["birds", 3, "b", True],
        ["birds", 3, "a", True],
    ]
    assert table["object_size"].fillna(-1).tolist() == [10.0, -1, 30.0, 2.0, 1.0]
    assert (table["label"].unique().tolist(), table["defended"].unique().tolist()) == ([7], [6])


def test_a_certificate_without_facts_is_not_read_as_anothers(tmp_path: Path) -> None:
    certificates = [write_certificates(tmp_path / f"{name}.parquet", "a", [True]) for name in "ab"]
    with pytest.raises(ValueError, match="zip"):
        read_images(certificates, [RUN | DOUBLE], [write_index(tmp_path / "digits" / "index.parquet", "a", [1.0])])


def test_an_image_that_an_index_has_twice_is_refused(tmp_path: Path) -> None:
    certificate = write_certificates(tmp_path / "a.parquet", "a", [True])
    with pytest.raises(pd.errors.MergeError):
        read_images([certificate], [RUN | DOUBLE], [write_index(tmp_path / "digits" / "index.parquet", "aa", [1.0, 2.0])])


# --- what is shown -----------------------------------------------------------------------------------------------------------


def test_only_what_is_shown_in_the_order_of_its_facts(tmp_path: Path) -> None:
    files = [
        write_runs(tmp_path / "a.json", measured(1.0), measured(2.0, budget="3x3"), measured(3.0, seed=1)),
        write_runs(tmp_path / "b.json", measured(4.0, **CHALLENGER), measured(5.0, budget="3x3", **CHALLENGER)),
    ]
    facts = [RUN | CHALLENGER, RUN | DOUBLE | {"budget": "3x3"}, RUN | DOUBLE]
    table = frames({"results": files}, facts)["results"]
    assert table["metric"].tolist() == 3 * ["undefended_clean", "defended_clean", "certified"]
    assert table.loc[table["metric"] == "certified", ["defense", "budget", "percent"]].to_numpy().tolist() == [
        ["challenger", "6x6", 4.0],
        ["double_masking", "3x3", 2.0],
        ["double_masking", "6x6", 1.0],
    ]
    assert set(table.columns) >= {*FACTS, "defense", "metric", *SHARE, *COUNTS}


def test_every_fact_counts(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [
        *({"dataset": "birds"}, {"model": "small_resmlp"}, {"training": "random_cutout"}, {"seed": 1}, {"patch": "2x2"}),
        *({"budget": "3x3"}, CHALLENGER),
    ]
    assert {fact for other in others for fact in other} == {*FACTS, "defense"}
    runs = [measured(0.0, **other) for other in others]
    table = frames({"results": [write_runs(tmp_path / "a.json", *runs, measured(50.0), *runs)]}, [RUN | DOUBLE])["results"]
    assert table["percent"].tolist() == [90.0, 80.0, 50.0]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["2x2", "3x3", "4x4", "6x6"]), unique=True, min_size=1),
    st.permutations(["2x2", "3x3", "4x4", "6x6"]),
)
def test_the_order_of_the_facts_is_kept_whatever_that_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, shown: list[str], stored: list[str]
) -> None:
    path = tmp_path_factory.mktemp("order") / "a.json"
    write_runs(path, *(detecting([1, 2, 3], budget=budget) for budget in stored))
    table = frames({"reports": [path]}, [RUN | REPORTS | {"budget": budget} for budget in shown])["reports"]
    assert table["budget"].tolist() == [budget for budget in shown for _ in range(3)]
    assert table["clean"].tolist() == len(shown) * [1, 2, 3]


def test_a_frame_for_each_of_the_files_and_no_other(tmp_path: Path) -> None:
    ledger = Path(__file__).parents[2] / "config" / "published.csv"
    files = {
        "results": [write_runs(tmp_path / "results.json", measured(31.5))],
        "reports": [write_runs(tmp_path / "reports.json", detecting([4, 6]), detecting([5], seed=1))],
        "times": [
            write_times(tmp_path / f"{name}.json", name, timed("challenger", "6x6", 20.0))
            for name in ("small_vit", "small_resmlp")
        ],
        "images": [
            write_certificates(tmp_path / "first.parquet", "ab", [True, False]),
            write_certificates(tmp_path / "second.parquet", "ab", [True, True]),
            write_index(tmp_path / "digits" / "index.parquet", "ab", [10.0, 20.0]),
        ],
        "ledger": [ledger],
    }
    found = frames(files, [RUN | DOUBLE, RUN | REPORTS], SMALL)
    assert list(found) == list(files)
    assert found["results"]["defense"].unique().tolist() == ["double_masking"]
    assert found["reports"]["clean"].tolist() == [4, 6]
    assert found["times"]["model"].tolist() == ["small_vit", "small_resmlp"]
    assert found["times"].index.tolist() == [0, 1]
    assert found["images"]["certified"].tolist() == [True, False, True, True]
    assert found["images"]["object_size"].tolist() == [10.0, 20.0, 10.0, 20.0]
    assert {"published", "here"} <= set(found["ledger"])
    assert frames({}, [RUN | DOUBLE]) == {}


# --- words -------------------------------------------------------------------------------------------------------------------


def test_values_are_in_the_order_in_which_they_first_occur() -> None:
    assert in_order(pd.Series(["small_vit", "small_resnetv2", "small_vit", "small_convnext", "small_resnetv2"])) == [
        *("small_vit", "small_resnetv2", "small_convnext"),
    ]


def test_names_are_spoken_without_underscores() -> None:
    assert spoken("greedy_cutout_6x6") == "greedy cutout 6x6"
