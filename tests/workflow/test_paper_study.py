"""The paper study as it is planned, run in miniature: one table always, and all of it where ``pytest --paper`` asks for it."""

from __future__ import annotations

from copy import deepcopy

import pandas as pd
import pytest
from snakemake.utils import update_config
from workflow_study import ROOT

from patchcert.claims.measured import Results, survey
from patchcert.claims.status import NOT_RUN
from patchcert.claims.targets import NOT_CONFIGURED, Target, target
from patchcert.report.ledger import read_ledger
from patchcert.study.config import complete
from patchcert.study.facts import GRID, RUN_FACTS, facts_of

from ..miniature import FEW, PAPER, SMALL, SUBSET, miniature
from ..published import serving

pytestmark = pytest.mark.workflow

TARGETS = {
    "all": {
        "accuracy": GRID,
        "vanilla": GRID,
        "forward_passes": GRID,
        "patch_sizes": "patch_sizes",
        "patch_shapes": "patch_shapes",
        "inference_times": "mask_budgets",
        "multilabel_overall": "multilabel",
        "multilabel_areas": "multilabel",
        "multilabel_attackers": "multilabel",
        "multilabel_classes": "multilabel",
    },
    "bagcert": {"bagcert_conditions": "bagcert_conditions", "bagcert_times": "bagcert_times"},
    "smoothing": {
        "mask_smoothing": "smoothing_attacked",
        "smoothing_places": "smoothing_places",
        "localisation": "smoothing_localisation",
    },
    "strategies": {"strategies": "strategies", "training_throughput": "strategies"},
}
"""The analysis that each table shows, by the target that makes it."""
FACTS = [*RUN_FACTS, "patch", "budget"]
TIMED = ("inference_times", "bagcert_times")
"""Tables whose rows are of runs."""
OF_MOST_MASKS = ("forward_passes",)
"""Tables of one of the mask sets of a patch."""
UNDEFINED = r"precision|class"
"""Numbers that such images need not have: precision where nothing is found, and those of single classes."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    server = tmp_path_factory.mktemp("server")
    with serving(server) as address:
        yield miniature(tmp_path_factory.mktemp("paper") / "study", server, address)


@pytest.fixture(scope="module")
def config():
    merged = deepcopy(PAPER)
    update_config(merged, deepcopy(SMALL))
    return complete(merged)


def settings_shown(study, config, table, analysis):
    """Those that a table has rows of ours for, and those that the analysis has."""
    rows = pd.read_csv(study.folder / f"build/paper/reports/tables/{table}.csv", dtype=str)
    told = [fact for fact in (RUN_FACTS if table in TIMED else FACTS) if fact in rows]
    planned = pd.DataFrame(facts_of(config, analysis)).astype(str)
    if table in OF_MOST_MASKS:
        planned = planned[planned["budget"] == "6x6"]
    ours = rows[rows["training"].notna()]
    return set(map(tuple, ours[told].to_numpy())), set(map(tuple, planned[told].to_numpy()))


def test_a_table_of_three_datasets_from_their_archives(study, config):
    """ImageNet, whose archives and boxes people register for, ImageNette and CIFAR-10, with the weights that timm publishes."""
    study.run("build/paper/reports/tables/patch_shapes.csv")
    shown, planned = settings_shown(study, config, "patch_shapes", "patch_shapes")
    assert shown == planned
    assert len(shown) == 12
    assert list(study.folder.glob("data/vit_base_patch16_224.augreg_in21k_ft_in1k/timm/model.safetensors.sha256"))


@pytest.mark.usefixtures("an_hour")
@pytest.mark.parametrize("name", TARGETS)
def test_every_table_has_a_row_for_every_setting(study, config, name):
    study.run(name)
    for table, analysis in TARGETS[name].items():
        shown, planned = settings_shown(study, config, table, analysis)
        assert shown == planned, table
        rows = pd.read_csv(study.folder / f"build/paper/reports/tables/{table}.csv", dtype=str)
        if "total" in rows:
            images = 1 if name == "smoothing" else SUBSET if config["analyses"].get(analysis, {}).get("images") else FEW["test"]
            # of those that an attack turned there may be none
            assert set(rows["total"].dropna()) - {"0"} == {str(images)}, table
    assert study.plan(name) == {}


@pytest.mark.usefixtures("an_hour")
def test_every_number_that_the_study_has_was_measured(study, config):
    ledger = read_ledger(ROOT / "config/published.csv")
    measured = survey(ledger, Results(config, study.folder)).set_index("id")
    targets = {row["id"]: target(row, config) for row in ledger.to_dict("records")}
    has = [number for number, found in targets.items() if isinstance(found, Target)]
    assert NOT_CONFIGURED not in targets.values()
    assert len(has) == 745
    missing = measured.loc[has].query("measured.isna()")
    assert missing[~(missing["metric"] + missing["column"]).str.contains(UNDEFINED, case=False)].index.tolist() == []
    assert NOT_RUN not in set(measured.loc[has].query("measured.notna()")["status"])
