"""What a study has measured for the numbers of the ledger, from the files that are there, and how it compares."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from patchcert import InputError
from patchcert.claims.readings import Measures
from patchcert.claims.record import path_of
from patchcert.claims.status import COUNTERPART, NOT_REPRODUCIBLE, NOT_RUN, OF_OTHERS, status
from patchcert.claims.targets import CERTIFICATES, FILES, QUOTED, REGION_TIMES, TIMES, TRAINING_TIMES, Target, target
from patchcert.provenance import read_json
from patchcert.report.ledger import COLUMNS, PUBLISHED
from patchcert.report.settings import is_counterpart
from patchcert.study.facts import GRID, METRICS, RUN_FACTS, Config, Facts

CELLS = {
    "multilabel_overall": "points",
    "multilabel_areas": "areas",
    "multilabel_attackers": "attackers",
    "multilabel_classes": "classes",
    "inference_times": "rows",
    "bagcert_times": "rows",
    "training_throughput": "rows",
}
"""Tables of the report whose rows are the rows of a table of measures, by that table's name; the others have shares."""
TIMED = {TIMES: "inference_times", REGION_TIMES: "bagcert_times", TRAINING_TIMES: "training_throughput"}
"""Tables of the report by the kind of target whose measures they have; the others are of certificates."""
TOLD = (*RUN_FACTS, "patch", "budget", "place", "sigma")
"""Facts by which tables of the report tell certificates apart."""


LEDGER = (
    *COLUMNS[: COLUMNS.index("tolerance")],
    "target",
    *COLUMNS[COLUMNS.index("tolerance") :],
    *("default_measured", "measured", "difference", "status", "reason"),
)
"""Columns of the ledger as a study writes it."""
DECIMALS = 4


class Measured(NamedTuple):
    """A measured value in the ledger's unit, and the files that it was read from."""

    value: float
    files: list[str]


class Results:
    """The measures that a study has stored: its metrics and times, or the tables of its report where these are not there."""

    def __init__(self, config: Config, root: str | Path = ".") -> None:
        """Nothing is read before it is asked for.

        Args:
            config: as :func:`patchcert.study.config.complete` gives it.
            root: the project's folder, in which the configuration's directories are.
        """
        self.config, self.root = config, Path(root)
        self._files: dict[Path, Any] = {}

    def recorded(self, identity: str) -> dict[str, Any]:
        """The record of a number that was regenerated alone; empty where there is none."""
        return self._read(path_of(self.config, identity))

    def measured(self, found: Target) -> Measured | None:
        """The value of a target, or none where some of its measures are not there."""
        stored = [self._stored(found.kind, facts) for facts in found.facts]
        shown = ([self._in_table(name, facts) for facts in found.facts] for name in self._tables if _tells(name, found.kind))
        for parts in (stored, *shown):
            present = [part for part in parts if part]
            if len(present) < len(found.facts):
                continue
            try:
                value = found.read([measures for measures, _ in present])
            except KeyError:  # the file has other measures of the certificate than this one
                continue
            return Measured(value, list(dict.fromkeys(file for _, file in present)))
        return None

    def _stored(self, kind: str, facts: Facts) -> tuple[Measures, str] | None:
        results = self.config["directories"]["results"]
        if kind != CERTIFICATES:
            path = f"{results}/{FILES[kind].format(**facts)}"
            return (facts | stored, path) if (stored := self._read(path)) else None
        for analysis in (GRID, *self.config["analyses"]):
            path = f"{results}/{METRICS.format(analysis=analysis, defense=facts['defense'])}"
            for run in self._read(path).get("runs", []):
                if facts.items() <= run.items():
                    return run, path
        return None

    def _read(self, path: str) -> dict[str, Any]:
        file = self.root / path
        if file not in self._files:
            self._files[file] = read_json(file) if file.is_file() else {}
        found: dict[str, Any] = self._files[file]
        return found

    def _in_table(self, name: str, facts: Facts) -> tuple[Measures, str] | None:
        """What a table of the report has of a certificate."""
        told, parts = self._tables[name]
        rows = parts.get(tuple(facts.get(fact) for fact in told))
        path = f"{self.config['directories']['reports']}/tables/{name}.csv"
        return (facts | _measures_of_table(name, rows), path) if rows is not None else None

    @cached_property
    def _tables(self) -> dict[str, tuple[list[str], dict[tuple[Any, ...], pd.DataFrame]]]:
        """The facts that each table tells its certificates by, and its rows by them."""
        folder = self.root / self.config["directories"]["reports"] / "tables"
        found = {}
        for path in sorted(folder.glob("*.csv")):
            table = pd.read_csv(path)
            timed = path.stem in TIMED.values()
            if timed or ({*RUN_FACTS} <= {*table} and (path.stem in CELLS or "metric" in table)):
                # what tells the rows of times apart is no fact of theirs
                told = [fact for fact in (RUN_FACTS if timed else TOLD) if fact in table]
                found[path.stem] = told, dict(iter(table.groupby(told)))
        return found


def _tells(name: str, kind: str) -> bool:
    """Whether a table of the report has measures of a kind of target."""
    return name not in TIMED.values() if kind == CERTIFICATES else name == TIMED[kind]


def _measures_of_table(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Measures as the metrics file had them from which a table of the report was made."""
    if name not in CELLS:
        return {row["metric"]: {"percent": float(row["percent"])} for row in rows.to_dict("records")}
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return {CELLS[name]: [{str(key): value for key, value in record.items()} for record in records]}


def survey(ledger: pd.DataFrame, study: Results, beside: Results | None = None) -> pd.DataFrame:
    """What became of each number of the ledger.

    Args:
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        study: the results that are held against it.
        beside: those of a study of counterparts, if any.

    Returns:
        The ledger with ``target``, the file that Snakemake makes to regenerate the number alone (or empty); ``measured`` and
        ``difference`` (NaN where there is none), ``status`` (of :data:`patchcert.claims.status.STATUSES`), ``reason`` (of
        :data:`patchcert.claims.targets.REASONS`, or empty) and ``counterpart``, what the other study measured (or NaN).
    """
    return ledger.assign(**pd.DataFrame([_became(row, study, beside) for row in ledger.to_dict("records")], index=ledger.index))


def _became(row: Mapping[Any, Any], study: Results, beside: Results | None) -> dict[str, Any]:
    found = target(row, study.config)
    told: dict[str, Any] = {"target": "", "measured": math.nan, "difference": math.nan, "status": NOT_RUN, "reason": ""}
    if isinstance(found, str):
        told |= {"status": OF_OTHERS if found == QUOTED else NOT_REPRODUCIBLE, "reason": found}
    else:
        told["target"] = path_of(study.config, row["id"])
        value = _value(row, study, found)
        if value is not None:
            told["measured"] = value
            if is_counterpart(row, study.config):
                told["status"] = COUNTERPART
            else:
                told |= {"difference": value - row["published"], "status": status(row, value)}
    other = target(row, beside.config) if beside else ""
    compared = _value(row, beside, other) if beside and isinstance(other, Target) else None
    return told | {"counterpart": math.nan if compared is None else compared}


def _value(row: Mapping[Any, Any], study: Results, found: Target) -> float | None:
    """What a study has measured for a number, all of it or this number alone; none where it was not run."""
    if value := study.measured(found):
        return value.value
    if stored := study.recorded(row["id"]):
        return math.nan if stored["measured"] is None else float(stored["measured"])
    return None


def ledger_of(found: pd.DataFrame) -> pd.DataFrame:
    """The ledger as a study writes it: :data:`LEDGER`, of what :func:`survey` gives, with :data:`DECIMALS` decimals."""
    return found.rename(columns={"counterpart": "default_measured"})[list(LEDGER)].round(DECIMALS)


def row_of(ledger: pd.DataFrame, identity: str) -> dict[str, Any]:
    """The row of a number of the ledger.

    Raises:
        InputError: there is none of this id; the message has the nearest ones.
    """
    found = ledger[ledger["id"] == identity]
    if found.empty:
        near = difflib.get_close_matches(identity, ledger["id"], n=3, cutoff=0.5)
        instead = f"did you mean {' or '.join(near)}?" if near else "`patchcert claims` lists them all"
        raise InputError(f"{PUBLISHED}: no number has the id {identity!r}; {instead}")
    return {str(key): value for key, value in found.iloc[0].items()}
