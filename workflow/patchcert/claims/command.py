"""What ``patchcert claims`` prints: the numbers of the ledger, one of them, or whether a regenerated one still holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from patchcert import InputError
from patchcert.claims.cost_words import COSTS, read_costs
from patchcert.claims.measured import Results, row_of, survey
from patchcert.claims.record import path_of, planning, regenerating, verify
from patchcert.claims.status import STATUSES
from patchcert.claims.targets import Target, target
from patchcert.report.ledger import PUBLISHED, read_ledger
from patchcert.report.settings import is_counterpart
from patchcert.study.config import configuration

DEFAULT_STUDY = "config/study.yaml"
FILTERS = ("paper", "table", "defense", "status")
SYMBOLS = {"=": "", ">": "above ", "<": "below ", "~": "about "}
UNITS = {"per cent": "%", "milliseconds": "ms", "seconds": "s", "millions": "million", "points": "points", "fraction": ""}


def listing(config_file: str | Path, wanted: Mapping[str, str | None], root: str | Path = ".") -> str:
    """The numbers of the ledger that have what is wanted, a line each, with what became of them.

    Args:
        config_file: of the study that is held against them.
        wanted: values of :data:`FILTERS`, or None for all.
        root: the project's folder.

    Raises:
        InputError: a value that no number has.
    """
    ledger = read_ledger(Path(root, PUBLISHED))
    for name, value in wanted.items():
        known = STATUSES if name == "status" else tuple(dict.fromkeys(ledger[name]))
        if value is not None and value not in known:
            raise InputError(f"--{name}: no number has {value!r}; write one of {', '.join(known)}")
        if value is not None and name != "status":
            ledger = ledger[ledger[name] == value]
    found = survey(ledger, *_studies(config_file, root))
    if status := wanted.get("status"):
        found = found[found["status"] == status]
    counts = found["status"].value_counts()
    told = "; ".join(f"{counts[name]} {name}" for name in STATUSES if name in counts)
    return "\n".join([*_lines(found), f"{len(found)} numbers" + (f": {told}" if told else "")])


def _lines(found: pd.DataFrame) -> list[str]:
    table = pd.DataFrame(
        {
            "id": found["id"],
            "published": [f"{SYMBOLS[row.relation]}{_value(row.published, row.unit)}" for row in found.itertuples()],
            "measured": [_value(row.measured, row.unit) for row in found.itertuples()],
            "default study": [_value(row.counterpart, row.unit) for row in found.itertuples()],
            "status": [_status(row) for row in found.to_dict("records")],
        }
    )
    widths = [max(map(len, [name, *table[name]])) for name in table]
    rows = [list(table), *table.to_numpy().tolist()]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _status(row: Mapping[Any, Any]) -> str:
    """What became of a number, for readers: with the source of one that is quoted, or why there is none."""
    detail = row["quoted_from"] or row["reason"]
    return f"{row['status']}: {detail}" if row["reason"] else str(row["status"])


def _value(number: float, unit: str) -> str:
    return "-" if math.isnan(number) else f"{number:.6g} {UNITS.get(unit, unit)}".rstrip()


def one(config_file: str | Path, identity: str, root: str | Path = ".") -> str:
    """One number: what was published and how, what this clone has measured, and the commands that regenerate and verify it.

    Raises:
        InputError: no number has this id.
    """
    row = row_of(read_ledger(Path(root, PUBLISHED)), identity)
    study, beside = _studies(config_file, root)
    told = {
        "paper": f"{row['paper']}, {row['table']}: {row['row']}, {row['column']}",
        "published": f"{SYMBOLS[row['relation']]}{_value(row['published'], row['unit'])} ({row['metric']})",
        "tolerance": "none: " if math.isnan(row["tolerance"]) else f"{_value(row['tolerance'], row['unit'])}, ",
        "conditions": ", ".join(
            f"{name.replace('_', ' ')} {row[name]}"
            for name in ("defense", "dataset", "model", "training", "patch", "mask_budget", "threshold")
            if row[name]
        ),
    }
    told["tolerance"] += row["tolerance_reason"]
    found = survey(pd.DataFrame([row]), study, beside).iloc[0]
    told["status"] = _status(found)
    lines = [f"{name:<13}{text}" for name, text in told.items() if text]
    for results in (study, beside) if beside else (study,):
        lines += _of_study(row, results, config_file if results is study else DEFAULT_STUDY)
    return "\n".join([identity, *(f"  {line}" for line in lines)])


def _of_study(row: dict[str, Any], results: Results, config_file: str | Path) -> list[str]:
    """What one study has of a number, and how to have it."""
    config = results.config
    found = target(row, config)
    kind = "counterpart" if is_counterpart(row, config) else "published setting"
    head = f"the {config['study']} study ({config_file})"
    if not isinstance(found, Target):
        return [f"{head}: {found}"]
    value, path = results.measured(found), path_of(config, row["id"])
    told = f"{_value(value.value, row['unit'])}, from {', '.join(value.files)}" if value else "not run"
    if stored := results.recorded(row["id"]):
        told = f"{_value(stored['measured'], row['unit'])}, {stored['status']}, from {path}"
    facts = [", ".join(f"{name} {fact}" for name, fact in each.items()) for each in found.facts]
    verified = "" if config["study"] == "paper" else f" --config {config_file}"
    costs = Path(results.root, COSTS)
    takes = read_costs(costs).get(row["id"]) if config["study"] == "paper" and costs.is_file() else None
    return [
        f"{head}, {kind}",
        f"  measured     {told}",
        *([f"  cost         {takes.whole}"] if takes else []),
        *(f"  {name:<13}{text}" for name, text in zip((found.source, *[""] * len(facts)), facts, strict=False)),
        f"  regenerate   {regenerating(config, row['id'])}",
        f"  plan         {planning(config, row['id'])}",
        f"  verify       patchcert claims verify {row['id']}{verified}",
    ]


def verified(config_file: str | Path, identity: str, root: str | Path = ".") -> str:
    """That a number still follows from its stored certificates, and all upstream of them is as it was.

    Raises:
        InputError: no number has this id, it was not regenerated, or something has changed; the message names what.
    """
    row = row_of(read_ledger(Path(root, PUBLISHED)), identity)
    stored = verify(row, configuration(config_file, root), root)
    files = sum(len(each) for each in stored["provenance"]["files"].values())
    return (
        f"{identity}: {_value(stored['measured'], row['unit'])}, {stored['status']}, recomputed from its certificates; "
        f"{files} files upstream, the code and the configuration are unchanged"
    )


def _studies(config_file: str | Path, root: str | Path) -> tuple[Results, Results | None]:
    """The results of a study, and of the default study where it is another."""
    config, default = configuration(config_file, root), Path(root, DEFAULT_STUDY)
    beside = configuration(DEFAULT_STUDY, root) if default.is_file() and config["study"] != "default" else None
    return Results(config, root), Results(beside, root) if beside else None
