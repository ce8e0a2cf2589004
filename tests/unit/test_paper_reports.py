"""The reports of the paper study: each published number stands beside the certificate of its own setting, and says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from patchcert import plugins
from patchcert.claims.targets import Target, target
from patchcert.report.ledger import read_ledger
from patchcert.report.multilabel import NAMES
from patchcert.report.published import PAPERS
from patchcert.report.results import spoken
from patchcert.report.settings import SAME
from patchcert.report.tables.multilabel_attackers import PROCEDURES, SPOKEN

from .configurations import ROOT, configured, shown
from .planned import SHIPPED_LEDGER, frames_of

STYLE = {"palette": "colorblind", "font_size": 9, "resolution": 50}
PAPER = configured("paper")
RULES = shown(PAPER)
WITH_VALUES = {
    name: item
    for name, item in RULES["TABLES"].items()
    if "ledger" in item["reads"] and item.get("analysis", "grid") in ("grid", *PAPER["analyses"])
}
"""The tables with published values of the paper study."""
DRAWN = {name: item for name, item in RULES["FIGURES"].items() if "ledger" in item["reads"]}
OF_OTHERS = {"prior_defenses", "overhead", "mask_budgets", "large_patches", "minority_reports"}
"""Figures whose legends name the dataset of what was published, which is ImageNet in every study."""


@cache
def table(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    made = plugins.load("patchcert.report.tables", name).make(**frames_of(PAPER, WITH_VALUES[name]))
    return made[0], made[1].fillna("")


@cache
def figure(name: str) -> Figure:
    drawn: Figure = plugins.load("patchcert.report.figures", name).draw(**frames_of(PAPER, DRAWN[name]), style=STYLE)
    plt.close(drawn)
    return drawn


@cache
def drawn_values(name: str) -> set[float]:
    """What a figure draws as published values: places of its white diamonds, and of lines across."""
    lines = [line for panel in figure(name).axes for line in panel.get_lines()]
    diamonds = {float(value) for line in lines if line.get_marker() == "D" for value in [*line.get_xdata(), *line.get_ydata()]}
    return diamonds | {float(line.get_ydata()[0]) for line in lines if list(line.get_xdata()) == [0, 1]}


# --- every number stands where it belongs ------------------------------------------------------------------------------------


@cache
def accuracies(name: str) -> tuple[list[str], dict[tuple[str, ...], str]]:
    """What tells the rows of a long table apart, and their published values by it."""
    long, _ = table(name)
    told = [fact for fact in ("dataset", "model", "training", "patch", "budget", "metric") if fact in long]
    assert not long.duplicated(told).any()
    return told, dict(zip(long[told].itertuples(index=False, name=None), long["published"], strict=True))


def in_accuracies(name: str, row: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether a long table has the value in the row of its certificate."""
    told, texts = accuracies(name)
    text = texts[tuple((facts | {"metric": row["metric"]})[fact] for fact in told)]
    return bool(re.search(rf"(^|; ){row['published']:.1f} \(", text))


def in_cells(name: str, row: Mapping[str, Any], facts: Mapping[str, Any], where: Mapping[str, str], column: str) -> bool:
    """Whether a compact table has the value in the row of its run, under a column."""
    _, compact = table(name)
    run = {fact: spoken(facts[fact]) for fact in ("dataset", "model", "training")} | where
    wanted = {fact: value for fact, value in run.items() if fact in compact}
    own = compact[(compact[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert len(own) == 1
    digits = 3 if row["metric"] == "area_under_curve" else 1
    return f"{row['published']:.{digits}f}" in own[column].iloc[0]


def of_double_masking(row: Mapping[str, Any], found: Target) -> bool:
    if row["table"] in FIGURE_OF:
        return row["published"] in drawn_values(FIGURE_OF[row["table"]])
    if row["metric"] == "search_passes":
        run = {fact: spoken(found.facts[0][fact]) for fact in ("dataset", "model", "training")}
        _, compact = table("training_throughput")
        (said,) = compact.loc[(compact[list(run)] == pd.Series(run)).all(axis=1), "published passes"]
        return f"{row['published']:g} ({PAPERS['greedy_cutout']} {row['table']})" in said
    if row["metric"] == "clean_loss":
        return False
    name = {"grid": "vanilla" if row["metric"] == "undefended_clean" else "accuracy"}.get(found.analysis, found.analysis)
    return in_accuracies(name, row, found.facts[0]) if name in WITH_VALUES else False


def of_multilabel(row: Mapping[str, Any], found: Target) -> bool:
    facts, settings = found.facts[0], {"setting": NAMES.get(row["row"].split()[0].lower(), "")}
    if row["table"] == "Section I" and row["metric"].startswith("overall"):  # repeats Table I
        settings = {"setting": NAMES["certified" if "certified" in row["column"] else "defended"]}
    if row["unit"] == "points" or row["metric"] == "area_share":
        return False
    if row["table"] == "Table II":
        return in_cells("multilabel_areas", row, facts, settings, "published")
    if row["table"] == "Table III":
        attacker = {said: name for name, said in PROCEDURES.items()}.get(row["row"], "certified")
        where = {"the attacker": SPOKEN[attacker], "patch": facts["patch"]}
        return in_cells("multilabel_attackers", row, facts, where, "published precision, recall, %")
    if row["table"] == "Table IV":
        return in_cells("multilabel_classes", row, facts, settings, f"published: {row['column']}")
    return in_cells("multilabel_overall", row, facts, settings, "published, %")


def of_bagcert(row: Mapping[str, Any], found: Target) -> bool:
    facts, table_of = found.facts[0], {"certification_time": "together, s", "parameters": "parameters, millions"}
    if row["metric"] in table_of:
        return row["table"] == "Table 1" and in_cells("bagcert_times", row, facts, {}, f"published {table_of[row['metric']]}")
    names = {"defended_clean": "clean", "condition_3_3": "condition 3.3", "certified": "condition 3.2"}
    if row["relation"] == ">":
        return row["published"] in drawn_values("bagcert_aspect_ratios")
    if row["metric"] not in names:
        return False
    return in_cells("bagcert_conditions", row, facts, {"patch": facts["patch"]}, f"published {names[row['metric']]}, %")


def of_smoothing(row: Mapping[str, Any], found: Target) -> bool:
    """Which of the figure's panels is asked for elsewhere; the table's rows below ours are those of the dataset."""
    if row["metric"] in ("defended_clean", "unrestricted") and found.analysis == "smoothing_attacked":
        _, compact = table("mask_smoothing")
        rows = compact[compact["source"].str.endswith(f", {row['dataset']}") & (compact["defense"] == "mask smoothing")]
        column = "clean, %" if row["metric"] == "defended_clean" else "certified, %"
        return bool(rows[column].str.startswith(f"{row['published']:.1f}").any())
    return row["published"] in drawn_values(found.analysis)


PLACES: dict[str, Callable[[Mapping[str, Any], Target], bool]] = {
    "multilabel_patchcleanser": of_multilabel,
    "bagcert": of_bagcert,
    "mask_guided_randomized_smoothing": of_smoothing,
}

FIGURE_OF = {"Figure 5": "overhead", "Figure 7": "large_patches", "Figure 8": "large_patches", "Figure 9": "minority_reports"}
"""Our figures of what PatchCleanser says of its own in words."""

WITHOUT = {
    ("patchcleanser", "Section 4.2"): "bounds for every patch, and of what it costs",
    ("patchcleanser", "Figure 7"): "a bound",
    ("patchcleanser", "Figure 13"): "single classes",
    ("greedy_cutout", "Section 3.4"): "passes, repeated from the tables",
    ("greedy_cutout", "Section 4.1"): "passes, repeated from the tables",
    ("greedy_cutout", "Section 4.2"): "passes, repeated from the tables",
    ("greedy_cutout", "Appendix"): "passes, repeated from the tables",
    ("multilabel_patchcleanser", "Section I"): "differences between cells of Table III",
    ("multilabel_patchcleanser", "Section IV-B"): "ratios and differences between cells of Tables I and II",
    ("multilabel_patchcleanser", "Section IV-C"): "differences between cells of Table III",
    ("bagcert", "Abstract"): "a time",
    ("bagcert", "Section 1"): "a time and a gain",
    ("bagcert", "Section 4"): "times and a gain",
    ("bagcert", "Appendix A.3"): "numbers of runs",
    ("mask_guided_randomized_smoothing", "Section 4.1"): "accuracies of the classifiers without noise",
    ("mask_guided_randomized_smoothing", "Section 4.2"): "a bound, an accuracy without certificate, a radius",
    ("mask_guided_randomized_smoothing", "Section 4.3"): "a bound",
}
"""Where numbers are printed of which some stand in no table or figure although they have a target, and what these are."""


def test_every_number_with_a_target_stands_beside_its_certificate() -> None:
    missing: Counter[tuple[str, str]] = Counter()
    for row in read_ledger(SHIPPED_LEDGER).to_dict("records"):
        found = target(row, PAPER)
        if isinstance(found, Target) and not PLACES.get(row["paper"], of_double_masking)(row, found):
            missing[row["paper"], row["table"]] += 1
    assert dict(missing) == dict(zip(WITHOUT, (6, 1, 6, 1, 2, 3, 2, 2, 4, 2, 1, 2, 4, 3, 2, 3, 2), strict=True))


def test_no_value_stands_beside_another_dataset_or_model() -> None:
    """Of each value beside an accuracy of ours the ledger has a row with the same dataset and model."""
    ledger = read_ledger(SHIPPED_LEDGER)
    for name in ("accuracy", "vanilla", "patch_sizes", "patch_shapes", "strategies"):
        long, _ = table(name)
        own = long[(long["published"] != "") & long["percent"].notna()]
        assert len(own) > 5
        for row in own.to_dict("records"):
            for value in re.findall(r"([\d.]+) \(", row["published"]):
                said = ledger[(ledger["published"].map("{:.1f}".format) == value) & (ledger["metric"] == row["metric"])]
                assert (row["dataset"], row["model"]) in set(zip(said["dataset"], said["model"], strict=True))


def test_prior_defenses_are_those_of_the_same_dataset() -> None:
    long, compact = table("patch_sizes")
    theirs = long[long["percent"].isna()].set_index(["dataset", "model", "patch", "metric"])["published"]
    assert theirs["imagenette", "PG-BN", "32x32", "certified"] == "86.7 (PC Table 2)"
    assert theirs["cifar10", "BagCert", "35x35", "certified"] == "60.0 (PC Table 2)"
    assert ("imagenet", "IBP") not in {key[:2] for key in theirs.index}
    assert compact.loc[compact["model"] == "published: DS", "dataset"].tolist() == ["imagenet", "imagenette", "cifar10"]


# --- what legends and captions say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_legends_of_the_paper_study_say_whose_values_are_published(name: str) -> None:
    told = [text.get_text() for legend in figure(name).legends for text in legend.get_texts() if "published" in text.get_text()]
    assert told
    assert not any("CIFAR-10" in text for text in told)
    if name not in OF_OTHERS | {"precision_recall", "bagcert_aspect_ratios"}:
        assert told[-1].endswith(f"published, {SAME}")


@pytest.mark.parametrize("kind", ["TABLES", "FIGURES"])
def test_captions_say_whose_values_are_published(kind: str) -> None:
    default = shown(configured("study"))
    page = "".join((ROOT / "reports" / f"{name}.md").read_text() for name in ("README", "strategies", "bagcert", "smoothing"))
    for name, item in RULES[kind].items():
        small, large = (item["caption"].format(**rules["PUBLISHED"]) for rules in (default, RULES))
        assert small == item["caption"] or small in page, name
        assert "CIFAR-10" not in large
        assert ("{" in item["caption"]) == (small != large)


# --- several datasets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in WITH_VALUES if name != "bagcert_times"])
def test_tables_of_several_datasets_name_them(name: str) -> None:
    _, compact = table(name)
    assert compact["dataset"].nunique() > 1


def test_figures_of_several_datasets_have_rows_of_panels() -> None:
    titles = [panel.get_title(loc="left") for panel in figure("strategy_costs").axes if panel.get_title(loc="left")]
    blocks = 1 + len(PAPER["analyses"]["strategies"]["also"])
    assert len(titles) == 2 * len(set(titles)) == 2 * blocks
    assert "svhn, vit_base_patch16_224.augreg_in21k_ft_in1k" in titles
    prior = [panel.get_title(loc="left") for panel in figure("prior_defenses").axes if panel.get_visible()]
    assert prior == [
        *("published,\nImageNet, 2 % patch", "imagenet,\n23x23 px", "imagenet,\n32x32 px", "imagenet,\n39x39 px"),
        *("published,\nImageNette, 2 % patch", "imagenette,\n23x23 px", "imagenette,\n32x32 px", "imagenette,\n39x39 px"),
        *("published,\nCIFAR-10, 2.4 % patch", "cifar10,\n14x14 px", "cifar10,\n35x35 px"),
    ]
    assert {96.4, 62.1, 89.1} <= drawn_values("prior_defenses")
