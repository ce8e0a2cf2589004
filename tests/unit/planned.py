"""Frames of every certificate that a configuration plans, as tables and figures get them, with made-up measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from patchcert.evaluation.multilabel import SETTINGS
from patchcert.metrics import METRICS
from patchcert.report.ledger import read_ledger
from patchcert.report.results import scorers
from patchcert.study import facts as of_certificates
from patchcert.study.facts import GRID, MASKING_NOTHING, Facts

from .configurations import seen

SHIPPED_LEDGER = Path(__file__).parents[2] / "config" / "published.csv"
SHARE = {"percent": 50.0, "low": 46.0, "high": 54.0, "hits": 200, "total": 400}
COUNTS = {"near_flips": 0, "passes": 10.0, "pairs": 45}
POINT = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "class_precision": 0.5, "class_recall": 0.5}
CLASSES = {0: 0.6, 3: 0.9, 70: 0.2}
"""Areas under the curve by class."""
SMOOTHED = ("undefended", "empirical", "answered", "unrestricted", "rescued")


def frames_of(config: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """The frames that a table or figure is made from, of the facts of its analysis."""
    facts = of_certificates.facts_of(config, item.get("analysis", GRID))
    masking = [each for each in facts if each["defense"] not in ("minority_reports", "multilabel", *MASKING_NOTHING)]
    runs = of_certificates.once({name: each[name] for name in of_certificates.RUN_FACTS} for each in facts)
    device = {"device": "a device"}
    made = {
        "results": lambda: _table(product(masking, ({"metric": name} | SHARE | COUNTS for name in METRICS))),
        "reports": lambda: _table(
            product(
                _of(facts, "minority_reports"),
                ({"threshold": at, "clean": 300, "certified": 200, "alerts": 9, "total": 400} for at in (0.1, 0.9)),
            )
        ),
        "times": lambda: _table(
            (run, device | {"calls": 9.0, "milliseconds": 9.0, "images": 50} | asked)
            for run in runs
            for asked in (
                {"patch": "", "budget": "", "algorithm": "undefended"},
                *(
                    {"patch": each["patch"], "budget": each["budget"], "algorithm": each["defense"]}
                    for each in masking
                    if run.items() <= each.items()
                ),
            )
        ),
        "trainings": lambda: _table((run, {"extra_passes": 4, "copies": 1, "epochs": 10}) for run in runs),
        "training_times": lambda: _table(
            (run, device | {"search_ms": 1.0, "step_ms": 2.0, "forward_ms": 0.5, "ratio": 1.0, "copies": 1, "passes": 4.0})
            for run in of_certificates.once({name: run[name] for name in ("dataset", "model", "training")} for run in runs)
        ),
        "conditions": lambda: scorers(
            _table(
                product(
                    of_certificates.region_facts(config, item["analysis"]),
                    ({"metric": name} | SHARE for name in ("clean", "condition_3_2", "condition_3_3")),
                )
            )
        ),
        "region_times": lambda: scorers(
            _table(
                product(
                    of_certificates.region_facts(config, item["analysis"]),
                    (
                        device | {"part": part, "milliseconds": 1.5, "images": 9, "parameters": 10**6}
                        for part in ("forward", "certificate")
                    ),
                )
            )
        ),
        "smoothing": lambda: _table(
            product(map(_reach, _of(facts, "mask_smoothing")), ({"metric": name} | SHARE for name in SMOOTHED))
        ),
        "radii": lambda: _table(
            product(
                map(_reach, _of(facts, "mask_smoothing")),
                ({"radius": at, "percent": percent} for at, percent in ((0.0, 60.0), (9.0, 0.0))),
            )
        ),
        "points": lambda: _multilabel(config, facts, ({"setting": name} | POINT for name in SETTINGS)),
        "areas": lambda: _multilabel(
            config, facts, ({"setting": name, "exact": 0.5, "grid": 0.5, "exact_from_25": 0.5} for name in SETTINGS)
        ),
        "attackers": lambda: _multilabel(
            config,
            facts,
            (
                {"attacker": name, "actual_patch": patch} | POINT
                for patch in ("64x64", "45x45")
                for name in ("worst_case", "fn", "fp", "joint")
            ),
        ),
        "classes": lambda: _multilabel(
            config,
            facts,
            ({"class": number, "setting": name, "area": area} for name in SETTINGS for number, area in CLASSES.items()),
        ),
        "ledger": lambda: seen(read_ledger(SHIPPED_LEDGER), config),
        "image_sizes": lambda: {name: block["image_size"] for name, block in config["datasets"].items()},
    }
    return {name: made[name]() for name in item["reads"]}


def _of(facts: Iterable[Facts], defense: str) -> list[Facts]:
    return [each for each in facts if each["defense"] == defense]


def _reach(facts: Facts) -> Facts:
    return facts | {"largest_norm": 8.0, "largest_radius": 10.0, "alpha": 0.001}


def _table(pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> pd.DataFrame:
    return pd.DataFrame([dict(facts) | measured for facts, measured in pairs])


def _multilabel(config: Mapping[str, Any], facts: Iterable[Facts], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    at = config["defenses"]["multilabel"]["threshold"]
    return _table(product(_of(facts, "multilabel"), ({"at": at, "threshold": at} | dict(row) for row in rows)))
