"""What the tests share of configurations."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from patchcert.report import settings, terms
from patchcert.report.settings import of_study
from patchcert.study.config import complete

ROOT = Path(__file__).parents[2]

MINIMAL: dict[str, Any] = {
    "study": "tiny",
    "datasets": {
        "digits": {
            "loader": "digits",
            "source": "digits",
            "classes": 10,
            "image_size": [32, 32],
            "split_sizes": {"calibration": 5, "test": 7},
        }
    },
    "trainings": {"plain": {"strategy": "plain", "epochs": 3, "learning_rate": 0.01}},
    "runs": [{"dataset": "digits", "models": ["small_vit"], "trainings": ["plain"]}],
    "defenses": {"double_masking": {"patch_sizes": [[5, 5]], "mask_budgets": [[6, 6]]}},
}
"""As few keys as a study can do with."""


def own_images(size: int, name: str) -> dict[str, Any]:
    """What a study says of a dataset that bears the name of its loader and source."""
    return {"loader": name, "source": name, "image_size": [size, size]}


SMALL: dict[str, Any] = {
    "datasets": {name: own_images(size, name) for name, size in (("digits", 32), ("birds", 50), ("scenes", 64))},
    "trainings": {f"margin_{100 * margin:03.0f}": {"margin": margin} for margin in (0.25, 0.5, 0.75, 1.0)},
}
"""What published numbers are matched by in a study of small images, of which no paper has any."""


def seen(ledger: pd.DataFrame, study: Mapping[str, Any] = SMALL) -> pd.DataFrame:
    """A ledger as the reports of a study get it."""
    return of_study(ledger, study)


def configured(name: str) -> dict[str, Any]:
    """A configuration that ships."""
    return complete(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")))


def shown(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the rules show of a configuration: its ``TABLES`` and ``FIGURES``, with the captions' ``PUBLISHED`` words."""
    known = dict(vars(terms)) | dict(vars(settings)) | {"config": config}
    return {
        statement.targets[0].id: eval(compile(ast.Expression(statement.value), "common.smk", "eval"), known)
        for statement in ast.parse((ROOT / "rules" / "common.smk").read_text("utf-8")).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id in ("TABLES", "FIGURES", "PUBLISHED")
    }
