"""What README, docs and metadata say, held against the project."""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *map(str, (ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("table", ["accuracy", "defenses", "multilabel_overall"])
def test_the_readme_shows_the_committed_tables(table):
    assert (ROOT / f"reports/tables/{table}.md").read_text().strip() in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "reports/README.md"], ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles]


def test_the_readme_counts_the_rows_of_the_ledger():
    with (ROOT / "config/published.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    readme, ledger = (ROOT / "README.md").read_text(), Counter((row["paper"], row["table"]) for row in rows)
    counted = re.findall(r"^\| ([\w -]+) \| (\d+) \| ((?:[\w. -]+: \d+(?:, )?)+) \|$", readme, re.MULTILINE)
    found = {
        (re.sub("[ -]", "_", paper.lower().replace("multi-label", "multilabel")), *part.rsplit(": ", 1))
        for paper, _, parts in counted
        for part in parts.split(", ")
    }
    assert found == {(paper, table, str(count)) for (paper, table), count in ledger.items()}
    assert [int(total) for _, total, _ in counted] == list(Counter(row["paper"] for row in rows).values())


def test_what_the_readme_installs_can_make_the_report():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(requirement.startswith("snakemake[reports]") for requirement in extras["workflow"])


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in wanted} - {"patchcert"}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert names <= pinned


def test_the_report_was_made_with_the_pinned_versions():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    made_with = (ROOT / "reports/README.md").read_text().split("## Made with")[1]
    for name in ("torch", "timm", "numpy", "scikit-learn", "snakemake"):
        assert f"{name} {pinned[name]}" in made_with
