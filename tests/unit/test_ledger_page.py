"""The page of the ledger: what it says of each number, as HTML, and in a browser where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from patchcert.claims.cost_words import read_costs
from patchcert.claims.entries import CERTIFICATE_FILES, MASKING_FILE, commands, entries, worded
from patchcert.claims.measured import Results, survey
from patchcert.claims.page import MARKS, page
from patchcert.claims.record import path_of
from patchcert.claims.status import STATUSES
from patchcert.claims.targets import target
from patchcert.provenance import write_json
from patchcert.report.ledger import read_ledger
from patchcert.study.config import complete

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "workflow/patchcert/claims/page.html").read_text()
COSTS = read_costs(ROOT / "reports/costs.csv")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ROBUST = "patchcleanser_table2_cifar10_resnet_2_4_percent_robust"
CLEAN = "patchcleanser_table2_cifar10_resnet_2_4_percent_clean"
SMOOTHED = "mask_guided_randomized_smoothing_table1_cifar10_ours_certified"
QUOTED = "mask_guided_randomized_smoothing_table1_cifar10_cbn_certified"


class Cells(HTMLParser):
    """The cells with a number, by id: their text; and how often each id, tag and address occurs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.tags, self.addresses = Counter[str](), Counter[str](), Counter[str]()
        self.texts: dict[str, str] = {}
        self.cell, self.data, self.inside = "", "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.inside = tag
        self.addresses.update(known[name] for name in ("src", "href") if name in known)
        if tag == "td":
            self.cell = known.get("id", "")
            self.ids.update([self.cell] if self.cell else [])

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        if tag == "td":
            self.cell = ""

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.texts[self.cell] = self.texts.get(self.cell, "") + data
        if self.inside == "script" and data.startswith("{"):
            self.data = data


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return read_ledger(ROOT / "config/published.csv")


@pytest.fixture(scope="module")
def studies() -> list[dict[str, Any]]:
    return [complete(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())) for name in ("paper", "study")]


def found(ledger: pd.DataFrame, studies: list[dict[str, Any]], root: Path, *identities: str) -> list[dict[str, Any]]:
    return of_rows(ledger[ledger["id"].isin(identities)], studies, root)


def of_rows(rows: pd.DataFrame, studies: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
    results = [Results(each, root) for each in studies]
    return entries(survey(rows, *results), *results, COSTS)


def html(numbers: list[dict[str, Any]], studies: list[dict[str, Any]]) -> str:
    return page(numbers, [commands(each) for each in studies], TEMPLATE)


def measure(ledger: pd.DataFrame, config: dict[str, Any], root: Path, **percent: float) -> None:
    """Store metrics of the certificate of a number of Table 2."""
    row = ledger[ledger["id"] == ROBUST].iloc[0].to_dict()
    (facts,) = target(row, config).facts
    run = facts | {name: {"percent": value} for name, value in percent.items()}
    write_json(root / config["directories"]["results"] / "metrics/grid/double_masking.json", {"runs": [run]})


# --- what it says of a number ------------------------------------------------------------------------------------------------


def test_a_number_that_was_not_run_has_its_commands_and_files(ledger, studies, tmp_path) -> None:
    (entry,) = found(ledger, studies, tmp_path, ROBUST)
    assert [entry[name] for name in ("status", "published", "measured", "difference")] == ["not run", "78.8 %", "", ""]
    assert entry["tolerance"] == "± 2.4 points: training differs by seed"
    paper, default = entry["studies"]
    run = "cifar10/resnetv2_50x1_bit.goog_distilled_in1k/random_cutout/seed-0/patch-35x35/masks-6x6"
    assert paper["certificates"] == [f"build/paper/results/certificates/double_masking/{run}.parquet"]
    assert (paper["counterpart"], default["counterpart"]) == (False, True)
    assert paper["record"] == default["record"] == {}
    told = commands(studies[0])
    assert told["regenerate"] == "snakemake build/paper/results/claims/ID.json --configfile config/paper.yaml"
    assert told["plan"] == "patchcert plan build/paper/results/claims/ID.json --configfile config/paper.yaml"
    assert commands(studies[1])["verify"] == "patchcert claims verify ID --config config/study.yaml"


def test_measured_numbers_are_judged_beside_their_counterparts(ledger, studies, tmp_path) -> None:
    paper, default = studies
    measure(ledger, paper, tmp_path, certified=76.3, defended_clean=98.0)
    measure(ledger, default, tmp_path, certified=57.5)
    clean, robust = found(ledger, studies, tmp_path, CLEAN, ROBUST)
    assert [robust[name] for name in ("status", "measured", "difference", "counterpart")] == [
        *("out of tolerance", "76.3 %", "-2.5 points", "57.5 %"),
    ]
    assert (clean["status"], clean["difference"], clean["counterpart"]) == ("within tolerance", "+0.2 points", "")
    texts = Cells(html([clean, robust], studies)).texts
    assert [" ".join(texts[each].split()) for each in (CLEAN, ROBUST)] == [
        "97.8 % ✓within toleranceours 98.0 % (+0.2 points)",
        "78.8 % ✗out of toleranceours 76.3 % (-2.5 points)default 57.5 %",
    ]


def test_a_number_that_was_regenerated_alone_is_shown_with_its_provenance(ledger, studies, tmp_path) -> None:
    record = {"measured": 78.0, "difference": -0.8, "status": "within tolerance", "unit": "per cent"}
    record["provenance"] = {
        "files": {"weights": {"build/w.safetensors": "0123456789abcdef"}, "located": {}},
        "code": {"claim.py": "fedcba9876543210"},
        "configuration": {"evaluate": "00112233445566"},
        "versions": {"torch": "2.15.0"},
        "device": "cuda",
        "seeds": [0],
    }
    write_json(tmp_path / path_of(studies[0], ROBUST), record)
    (entry,) = found(ledger, studies, tmp_path, ROBUST)
    assert (entry["measured"], entry["status"]) == ("78.0 %", "within tolerance")
    assert entry["studies"][0]["record"] == {
        "record": f"build/paper/results/claims/{ROBUST}.json",
        "measured": "78.0 %, within tolerance",
        "files": "1 of weights; the record has their digests",
        "code": "claim.py fedcba98",
        "configuration": "evaluate 00112233",
        "versions": "torch 2.15.0",
        "device": "cuda",
        "seeds": "0",
    }


def test_quoted_numbers_have_their_source_and_those_at_one_place_a_dagger(ledger, studies, tmp_path) -> None:
    quoted, smoothed = found(ledger, studies, tmp_path, QUOTED, SMOOTHED)
    assert (quoted["quoted"], quoted["dagger"], smoothed["dagger"]) == ("Zhang et al., 2020", False, True)
    text = html([quoted, smoothed], studies)
    texts = Cells(text).texts
    assert "Zhang et al., 2020" in texts[QUOTED]
    assert ["†" in texts[each] for each in (QUOTED, SMOOTHED)] == [False, True]
    assert "at one given place" in text


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        *((89.0, "per cent", "89.0 %"), (0.961, "fraction", "0.961"), (14600.0, "milliseconds", "14600 ms")),
        *((57.4994, "per cent", "57.499 %"), (4.0, "sigmas", "4 sigmas"), (float("nan"), "per cent", ""), (None, "points", "")),
    ],
)
def test_numbers_as_papers_print_them(number, unit, text) -> None:
    assert worded(number, unit) == text


def test_paths_of_certificates_are_those_of_the_rules() -> None:
    text = re.sub(r"\{MASKED\}", "{RUN}/patch-{{patch}}/masks-{{budget}}", (ROOT / "rules/certify.smk").read_text())
    made = set(re.findall(r'f"\{RESULTS\}/(certificates/[^"]+)"', text))
    run = "{dataset}/{model}/{training}/seed-{seed}"
    planned = {pattern.replace("{RUN}", run).replace("{{", "{").replace("}}", "}") for pattern in made}
    assert {*CERTIFICATE_FILES.values(), MASKING_FILE} <= planned


# --- as HTML -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(ledger, studies, tmp_path_factory) -> str:
    """The page of a fresh clone, where only the committed tables are."""
    root = tmp_path_factory.mktemp("clone")
    (root / "reports").symlink_to(ROOT / "reports")
    return html(of_rows(ledger, studies, root), studies)


def test_every_number_occurs_once_and_nothing_is_fetched(ledger, whole) -> None:
    cells = Cells(whole)
    assert cells.ids == Counter(ledger["id"])
    assert [each["id"] for each in json.loads(cells.data)["numbers"]] == ledger["id"].tolist()
    assert cells.addresses == Counter(f"#number={identity}" for identity in ledger["id"])
    assert cells.tags["table"] == len(ledger.drop_duplicates(["paper", "table"]))
    assert not cells.tags["link"] + cells.tags["img"] + cells.tags["iframe"]
    assert not re.search(r"https?:|@import|url\(", whole)
    assert len(whole.encode()) < 2_000_000


def test_the_columns_of_a_table_stand_as_in_its_fullest_row(whole) -> None:
    """The first row of Greedy Cutout's Table 1, of IBP, has only the last of them."""
    _, _, table = whole.partition('aria-label="Revisiting Image Classifier Training (Greedy Cutout), Table 1"')
    heads = re.findall(r'<th scope="col">([^<]+)</th>', table.partition("</thead>")[0])
    assert heads == [
        f"{dataset} {share}% {kind}"
        for dataset, shares in (("ImageNette", "123"), ("ImageNet", "123"), ("CIFAR-10", ("0.4", "2.4")))
        for share in shares
        for kind in ("clean", "robust")
    ]


def test_what_gives_a_number_of_passes_is_called_times(ledger, studies, tmp_path) -> None:
    (entry,) = found(ledger, studies, tmp_path, "greedy_cutout_table3_resnet_greedy_cutout_6x6_passes")
    assert [study["source"] for study in entry["studies"]] == ["times", "times"]
    assert entry["studies"][1]["certificates"] == ["results/training_times/digits/small_resnetv2.json"]


def test_what_was_not_run_says_what_it_would_cost(ledger, studies, tmp_path) -> None:
    numbers = found(ledger, studies, tmp_path, ROBUST, QUOTED)
    robust, quoted = sorted(numbers, key=lambda each: each["id"] == QUOTED)
    assert [study.get("takes") for study in robust["studies"]] == [COSTS[ROBUST].whole, None]
    assert (quoted["passes"], quoted["studies"][0]["takes"]) == ("", "")
    texts = Cells(html(numbers, studies)).texts
    assert f"not run: {COSTS[ROBUST].passes}" in texts[ROBUST]
    measure(ledger, studies[0], tmp_path, certified=78.0, defended_clean=98.0)
    assert COSTS[ROBUST].passes not in Cells(html(found(ledger, studies, tmp_path, ROBUST), studies)).texts[ROBUST]


def test_every_status_has_a_mark_of_its_own() -> None:
    assert tuple(MARKS) == STATUSES
    assert len({mark for mark, _ in MARKS.values()}) == len({style for _, style in MARKS.values()}) == len(STATUSES)


def test_texts_of_the_ledger_are_no_markup(ledger, studies, tmp_path) -> None:
    hostile = '</script><b x="$model">&amp;'
    row = ledger[ledger["id"] == QUOTED].assign(row=hostile, column=hostile, quoted_from=hostile)
    text = html(of_rows(row, studies, tmp_path), studies)
    cells = Cells(text)
    assert cells.tags["b"] == 0
    assert cells.tags["script"] == text.count("</script>") == 2
    assert hostile in cells.texts[QUOTED]
    assert json.loads(cells.data)["numbers"][0]["row"] == hostile


# --- in a browser ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install chromium, or name one in $CHROMIUM")
@pytest.mark.parametrize(
    ("fragment", "query"),
    [
        ("", None),
        ("status=not-run&paper=bagcert", "status == 'not run' and paper == 'bagcert'"),
        ("status=quoted", "status == 'quoted'"),
        ("q=IMAGENETTE+pc-mlp", "dataset == 'imagenette' and row.str.startswith('PC-MLP')"),
        ("model=tresnet_l.miil_in1k_448", "model == 'tresnet_l.miil_in1k_448'"),
        ("q=nothingofthekind", "paper == ''"),
    ],
)
def test_a_filter_hides_the_other_numbers_and_rows(ledger, studies, whole, tmp_path, fragment, query) -> None:
    file = tmp_path / "claims.html"
    file.write_text(whole, encoding="utf-8")
    dom = in_chromium(tmp_path, f"{file.as_uri()}#{fragment}")
    status = {each["id"]: each["status"] for each in json.loads(Cells(whole).data)["numbers"]}
    table = ledger.assign(status=ledger["id"].map(status))
    wanted = table.query(query) if query else table
    total = f"{len(wanted)} of {len(table)} numbers" if query else f"{len(table)} numbers"
    assert f'<p id="count" role="status">{total}</p>' in dom
    assert set(re.findall(r'<td id="(\w+)"(?: class="")?>', dom)) == set(wanted["id"])
    rows = ["paper", "table", "row"]
    shown = re.findall(r"<tr><th scope=\"row\">", dom)
    assert len(shown) == len(wanted.drop_duplicates(rows))


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install chromium, or name one in $CHROMIUM")
def test_a_number_opens_its_details(whole, tmp_path) -> None:
    file = tmp_path / "claims.html"
    file.write_text(whole, encoding="utf-8")
    dom = in_chromium(tmp_path, f"{file.as_uri()}#number={SMOOTHED}")
    dialog = re.search(r'<dialog id="detail"[^>]* open="">.*?</dialog>', dom, re.DOTALL)
    assert dialog
    assert f"snakemake build/paper/results/claims/{SMOOTHED}.json --configfile config/paper.yaml" in dialog[0]
    assert "certificates/mask_smoothing/cifar10_32/cifar_resnet18/gaussian_patch" in dialog[0]
    assert "1.96 standard errors" in dialog[0]
    assert COSTS[SMOOTHED].whole in dialog[0]
    assert "no bound against all attackers" in dialog[0]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install chromium, or name one in $CHROMIUM")
def test_only_tables_scroll_sideways_on_a_phone(whole, tmp_path) -> None:
    (tmp_path / "claims.html").write_text(whole, encoding="utf-8")
    frame = tmp_path / "frame.html"  # a window of its own is never so narrow
    frame.write_text(
        '<iframe src="claims.html" style="width:390px"></iframe><p></p><script>'
        'document.querySelector("iframe").onload = (on) => {'
        "const page = on.target.contentDocument.scrollingElement;"
        'document.querySelector("p").textContent = `${page.scrollWidth} of ${page.clientWidth}`}</script>'
    )
    widths = re.search(r"<p>(\d+) of (\d+)</p>", in_chromium(tmp_path, frame.as_uri(), "--allow-file-access-from-files"))
    assert widths
    assert int(widths[1]) == int(widths[2]) <= 390


def in_chromium(folder: Path, address: str, *options: str) -> str:
    """The document after its scripts have run."""
    quiet = ("gpu", "extensions", "background-networking", "component-update", "sync")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{each}" for each in quiet)]
    command += [f"--user-data-dir={folder / 'profile'}", *options, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
