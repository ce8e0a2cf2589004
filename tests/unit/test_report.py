"""The report: tables and the page against golden files, figures by their parts, the ledger and its faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from patchcert import InputError
from patchcert.masks import mask_set
from patchcert.provenance import write_json
from patchcert.report import cells
from patchcert.report.figures import mask_set as mask_set_figure
from patchcert.report.figures import strategies, training_curves
from patchcert.report.ledger import COLUMNS, read_ledger
from patchcert.report.page import page
from patchcert.report.published import PAPERS, accuracies
from patchcert.report.results import METRICS, read_results, spoken
from patchcert.report.style import save, styled
from patchcert.report.tables import accuracy, vanilla
from patchcert.report.verdicts import Finding

from .configurations import seen

GOLDEN = Path(__file__).parents[1] / "golden"
SHIPPED_LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 50, "example_image": None}
TRAININGS = ["plain", "random_cutout", "greedy_cutout_6x6", "greedy_cutout_3x3"]
FACTS = {"dataset": "digits", "seed": 0, "patch": "5x5", "defense": "double_masking"}
COUNTS = {"near_flips": 2, "passes": 43.5, "pairs": 666}


def share(percent: float) -> dict[str, float | int]:
    return {"percent": percent, "low": max(percent - 4.25, 0), "high": percent + 3.5, "hits": round(4 * percent), "total": 400}


def run(model: str, training: str, budget: str, clean: float, certified: float, **facts: Any) -> dict[str, Any]:
    """One run of a metrics file; the undefended accuracy is a point above the defended one."""
    accuracies = {name: share(value) for name, value in zip(METRICS, (clean + 1, clean, certified), strict=True)}
    return FACTS | COUNTS | {"model": model, "training": training, "budget": budget} | facts | accuracies


# in the order of a configuration, which is not the alphabet's; the ViT was trained in one way only, the ConvNeXt in two
RUNS = [
    run("small_vit", "plain", "6x6", 88.0, 31.5),
    run("small_vit", "plain", "3x3", 88.5, 22.25),
    run("small_resnetv2", "plain", "6x6", 94.0, 40.0),
    run("small_resnetv2", "plain", "3x3", 95.0, 35.0),
    run("small_resnetv2", "random_cutout", "6x6", 95.5, 50.0),
    run("small_resnetv2", "random_cutout", "3x3", 96.0, 30.0),
    run("small_resnetv2", "greedy_cutout_6x6", "6x6", 92.5, 61.0),
    run("small_resnetv2", "greedy_cutout_6x6", "3x3", 93.0, 55.0),
    run("small_resnetv2", "greedy_cutout_3x3", "6x6", 94.5, 49.0),
    run("small_resnetv2", "greedy_cutout_3x3", "3x3", 92.5, 57.0),
    run("small_convnext", "plain", "6x6", 90.0, 20.0),
    run("small_convnext", "plain", "3x3", 90.0, 20.0),
    run("small_convnext", "random_cutout", "6x6", 91.0, 45.5),
    run("small_convnext", "random_cutout", "3x3", 91.0, 20.0),
]

LEDGER_ROWS = [
    ("a", "patchcleanser", "Table 5", "certified", "39.4", "6x6", "small_resnetv2", "plain"),
    ("b", "greedy_cutout", "Table 3", "certified", "45.25", "6x6", "small_resnetv2", "plain"),
    ("c", "greedy_cutout", "Table 1", "certified", "79.2", "3x3", "small_resnetv2", "greedy_cutout_3x3"),
    ("d", "patchcleanser", "Table 5", "defended_clean", "97.9", "6x6", "small_vit", "plain"),
    ("e", "patchcleanser", "Table 3", "undefended_clean", "99.0", "", "small_vit", "plain"),
    ("f", "someone_else", "Table 9", "undefended_clean", "98.3", "", "small_resnetv2", "plain"),
    ("g", "greedy_cutout", "Table 1", "certified", "77.8", "3x3", "small_vit", "greedy_cutout_3x3"),
]


def results_of(runs: list[dict[str, Any]], folder: Path) -> pd.DataFrame:
    write_json(folder / "metrics.json", {"confidence": 0.95, "runs": runs})
    return read_results(folder / "metrics.json")


def write_ledger(folder: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    filled = [
        dict.fromkeys(columns, "-")
        | {"default_patch": "5x5" if row[5] else "", "defense": "double_masking" if row[5] else "undefended"}
        | {
            "unit": "per cent",
            "relation": "=",
            "patch": "",
            "threshold": "",
            "tolerance": "",
            "tolerance_reason": "not measured here",
            "quoted_from": "",
        }
        | dict(
            zip(
                ("id", "paper", "table", "metric", "published", "mask_budget", "default_model", "default_training"),
                row,
                strict=True,
            )
        )
        for row in rows
    ]
    pd.DataFrame(filled, columns=list(columns)).to_csv(folder / "claims.csv", index=False)
    return folder / "claims.csv"


@pytest.fixture
def results(tmp_path: Path) -> pd.DataFrame:
    return results_of(RUNS, tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> pd.DataFrame:
    return seen(read_ledger(write_ledger(tmp_path, LEDGER_ROWS)))


# --- tables ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accuracy", "vanilla"])
def test_a_table_is_as_it_was(
    name: str, results: pd.DataFrame, ledger: pd.DataFrame, golden: Callable[[Path, str], None]
) -> None:
    _, compact = {"accuracy": accuracy, "vanilla": vanilla}[name].make(results, ledger)
    text = cells.as_markdown(compact)
    assert "nan" not in text
    golden(GOLDEN / f"{name}.md", text)


def test_the_accuracy_table_has_our_numbers_beside_the_published_ones(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    table, compact = accuracy.make(results, ledger)
    assert set(table["metric"]) == {"defended_clean", "certified"}
    assert len(table) == 2 * len(RUNS)
    rows = compact.set_index(["model", "training"])
    assert list(rows.index[:3]) == [("small vit", "plain"), ("small resnetv2", "plain"), ("small resnetv2", "random cutout")]
    cells = rows.loc[("small resnetv2", "plain")]
    assert cells["6x6: clean, %"] == "94.0 [89.8, 97.5]"
    assert cells["6x6: certified, %"] == "40.0 [35.8, 43.5]"
    assert cells["6x6: published certified, %"] == "39.4 (PC Table 5); 45.2 (GC Table 3)"
    assert cells["3x3: published certified, %"] == ""
    assert rows.loc[("small resnetv2", "greedy cutout 3x3")]["3x3: published certified, %"] == "79.2 (GC Table 1)"
    published = table.set_index(["model", "training", "metric", "budget"])["published"]
    assert published["small_vit", "plain", "defended_clean", "6x6"] == "97.9 (PC Table 5)"


def test_the_vanilla_table_has_a_row_a_model_and_a_column_a_training(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    table, compact = vanilla.make(results, ledger)
    assert not {"patch", "budget", "near_flips"} & set(table.columns)
    assert len(table) == 7, "a classifier without masks counts once, however many mask sets there are"
    assert compact["model"].tolist() == ["small vit", "small resnetv2", "small convnext"]
    assert list(compact.columns) == [
        *("model", "plain, %", "random cutout, %", "greedy cutout 6x6, %", "greedy cutout 3x3, %", "published, %"),
    ]
    assert compact["published, %"].tolist() == ["99.0 (PC Table 3)", "98.3 (someone_else Table 9)", ""]
    assert compact["plain, %"].tolist() == ["89.0 [84.8, 92.5]", "95.0 [90.8, 98.5]", "91.0 [86.8, 94.5]"]


def test_rows_that_differ_in_more_than_model_and_training_say_so(tmp_path: Path, ledger: pd.DataFrame) -> None:
    runs = [
        run("small_vit", "plain", "3x3", 10.0 + 10 * number, number, seed=seed, patch=patch, dataset=dataset)
        for number, (dataset, seed, patch) in enumerate(
            [("digits", 0, "5x5"), ("digits", 0, "8x8"), ("digits", 1, "5x5"), ("digits", 1, "8x8"), ("birds", 0, "5x5")]
        )
    ]
    results = results_of(runs, tmp_path)
    _, compact = accuracy.make(results, ledger)
    assert list(compact.columns)[:5] == ["dataset", "model", "training", "seed", "patch"]
    assert [tuple(row) for row in compact[["dataset", "seed", "patch"]].itertuples(index=False)] == [
        ("digits", 0, "5x5"),
        ("digits", 0, "8x8"),
        ("digits", 1, "5x5"),
        ("digits", 1, "8x8"),
        ("birds", 0, "5x5"),
    ]
    assert [cell.split()[0] for cell in compact["3x3: clean, %"]] == ["10.0", "20.0", "30.0", "40.0", "50.0"]
    _, compact = vanilla.make(results, ledger)
    assert [tuple(row) for row in compact[["dataset", "model", "seed"]].itertuples(index=False)] == [
        ("digits", "small vit", 0),
        ("digits", "small vit", 1),
        ("birds", "small vit", 0),
    ]


def test_markdown_leaves_what_is_missing_empty() -> None:
    text = cells.as_markdown(pd.DataFrame([{"model": "a", "x": "1 [0]"}, {"model": "b"}]))
    assert text == "| model   | x     |\n|:--------|:------|\n| a       | 1 [0] |\n| b       |       |\n"


# --- the page ----------------------------------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "study": "golden_test",
    "device": "cpu",
    "datasets": {"digits": {"image_size": [32, 40]}, "unused": {"image_size": [8, 8]}},
    "runs": [{"seeds": [10, 9]}, {"seeds": [1, 9]}],
    "defenses": {"double_masking": {"patch_sizes": [[5, 5], [5, 8]], "mask_budgets": [[6, 6], [3, 3]]}},
    "targets": {"extra": {"cost": "5 minutes"}},
    "analyses": {
        "patch_shapes": [
            {
                "seeds": [3],
                "models": ["small_vit", "small_resmlp"],
                "trainings": ["random_cutout"],
                "patches": ["area-10", [3, 3], "2-of-3x3"],
                "budgets": [[5, 5]],
            }
        ],
        "mask_budgets": [
            {
                "seeds": [3],
                "models": ["small_vit"],
                "trainings": ["plain"],
                "patches": [[5, 5]],
                "budgets": [[2, 2], [3, 4]],
            }
        ],
        "bagcert_times": [
            {"seeds": [3], "models": ["small_bagcert_rf5"], "trainings": ["margin_050"], "patches": [[5, 5]]},
        ],
    },
    "evaluate": {"confidence": 0.995},
}
FOUND = {
    "grid": [
        Finding("Certified accuracy rises", "holds for 1 of 2 models", "small vit: 1.0, 2.0; small resmlp: 2.0, 1.0"),
        Finding("Clean accuracy stays", "holds", "small vit: 90.0, 90.0"),
    ],
    "mask_budgets": [Finding("More masks certify more", "does not hold", "small vit: 5.0 (2x2), 4.0 (3x4) (does not hold)")],
}


def page_of(results: pd.DataFrame, ledger: pd.DataFrame, target: str | None = None) -> str:
    return page(
        CONFIG,
        FOUND,
        {name: (f"What {name} shows.", cells.as_markdown(vanilla.make(results, ledger)[1])) for name in ("vanilla",)},
        {"mask_set": ("What the figure shows.", "figures/mask_set.png")},
        {"python": "3.11.7", "torch": "2.8.0"},
        {"digits": {"calibration": 50, "test": 30, "train": 200}},
        target=target,
        near_flips=3,
    )


def test_the_page_of_a_named_target(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    main, text = page_of(results, ledger), page_of(results, ledger, "extra")
    assert "* Further results, which `snakemake extra` makes in 5 minutes: [extra](extra.md)." in main
    assert "# Results of the golden test study: extra" in text
    assert "Written by `snakemake extra`, which takes 5 minutes; do not edit." in text
    assert "[the main page](README.md)" in text
    assert "Grid of runs: double masking" not in text
    assert "Near flips" not in text
    assert "* Analysis `patch_shapes`" in text


def test_the_page_is_as_it_was(results: pd.DataFrame, ledger: pd.DataFrame, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / "page.md", page_of(results, ledger))


def test_the_page_says_with_which_settings_it_was_made(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    text = page_of(results, ledger)
    for line in (
        "# Results of the golden test study",
        "* Dataset `digits`: 50 calibration, 30 test, 200 train images of 32x40 pixels.",
        "* Grid of runs: double masking against patches of 5x5, 5x8 pixels anywhere on the image, mask sets of 6x6, 3x3.",
        "* Analysis `patch_shapes`: small vit, small resmlp, random cutout; patches area-10, 3x3, 2-of-3x3; mask sets of 5x5.",
        "* Analysis `mask_budgets`: small vit, plain; patches 5x5; mask sets of 2x2, 3x4.",
        "* Analysis `bagcert_times`: small bagcert rf5, margin 050; patches 5x5.",
        "* Brackets and error bars: 99.5 % Wilson intervals over the test images.",
        "* Device: cpu; seeds: 1, 9, 10.",
        "![mask set](figures/mask_set.png)",
        "[As vector graphics](figures/mask_set.svg)",
        "All columns: [`vanilla.csv`](tables/vanilla.csv)",
        "python 3.11.7, torch 2.8.0",
    ):
        assert line in text.splitlines()
    assert "counted as not certified: 3 over all runs of the grid." in text
    assert "unused" not in text
    assert "nan" not in text
    assert text.endswith("\n")
    assert not re.search(r"\n\n\n| \n", text)


def test_the_page_has_the_findings_below_what_was_asked(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    section = page_of(results, ledger).split("## Findings\n")[1].split("\n## Table")[0]
    grid, budgets = section.split("### ")[1:]
    assert grid.splitlines() == [
        "Grid of runs",
        "",
        "| finding | verdict | evidence |",
        "|:--|:--|:--|",
        "| Certified accuracy rises | holds for 1 of 2 models | small vit: 1.0, 2.0; small resmlp: 2.0, 1.0 |",
        "| Clean accuracy stays | holds | small vit: 90.0, 90.0 |",
        "",
    ]
    assert budgets.splitlines()[0] == "Analysis: mask budgets"
    assert budgets.splitlines()[4:] == [
        "| More masks certify more | does not hold | small vit: 5.0 (2x2), 4.0 (3x4) (does not hold) |",
    ]


# --- the ledger --------------------------------------------------------------------------------------------------------------


def test_the_shipped_ledger_reads_and_its_papers_have_a_short_name() -> None:
    shipped = read_ledger(SHIPPED_LEDGER)
    assert set(shipped["paper"]) <= set(PAPERS)
    masked = shipped["defense"].isin(["double_masking", "minority_reports", "multilabel"])
    masked &= shipped["metric"] != "search_passes"  # for whatever masks
    assert (shipped["mask_budget"] != "")[masked].all()
    assert shipped.loc[~masked, "mask_budget"].eq("").all()


def test_published_numbers_are_found_by_all_of_their_setting(ledger: pd.DataFrame) -> None:
    def found(model: str, training: str, metric: str, patch: str = "5x5", budget: str = "6x6") -> list[str]:
        facts = {"dataset": "digits", "model": model, "training": training, "patch": patch, "budget": budget}
        return accuracies(ledger, facts, metric)["id"].tolist()

    assert found("small_resnetv2", "plain", "certified", "5x5", "6x6") == ["a", "b"]
    assert found("small_resnetv2", "plain", "certified", "8x8", "6x6") == []
    assert found("small_resnetv2", "plain", "certified", "5x5", "3x3") == []
    assert found("small_resnetv2", "plain", "defended_clean", "5x5", "6x6") == []
    assert found("small_resnetv2", "random_cutout", "certified", "5x5", "6x6") == []
    assert found("small_vit", "plain", "undefended_clean") == ["e"]


@pytest.mark.parametrize(
    ("published", "said"), [("101", "101"), ("-0.1", "-0.1"), ("", ""), ("n/a", "n/a"), ("12,5", "12,5"), ("nan", "nan")]
)
def test_a_published_number_that_is_no_per_cent(tmp_path: Path, published: str, said: str) -> None:
    path = write_ledger(tmp_path, [LEDGER_ROWS[0], ("z", *LEDGER_ROWS[1][1:4], published, *LEDGER_ROWS[1][5:])])
    with pytest.raises(InputError) as caught:
        read_ledger(path)
    assert str(caught.value) == f"{path}: z, column published: {said!r}; write per cent, from 0 to 100"


def test_a_repeated_id(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, [*LEDGER_ROWS, LEDGER_ROWS[2]])
    with pytest.raises(InputError) as caught:
        read_ledger(path)
    assert str(caught.value) == f"{path}: id 'c' stands twice; give each number an id of its own"


@pytest.mark.parametrize("columns", [COLUMNS[:-1], (*COLUMNS, "notes"), COLUMNS[::-1]], ids=["fewer", "more", "other order"])
def test_other_columns(tmp_path: Path, columns: tuple[str, ...]) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(",".join(columns) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_ledger(path)
    assert str(caught.value) == f"{path}: columns {', '.join(columns)}; write {', '.join(COLUMNS)}"


# --- figures -----------------------------------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def legend_texts(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def logs_table() -> pd.DataFrame:
    rows = []
    for model, training, seed, values, best in [
        ("small_vit", "plain", 0, [0.1, 0.4, 0.3], 1),
        ("small_vit", "plain", 1, [0.2, 0.3, 0.5], 2),
        ("small_resnetv2", "plain", 0, [0.5, 0.6, 0.7], 2),
        ("small_resnetv2", "random_cutout", 0, [0.9, 0.8], 0),
        ("small_convnext", "random_cutout", 0, [0.6, 0.65], 1),
    ]:
        for epoch, value in enumerate(values):
            facts = {"dataset": "digits", "model": model, "training": training, "seed": seed, "best_epoch": best}
            rows.append(facts | {"epoch": epoch, "calibration_masked_accuracy": value})
    return pd.DataFrame(rows)


MASKS = mask_set((32, 32), (5, 5), (3, 3))
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)


def pair_table(*diagonal: int, **second: int) -> np.ndarray:
    """Labels of one image under nine masks: label 4 unless said otherwise, ``d3=7`` for every pair with mask 3."""
    labels = np.full((9, 9), 4)
    for name, label in second.items():
        labels[int(name[1:])] = labels[:, int(name[1:])] = label
    for mask in diagonal:
        labels[mask, mask] = 8
    return labels


def draw(name: str, results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any] = STYLE) -> Figure:
    if name == "strategies":
        return strategies.draw(results, ledger, style)
    if name == "training_curves":
        return training_curves.draw(logs_table(), style)
    return mask_set_figure.draw(IMAGE, 4, pair_table(2), MASKS, style)


FIGURES = ["strategies", "training_curves", "mask_set_rounds"]


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_of_a_figure_is_cut_off(name: str, results: pd.DataFrame, ledger: pd.DataFrame, tmp_path: Path) -> None:
    figure = draw(name, results, ledger)
    save(figure, tmp_path / "figure.svg", tmp_path / "figure.png")
    width, height = figure.bbox.size
    # labels of ticks outside the axes are there, but never drawn
    ticks = {label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    for text in figure.findobj(mpl.text.Text):
        if text.get_text() and text.get_visible() and text not in ticks:
            box = text.get_window_extent()
            assert box.x0 >= -1, text.get_text()
            assert box.y0 >= -1, text.get_text()
            assert box.x1 <= width + 1, text.get_text()
            assert box.y1 <= height + 1, text.get_text()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_bytes_each_time(name: str, results: pd.DataFrame, ledger: pd.DataFrame, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    files = []
    for copy in ("a", "b"):
        svg, png = tmp_path / copy / "figure.svg", tmp_path / copy / "figure.png"
        save(draw(name, results, ledger), svg, png)
        files.append((svg.read_bytes(), png.read_bytes()))
    assert files[0] == files[1]
    assert files[0][0].startswith(b"<?xml")
    assert files[0][1].startswith(b"\x89PNG")
    assert b"dc:date" not in files[0][0]
    assert b"Software" not in files[0][1]
    assert plt.get_fignums() == [], "a figure that was saved is closed"
    changed = [key for key, value in mpl.rcParams.items() if before[key] != value and key != "backend"]
    assert changed == [], "what other figures look like is left alone"


@pytest.mark.parametrize("name", FIGURES)
def test_the_style_reaches_a_figure(name: str, results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    figure = draw(name, results, ledger, STYLE | {"font_size": 13, "resolution": 40})
    assert figure.dpi == 40
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()} & {13, 14}
    assert "nan" not in " ".join(texts(figure)).lower()
    plt.close(figure)


def test_the_palette_is_the_configured_one() -> None:
    with styled(STYLE | {"palette": "pastel"}) as pastel, styled(STYLE) as colorblind:
        assert list(pastel) != list(colorblind)
        assert to_rgb("#a1c9f4") == pytest.approx(pastel[0], abs=0.01)


def test_bars_error_bars_and_diamonds_are_at_their_values(results: pd.DataFrame, ledger: pd.DataFrame) -> None:
    figure = strategies.draw(results, ledger, STYLE)
    assert len(figure.axes) == 2
    models = ["small_vit", "small_resnetv2", "small_convnext"]
    for panel, budget in zip(figure.axes, ["6x6", "3x3"], strict=True):
        assert panel.get_ylabel() == "certified accuracy (%)"
        assert panel.get_title(loc="left") == f"digits, 5x5 px patch, {budget} masks"
        assert panel.get_ylim() == (0, 100)
        bars = [container for container in panel.containers if isinstance(container, BarContainer)]
        assert [container.get_label() for container in bars] == [spoken(training) for training in TRAININGS]
        places: dict[tuple[str, str], float] = {}
        for container, training in zip(bars, TRAININGS, strict=True):
            for bar, model in zip(container, models, strict=True):
                if bar.get_height() == bar.get_height():
                    places[model, training] = bar.get_x() + bar.get_width() / 2
                    (wanted,) = [
                        facts["certified"]["percent"]
                        for facts in RUNS
                        if (facts["model"], facts["training"], facts["budget"]) == (model, training, budget)
                    ]
                    assert bar.get_height() == wanted
        assert len(places) == 7
        assert all(abs(place - models.index(model)) <= 0.4 for (model, _), place in places.items())
        ends = {
            (round(segment[0][0], 6), *(round(end[1], 6) for end in segment))
            for collection in panel.collections
            if isinstance(collection, LineCollection)
            for segment in collection.get_segments()
            if len(segment) and np.isfinite(segment).all()
        }
        assert ends == {
            (round(places[facts["model"], facts["training"]], 6), facts["certified"]["low"], facts["certified"]["high"])
            for facts in RUNS
            if facts["budget"] == budget
        }
        diamonds = [
            tuple(np.round(point, 6).tolist())
            for collection in panel.collections
            if isinstance(collection, PathCollection)
            for point in collection.get_offsets()
        ]
        # the published value of a run that was not made has no diamond
        assert sorted(diamonds) == sorted(
            (round(places[row[6], row[7]], 6), float(row[4]))
            for row in LEDGER_ROWS
            if row[3] == "certified" and row[5] == budget and (row[6], row[7]) in places
        )
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == [spoken(model) for model in models]
    assert legend_texts(figure)[:4] == [spoken(training) for training in TRAININGS]
    assert legend_texts(figure)[4].startswith("published")
    plt.close(figure)


def test_training_curves_of_several_labels_show_their_precision() -> None:
    scenes = pd.DataFrame({"epoch": [0, 1], "calibration_masked_average_precision": [0.25, 0.75]})
    run = {"dataset": "scenes", "model": "small_vit", "training": "plain", "seed": 0, "best_epoch": 1}
    figure = training_curves.draw(pd.concat([logs_table(), scenes.assign(**run)], ignore_index=True), STYLE)
    panel = figure.axes[3]
    assert panel.get_title(loc="left") == "scenes: small vit"
    assert list(panel.get_lines()[0].get_ydata()) == [25, 75]
    assert "accuracy or mean average precision" in figure.get_supylabel()
    plt.close(figure)


def test_training_curves_have_a_panel_a_model_and_a_dot_at_the_chosen_epoch() -> None:
    figure = training_curves.draw(logs_table(), STYLE)
    shown = [panel for panel in figure.axes if panel.get_visible()]
    assert len(figure.axes) == 4
    assert [panel.get_title(loc="left") for panel in shown] == ["small vit", "small resnetv2", "small convnext"]
    assert figure.get_supxlabel() == "epoch"
    assert figure.get_supylabel().endswith("(%)")
    assert sorted(legend_texts(figure)) == ["plain", "random cutout"]
    curves = [
        ([1, 2, 3], [10, 40, 30], (2, 40)),
        ([1, 2, 3], [20, 30, 50], (3, 50)),
    ]
    lines = shown[0].get_lines()
    assert len(lines) == 4
    for (epochs, values, dot), line, marker in zip(curves, lines[::2], lines[1::2], strict=True):
        assert list(line.get_xdata()) == epochs
        assert list(line.get_ydata()) == pytest.approx(values)
        assert (marker.get_xdata()[0], marker.get_ydata()[0]) == pytest.approx(dot)
        assert marker.get_marker() == "o"
    # a training has one colour in every panel
    colours = {
        line.get_label(): {
            other.get_color() for panel in shown for other in panel.get_lines() if other.get_label() == line.get_label()
        }
        for panel in shown
        for line in panel.get_lines()
        if line.get_label() in ("plain", "random cutout")
    }
    assert [len(found) for found in colours.values()] == [1, 1]
    plt.close(figure)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (pair_table(2), ["answer 4", "true label 4", "III: majority", "mask 3", "disagree"]),
        (pair_table(d5=7), ["answer 7", "true label 4", "II: disagreer", "mask 6"]),
        (pair_table(), ["answer 4", "true label 4", "I: agreed", "not needed"]),
    ],
    ids=["majority", "disagreer", "agreed"],
)
def test_the_rounds_of_double_masking_are_told(labels: np.ndarray, said: list[str]) -> None:
    figure = mask_set_figure.draw(IMAGE, 4, labels, MASKS, STYLE)
    told = " ".join(texts(figure)).replace("\n", " ")
    for words in [*said, "9 masks", "5x5 px patch", "32x32 px"]:
        assert words in told
    plt.close(figure)


@pytest.mark.parametrize(
    ("tables_of_images", "wanted", "row"),
    [
        ([pair_table(), pair_table(2), pair_table(3)], None, 1),
        ([pair_table(d5=7), pair_table()], None, 0),
        ([pair_table(), pair_table()], None, 0),
        ([pair_table(), pair_table(2), pair_table()], 0, 0),
        ([pair_table(), pair_table(2), pair_table()], 2, 2),
    ],
)
def test_the_image_that_is_shown(tables_of_images: list[np.ndarray], wanted: int | None, row: int) -> None:
    assert mask_set_figure.example_row(np.stack(tables_of_images), wanted) == row


def test_an_image_that_there_is_not() -> None:
    with pytest.raises(InputError) as caught:
        mask_set_figure.example_row(np.stack([pair_table()] * 3), 3)
    assert str(caught.value) == "report.example_image: 3; there are 3 test images, counted from 0"
