"""Frames, figures, tables and findings of mask smoothing, on certificates that are made up and known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchcert.report.cells import as_markdown
from patchcert.report.figures import (
    localisation,
    smoothing_attacked,
    smoothing_mask_sizes,
    smoothing_noise,
    smoothing_places,
    smoothing_trainings,
)
from patchcert.report.findings import findings
from patchcert.report.page import page
from patchcert.report.results import FACTS, SHARE, SMOOTHED, frames
from patchcert.report.smoothing import curve, published, settings_of
from patchcert.report.tables import localisation as localisation_table
from patchcert.report.tables import mask_smoothing
from patchcert.report.tables import smoothing_places as places_table
from patchcert.report.terms import ONE_PLACE, ONE_PLACE_NOTE

from . import masked_noise as made
from .configurations import configured, seen
from .masked_noise import certificate, certified

GOLDEN = Path(__file__).parents[1] / "golden"
STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 60}
LEDGER, NO_LEDGER = made.LEDGER, made.LEDGER.iloc[:0]
ANALYSES: dict[str, dict[str, pd.DataFrame]] = {
    "smoothing_places": made.PLACES,
    "smoothing_attacked": {"smoothing": made.ATTACKED["smoothing"]},
    "smoothing_mask_sizes": {"smoothing": made.MASK_SIZES["smoothing"]},
    "smoothing_trainings": {"radii": made.TRAININGS["radii"]},
    "smoothing_noise": {"smoothing": made.NOISE["smoothing"]},
    "smoothing_localisation": {"localisation": made.LOCALISATION},
}


# --- frames ------------------------------------------------------------------------------------------------------------------


def test_frames_are_read_from_metrics_files(tmp_path: Path) -> None:
    runs = []
    for facts in (certificate(7.0, "center"), certificate(7.0, "grad_cam"), certificate(20.0, "center")):
        shares, points = certified(facts, 90.0)
        metrics = {row["metric"]: {field: row[field] for field in SHARE} for row in shares}
        runs.append(facts | metrics | {"curve": [{key: point[key] for key in ("radius", "percent")} for point in points]})
    path = tmp_path / "mask_smoothing.json"
    path.write_text(json.dumps({"confidence": 0.95, "runs": runs}))
    # a whole number in the configuration, and facts that the files do not have
    wanted = [certificate(20, "center"), certificate(7, "center")]
    shown = [{name: facts[name] for name in (*FACTS, "defense", "sigma", "place")} | {"shown": "here"} for facts in wanted]
    found = frames({"smoothing": [path], "radii": [path]}, shown)
    assert found["smoothing"]["sigma"].unique().tolist() == [20.0, 7.0]
    assert set(found["smoothing"]["place"]) == set(found["radii"]["place"]) == {"center"}
    assert set(found["smoothing"]) - {"order"} == {*FACTS, "defense", *SMOOTHED, "metric", *SHARE}
    assert set(found["radii"]) - {"order"} == {*FACTS, "defense", *SMOOTHED, "radius", "percent"}
    assert found["smoothing"]["metric"].tolist() == 2 * ["undefended", "empirical", "answered", "unrestricted", "rescued"]
    assert found["radii"]["percent"].tolist() == pytest.approx(2 * [90.0, 89.1, 88.2, 86.4, 0.0])


def test_localisation_is_read_once_however_often_its_run_is_shown(tmp_path: Path) -> None:
    rows = made.located(5, 0.0, 33.0, 6.0, 58.0)
    facts = {name: rows[0][name] for name in (*FACTS, "defense", "steps")}
    shares = {row["metric"]: {field: None if row[field] != row[field] else row[field] for field in SHARE} for row in rows}
    path = tmp_path / "localisation.json"
    path.write_text(json.dumps({"confidence": 0.95, "runs": [facts | shares]}))
    run = {name: facts[name] for name in (*FACTS, "defense")}
    table = frames({"localisation": [path]}, [run | {"sigma": 7}, run | {"sigma": 20}])["localisation"]
    assert table["metric"].tolist() == [row["metric"] for row in rows]
    assert table["percent"].isna().tolist() == 5 * [False] + [True]


STEPS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), max_size=6, unique_by=lambda point: point[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=3), st.integers(0, 25))
def test_the_mean_curve_is_the_mean_at_every_radius(runs: list[list[tuple[int, int]]], radius: int) -> None:
    rows, expected = [], []
    for seed, points in enumerate(runs):
        steps = sorted([(0, 100), *points])
        rows += [certificate(seed=seed) | {"radius": float(at), "percent": float(percent)} for at, percent in steps]
        expected.append(next(percent for at, percent in reversed(steps) if at <= radius))
    found = curve(pd.DataFrame(rows).sample(frac=1, random_state=0))
    assert found.at(radius) == pytest.approx(np.mean(expected))


def test_settings_are_named_by_what_varies() -> None:
    frame = pd.DataFrame([certificate(7.0), certificate(20.0, patch="10x10"), certificate(20.0, patch="10x10", seed=1)])
    assert [setting.name for setting in settings_of(frame)] == ["5x5 px mask, sigma 7", "10x10 px mask, sigma 20"]
    assert [setting.name for setting in settings_of(frame, "patch", "sigma")] == [""]
    assert [len(setting.of(frame)) for setting in settings_of(frame)] == [1, 2]


@pytest.mark.parametrize(
    ("facts", "places", "expected"),
    [
        ({"dataset": "digits", "patch": "5x5"}, ["center"], [(25, 88.0)]),
        ({"dataset": "cifar10_32", "patch": "5x5"}, ["grad_cam"], [(25, 88.5)]),
        ({"dataset": "digits", "patch": "5x5"}, ["attacked"], [(25, 71.8)]),
        ({"dataset": "digits", "patch": "30x30"}, ["center", ""], [(0, 10.0)]),
        ({"dataset": "imagenet", "patch": "32x32"}, ["attacked"], [(1024, 53.6)]),
        ({"dataset": "imagenet", "patch": "5x5"}, ["attacked"], []),
        ({"dataset": "digits", "patch": "32x32"}, ["attacked"], []),
        ({"dataset": "digits", "patch": "5x5", "model": "small_vit"}, ["center"], []),
    ],
)
def test_published_values_by_place(facts: dict[str, str], places: list[str], expected: list[tuple[int, float]]) -> None:
    ledger = LEDGER if facts["dataset"] == "digits" else seen(made.PUBLISHED, configured("paper"))
    run = {"model": "small_resnetv2", "training": "gaussian_patch", "budget": "none"}
    found = published(ledger, run | facts, *places)
    assert list(found[["radius", "published"]].itertuples(index=False, name=None)) == expected


# --- figures -----------------------------------------------------------------------------------------------------------------


def drawn(name: str, ledger: pd.DataFrame = LEDGER) -> Figure:
    makers: dict[str, Callable[[], Figure]] = {
        "smoothing_places": lambda: smoothing_places.draw(**made.PLACES, ledger=ledger, style=STYLE),
        "smoothing_attacked": lambda: smoothing_attacked.draw(**made.ATTACKED, ledger=ledger, style=STYLE),
        "smoothing_mask_sizes": lambda: smoothing_mask_sizes.draw(**made.MASK_SIZES, ledger=ledger, style=STYLE),
        "smoothing_trainings": lambda: smoothing_trainings.draw(**made.TRAININGS, style=STYLE),
        "smoothing_noise": lambda: smoothing_noise.draw(**made.NOISE, ledger=ledger, style=STYLE),
        "localisation": lambda: localisation.draw(localisation=made.LOCALISATION, style=STYLE),
    }
    return makers[name]()


CURVES = ("smoothing_places", "smoothing_attacked", "smoothing_mask_sizes", "smoothing_trainings", "smoothing_noise")


@pytest.fixture(autouse=True)
def closed_figures() -> Any:
    yield
    plt.close("all")


def curves(panel: Axes) -> list[Line2D]:
    return [line for line in panel.get_lines() if line.get_drawstyle() == "steps-post"]


def white_diamonds(panel: Axes) -> list[tuple[float, float]]:
    lines = [line for line in panel.get_lines() if line.get_marker() == "D" and line.get_markerfacecolor() == "white"]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def any_content(panel: Axes) -> list[tuple[float, float]]:
    """The points where any content is certified; both coordinates."""
    return [(float(bar.lines[0].get_xdata()[0]), float(bar.lines[0].get_ydata()[0])) for bar in panel.containers]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("name", CURVES)
def test_curves_are_the_step_functions_and_certified_is_marked(name: str) -> None:
    figure, frame = drawn(name), made.__dict__[name.removeprefix("smoothing_").upper()]["radii"]
    means = frame.groupby(["sigma", "place", "patch", "training", "radius"])["percent"].mean()
    wanted = {tuple(rows.round(6)) for _, rows in means.groupby(level=[0, 1, 2, 3])}
    found = {tuple(np.round(line.get_ydata(), 6)) for panel in figure.axes for line in curves(panel)}
    assert found <= wanted
    assert found == wanted or name == "smoothing_attacked", "of attacked and clean images the attacked ones"
    assert all(line.get_ydata()[-1] == 0 for panel in figure.axes for line in curves(panel))
    labels = [panel.get_ylabel() for panel in figure.axes] + legend_texts(figure)
    assert all((ONE_PLACE in text) == ("certified" in text) for text in labels)
    assert any(ONE_PLACE in text for text in labels)
    assert "nan" not in " ".join(labels)


@pytest.mark.parametrize("name", [name for name in CURVES if name != "smoothing_trainings"])
def test_published_values_are_in_the_legend_and_a_figure_does_without_them(name: str) -> None:
    assert any(text.startswith("published") for text in legend_texts(drawn(name)))
    without = drawn(name, NO_LEDGER)
    assert not any(text.startswith("published") for text in legend_texts(without))
    assert [found for panel in without.axes for found in white_diamonds(panel)] == []


def test_places_have_a_panel_each_and_both_limits() -> None:
    left, right = drawn("smoothing_places").axes
    assert [panel.get_title(loc="left") for panel in (left, right)] == ["image centre", "highest Grad-CAM activation"]
    assert (white_diamonds(left), white_diamonds(right)) == ([(25, 88.0)], [(25, 88.5)])
    assert [len(curves(panel)) for panel in (left, right)] == [3, 3]
    for panel in (left, right):
        upright = {
            float(line.get_xdata()[0]): line.get_linestyle() for line in panel.get_lines() if list(line.get_ydata()) == [0, 1]
        }
        assert upright[75**0.5] == "-"
        assert upright[25.0] == ":"
        # of 3, 7 and 12 the first reaches no such norm: 2.46 * 3 < 8.66
        assert [place for place, _ in any_content(panel)] == pytest.approx(2 * [75**0.5])


def test_another_setting_has_a_row_of_its_own() -> None:
    second = {name: pd.concat([frame, frame.assign(model="small_vit", percent=1.0)]) for name, frame in made.PLACES.items()}
    figure = smoothing_places.draw(**second, ledger=LEDGER, style=STYLE)
    assert [panel.get_title(loc="left").split("\n")[0] for panel in figure.axes] == [
        *2 * ["small resnetv2"],
        *2 * ["small vit"],
    ]
    assert all(set(line.get_ydata()) == {1.0} for panel in figure.axes[2:] for line in curves(panel))


def test_attacked_images_have_levels_without_a_certificate() -> None:
    (panel,) = drawn("smoothing_attacked").axes
    levels = [
        (float(line.get_ydata()[0]), line.get_linestyle()) for line in panel.get_lines() if list(line.get_xdata()) == [0, 1]
    ]
    assert levels == [(82.25, "--"), (81.25, "--"), (80.0, "--"), (11.0, ":")]
    dashed = [line.get_color() for line in panel.get_lines() if line.get_linestyle() == "--"]
    assert [to_hex(line.get_color()) for line in curves(panel)] == [to_hex(colour) for colour in dashed]
    assert white_diamonds(panel) == [(25, 71.8)]


def test_mask_sizes_tell_where_any_content_begins() -> None:
    figure = drawn("smoothing_mask_sizes")
    (panel,) = figure.axes
    assert legend_texts(figure)[:2] == ["5x5 px (any content: R > 8.7)", "10x10 px (any content: R > 17.3)"]
    assert any_content(panel) == [(75**0.5, 90.0)]
    assert sorted(white_diamonds(panel)) == [(0, 10.0), (25, 88.0)]


def test_trainings_have_a_panel_a_mask_and_a_line_a_range() -> None:
    figure = drawn("smoothing_trainings")
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["10x10 px mask", "15x15 px mask", "20x20 px mask"]
    assert legend_texts(figure) == [f"trained on {sides} px" for sides in ("5", "5 to 10", "5 to 15", "5 to 20")]
    assert [len(curves(panel)) for panel in figure.axes] == [4, 4, 4]


def test_noise_is_shown_over_the_radius_and_over_what_it_reaches() -> None:
    left, right = drawn("smoothing_noise").axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    for sigma, ours, scaled in zip((7, 20, 50, 80), curves(left), curves(right), strict=True):
        assert ours.get_xdata()[-1] == pytest.approx(sigma * made.REACH)
        assert scaled.get_xdata()[-1] == pytest.approx(made.REACH)
    assert [place for place, _ in any_content(right)] == pytest.approx([75**0.5 / sigma for sigma in (7, 20, 50, 80)])


def test_outcomes_are_stacked_and_the_success_is_a_line() -> None:
    (panel,) = drawn("localisation").axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["noise alone", "5 steps", "20 steps", "100 steps"]
    bars = panel.patches
    assert [bar.get_height() for bar in bars[:4]] == [4.0, 33.0, 70.0, 88.0]
    assert [bar.get_y() + bar.get_height() for bar in bars[-4:]] == pytest.approx(4 * [100.0])
    (line,) = [line for line in panel.get_lines() if line.get_marker() == "X"]
    assert list(line.get_ydata()) == [0.0, 31.0, 72.0, 95.0]


# --- tables ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("mask_smoothing", lambda: mask_smoothing.make(smoothing=made.ATTACKED["smoothing"], ledger=LEDGER)),
        ("smoothing_places", lambda: places_table.make(smoothing=made.PLACES["smoothing"])),
        ("localisation", lambda: localisation_table.make(localisation=made.LOCALISATION)),
    ],
)
def test_a_table_is_as_it_was(
    name: str, make: Callable[[], tuple[pd.DataFrame, pd.DataFrame]], golden: Callable[[Path, str], None]
) -> None:
    text = as_markdown(make()[1])
    assert "nan" not in text
    golden(GOLDEN / f"{name}.md", text)


def test_the_table_of_defenses_tells_the_claims_apart() -> None:
    table, compact = mask_smoothing.make(made.ATTACKED["smoothing"], LEDGER)
    shown = {("clean", "empirical"), ("attacked", "unrestricted"), ("attacked", "rescued")}
    assert set(zip(table["place"], table["metric"], strict=True)) == shown
    ours = compact["defense"].str.startswith("mask smoothing")
    assert ours.sum() == 4
    assert (compact["certified, %"].str.contains(ONE_PLACE) == ours).all()
    assert (compact["what is certified"].str.contains(ONE_PLACE) == ours).all()
    assert compact.loc[~ours, "what is certified"].unique().tolist() == ["every patch, every place"]
    # 99 % of 74.25, in whole images
    assert [text.split(" [")[0] for text in compact.iloc[1][["clean, %", "certified, %"]]] == ["94.8", "73.5"]
    turned = compact["certified of those that the attack turned, %"]
    assert turned.iloc[1].startswith("55.2 [")
    assert compact.iloc[-1]["certified, %"] == f"71.8 {ONE_PLACE}"


def test_an_attack_that_turned_nothing_is_said_to_have() -> None:
    table = made.ATTACKED["smoothing"].copy()
    table.loc[table["metric"] == "rescued", ["percent", "total"]] = [float("nan"), 0]
    _, compact = mask_smoothing.make(table, LEDGER)
    ours = compact["source"] == "here"
    assert set(compact.loc[ours, "certified of those that the attack turned, %"]) == {"none turned"}


# --- findings ----------------------------------------------------------------------------------------------------------------


def asked(name: str, words: str, **frames: pd.DataFrame) -> tuple[str, str]:
    """Verdict and evidence of the one statement with these words."""
    statements = findings(None, {}, {name: frames}).get(name, [])
    (finding,) = (each for each in statements if words in each.statement)
    return finding.verdict, finding.evidence


def smoothing_of(*rows: Any) -> pd.DataFrame:
    return made.frames(rows)["smoothing"]


def steep(answered: float, left: float, **facts: Any) -> pd.DataFrame:
    return made.frames([certified(certificate(**facts), answered, [(0.0, 1.0), (0.5, left), (1.0, 0.0)])])["radii"]


@pytest.mark.parametrize(
    ("name", "words", "frames_of", "verdict", "evidence"),
    [
        (
            "smoothing_places",
            "nearly flat",
            lambda: made.PLACES | {"radii": steep(80.0, 0.9375)},
            "holds",
            "small resnetv2: 80.0 to 75.0 (sigma 7, image centre)",
        ),
        (
            "smoothing_places",
            "nearly flat",
            lambda: made.PLACES | {"radii": steep(80.0, 0.9)},
            "does not hold",
            "small resnetv2: 80.0 to 72.0 (sigma 7, image centre) (does not hold)",
        ),
        (
            "smoothing_places",
            "place of the mask",
            lambda: made.frames(
                certified(certificate(sigma, place), 90.0 - (place == "grad_cam") * apart, [(0.0, 1.0), (1.0, 0.0)])
                for sigma, apart in ((3.0, 50), (7.0, 5), (12.0, 6))
                for place in ("center", "grad_cam")
            ),
            "does not hold",
            "small resnetv2: 90.0 against 85.0 (sigma 7), 90.0 against 84.0 (sigma 12) (does not hold)",
        ),
        (
            "smoothing_places",
            "noise hardly matters",
            lambda: made.PLACES,
            "holds",
            "small resnetv2: 2.2 (image centre), 2.2 (highest Grad-CAM activation)",
        ),
        (
            "smoothing_attacked",
            "than the undefended one",
            lambda: {"smoothing": smoothing_of(certified(certificate(place="attacked"), 50.0, undefended=52.5, covered=95.0))},
            "does not hold",
            "small resnetv2: 52.5 against 52.5 (sigma 7) (does not hold)",
        ),
        (
            "smoothing_attacked",
            "share of right answers",
            lambda: {
                "smoothing": smoothing_of(
                    certified(certificate(12.0, "attacked"), 50.0, [(0.0, 1.0), (1.0, 0.0)], empirical=60.0, covered=95.0),
                    certified(certificate(7.0, "attacked"), 50.0, [(0.0, 1.0), (1.0, 0.0)], empirical=61.0, covered=95.0),
                    certified(certificate(3.0, "attacked"), 50.0, empirical=90.0, covered=95.0),
                )
            },
            "does not hold",
            "small resnetv2: 50.0 against 61.0 (sigma 7) (does not hold), 50.0 against 60.0 (sigma 12)",
        ),
        ("smoothing_attacked", "covers the patch", lambda: ANALYSES["smoothing_attacked"], "holds", "small resnetv2: 91.0"),
        (
            "smoothing_attacked",
            "known place",
            lambda: {
                "smoothing": smoothing_of(
                    certified(certificate(place="attacked"), 50.0, [(0.0, 1.0), (1.0, 0.0)], covered=95.0),
                    certified(certificate(place="center"), 60.0, [(0.0, 1.0), (1.0, 0.0)]),
                    certified(certificate(place="grad_cam"), 50.0, [(0.0, 1.0), (1.0, 0.0)]),
                )
            },
            "does not hold",
            "small resnetv2: 50.0 against 50.0 (sigma 7) (does not hold)",
        ),
        (
            "smoothing_mask_sizes",
            "rises at no step",
            lambda: {
                "smoothing": smoothing_of(
                    *(
                        certified(certificate(patch=patch), value)
                        for patch, value in (("20x20", 60.0), ("5x5", 90.0), ("10x10", 50.0))
                    )
                )
            },
            "does not hold",
            "small resnetv2: 90.0 (5x5), 50.0 (10x10), 60.0 (20x20) (does not hold)",
        ),
        (
            "smoothing_mask_sizes",
            "near the 10 %",
            lambda: {
                "smoothing": smoothing_of(*(certified(certificate(patch="30x30", seed=seed), 20.0 + seed) for seed in (0, 1)))
            },
            "does not hold",
            "small resnetv2: 20.5 (does not hold)",
        ),
        (
            "smoothing_trainings",
            "smallest squares is best",
            lambda: {
                "radii": pd.concat(
                    [
                        steep(50.0, 0.5, patch="10x10", noise_sides="5", training="a"),
                        steep(90.0, 0.25, patch="10x10", noise_sides="5 to 10", training="b"),
                        steep(80.0, 0.3125, patch="10x10", noise_sides="5 to 15", training="c"),
                        steep(50.0, 0.5, patch="15x15", noise_sides="5", training="a"),
                        steep(90.0, 0.8, patch="15x15", noise_sides="5 to 10", training="b"),
                    ]
                )
            },
            "does not hold",
            "small resnetv2: 25.0 against 25.0 (5 to 15 px; mask 10x10), "
            "25.0 against 72.0 (5 to 10 px; mask 15x15) (does not hold)",
        ),
        (
            "smoothing_trainings",
            "reach the size",
            lambda: {
                "radii": pd.concat(
                    [
                        steep(value, 1.0, patch=patch, noise_sides=sides, training=sides)
                        for patch in ("10x10", "15x15")
                        for sides, value in (("5", 50.0), ("5 to 10", 60.0))
                    ]
                )
            },
            "does not hold",
            "small resnetv2: 5 to 10 px with 60.0 (mask 10x10), 5 to 10 px with 60.0 (mask 15x15) (does not hold)",
        ),
        (
            "smoothing_noise",
            "about three times",
            lambda: {"smoothing": smoothing_of(*(certified(certificate(s), 90.0 - s / 10) for s in (20.0, 10.0, 30.0, 50.0)))},
            "holds",
            "small resnetv2: 89.0 (sigma 10) to 87.0 (sigma 30)",
        ),
        (
            "smoothing_noise",
            "ten classes",
            lambda: {
                "smoothing": smoothing_of(
                    *(certified(certificate(s), 100 / s, [(0.0, 1.0), (1.0, 0.0)]) for s in (2.0, 20.0, 8.0))
                )
            },
            "does not hold",
            "small resnetv2: 5.0 (sigma 20) (does not hold)",
        ),
        (
            "smoothing_localisation",
            "weakest",
            lambda: ANALYSES["smoothing_localisation"],
            "holds",
            "small resnetv2: 4.0 (noise alone), 33.0 (5 steps), 70.0 (20 steps), 88.0 (100 steps)",
        ),
        (
            "smoothing_localisation",
            "strongest attack succeeds",
            lambda: {
                "localisation": pd.DataFrame([*made.located(5, 50.0, 90.0, 0.0, 0.0), *made.located(9, 50.0, 83.0, 0.0, 0.0)])
            },
            "does not hold",
            "small resnetv2: 89.0 (9 steps) (does not hold)",
        ),
    ],
)
def test_findings(name: str, words: str, frames_of: Callable[[], dict[str, pd.DataFrame]], verdict: str, evidence: str) -> None:
    assert asked(name, words, **frames_of()) == (verdict, evidence)


def test_nothing_is_claimed_where_there_is_nothing_to_compare() -> None:
    one = made.frames([certified(certificate(), 90.0)])
    alone = {
        "smoothing_places": one,
        "smoothing_mask_sizes": {"smoothing": one["smoothing"]},
        "smoothing_trainings": {"radii": one["radii"]},
        "smoothing_noise": {"smoothing": one["smoothing"]},
        "smoothing_localisation": {"localisation": pd.DataFrame(made.located(0, 0.0, 4.0, 3.0, 90.0))},
    }
    found = findings(None, {}, alone)
    assert list(found) == ["smoothing_places"], "flatness needs no other certificate"
    assert len(found["smoothing_places"]) == 1


# --- the page ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", [True, False])
def test_a_page_with_marked_numbers_says_what_the_mark_means(marked: bool) -> None:
    block = {
        "seeds": [0],
        "models": ["small_resnetv2"],
        "trainings": ["gaussian_patch"],
        "patches": [[5, 5]],
        "sigmas": [7, 20.0],
    }
    config = {"study": "test", "targets": {"smoothing": {"cost": "1 minute"}}, "datasets": {}, "device": "cpu"}
    config |= {"analyses": {"smoothing_noise": [block]}, "evaluate": {"confidence": 0.95}}
    caption = f"What is certified {ONE_PLACE}." if marked else "What is certified."
    text = page(config, {}, {"smoothing_places": (caption, "")}, {}, {}, {}, target="smoothing")
    assert (ONE_PLACE_NOTE in text) == marked
    assert "patches 5x5; noise of sigma 7, 20." in text
