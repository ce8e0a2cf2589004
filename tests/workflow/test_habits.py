"""Habits of the rules that a reader relies on, checked on the source."""

from __future__ import annotations

import re

import pytest
from workflow_study import ROOT

RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))
RULES = [
    pytest.param(body, id=name)
    for file in RULE_FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:(?:    .*)?\n)+)", file.read_text(), re.MULTILINE)
    if "script:" in body
]


@pytest.mark.parametrize("body", RULES)
def test_every_rule_with_a_job_has_a_message_and_a_log(body):
    assert "    message:" in body
    assert "    log:" in body


@pytest.mark.parametrize("body", [rule for rule in RULES if rule.id not in ("version", "restore")])
def test_every_rule_that_makes_a_result_has_a_benchmark(body):
    assert "    benchmark:" in body
    assert "    output:" in body


@pytest.mark.parametrize("body", [rule for rule in RULES if rule.id not in ("fetch", "prepare", "version", "restore")])
def test_every_rule_that_computes_takes_a_digest_of_its_code(body):
    assert "        code=" in body


def test_no_rule_runs_code_of_its_own():
    assert not [file.name for file in RULE_FILES if re.search(r"^\s+(run|shell):", file.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("path", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda path: path.name)
def test_adapters_are_thin(path):
    assert len(path.read_text().splitlines()) <= 40


def test_the_package_never_imports_snakemake():
    assert not [path for path in (ROOT / "workflow/patchcert").glob("**/*.py") if "import snakemake" in path.read_text()]
