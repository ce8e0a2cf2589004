"""What the page of the ledger says of each number: the paper's, what two studies have of it, and how to have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchcert.claims.command import DEFAULT_STUDY, SYMBOLS, UNITS
from patchcert.claims.cost_words import Told
from patchcert.claims.measured import Results
from patchcert.claims.record import path_of, planning, regenerating
from patchcert.claims.targets import CERTIFICATES, FILES, Target, target
from patchcert.report.ledger import PER_CENT
from patchcert.report.settings import is_counterpart
from patchcert.study.facts import MASKED, RUN, Config, Facts

CONDITIONS = ("defense", "metric", "dataset", "model", "training", "patch", "mask_budget", "threshold")
CERTIFICATE_FILES = {
    "multilabel": f"certificates/multilabel/{MASKED}/records.parquet",
    "bagcert": f"certificates/bagcert/{RUN}.parquet",
    "mask_smoothing": f"certificates/mask_smoothing/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.parquet",
}
"""Files of certificates under the folder of results, by defense; those of the others are :data:`MASKING_FILE`."""
MASKING_FILE = f"certificates/{{defense}}/{MASKED}.parquet"
AT_ONE_PLACE = ("answered", "unrestricted", "largest_radius", "certified_gain")
"""Measures of mask smoothing that hold at one given place, where its ``empirical`` asks for no certificate."""
POINTS = {PER_CENT: "points"}
"""Units of differences, where they are others."""
NOTHING = Told("", "")
"""Of a number that the study does not have."""
DIGITS = 8
"""How much of a digest is shown."""


def entries(found: pd.DataFrame, paper: Results, counterparts: Results, costs: Mapping[str, Told]) -> list[dict[str, Any]]:
    """One entry a number, in the ledger's order, of texts, booleans and lists alone.

    Args:
        found: as :func:`patchcert.claims.measured.survey` gives it of these studies.
        paper: the results of the study with the published datasets.
        counterparts: those of a study with other images.
        costs: of the numbers in the paper study, as :func:`patchcert.claims.cost_words.read_costs` gives them.

    Returns:
        ``id``, ``paper``, ``table``, ``row``, ``column``, ``model``, ``status``, ``reason``, ``quoted``; ``published``,
        ``measured``, ``difference`` and ``counterpart`` as texts with their unit, empty where there is none; ``conditions``
        by their names; ``tolerance`` with its reason; ``dagger``, whether the number holds at one place alone; ``passes``, what
        the paper study asks its classifiers for it; ``studies``, what each of the two has, its commands apart, which are
        :func:`commands`.
    """
    return [_entry(row, paper, counterparts, costs.get(row["id"], NOTHING)) for row in found.to_dict("records")]


def _entry(row: Mapping[Any, Any], paper: Results, counterparts: Results, cost: Told) -> dict[str, Any]:
    unit, tolerance = row["unit"], row["tolerance"]
    tolerated = "none" if math.isnan(tolerance) else f"± {worded(tolerance, POINTS.get(unit, unit))}"
    return {
        **{name: row[name] for name in ("id", "paper", "table", "row", "column", "model", "status", "reason")},
        "quoted": row["quoted_from"],
        "published": f"{SYMBOLS[row['relation']]}{worded(row['published'], unit)}",
        "measured": worded(row["measured"], unit),
        "difference": _signed(row["difference"], unit),
        "counterpart": worded(row["counterpart"], unit),
        "conditions": {name.replace("_", " "): row[name] for name in CONDITIONS if row[name]},
        "tolerance": f"{tolerated}: {row['tolerance_reason']}",
        "dagger": row["defense"] == "mask_smoothing" and row["metric"] in AT_ONE_PLACE,
        "passes": cost.passes,
        "studies": [_of_study(row, paper) | {"takes": cost.whole}, _of_study(row, counterparts)],
    }


def commands(config: Config) -> dict[str, str]:
    """The name of a study, and its commands for a number, which stands in them as ``ID``."""
    regenerate = regenerating(config, "ID")
    file = regenerate.partition(" --configfile ")[2]
    return {
        "study": config["study"],
        "regenerate": regenerate,
        "plan": planning(config, "ID"),
        "verify": f"patchcert claims verify ID --config {file or DEFAULT_STUDY}",
    }


def worded(number: float | None, unit: str) -> str:
    """A number of the ledger with its unit, at most three decimals; empty where there is none."""
    if number is None or math.isnan(number):
        return ""
    text = f"{number:.3f}".rstrip("0")
    if unit == PER_CENT and text.endswith("."):  # papers print them so
        text += "0"
    text = text.rstrip(".")
    return f"{text} {UNITS.get(unit, unit)}".rstrip()


def _signed(number: float | None, unit: str) -> str:
    """A difference with its sign."""
    text = worded(None if number is None else abs(number), POINTS.get(unit, unit))
    return text and f"{'-' if number is not None and number < 0 else '+'}{text}"


def _of_study(row: Mapping[Any, Any], results: Results) -> dict[str, Any]:
    """What a study has of a number and how to have it, or only why it cannot have it."""
    config, found = results.config, target(row, results.config)
    told: dict[str, Any] = {"counterpart": is_counterpart(row, config)}
    if not isinstance(found, Target):
        return told | {"reason": found}
    value, path = results.measured(found), path_of(config, row["id"])
    folder = config["directories"]["results"]
    return told | {
        "source": found.source,
        "certificates": list(dict.fromkeys(f"{folder}/{file_of(found.kind, facts)}" for facts in found.facts)),
        "read": value.files if value else [],
        "record": _provenance(path, results.recorded(row["id"])),
    }


def file_of(kind: str, facts: Facts) -> str:
    """The file of a certificate, or of times, under the folder of results."""
    if kind == CERTIFICATES:
        return CERTIFICATE_FILES.get(facts["defense"], MASKING_FILE).format(**facts)
    return FILES[kind].format(**facts)


def _provenance(path: str, stored: Mapping[str, Any]) -> dict[str, str]:
    """What a record says of where its number came from, in words; nothing where there is none."""
    if not stored:
        return {}
    of = stored["provenance"]
    # several hundred records with every path would be larger than the rest of the page
    files = ", ".join(f"{len(paths)} of {kind}" for kind, paths in of["files"].items() if paths)
    return {
        "record": path,
        "measured": f"{worded(stored['measured'], stored['unit'])}, {stored['status']}",
        "files": f"{files}; the record has their digests",
        "code": "; ".join(f"{name} {digest[:DIGITS]}" for name, digest in of["code"].items()),
        "configuration": "; ".join(f"{name} {digest[:DIGITS]}" for name, digest in of["configuration"].items()),
        "versions": ", ".join(f"{name} {number}" for name, number in of["versions"].items()),
        "device": of["device"],
        "seeds": ", ".join(map(str, of["seeds"])),
    }
