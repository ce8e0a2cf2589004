"""The jobs that snakemake would run, with their parameters; snakemake itself is asked, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from patchcert import InputError

SCRIPT = Path(__file__).parents[2] / "scripts" / "plan_jobs.py"
MARK = "job: "
"""What the lines of the script begin with, among those that snakemake prints."""
ASKED = "jobs that are still to run:"
"""The line before them."""
NO_RULE = ("MissingRuleException", "MissingInputException")
"""What snakemake says of a target that nothing makes."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that is still to run.

    Attributes:
        rule: name of its rule.
        file: name of the file in ``rules/`` that the rule is in, without its ending: the stage.
        wildcards: the facts in its paths.
        params: what the rule tells its script.
        inputs: paths of what it reads.
        outputs: paths of what it makes; none of a target that only names others.
    """

    rule: str
    file: str
    wildcards: dict[str, str]
    params: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def stage(self) -> str:
        """The stage that it belongs to; attacks, whose rules stand beside the predictions, are one of their own."""
        return "attack" if self.rule.startswith("attack_") else self.file


def planned_jobs(targets: Sequence[str], configfile: str | Path | None = None, folder: Path | None = None) -> list[PlannedJob]:
    """What a dry run of snakemake would run and what would make files, with the project's profile; nothing is run.

    Args:
        targets: rules or paths of files; the bare study if there is none.
        configfile: the study's configuration, relative to the folder; by default what the Snakefile takes.
        folder: the project's folder, by default the current one.

    Raises:
        InputError: Snakemake is not there or of another kind, the project is not there, a target is unknown, or snakemake
            refuses the configuration.
    """
    folder = folder or Path.cwd()
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("plan: Snakemake is not installed, whose plan is counted; run: pip install 'patchcert[workflow]'")
    if not (folder / "Snakefile").is_file():
        raise InputError(f"plan: no Snakefile in {folder}; run it in the folder of the project")
    if configfile and not (folder / configfile).is_file():
        raise InputError(f"--configfile: {configfile}: no such file; write for example config/paper.yaml")
    options = ["--configfile", str(configfile)] if configfile else []
    done = _snakemake([str(SCRIPT), *options, "--", *targets], folder)
    if done.returncode:
        if any(fault in done.stderr for fault in NO_RULE):
            listed = _snakemake(["-m", "snakemake", "--list-target-rules", *options], folder).stdout.split()
            raise InputError(
                f"plan: no rule makes all of {', '.join(targets)}; write paths of files that the study makes, "
                f"or targets: {', '.join(listed)}"
            )
        raise InputError(f"plan: snakemake cannot plan this study:\n{done.stderr.strip()}")
    if ASKED not in done.stdout.splitlines():
        raise InputError(
            f"plan: snakemake {version('snakemake')} does not tell what it would run in the way that is known here; "
            "install the version of constraints.txt"
        )
    described = [json.loads(line.removeprefix(MARK)) for line in done.stdout.splitlines() if line.startswith(MARK)]
    jobs = [PlannedJob(**each | {name: tuple(each[name]) for name in ("inputs", "outputs")}) for each in described]
    return [job for job in jobs if job.outputs]


def _snakemake(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it by this Python; -P because the repository's own folders are no modules."""
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
