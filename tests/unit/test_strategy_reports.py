"""Tables, figures and findings of the training strategies, on numbers that are made up and known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from patchcert.report.figures import strategy_budgets, strategy_costs
from patchcert.report.findings import findings
from patchcert.report.ledger import read_ledger
from patchcert.report.results import frames
from patchcert.report.tables import strategies, training_seeds, training_throughput

from .configurations import seen

STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 60}
LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
CERTIFIED = {  # training: certified accuracy with 3x3 and with 6x6 masks, passes
    "plain": (5.0, 8.0, 0),
    "random_cutout": (40.0, 50.0, 0),
    "random_masks_both": (42.0, 49.0, 0),
    "gutout_6x6": (41.0, 52.0, 4),
    "greedy_cutout_3x3": (60.0, 51.0, 17),
    "greedy_cutout_6x6": (50.0, 70.0, 71),
    "greedy_cutout_multisize": (58.0, 68.0, 26),
    "grid_cutout_3x3": (61.0, 50.0, 45),
    "grid_cutout_6x6": (52.0, 76.0, 222),
}


def rows(values: dict[str, tuple[float, ...]], budgets: tuple[str, ...], seeds: tuple[int, ...] = (0,)) -> pd.DataFrame:
    facts = {"dataset": "digits", "model": "small_resnetv2", "patch": "5x5", "defense": "double_masking"}
    return pd.DataFrame(
        [
            facts
            | {"training": training, "seed": seed, "budget": budget, "metric": metric}
            | {"percent": percent + seed, "low": percent - 3, "high": percent + 4, "hits": 0, "total": 400}
            | {"near_flips": 0, "passes": 1.0, "pairs": 45}
            for training, shares in values.items()
            for budget, share in zip(budgets, shares, strict=False)
            for seed in seeds
            for metric, percent in (("undefended_clean", 99.0), ("defended_clean", 97.0), ("certified", share))
        ]
    )


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return rows(CERTIFIED, ("3x3", "6x6"))


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return seen(read_ledger(LEDGER))


@pytest.fixture
def read(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Records and times of the trainings, written as the trainer and the timing write them, and read back."""
    records = []
    for training, (*_, passes) in CERTIFIED.items():
        path = tmp_path / "digits" / "small_resnetv2" / training / "seed-0" / "record.json"
        path.parent.mkdir(parents=True)
        copies = 2 if "multi" in training or "both" in training else 1
        path.write_text(json.dumps({"extra_passes": passes, "copies": copies, "epochs": 12}))
        records.append(path)
    times = tmp_path / "times.json"
    timed = [
        {
            "training": name,
            "copies": 1,
            "passes": passes,
            "search_ms": passes / 10,
            "step_ms": 1.0,
            "forward_ms": 0.1,
            "ratio": 1.05,
        }
        for name, (*_, passes) in CERTIFIED.items()
    ]
    run = {"dataset": "digits", "model": "small_resnetv2"}
    times.write_text(json.dumps({"run": run, "device": "some processor", "rows": timed}))
    return frames({"trainings": records, "training_times": [times]}, [])


def test_the_table_of_strategies_has_cost_and_gain_beside_the_published_value(
    results: pd.DataFrame, ledger: pd.DataFrame, read: dict[str, pd.DataFrame]
) -> None:
    table, compact = strategies.make(results, ledger, **read)
    assert len(compact) == len(CERTIFIED)
    row = compact[compact["training"] == "greedy cutout multisize"].iloc[0]
    assert row["passes of the search, an image and epoch"] == "26"
    assert row["copies of an image"] == "2"
    assert row["training step, ms an image"] == "3.60"
    assert row["6x6: certified, %"] == "68.0 [65.0, 72.0]"
    assert "84.3 (GC Table" in row["6x6: published certified, %"]
    assert "85.1 (GC Table 3)" in compact.iloc[-1]["6x6: published certified, %"]
    assert table["milliseconds"].notna().all()


def test_the_table_of_seeds_has_mean_and_spread(ledger: pd.DataFrame) -> None:
    several = rows({"plain": (10.0,), "random_cutout": (40.0,)}, ("6x6",), (0, 1, 2))
    table, compact = training_seeds.make(several, ledger)
    assert compact["6x6: certified, %"].tolist() == ["11.0 ± 1.0", "41.0 ± 1.0"]
    assert compact["seeds"].tolist() == ["3", "3"]
    assert set(table["seeds"]) == {3}
    _, one = training_seeds.make(rows({"plain": (10.0,)}, ("6x6",)), ledger)
    assert one["6x6: certified, %"].tolist() == ["10.0"]


def test_the_table_of_times_keeps_what_was_measured(ledger: pd.DataFrame, read: dict[str, pd.DataFrame]) -> None:
    table, compact = training_throughput.make(read["training_times"], ledger)
    assert table["device"].eq("some processor").all()
    assert compact["times step and passes alone"].eq("1.05").all()
    passes = compact.set_index("training")[["passes of the search", "published passes"]].T.to_dict("list")
    assert passes["greedy cutout 6x6"] == ["71", "71 (GC Table 3)"]
    assert passes["greedy cutout multisize"] == ["26", "26 (GC Table 3)"]
    assert passes["random cutout"] == ["0", ""]


def said(analyses: dict[str, dict[str, pd.DataFrame]]) -> dict[str, tuple[str, str]]:
    (found,) = findings(None, {}, analyses).values()
    return {finding.statement: (finding.verdict, finding.evidence) for finding in found}


def verdict(answers: dict[str, tuple[str, str]], *parts: str) -> tuple[str, str]:
    (found,) = [answer for statement, answer in answers.items() if all(part in statement for part in parts)]
    return found


def test_greedy_is_asked_against_its_rivals_and_the_exhaustive_search(
    results: pd.DataFrame, read: dict[str, pd.DataFrame]
) -> None:
    found = said({"strategies": {"results": results, "trainings": read["trainings"]}})
    assert verdict(found, "6x6", "greedy cutout multisize certifies more") == (
        "holds",
        "small resnetv2: 68.0 against 52.0 (gutout 6x6)",
    )
    assert verdict(found, "6x6", "greedy cutout 3x3 certifies more")[0] == "does not hold"
    assert verdict(found, "3x3 masks", "exhaustive") == ("holds", "small resnetv2: 60.0 against 61.0")
    assert verdict(found, "6x6 masks", "exhaustive")[0] == "does not hold"
    assert verdict(found, "fewer passes")[0] == "holds"


def test_multi_size_is_asked_against_the_spread_over_seeds() -> None:
    values = {"plain": (5.0,), "random_cutout": (40.0,), "greedy_cutout_6x6": (70.0,), "greedy_cutout_multisize": (69.0,)}
    found = said({"training_seeds": {"results": rows(values, ("6x6",), (0, 1, 2))}})
    # 70 to 72 against a mean of 70
    assert verdict(found, "lies within or above") == ("holds", "small resnetv2: 70.0 against 70.0 to 72.0")
    assert verdict(found, "plain < random cutout < greedy cutout multisize")[0] == "holds"
    lower = said({"training_seeds": {"results": rows(values | {"greedy_cutout_multisize": (68.0,)}, ("6x6",), (0, 1, 2))}})
    assert verdict(lower, "lies within or above")[0] == "does not hold"


def test_more_masks_are_asked_of_every_strategy() -> None:
    values = {"random_cutout": (30.0, 40.0, 50.0), "greedy_cutout_3x3": (40.0, 60.0, 40.0)}
    (answer,) = said({"strategy_budgets": {"results": rows(values, ("2x2", "3x3", "6x6"))}}).values()
    assert answer[0] == "holds for 1 of 2 runs"


def test_the_figure_of_costs_has_a_point_a_strategy(
    results: pd.DataFrame, ledger: pd.DataFrame, read: dict[str, pd.DataFrame]
) -> None:
    figure = strategy_costs.draw(results, ledger, **read, style=STYLE)
    assert len(figure.axes) == 4
    for panel in figure.axes:
        assert len(panel.containers) == len(CERTIFIED)
    left, right = figure.axes[2:]
    places = sorted(float(container.lines[0].get_xdata()[0]) for container in left.containers)
    assert places == sorted(passes for *_, passes in CERTIFIED.values())
    heights: list[Any] = [container.lines[0].get_ydata()[0] for container in right.containers]
    assert heights == [share for _, share, _ in CERTIFIED.values()]
    assert len(left.collections) > len(CERTIFIED), "published values are drawn beside ours"
    assert "passes" in left.get_xlabel()
    assert "ms" in right.get_xlabel()
    plt.close(figure)


def test_the_figure_of_budgets_has_a_line_a_strategy() -> None:
    values = {"random_cutout": (30.0, 40.0), "greedy_cutout_3x3": (40.0, 60.0)}
    figure = strategy_budgets.draw(rows(values, ("2x2", "3x3")), STYLE)
    (panel,) = figure.axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["2x2", "3x3"]
    assert [list(container.lines[0].get_ydata()) for container in panel.containers] == [[30.0, 40.0], [40.0, 60.0]]
    plt.close(figure)


def test_several_datasets_are_told_apart(results: pd.DataFrame, ledger: pd.DataFrame, read: dict[str, pd.DataFrame]) -> None:
    names = ["digits", "birds"]
    twice = pd.concat([results.assign(dataset=name) for name in names], ignore_index=True)
    costs = {name: pd.concat([frame.assign(dataset=each) for each in names], ignore_index=True) for name, frame in read.items()}
    tables = [strategies.make(twice, ledger, **costs), training_seeds.make(twice, ledger)]
    tables.append(training_throughput.make(costs["training_times"], ledger))
    for _, compact in tables:
        assert compact["dataset"].value_counts().to_dict() == dict.fromkeys(names, len(compact) // 2)
    figure = strategy_costs.draw(twice, ledger, **costs, style=STYLE)
    titles = [panel.get_title(loc="left") for panel in figure.axes[::2]]
    assert titles == [f"{name}, small resnetv2" for name in names for _ in ("3x3", "6x6")]
