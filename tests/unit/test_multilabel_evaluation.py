"""Multi-label certificates as records and as measures, against the defense asked directly, and the report that shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from patchcert.curves import precision
from patchcert.defenses.attackers import worst_class_recall, worst_metric
from patchcert.defenses.multilabel import Counts, Extrema, certify, certify_located, histograms, infer
from patchcert.defenses.places import at_places, places
from patchcert.evaluation.multilabel import SETTINGS, Certificates, certificates, measures
from patchcert.masks import mask_set
from patchcert.report.figures import certification_histograms, class_curves, precision_recall
from patchcert.report.ledger import read_ledger
from patchcert.report.results import MULTILABEL, frames
from patchcert.report.tables import multilabel_areas, multilabel_attackers, multilabel_classes, multilabel_overall
from patchcert.scores import ScorePredictions

from .configurations import seen

STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 60}
LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
MASKS = mask_set((16, 16), (4, 4), (3, 3))
PATCHES = [(4, 4), (1, 1)]
THRESHOLD = 0.5
FACTS = {"dataset": "scenes", "model": "small_resnetv2", "seed": 0, "patch": "4x4", "budget": "3x3", "defense": "multilabel"}
RUNS = [FACTS | {"training": training} for training in ("multilabel_plain", "multilabel_random_cutout")]


@pytest.fixture(scope="module")
def known() -> tuple[ScorePredictions, np.ndarray]:
    """Scores of 40 images and 5 classes, of which the last is in no image."""
    random = np.random.default_rng(7)
    labels = random.random((40, 5)) < [0.6, 0.4, 0.5, 0.3, 0]
    pairs = np.clip(labels[:, None, None] * 0.75 + 0.1 + 0.18 * random.standard_normal((40, 9, 9, 5)), 0, 1)
    rows = Extrema.from_pairs(np.maximum(pairs, pairs.transpose(0, 2, 1, 3)).astype(np.float32))
    unmasked = np.clip(labels * 0.8 + 0.1 + 0.1 * random.standard_normal((40, 5)), 0, 1).astype(np.float32)
    return ScorePredictions.of(np.array([f"image-{n}" for n in range(40)]), unmasked, rows, {}), labels


@pytest.fixture(scope="module")
def found(known: tuple[ScorePredictions, np.ndarray]) -> Certificates:
    return certificates(*known, MASKS, PATCHES, numerical_margin=0.0)


@pytest.fixture(scope="module")
def read(found: Certificates, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of the metrics, written as the workflow writes them, and read back."""
    path = tmp_path_factory.mktemp("metrics") / "multilabel.json"
    rows = [run | measures(found, THRESHOLD) for run in RUNS]
    path.write_text(json.dumps({"threshold": THRESHOLD, "runs": rows}, allow_nan=False))
    return frames({name: [path] for name in MULTILABEL}, RUNS)


def summed(counts: Counts) -> Counts:
    return Counts(*(each.sum() for each in counts))


def test_a_row_an_image_and_class_answers_at_every_threshold(
    known: tuple[ScorePredictions, np.ndarray], found: Certificates
) -> None:
    scores, labels = known
    assert len(found.records) == labels.size
    wide = {name: found.records[name].to_numpy().reshape(labels.shape) for name in ("present", *SETTINGS)}
    assert (wide["present"] == labels).all()
    for threshold in (0.0, 0.31, 0.5, 0.9):
        assert ((wide["defended"] > np.float32(threshold)) == infer(scores.extrema, threshold)).all()
        counts = certify(scores.extrema, labels, threshold)
        assert (((wide["certified"] > np.float32(threshold)) & labels) == counts.tp).all()
        assert (((wide["certified"] > np.float32(threshold)) & ~labels) == counts.fp).all()


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("attacker", ["worst_case", "fn", "fp"])
def test_attackers_are_those_of_the_defense_at_the_places_of_the_patch(
    known: tuple[ScorePredictions, np.ndarray], found: Certificates, patch: tuple[int, int], attacker: str
) -> None:
    scores, labels = known
    bounds = at_places(scores.extrema, places(MASKS, patch))
    rows = found.attackers[(found.attackers["actual_patch"] == "x".join(map(str, patch)))]
    for threshold in (0.0, 0.37, 0.5):
        row = rows[(rows["threshold"] == threshold) & (rows["attacker"] == attacker)].iloc[0]
        counts = summed(certify_located(bounds, labels, threshold, attacker))  # type: ignore[arg-type]
        assert (row["tp"], row["fp"], row["fn"]) == (counts.tp, counts.fp, counts.fn)
        assert row["precision"] == pytest.approx(float(precision(counts)))
        joint = rows[(rows["threshold"] == threshold) & (rows["attacker"] == "joint")].iloc[0]
        for metric in ("precision", "recall", "f1"):
            assert joint[metric] == pytest.approx(worst_metric(bounds, labels, threshold, metric).value)  # type: ignore[arg-type]
        assert joint["class_recall"] == pytest.approx(worst_class_recall(bounds, labels, threshold).value)


def test_a_smaller_patch_can_do_less(found: Certificates) -> None:
    at = found.attackers[(found.attackers["threshold"] == THRESHOLD) & (found.attackers["attacker"] == "worst_case")]
    large, small = (at[at["actual_patch"] == patch].iloc[0] for patch in ("4x4", "1x1"))
    assert small["tp"] > large["tp"]
    assert small["fp"] <= large["fp"]


def test_a_numerical_margin_certifies_less_and_leaves_the_answers(
    known: tuple[ScorePredictions, np.ndarray], found: Certificates
) -> None:
    careful = certificates(*known, MASKS, PATCHES[:1], numerical_margin=0.01).records
    present = careful["present"].to_numpy()
    np.testing.assert_array_equal(careful["defended"], found.records["defended"])
    np.testing.assert_allclose(careful["certified"], found.records["certified"] + np.where(present, -0.01, 0.01), atol=1e-6)


def test_measures_are_in_order_and_leave_absent_classes_out(found: Certificates) -> None:
    measured = measures(found, THRESHOLD)
    areas = {row["setting"]: row["exact"] for row in measured["areas"]}
    assert areas["undefended"] >= areas["defended"] > areas["located"] > areas["certified"] > 0
    assert {row["class"] for row in measured["classes"]} == {0, 1, 2, 3}
    points = pd.DataFrame(measured["points"]).query("threshold == @THRESHOLD").set_index("setting")
    assert points.loc["certified", "recall"] <= points.loc["located", "recall"] <= points.loc["defended", "recall"]
    certified = found.records[found.records["certified"] > np.float32(THRESHOLD)]
    counts = Counts(*(np.array(n) for n in (certified["present"].sum(), 0, 0, (~certified["present"]).sum())))
    assert points.loc["certified", "precision"] == pytest.approx(float(precision(counts)))
    assert points.loc["certified", "recall"] == pytest.approx(certified["present"].sum() / found.records["present"].sum())
    by_class = pd.DataFrame(measured["classes"]).query("setting == 'certified'")
    assert points.loc["certified", "class_recall"] == pytest.approx(by_class["recall"].mean())
    assert points.loc["certified", "class_recall_published"] == pytest.approx(by_class["recall"].sum() / 5)
    shown = [row["class"] for row in measured["class_points"]]
    ranked = by_class.sort_values("area")["class"]
    assert list(dict.fromkeys(shown)) == [ranked.iloc[-1], ranked.iloc[0]]


# --- the report --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    """With counterparts under the masks of ``FACTS``."""
    return seen(read_ledger(LEDGER).assign(default_patch=FACTS["patch"], mask_budget=FACTS["budget"]))


def test_the_overall_table_has_the_papers_numbers_beside_the_plain_run_alone(
    read: dict[str, pd.DataFrame], ledger: pd.DataFrame
) -> None:
    table, compact = multilabel_overall.make(read["points"], ledger)
    assert len(compact) == 2 * 3
    published = compact["published, %"].tolist()
    assert published[2] == "39.4, 33.7, 47.4, 38.5 (ML Table I)"
    assert published[3:] == ["", "", ""]
    row = table[(table["setting"] == "certified") & (table["training"] == "multilabel_plain")].iloc[0]
    assert compact.iloc[2]["overall precision, %"] == f"{100 * row['precision']:.1f}"


def test_the_table_of_areas(read: dict[str, pd.DataFrame], ledger: pd.DataFrame) -> None:
    _, compact = multilabel_areas.make(read["areas"], ledger)
    assert len(compact) == 2 * 4
    assert compact["published"].tolist()[:4] == ["0.803 (ML Table II)", "0.765 (ML Table II)", "0.370 (ML Table II)", ""]


def test_the_table_of_attackers(read: dict[str, pd.DataFrame], ledger: pd.DataFrame) -> None:
    _, compact = multilabel_attackers.make(read["points"], read["attackers"], ledger)
    run = compact[compact["training"] == "multilabel plain"]
    assert len(run) == 1 + 2 * 4
    assert run["published precision, recall, %"].tolist()[:5] == [
        "47.4, 38.5 (ML Table III)",
        "49.9, 40.0 (ML Table III)",
        "51.5, 40.0 (ML Table III)",
        "51.4, 42.6 (ML Table III)",
        "",
    ]
    assert run["patch"].tolist() == ["4x4"] * 5 + ["1x1"] * 4
    assert not run["published precision, recall, %"].iloc[5:].any()


def test_the_table_of_classes(read: dict[str, pd.DataFrame], ledger: pd.DataFrame) -> None:
    table, compact = multilabel_classes.make(read["classes"], ledger)
    assert len(table) == 2 * 4 * 3
    certified = compact[(compact["training"] == "multilabel plain") & (compact["setting"] == "certified robust")].iloc[0]
    assert certified['published: Class 0/"person"'] == "0.858 (ML Table IV)"
    best, worst = (re.fullmatch(r"(0\.\d{3}) \(class (\d)\)", certified[f"{which} class"]) for which in ("best", "worst"))
    assert float(best[1]) > float(worst[1])
    assert best[2] != worst[2]


def test_figures_have_a_panel_a_run_and_a_curve_a_setting(read: dict[str, pd.DataFrame], ledger: pd.DataFrame) -> None:
    figure = precision_recall.draw(read["points"], ledger, STYLE)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert len(panels) == 2
    curves = [line for line in panels[1].lines if len(line.get_xdata()) > 50]
    assert len(curves) == 4
    figure = class_curves.draw(read["class_points"], STYLE)
    assert [len(panel.lines) for panel in figure.axes] == [6] * 4  # three curves, each with its dot
    plt.close("all")


def test_histograms_over_an_image(known: tuple[ScorePredictions, np.ndarray]) -> None:
    scores, labels = known
    row = certification_histograms.example_row(scores.extrema, labels, 0.6)
    saved = certify(scores.extrema, labels, 0.6).fn.sum(axis=1) - histograms(scores.extrema, labels, 0.6)[0].max(axis=1)
    assert saved[row] == saved.max() > 0
    row = int(np.flatnonzero((labels.sum(axis=1) == 2) & (saved > 0))[0])
    image = np.zeros((3, 16, 16), dtype=np.uint8)
    figure = certification_histograms.draw(image, labels[row], scores.extrema[row : row + 1], (3, 3), 0.6, STYLE)
    fn, _ = histograms(scores.extrema, labels, 0.6)
    numbers = [int(text.get_text()) for text in figure.axes[-1].texts]
    assert numbers == fn[row].tolist()
    singles = sum(int(text.get_text()) for panel in figure.axes[1:-1] for text in panel.texts)
    assert singles == fn[row].sum()
    plt.close("all")
