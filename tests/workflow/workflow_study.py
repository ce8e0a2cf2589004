"""A copy of the project in which snakemake runs for real."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".git", ".dvc", ".venv", ".snakemake", "build", "data", "checkpoints", "results"}
CONFIG = "config/ci.yaml"
FILL_A_FOLDER = {"prepare", "train", "certify_multilabel", "predict_regions"}
NAMED = r"/(?:certificates|tables|figures)/(\w+)|/metrics/(\w+/\w+)"


@dataclass
class Study:
    """A project folder of its own, with the package taken from that folder."""

    folder: Path
    config: str | list[str] = CONFIG
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        # targets come first: Snakemake takes several files after --configfile
        files = [self.config] if isinstance(self.config, str) else self.config
        return [sys.executable, "-m", "snakemake", *arguments, "--configfile", *files]

    def variables(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "workflow")} | self.environment

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.variables(), capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def jobs(self, *targets: str) -> set[tuple[str, str]]:
        """Planned jobs, each by its rule and the path of what it makes, without the suffix."""
        rows = csv.DictReader(self.run(*targets, "--summary").stdout.splitlines(), delimiter="\t")
        planned = [(row["rule"], Path(row["output_file"])) for row in rows if row["plan"] == "update pending"]
        # the outputs of a job fill a folder, or differ by their suffix
        return {(rule, str(file.parent if rule in FILL_A_FOLDER else file.with_suffix(""))) for rule, file in planned}

    def plan(self, *targets: str) -> Counter[str]:
        """Planned jobs, counted by rule and by what they are about.

        For instance ``certify/challenger``, ``evaluate/grid/double_masking``, ``table/vanilla``.
        """
        found = [(rule, re.search(NAMED, made)) for rule, made in self.jobs(*targets)]
        about = [(rule, match[1] or match[2] if match else "") for rule, match in found]
        return Counter(f"{rule.removesuffix(f'_{name}')}/{name}" if name else rule for rule, name in about)

    def edit_config(self, keys: str, value: Any) -> None:
        """Set a key, given as a dotted path, in the configuration."""
        path = self.folder / self.config
        # through JSON, in which blocks that share an anchor part, so that the edit is to one of them
        config = json.loads(json.dumps(yaml.safe_load(path.read_text())))
        *parents, last = keys.split(".")
        block = config
        for key in parents:
            block = block.setdefault(key, {})
        block[last] = value
        path.write_text(yaml.safe_dump(config))

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace text, which must be there, in a source file."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def append(self, file: str, text: str = "assert True\n") -> None:
        """Append text to a source file: by default, code that changes its digest and nothing else."""
        path = self.folder / file
        path.write_text(path.read_text() + text)

    def outcome(self) -> dict[str, bytes]:
        """What a run amounts to: weights, training logs, predictions and metrics, by path."""
        build = self.folder / "build/ci"
        kinds = ("checkpoints/**/weights.safetensors", "checkpoints/**/log.csv", "results/predictions/**/predictions.npz")
        files = [path for kind in (*kinds, "results/metrics/**/*.json") for path in build.glob(kind)]
        return {str(path.relative_to(build)): path.read_bytes() for path in files}


def fresh_copy(folder: Path) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    for path in ROOT.iterdir():
        if path.name in LEFT_OUT:
            continue
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, folder / path.name)
    return Study(folder)
