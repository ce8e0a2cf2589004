"""The figures of PatchCleanser's and BagCert's analyses: what is drawn is what was measured and published, and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.axes._base import _AxesBase
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from patchcert import InputError
from patchcert.metrics import share
from patchcert.report.figures import (
    bagcert_aspect_ratios,
    bagcert_attacks,
    bagcert_conditions,
    bagcert_outputs,
    bagcert_patch_sizes,
    classes,
    inference_algorithms,
    large_patches,
    mask_budgets,
    minority_reports,
    object_sizes,
    overestimated_patch,
    overhead,
    prior_defenses,
)
from patchcert.report.ledger import COLUMNS, read_ledger
from patchcert.report.marks import errors, label_points, lines
from patchcert.report.style import save
from patchcert.report.terms import masks_in, patch_area, side_percent, size_of, spoken_patch

from . import regions
from .configurations import seen

SHIPPED_LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 50}
RUN = {"dataset": "digits", "model": "small_resnetv2", "training": "random_cutout", "seed": 0, "patch": "5x5", "budget": "6x6"}
VIT = {"model": "small_vit"}
NAMES = {"small_resnetv2": "small resnetv2, random cutout", "small_vit": "small vit, random cutout"}
SIZES = {"digits": (32, 32), "unused": (8, 8)}
PC_VIT = {"row": "PC-ViT", "defense": "double_masking", "model": "vit_base_patch16_224", "mask_budget": "6x6"}


def results_of(*runs: tuple[dict[str, Any], float, float]) -> pd.DataFrame:
    """Results of runs: facts that differ from ``RUN``, clean and certified accuracy; the undefended one is a point above."""
    rows = []
    for facts, clean, certified in runs:
        for metric, percent in (("undefended_clean", clean + 1), ("defended_clean", clean), ("certified", certified)):
            interval = {"percent": percent, "low": percent - 2, "high": percent + 1.5}
            rows.append(RUN | {"defense": "double_masking"} | facts | {"metric": metric} | interval)
    return pd.DataFrame(rows)


def published(*rows: dict[str, Any]) -> pd.DataFrame:
    """A ledger: what differs from an exact value for ImageNet and a patch of 2 % in Table 2."""
    usual = dict.fromkeys(COLUMNS, "") | {
        "paper": "patchcleanser",
        "table": "Table 2",
        "defense": "bagcert",
        "unit": "per cent",
        "relation": "=",
        "dataset": "imagenet",
        "patch": "2 % (32x32 of 224x224)",
    }
    return seen(pd.DataFrame([usual | row for row in rows], columns=list(COLUMNS)).astype({"published": float}))


def pair(clean: float | None, certified: float | None, **facts: Any) -> list[dict[str, Any]]:
    values = {"defended_clean": clean, "certified": certified}
    return [facts | {"metric": metric, "published": value} for metric, value in values.items() if value is not None]


OF_BAGCERT = {"paper": "bagcert", "table": "Section 4", "dataset": "cifar10", "defense": "bagcert"}
NO_LEDGER = published()
LEDGER = published(
    *pair(83.9, 62.1, **PC_VIT),
    *pair(49.5, 7.1, row="CBN"),
    *pair(45.3, 22.7, row="BagCert"),
    *pair(99.0, 66.4, **PC_VIT, patch="1 % (23x23 of 224x224)"),
    *pair(49.5, 3.1, row="CBN", patch="3 % (39x39 of 224x224)"),
    *pair(98.7, 89.1, **PC_VIT, dataset="cifar10", patch="2.4 % (5x5 of 32x32)"),
    *pair(12.3, 4.5, row="PC-ViT", paper="someone_else"),
    *pair(83.8, 62.2, **PC_VIT | {"row": "PC-ViT, most accurate"}, table="Figure 5"),
    *pair(82.7, 44.3, **PC_VIT | {"row": "PC-ViT, most efficient", "mask_budget": "2x2"}, table="Figure 5"),
    *[
        {"table": "Figure 5", "metric": "inference_time", "unit": "milliseconds"} | facts
        for facts in (
            PC_VIT | {"row": "PC-ViT, most accurate", "published": 672.4},
            PC_VIT | {"row": "PC-ViT, most efficient", "mask_budget": "2x2", "published": 78.8},
            {"row": "CBN", "published": 12.0},
        )
    ],
    PC_VIT
    | {"table": "Figure 7", "metric": "defended_clean", "published": 80.0, "relation": ">", "patch": "(112x112 of 224x224)"},
    PC_VIT | {"table": "Figure 8", "metric": "certified", "published": 20.5, "patch": "(112x112 of 224x224)"},
    *pair(84.0, 62.0, **PC_VIT, table="Figure 9", relation="~"),
    *pair(84.0, 62.0, row="MR-ViT, as accurate as PC-ViT", table="Figure 9", relation="~"),
    *pair(None, 76.9, row="MR-ViT, most robust", table="Figure 9"),
    *pair(86.0, 60.0, **OF_BAGCERT, row="BagCert, RF 7, M 0.5", patch="2.4 % (5x5 of 32x32)"),
    *pair(47.8, 30.3, **OF_BAGCERT | {"defense": "interval_bound_propagation"}, row="IBP", patch="2.4 % (5x5 of 32x32)"),
    *pair(None, 40.0, **OF_BAGCERT, row="BagCert, RF 7, M 0.5", patch="any rectangle of 24 px (of 32x32)", relation=">"),
    *pair(None, 72.9, row="BagCert", dataset="cifar10", patch="0.4 % (2x2 of 32x32)"),
    *pair(
        *(None, 0.0),
        **OF_BAGCERT | {"defense": "derandomized_smoothing"},
        row="DS (CS)",
        patch="(2x12 of 32x32)",
        default_patch="2x12",
        relation="~",
    ),
)

BUDGETS = results_of(
    ({"budget": "6x6"}, 97.0, 57.0),
    ({"budget": "2x2"}, 91.0, 22.0),
    ({"budget": "3x3"}, 95.0, 45.0),
    (VIT | {"budget": "2x2"}, 81.0, 2.0),
    (VIT | {"budget": "3x3"}, 90.0, 12.0),
)
CHALLENGED = results_of(*[({"budget": budget, "defense": "challenger"}, 80.0, 57.0) for budget in ("6x6", "2x2", "3x3")])
PATCHES = results_of(
    ({"patch": "10x10"}, 94.0, 20.0),
    ({"patch": "5x5"}, 97.0, 57.0),
    (VIT | {"patch": "5x5"}, 92.0, 40.0),
    (VIT | {"patch": "20x20"}, 50.0, 3.0),
)


def times_of(results: pd.DataFrame, device: str = "a processor, 2 threads") -> pd.DataFrame:
    """Two milliseconds a forward pass: one of the undefended classifier, two a mask of double masking, one of challenger."""
    rows = []
    for facts in results[["dataset", "model", "training", "seed"]].drop_duplicates().to_dict("records"):
        asked = [("", "", "undefended", 1.0)]
        asked += [
            ("5x5", budget, algorithm, factor * masks_in(budget))
            for budget in dict.fromkeys(results["budget"])
            for algorithm, factor in (("double_masking", 2.0), ("challenger", 1.0))
        ]
        rows += [
            facts
            | {"patch": patch, "budget": budget, "algorithm": algorithm, "milliseconds": 2 * calls, "calls": calls}
            | {"images": 50, "device": device}
            for patch, budget, algorithm, calls in asked
        ]
    return pd.DataFrame(rows)


def reports_of(*runs: tuple[dict[str, Any], list[tuple[float, int, int]]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            RUN | facts | {"threshold": threshold, "clean": clean, "certified": certified, "alerts": 40 - clean, "total": 40}
            for facts, curve in runs
            for threshold, clean, certified in curve
        ]
    )


REPORTS = reports_of(({}, [(1.0, 38, 0), (0.0, 10, 32), (0.9, 30, 24)]), (VIT, [(0.5, 20, 20)]))


def images_of(sizes: Sequence[float], certified: Sequence[bool], labels: Sequence[int], **facts: Any) -> pd.DataFrame:
    numbers = range(len(sizes))
    columns = {"image_id": [f"image {number}" for number in numbers], "label": list(labels), "object_size": list(sizes)}
    return pd.DataFrame(columns).assign(**RUN | facts, undefended=0, defended=0, certified=list(certified))


IMAGES = images_of([*range(1, 13), np.nan], [number % 4 == 0 for number in range(13)], [3, 5, 9] * 4 + [9])


def drawn(name: str, ledger: pd.DataFrame = LEDGER, style: dict[str, Any] = STYLE) -> Figure:
    """A figure with two models where it can have them."""
    both = pd.concat([BUDGETS, CHALLENGED])
    makers: dict[str, Callable[[], Figure]] = {
        "prior_defenses": lambda: prior_defenses.draw(results=PATCHES, ledger=ledger, style=style),
        "mask_budgets": lambda: mask_budgets.draw(results=both, times=times_of(BUDGETS), ledger=ledger, style=style),
        "overhead": lambda: overhead.draw(results=both, times=times_of(BUDGETS), ledger=ledger, style=style),
        "overestimated_patch": lambda: overestimated_patch.draw(results=PATCHES, image_sizes=SIZES, style=style),
        "large_patches": lambda: large_patches.draw(results=PATCHES, ledger=ledger, image_sizes=SIZES, style=style),
        "minority_reports": lambda: minority_reports.draw(
            reports=REPORTS, results=results_of(({}, 95.0, 50.0), (VIT, 90.0, 30.0)), ledger=ledger, style=style
        ),
        "inference_algorithms": lambda: inference_algorithms.draw(results=both, times=times_of(BUDGETS), style=style),
        "object_sizes": lambda: object_sizes.draw(images=pd.concat([IMAGES, IMAGES.assign(**VIT)]), style=style),
        "classes": lambda: classes.draw(images=pd.concat([IMAGES, IMAGES.assign(**VIT)]), style=style),
        "bagcert_conditions": lambda: bagcert_conditions.draw(conditions=regions.CONDITIONS, ledger=ledger, style=style),
        "bagcert_patch_sizes": lambda: bagcert_patch_sizes.draw(conditions=regions.SQUARES, ledger=ledger, style=style),
        "bagcert_aspect_ratios": lambda: bagcert_aspect_ratios.draw(conditions=regions.SHAPES, ledger=ledger, style=style),
        "bagcert_attacks": lambda: bagcert_attacks.draw(attacks=regions.ATTACKS, style=style),
        "bagcert_outputs": lambda: bagcert_outputs.draw(conditions=regions.OUTPUTS, style=style),
    }
    return makers[name]()


FIELDS = {f"receptive field {field} px" for field in regions.FIELDS}
MARGINS = {f"margin M = {margin:g}" for margin in regions.MARGINS}
SMOOTHED = {"smoothing by blocks", "smoothing by columns"}
BAGCERT = {
    "bagcert_conditions": FIELDS | SMOOTHED | {"certified by condition 3.2", "certified by condition 3.3"},
    "bagcert_patch_sizes": FIELDS | MARGINS,
    "bagcert_aspect_ratios": FIELDS | MARGINS | SMOOTHED,
    "bagcert_attacks": {"clean images", "attacked images", "certified by condition 3.2", "neither certified nor broken"},
    "bagcert_outputs": {"Heaviside step", "sigmoid", "softmax", "mean over the seeds"},
}
"""What the legends of BagCert's figures name beside published values."""
FIGURES = [
    *("prior_defenses", "mask_budgets", "overhead", "overestimated_patch", "large_patches", "minority_reports"),
    *("inference_algorithms", "object_sizes", "classes"),
    *BAGCERT,
]


@pytest.fixture(autouse=True)
def close_figures() -> Any:
    yield
    plt.close("all")


# --- what is in a figure -----------------------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def legend_texts(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def points(line: Any) -> list[tuple[float, float]]:
    return [(pytest.approx(x), pytest.approx(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def white_diamonds(axes: Axes) -> list[list[tuple[float, float]]]:
    found = [line for line in axes.get_lines() if line.get_marker() == "D"]
    assert all(line.get_markerfacecolor() == "white" and line.get_markeredgecolor() == "black" for line in found)
    return [points(line) for line in found if len(line.get_xdata())]


def with_bars(axes: Axes) -> list[tuple[list[tuple[float, float]], list[tuple[float, float]], str]]:
    """Of each line with error bars: its points, the lower and upper ends of its vertical bars, and its line style."""
    found = []
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            line, _, bars = container.lines
            ends = [tuple(pytest.approx(end) for end in np.sort(segment[:, 1])) for segment in bars[-1].get_segments()]
            found.append((points(line), ends, line.get_linestyle() if line else ""))
    return found


def labels(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# --- every figure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off(name: str, tmp_path: Path) -> None:
    figure = drawn(name)
    save(figure, tmp_path / "figure.svg", tmp_path / "figure.png")
    width, height = figure.bbox.size
    # labels of ticks outside the axes are there, but never drawn
    ticks = {label for axes in figure.findobj(_AxesBase) for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible() and text not in ticks:
            box = text.get_window_extent()
            assert box.x0 >= -1, text.get_text()
            assert box.y0 >= -1, text.get_text()
            assert box.x1 <= width + 1, text.get_text()
            assert box.y1 <= height + 1, text.get_text()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_bytes_each_time_and_leaves_others_alone(name: str, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    files = []
    for copy in ("a", "b"):
        svg, png = tmp_path / copy / "figure.svg", tmp_path / copy / "figure.png"
        save(drawn(name), svg, png)
        files.append((svg.read_bytes(), png.read_bytes()))
    assert files[0] == files[1]
    assert plt.get_fignums() == []
    assert [key for key, value in mpl.rcParams.items() if before[key] != value and key != "backend"] == []


@pytest.mark.parametrize("name", FIGURES)
def test_the_style_reaches_a_figure(name: str) -> None:
    figure = drawn(name, style=STYLE | {"font_size": 12, "resolution": 40, "palette": "pastel"})
    assert figure.dpi == 40
    assert figure.get_size_inches()[0] == pytest.approx(7.2)
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()} <= {11, 12, 13}
    assert to_rgb("#a1c9f4") in [pytest.approx(to_rgb(line.get_color()), abs=0.01) for line in figure.legends[0].get_lines()]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_it_shows_and_in_which_units(name: str) -> None:
    figure = drawn(name)
    assert BAGCERT.get(name, set(NAMES.values())) <= set(legend_texts(figure))
    told = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    unitless = (
        "number of masks",
        "forward passes an image",
        "class, in falling order",
        "output of the region scorer",
        "kept part",
    )
    assert all(("(%" in label or "(ms)" in label or "(px" in label) != label.startswith(unitless) for label in told)
    assert "nan" not in " ".join(texts(figure)).lower()
    assert not any("_" in text for text in texts(figure))


@pytest.mark.parametrize(
    "name",
    [
        *("prior_defenses", "mask_budgets", "overhead", "large_patches", "minority_reports"),
        *("bagcert_conditions", "bagcert_patch_sizes", "bagcert_aspect_ratios"),
    ],
)
def test_published_values_are_in_the_legend_and_a_figure_does_without_them(name: str) -> None:
    assert any(text.startswith("published") for text in legend_texts(drawn(name)))
    figure = drawn(name, ledger=NO_LEDGER)
    assert [found for axes in figure.axes for found in white_diamonds(axes)] == []


# --- names, labels and error bars --------------------------------------------------------------------------------------------


def test_lines_are_named_by_what_varies_and_look_different() -> None:
    frame = pd.DataFrame(
        [RUN, RUN | {"seed": 1}, RUN | {"patch": "8x8"}, RUN | VIT, RUN | {"budget": "3x3"}, RUN | VIT | {"budget": "3x3"}]
    )
    found = lines(frame, ("budget",), ["red", "green"])
    assert [line.name for line in found] == [
        "small resnetv2, random cutout, 5x5 px patch",
        "small resnetv2, random cutout, 8x8 px patch",
        "small vit, random cutout, 5x5 px patch",
    ]
    assert [line.colour for line in found] == ["red", "green", "red"]
    assert len({line.marker for line in found}) == 3
    assert [len(line.of(frame)) for line in found] == [3, 1, 2]
    assert [line.name for line in lines(frame.head(2), ("patch", "budget"), ["red"])] == ["small resnetv2, random cutout"]


def test_an_interval_that_rounding_put_past_its_value_has_no_negative_length() -> None:
    rows = pd.DataFrame({"percent": [0.0, 50.0, 100.0], "low": [1e-15, 45.0, 96.0], "high": [4.0, 55.0, 100 - 1e-14]})
    assert errors(rows).tolist() == [[0.0, 5.0, 4.0], [4.0, 5.0, 0.0]]


def test_texts_of_crowded_points_hide_no_point_and_no_text() -> None:
    _, axes = plt.subplots(figsize=(4, 4))
    axes.set(xlim=(0, 100), ylim=(0, 100))
    crowd = [
        (44.4, 14.0, "DS"),
        (43.6, 15.7, "PG-DS"),
        (45.3, 22.7, "BagCert"),
        (97.0, 60.0, "at the edge"),
        (2.0, 2.0, "corner"),
    ]
    axes.plot([20, 43], [14, 14])
    label_points(axes, crowd, 8)
    found = [text for text in axes.texts if isinstance(text, Annotation)]
    assert [text.get_text() for text in found] == [text for _, _, text in crowd]
    boxes = [text.get_window_extent() for text in found]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    centres = axes.transData.transform([point[:2] for point in crowd])
    assert not any(box.contains(*centre) for box in boxes for centre in centres)
    room = axes.get_window_extent()
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1 for box in boxes)


def test_a_text_avoids_points_without_a_text() -> None:
    _, axes = plt.subplots(figsize=(4, 4))
    axes.set(xlim=(0, 100), ylim=(0, 100))
    label_points(axes, [(50, 50, "text")], 8, [(55, 50)])
    (text,) = axes.texts
    assert text.get_window_extent().x1 < axes.transData.transform((50, 50))[0]


def test_a_text_avoids_a_line_where_it_can() -> None:
    _, axes = plt.subplots(figsize=(4, 4))
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.plot([50, 100], [50, 50])
    label_points(axes, [(50, 50, "text")], 8)
    (text,) = axes.texts
    assert text.get_window_extent().x1 < axes.transData.transform((50, 50))[0]


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ("3x3", "one 3x3 square"),
        ("3x5", "one 3x5 rectangle"),
        ("2-of-3x3", "two 3x3 squares"),
        ("7-of-3x4", "7 3x4 rectangles"),
        ("1-of-3x3", "one 3x3 square"),
        ("area-10", "every rectangle of at most 10 px"),
    ],
)
def test_patches_in_words(patch: str, said: str) -> None:
    assert spoken_patch(patch) == said


def test_numbers_in_the_texts_of_settings() -> None:
    assert masks_in("3x5") == 15
    assert patch_area("4x5") == 20
    assert side_percent("8x8", (32, 32)) == 25
    assert side_percent("4x16", (32, 32)) == 25, "a rectangle counts as the square of its area"
    assert size_of({"digits": [32, 40]}, "digits") == (32, 40)  # type: ignore[dict-item]
    with pytest.raises(InputError, match="area-10"):
        patch_area("area-10")
    with pytest.raises(InputError) as caught:
        size_of({}, "birds")
    assert str(caught.value) == "image_sizes: 'birds' is missing; write its rows and columns in pixels, such as (32, 32)"


# --- each figure's data ------------------------------------------------------------------------------------------------------


def test_prior_defenses() -> None:
    figure = drawn("prior_defenses")
    theirs, *ours = figure.axes
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "published, ImageNet, 2 % patch",
        *("ours, 10x10 px", "ours, 5x5 px", "ours, 20x20 px"),
    ]
    assert white_diamonds(theirs) == [[(83.9, 62.1), (49.5, 7.1), (45.3, 22.7)]]
    assert labels(theirs) == ["PC-ViT", "CBN", "BagCert"]
    assert [white_diamonds(panel) for panel in ours] == [[], [], []]
    small, middle, large = (with_bars(panel) for panel in ours)
    assert [found[0] for found in small if found[0]] == [[(94, 20)]]
    assert [found[:2] for found in middle] == [([(97, 57)], [(55, 58.5)]), ([(92, 40)], [(38, 41.5)])]
    assert [found[0] for found in large if found[0]] == [[(50, 3)]]
    across = [
        np.sort(segment[:, 0]).tolist()
        for collection in ours[1].collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
        if segment[0, 1] == segment[1, 1]
    ]
    assert across == [[95, 98.5], [90, 93.5]], "clean accuracy has its interval too"


def test_mask_budgets() -> None:
    figure = drawn("mask_budgets")
    accuracy, time, passes = figure.axes
    assert [found for found in with_bars(accuracy) if found[0]] == [
        ([(4, 91), (9, 95), (36, 97)], [(89, 92.5), (93, 96.5), (95, 98.5)], "--"),
        ([(4, 22), (9, 45), (36, 57)], [(20, 23.5), (43, 46.5), (55, 58.5)], "-"),
        ([(4, 81), (9, 90)], [(79, 82.5), (88, 91.5)], "--"),
        ([(4, 2), (9, 12)], [(0, 3.5), (10, 13.5)], "-"),
    ]
    assert white_diamonds(accuracy) == [[(4, 82.7), (36, 83.8)], [(4, 44.3), (36, 62.2)]]
    assert points(time.get_lines()[0]) == [(4, 16), (9, 36), (36, 144)]
    assert points(passes.get_lines()[1]) == [(4, 8), (9, 18), (36, 72)]
    assert list(accuracy.get_xticks()) == [4, 9, 36]
    assert time.get_title(loc="left") == "on a processor, 2 threads"
    assert time.get_ylabel() == "time an image (ms)"
    assert legend_texts(figure)[-3:] == ["clean accuracy", "certified accuracy", "published, ImageNet, PC-ViT, 2 % patch"]


def test_one_mask_budget_is_enough() -> None:
    results = results_of(({}, 97.0, 57.0))
    for figure in (
        mask_budgets.draw(results, times_of(results), NO_LEDGER, STYLE),
        overhead.draw(results, times_of(results), NO_LEDGER, STYLE),
        inference_algorithms.draw(results, times_of(results), STYLE),
    ):
        figure.draw_without_rendering()
        assert with_bars(figure.axes[0])[0][0][0][1] == 97


def test_seeds_are_averaged() -> None:
    results = results_of(({"seed": 0}, 90.0, 40.0), ({"seed": 1}, 94.0, 60.0))
    times = pd.concat([times_of(results), times_of(results).assign(milliseconds=lambda rows: 3 * rows["milliseconds"])])
    accuracy, time, _ = mask_budgets.draw(results, times, NO_LEDGER, STYLE).axes
    assert with_bars(accuracy) == [([(36, 92)], [(90, 93.5)], "--"), ([(36, 50)], [(48, 51.5)], "-")]
    assert points(time.get_lines()[0]) == [(36, 288)]


def test_overhead() -> None:
    timed = times_of(BUDGETS)
    timed = timed[(timed["model"] != "small_vit") | (timed["budget"] != "3x3")]
    figure = overhead.draw(pd.concat([BUDGETS, CHALLENGED]), timed, LEDGER, STYLE)
    ours, theirs, ours_certified, theirs_certified = figure.axes
    assert [found[:2] for found in with_bars(ours)] == [
        ([(16, 91), (36, 95), (144, 97)], [(89, 92.5), (93, 96.5), (95, 98.5)]),
        ([(16, 81)], [(79, 82.5)]),
        ([(2, 95.333333)], [(93.333333, 96.833333)]),
        ([(2, 86.5)], [(84.5, 88)]),
    ]
    assert [found[0] for found in with_bars(ours_certified)] == [[(16, 22), (36, 45), (144, 57)], [(16, 2)]]
    assert labels(ours) == labels(ours_certified) == ["4", "9", "36", "4"]
    assert white_diamonds(theirs) == [[(12, 49.5)], [(78.8, 82.7), (672.4, 83.8)]]
    assert white_diamonds(theirs_certified) == [[(12, 7.1)], [(78.8, 44.3), (672.4, 62.2)]]
    assert labels(theirs) == labels(theirs_certified) == ["CBN", "PC-ViT, 4 masks", "PC-ViT, 36 masks"]
    assert ours_certified.get_xlabel() == "time an image (ms)\non a processor, 2 threads"
    assert theirs_certified.get_xlabel() == "time an image (ms)\non the authors' GPU"
    assert {panel.get_xscale() for panel in figure.axes} == {"log"}
    assert "undefended classifier" in legend_texts(figure)


def test_overestimated_patch() -> None:
    figure = drawn("overestimated_patch")
    (panel,) = figure.axes
    assert [(found[0], found[2]) for found in with_bars(panel)] == [
        ([(100, 97), (400, 94)], "--"),
        ([(100, 57), (400, 20)], "-"),
        ([(100, 92), (1600, 50)], "--"),
        ([(100, 40), (1600, 3)], "-"),
    ]
    assert panel.get_xlabel() == "estimated area of the patch (% of the actual patch, 5x5 of 32x32 px)"


def test_large_patches() -> None:
    figure = drawn("large_patches")
    clean, certified = figure.axes
    assert [found[:2] for found in with_bars(certified)] == [
        ([(100 * 5 / 32, 57), (100 * 10 / 32, 20)], [(55, 58.5), (18, 21.5)]),
        ([(100 * 5 / 32, 40), (100 * 20 / 32, 3)], [(38, 41.5), (1, 4.5)]),
    ]
    sides = [100 * side / 224 for side in (23, 32, 39, 112)]
    assert white_diamonds(clean) == [[(sides[0], 99.0), (sides[1], 83.9)]], "a bound is no value"
    assert white_diamonds(certified) == [[(sides[0], 66.4), (sides[1], 62.1), (sides[3], 20.5)]]
    grey = {line.get_marker(): points(line) for line in certified.get_lines() if line.get_color() == "0.5"}
    assert list(grey.values()) == [[(sides[1], 7.1), (sides[2], 3.1)], [(sides[1], 22.7)]]
    assert len(grey) == 2, "each prior defense has a marker of its own"
    assert legend_texts(figure)[2:] == ["published, ImageNet, PC-ViT", "published, CBN", "published, BagCert"]
    assert [axes.get_xlabel() for panel in figure.axes for axes in panel.child_axes] == ["side of our patch (px of 32)"] * 2


def test_large_patches_of_images_of_different_sizes_have_no_scale_in_pixels() -> None:
    results = results_of(({}, 97.0, 57.0), ({"dataset": "birds"}, 50.0, 30.0))
    figure = large_patches.draw(results, NO_LEDGER, {"digits": (32, 32), "birds": (50, 50)}, STYLE)
    assert [found[0] for found in with_bars(figure.axes[0])] == [[(15.625, 97)], [(10, 50)]]
    assert [panel.child_axes for panel in figure.axes] == [[], []]


def test_minority_reports() -> None:
    figure = drawn("minority_reports")
    (panel,) = figure.axes
    curves = [points(line) for line in panel.get_lines() if line.get_marker() == "None" and line.get_linestyle() == "-"]
    assert curves == [[(25, 80), (75, 60), (95, 0)], [(50, 50)]]
    assert [found[:2] for found in with_bars(panel)] == [([(95, 50)], [(48, 51.5)]), ([(90, 30)], [(28, 31.5)])]
    assert white_diamonds(panel) == [[(84, 62), (84, 62)]]
    (dotted,) = [line for line in panel.get_lines() if line.get_linestyle() == ":"]
    assert list(dotted.get_ydata()) == [76.9, 76.9]
    assert labels(panel) == ["PC-ViT and MR-ViT, about (84, 62)", "MR-ViT, most robust: 76.9 %"]
    told = " ".join(legend_texts(figure))
    assert "right or an alert" in told
    assert "never an alert" in told


def test_inference_algorithms() -> None:
    figure = drawn("inference_algorithms")
    accuracy, time, passes = figure.axes
    assert [(found[0], found[2]) for found in with_bars(accuracy) if found[0]] == [
        ([(4, 91), (9, 95), (36, 97)], "-"),
        ([(4, 80), (9, 80), (36, 80)], ":"),
        ([(4, 81), (9, 90)], "-"),
    ]
    assert [(points(line), line.get_linestyle()) for line in time.get_lines()][:2] == [
        ([(4, 16), (9, 36), (36, 144)], "-"),
        ([(4, 8), (9, 18), (36, 72)], ":"),
    ]
    assert points(passes.get_lines()[1]) == [(4, 4), (9, 9), (36, 36)]
    assert legend_texts(figure)[-2:] == ["double masking", "challenger masking"]


def test_object_sizes() -> None:
    figure = object_sizes.draw(IMAGES, STYLE)
    (panel,) = figure.axes
    # images 1 and 2, 3 and 4, ...; the first, the fifth and the ninth are certified, and the one without a size
    wanted = [share([hit, False]) for hit in (True, False, True, False, True, False)]
    ((found, ends, _),) = with_bars(panel)
    assert found == [(number, value.percent) for number, value in enumerate(wanted)]
    assert ends == [(value.low, value.high) for value in wanted]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [
        f"{name}\n2 images" for name in ("1.0 to 2.0", "2.0 to 4.0", "4.0 to 6.0", "6.0 to 8.0", "8.0 to 10.0", "10.0 to 12.0")
    ]
    assert panel.get_xlabel() == "object size (% of the image's pixels); images of unknown size, left out: 1"


def test_images_are_counted_once_however_many_runs_there_are() -> None:
    runs = pd.concat([IMAGES, IMAGES.assign(**VIT), IMAGES.assign(seed=1, certified=True)])
    (panel,) = object_sizes.draw(runs, STYLE).axes
    assert panel.get_xticklabels()[0].get_text() == "1.0 to 2.0\n2 images"
    assert panel.get_xlabel().endswith("left out: 1")
    first, second = with_bars(panel)
    assert [y for _, y in first[0]] == [75, 50, 75, 50, 75, 50], "seeds are averaged"
    assert [y for _, y in second[0]] == [50, 0, 50, 0, 50, 0]


def test_object_sizes_that_are_all_equal_make_one_bin() -> None:
    (panel,) = object_sizes.draw(IMAGES.assign(object_size=7.0), STYLE).axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["7.0 to 7.0\n13 images"]


def test_no_image_with_an_object_size() -> None:
    with pytest.raises(InputError) as caught:
        object_sizes.draw(IMAGES.assign(object_size=np.nan), STYLE)
    assert str(caught.value) == (
        "object_size: no image has one; write the share of its pixels inside its object boxes, in per cent"
    )


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=200, unique=True))
def test_bins_hold_equally_many_images(sizes: list[float]) -> None:
    values = np.array(sizes)
    edges = object_sizes.bin_edges(values)
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    counts = np.histogram(np.searchsorted(edges[1:-1], values, side="left"), range(len(edges)))[0]
    assert counts.sum() == len(values)
    assert counts.max() - counts.min() <= 1
    assert len(counts) == min(6, max(1, len(values) - 1)) or len(values) < 12


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60))
def test_bins_of_equal_sizes_are_not_split(sizes: list[int]) -> None:
    edges = object_sizes.bin_edges(np.array(sizes, dtype=np.float64))
    assert 2 <= len(edges) <= 7
    assert (np.diff(edges) > 0).all() or len(set(sizes)) == 1


def test_classes() -> None:
    figure = classes.draw(IMAGES, STYLE)
    accuracy, size = figure.axes
    # four images a class, and a fifth of class 9 that is certified; images 1, 5, 9 and 13 are certified
    hits = {9: 2 / 5, 3: 1 / 4, 5: 1 / 4}
    (bars,) = [container for container in accuracy.containers if isinstance(container, BarContainer)]
    assert [bar.get_height() for bar in bars] == [pytest.approx(100 * hit) for hit in hits.values()]
    assert [tick.get_text() for tick in size.get_xticklabels()] == ["9", "3", "5"]
    wanted = [share(np.arange(5) < 2), share(np.arange(4) < 1), share(np.arange(4) < 1)]
    ((_, ends, _),) = with_bars_alone(accuracy)
    assert ends == [(value.low, value.high) for value in wanted]
    (sizes,) = size.containers
    assert [bar.get_height() for bar in sizes] == [7.5, 5.5, 6.5], "an image of unknown size does not count"
    assert size.get_ylabel() == "mean object size\n(% of the pixels)"


def with_bars_alone(axes: Axes) -> list[tuple[None, list[tuple[float, float]], str]]:
    """As :func:`with_bars`, of error bars that belong to no line."""
    return [
        (
            None,
            [tuple(pytest.approx(end) for end in np.sort(segment[:, 1])) for segment in container.lines[2][0].get_segments()],
            "",
        )
        for container in axes.containers
        if isinstance(container, ErrorbarContainer)
    ]


def test_bars_of_several_runs_stand_side_by_side() -> None:
    accuracy = drawn("classes").axes[0]
    first, second = [container for container in accuracy.containers if isinstance(container, BarContainer)]
    for place, (one, other) in enumerate(zip(first, second, strict=True), start=1):
        assert one.get_x() == pytest.approx(place - 0.4)
        assert other.get_x() == pytest.approx(one.get_x() + one.get_width()) == pytest.approx(place)


def test_many_classes_are_a_line_and_none_is_named() -> None:
    images = images_of(
        [5.0] * 80, [number >= 20 and number % 2 == 0 for number in range(80)], [number // 2 for number in range(80)]
    )
    figure = classes.draw(images, STYLE)
    accuracy, size = figure.axes
    assert accuracy.containers == []
    assert points(accuracy.get_lines()[0]) == [(place, 50 if place <= 30 else 0) for place in range(1, 41)]
    assert len(accuracy.collections) == 1, "a band of intervals"
    assert points(size.get_lines()[0]) == [(place, 5) for place in range(1, 41)]
    assert size.get_xlabel().startswith("rank of the class")


def test_classes_without_object_sizes_have_one_panel() -> None:
    (accuracy,) = classes.draw(IMAGES.assign(object_size=np.nan), STYLE).axes
    assert [tick.get_text() for tick in accuracy.get_xticklabels()] == ["9", "3", "5"]
    assert accuracy.get_xlabel() == "class, in falling order of certified accuracy"


# --- the shipped ledger ------------------------------------------------------------------------------------------------------


def test_the_papers_values_are_drawn() -> None:
    ledger = seen(read_ledger(SHIPPED_LEDGER))
    theirs = drawn("prior_defenses", ledger).axes[0]
    (defenses,) = white_diamonds(theirs)
    assert len(defenses) == 8
    assert sorted(labels(theirs)) == sorted(["PC-ResNet", "PC-ViT", "PC-MLP", "CBN", "DS", "PG-BN", "PG-DS", "BagCert"])
    assert (83.9, 62.1) in defenses
    assert (45.3, 22.7) in defenses
    assert white_diamonds(drawn("mask_budgets", ledger).axes[0]) == [[(4, 82.7), (36, 83.8)], [(4, 44.3), (36, 62.2)]]
    timed = white_diamonds(drawn("overhead", ledger).axes[3])
    assert [found[0][0] for found in timed] == [12.0, 14.0, 44.2, 78.8, 4740.0, 4918.0]
    assert timed[3] == [(78.8, 44.3), (672.4, 62.2)]
    clean, certified = drawn("large_patches", ledger).axes
    side = 100 / 224
    assert white_diamonds(clean) == [[(23 * side, 84.1), (32 * side, 83.9), (39 * side, 83.8), (192 * side, 0.1)]]
    assert white_diamonds(certified) == [
        [(23 * side, 66.4), (32 * side, 62.1), (39 * side, 59.0), (64 * side, 46.1), (112 * side, 20.5)]
    ]
    assert "MR-ViT, most robust: 76.9 %" in labels(drawn("minority_reports", ledger).axes[0])


# --- BagCert -----------------------------------------------------------------------------------------------------------------


def test_bagcert_conditions() -> None:
    (panel,) = drawn("bagcert_conditions").axes
    joined = [points(line) for line in panel.get_lines() if len(line.get_xdata()) == 2]
    runs = regions.CONDITIONS.pivot(index=["model", "training"], columns="metric", values="percent")
    ends = [[(row.clean, row.condition_3_3), (row.clean, row.condition_3_2)] for row in runs.itertuples()]
    assert len(joined) == len(ends) == 22
    assert all(pair in joined for pair in ends)
    stars = [line for line in panel.get_lines() if line.get_marker() == "*"]
    assert len({to_rgb(line.get_color()) for line in stars}) == 5, "a colour a receptive field, whatever the margin"
    assert {line.get_ydata()[0] for line in stars} == set(
        runs.loc[runs.index.get_level_values("model").str.contains("rf"), "condition_3_2"]
    )
    assert white_diamonds(panel) == [[(86.0, 60.0)]]
    assert [labels(panel).count(text) for text in ("0.25", "0.5", "0.75", "1", "BagCert, RF 7, M 0.5")] == [5, 5, 5, 5, 1]
    assert len({to_rgb(text.get_color()) for text in panel.texts if text.get_text() == "0.5"}) == 5, "in its point's colour"
    own = regions.CONDITIONS[regions.CONDITIONS["defense"] == "bagcert"]
    stars_of = own.pivot(index=["margin", "model"], columns="metric", values="percent").reset_index()
    told = {(text.get_text(), *text.xy) for text in panel.texts if isinstance(text, Annotation)}
    assert told - {("BagCert, RF 7, M 0.5", 86.0, 60.0)} == {
        (f"{row.margin:g}", row.clean, row.condition_3_2) for row in stars_of.itertuples()
    }


def test_another_patch_has_a_panel_of_its_own_and_no_published_value() -> None:
    wider = regions.CONDITIONS.assign(patch="8x8", percent=regions.CONDITIONS["percent"] / 2)
    figure = bagcert_conditions.draw(pd.concat([regions.CONDITIONS, wider]), LEDGER, STYLE)
    upper, lower = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "5x5 px patch; numbers: margin M",
        "8x8 px patch; numbers: margin M",
    ]
    assert (len(white_diamonds(upper)), len(white_diamonds(lower))) == (1, 0)


@pytest.mark.parametrize(
    ("name", "frame", "places"),
    [
        ("bagcert_patch_sizes", regions.SQUARES, {"2x2": 2, "3x3": 3, "5x5": 5, "8x8": 8, "10x10": 10, "12x12": 12}),
        ("bagcert_aspect_ratios", regions.SHAPES, {patch: place for place, patch in enumerate(regions.RECTANGLES)}),
    ],
)
def test_bagcert_against_patches(name: str, frame: pd.DataFrame, places: dict[str, int]) -> None:
    figure = drawn(name)
    strong = frame[frame["metric"] == "condition_3_2"]

    def line(model: str, training: str) -> list[tuple[float, float]]:
        rows = strong[(strong["model"] == model) & (strong["training"] == training)]
        return sorted(zip(rows["patch"].map(places), rows["percent"], strict=True))

    smoothing = [line(f"small_{kind}_smoothing", f"{kind}s") for kind in ("block", "column")]
    smoothing = smoothing if name == "bagcert_aspect_ratios" else []
    expected = [
        [line(f"small_bagcert_rf{field}", "margin_050") for field in regions.FIELDS],
        [line("small_bagcert_rf7", f"margin_{100 * margin:03.0f}") for margin in regions.MARGINS],
    ]
    for panel, lines_of in zip(figure.axes, expected, strict=True):
        assert [found[0] for found in with_bars(panel)] == lines_of + smoothing
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "BagCert with margin M = 0.5",
        "BagCert with receptive field 7 px",
    ]


@pytest.mark.parametrize(("maker", "frame"), [(bagcert_patch_sizes, regions.SQUARES), (bagcert_aspect_ratios, regions.SHAPES)])
def test_another_dataset_of_bagcert_has_panels_of_its_own(maker: Any, frame: pd.DataFrame) -> None:
    others = frame.assign(dataset="birds", percent=frame["percent"] / 2, low=0.0)
    alone, figure = maker.draw(frame, LEDGER, STYLE), maker.draw(pd.concat([frame, others]), LEDGER, STYLE)
    assert [panel.get_title(loc="left").split(":")[0] for panel in figure.axes] == [*2 * ["digits"], *2 * ["birds"]]
    up, original = (
        [[container.lines[0].get_ydata().tolist() for container in panel.containers] for panel in drawn_of.axes]
        for drawn_of in (figure, alone)
    )
    assert up[:2] == original
    assert up[2:] == [[[height / 2 for height in line] for line in panel] for panel in original]
    assert legend_texts(figure) == legend_texts(alone)


def test_outputs_on_another_dataset_name_it() -> None:
    both = pd.concat([regions.OUTPUTS, regions.OUTPUTS.assign(dataset="birds")])
    titles = [panel.get_title(loc="left") for panel in bagcert_outputs.draw(both, STYLE).axes[::2]]
    assert [title.split(":")[0] for title in titles] == ["digits", "birds"]


def test_what_is_published_of_bagcert_against_patches() -> None:
    for panel in drawn("bagcert_patch_sizes").axes:
        assert white_diamonds(panel) == [[(5, 60.0), (2, 72.9)]]
    figure = drawn("bagcert_aspect_ratios")
    assert "published, BagCert ≥ 40 %" in legend_texts(figure)
    for panel in figure.axes:
        assert white_diamonds(panel) == [[(1, 0.0)]]
        assert [list(line.get_ydata()) for line in panel.get_lines() if line.get_linestyle() == "-."] == [[40.0, 40.0]]
        assert [text.get_text() for text in panel.get_xticklabels()] == list(regions.RECTANGLES)


def test_only_patches_and_outputs_of_a_figures_kind_are_in_it() -> None:
    other_outputs = regions.SQUARES.assign(output="softmax", model="small_bagcert_softmax", percent=0.0)
    both = pd.concat([regions.SQUARES, regions.SHAPES, other_outputs])
    for maker, alone in ((bagcert_patch_sizes, regions.SQUARES), (bagcert_aspect_ratios, regions.SHAPES)):
        own, mixed = (maker.draw(frame[frame["defense"] == "bagcert"], LEDGER, STYLE) for frame in (alone, both))
        assert [with_bars(panel) for panel in mixed.axes] == [with_bars(panel) for panel in own.axes]


def test_bagcert_attacks() -> None:
    figure = drawn("bagcert_attacks")
    *margins, smoothing = figure.axes
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        *(f"margin M = {margin:g}" for margin in regions.MARGINS),
        "smoothing",
    ]
    for margin, panel in zip(regions.MARGINS, margins, strict=True):
        rows = regions.ATTACKS[regions.ATTACKS["margin"] == margin].set_index("metric")
        heights = [[height for _, height in found[0]] for found in with_bars(panel)]
        assert heights == [rows.loc[metric, "percent"].tolist() for metric in ("clean", "attacked", "condition_3_2")]
        assert [text.get_text() for text in panel.get_xticklabels()] == ["5", "7", "9", "11", "13"]
        bands = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in panel.patches]
        assert bands == [(pytest.approx(low), pytest.approx(high)) for low, high in zip(heights[2], heights[1], strict=True)]
    assert [found[0] for found in with_bars(smoothing)] == [
        [(0, 90.0), (1, 92.0)],
        [(0, 70.0), (1, 75.0)],
        [(0, 45.0), (1, 60.0)],
    ]
    assert [text.get_text() for text in smoothing.get_xticklabels()] == ["block", "column"]


def test_one_output_has_nothing_beside_it() -> None:
    with pytest.raises(
        InputError, match=r"^models: small_bagcert_softmax_rf9; write some of several outputs, such as small_bag"
    ):
        bagcert_outputs.draw(regions.OUTPUTS[regions.OUTPUTS["output"] == "softmax"], STYLE)


def test_bagcert_outputs() -> None:
    alone = regions.frame([regions.shares(regions.bagcert(5, 1.0), clean=90.0, condition_3_2=50.0)])
    figure = bagcert_outputs.draw(pd.concat([alone, regions.OUTPUTS]), STYLE)
    assert len(figure.axes) == 2, "a setting with one output compares nothing"
    for panel, metric in zip(figure.axes, ("clean", "condition_3_2"), strict=True):
        rows = regions.OUTPUTS[regions.OUTPUTS["metric"] == metric]
        by_output = [part["percent"].tolist() for _, part in rows.groupby("output", sort=False)]
        assert [[height for _, height in found[0]] for found in with_bars(panel)] == by_output
        lines_of = [part.get_segments()[0] for part in panel.collections if isinstance(part, LineCollection)]
        means = [segment[0, 1] for segment in lines_of if segment[0, 1] == segment[1, 1] and np.ptp(segment[:, 0]) > 0.5]
        assert means == pytest.approx([np.mean(values) for values in by_output])
