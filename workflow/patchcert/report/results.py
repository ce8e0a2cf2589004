"""What was measured, as tables for the report's tables, figures and findings to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from patchcert import InputError
from patchcert.metrics import METRICS
from patchcert.models.names import split
from patchcert.provenance import read_json
from patchcert.report.ledger import read_ledger
from patchcert.report.settings import of_study

FACTS = ["dataset", "model", "training", "seed", "patch", "budget"]
SHARE = ["percent", "low", "high", "hits", "total"]
COUNTS = ["near_flips", "passes", "pairs"]
MULTILABEL = ("points", "areas", "attackers", "classes", "class_points")
"""The tables of :func:`patchcert.evaluation.multilabel.measures`."""
SMOOTHED = ["sigma", "place", "noise_sides", "samples", "alpha", "largest_norm", "largest_radius"]
"""What tells certificates of mask smoothing of one run apart, and how far they can reach."""
OUTPUTS = {"sigmoid": "sigmoid", "softmax": "softmax", "smoothing": "votes"}
"""What the region scores of a model are, where they are not steps, by the last word of its name."""
Paths = Sequence[str | Path]


def frames(
    files: Mapping[str, Paths], facts: Sequence[Mapping[str, Any]], study: Mapping[str, Any] | None = None
) -> dict[str, pd.DataFrame]:
    """What a table or figure is made from, by name, and of it only what belongs to the certificates that it shows.

    Args:
        files: paths by the name of the frame: ``results``, ``reports`` and those of ``MULTILABEL`` (metrics files), ``times``,
            ``trainings`` (records), ``training_times``, ``conditions`` and ``attacks`` (metrics files of region scorers),
            ``region_times``, ``smoothing`` and ``radii`` (metrics files of mask smoothing), ``localisation`` (metrics files of
            its localisation under attacks), ``ledger``, and ``images`` (a certificate for each of the facts, then the image
            indexes).
        facts: ``FACTS`` and ``defense`` of each certificate that is shown, and whatever else tells it from the others.
        study: what published numbers are matched by, as :func:`patchcert.report.settings.matched_by` gives it; needed for
            ``ledger``, which is read as :func:`patchcert.report.settings.of_study` gives it.
    """
    shown = pd.DataFrame(facts)
    read: dict[str, Callable[[Paths], pd.DataFrame]] = {
        "results": lambda paths: _shown(pd.concat([read_results(path) for path in paths], ignore_index=True), shown),
        "reports": lambda paths: _shown(pd.concat([read_curves(path) for path in paths], ignore_index=True), shown),
        "times": lambda paths: pd.concat([read_times(path) for path in paths], ignore_index=True),
        "trainings": lambda paths: pd.DataFrame([_training(path) for path in paths]),
        "conditions": lambda paths: scorers(_shown(pd.concat([read_shares(path) for path in paths], ignore_index=True), shown)),
        "attacks": lambda paths: scorers(_shown(pd.concat([read_shares(path) for path in paths], ignore_index=True), shown)),
        "smoothing": lambda paths: _shown(pd.concat([read_shares(path, SMOOTHED) for path in paths], ignore_index=True), shown),
        "radii": lambda paths: _shown(pd.concat([read_curves(path, SMOOTHED) for path in paths], ignore_index=True), shown),
        "localisation": lambda paths: _shown(
            pd.concat([read_shares(path, ["steps"]) for path in paths], ignore_index=True), shown
        ),
        "region_times": lambda paths: scorers(pd.concat([read_times(path) for path in paths], ignore_index=True)),
        **{name: partial(_multilabel, name, shown) for name in MULTILABEL},
        "training_times": lambda paths: pd.concat([read_times(path) for path in paths], ignore_index=True),
        "ledger": lambda paths: _ledger(paths[0], study),
        "images": lambda paths: read_images(paths[: len(facts)], facts, paths[len(facts) :]),
    }
    return {name: read[name](paths) for name, paths in files.items()}


def _ledger(path: str | Path, study: Mapping[str, Any] | None) -> pd.DataFrame:
    if study is None:
        raise InputError(f"study: nothing says what {path} is matched by; write what matched_by of a configuration gives")
    return of_study(read_ledger(path), study)


def read_results(path: str | Path) -> pd.DataFrame:
    """Long form of the metrics of a defense, one row a run and metric.

    The columns are ``FACTS``, ``defense``, ``metric``, ``SHARE`` and ``COUNTS``: near flips, mean forward passes an image, and
    the pairs of masks that matrix mode would classify.
    """
    rows = [
        {fact: run[fact] for fact in [*FACTS, "defense", *COUNTS]} | {"metric": metric} | run[metric]
        for run in read_json(path)["runs"]
        for metric in METRICS
    ]
    return pd.DataFrame(rows, columns=[*FACTS, "defense", "metric", *SHARE, *COUNTS])


def read_curves(path: str | Path, also: Sequence[str] = ()) -> pd.DataFrame:
    """Long form of the metrics of a defense with a curve, one row a run and point of its curve.

    The columns are ``FACTS``, ``defense``, the facts in ``also``, and those of the curve: of a detector ``threshold`` and the
    counts ``clean``, ``certified``, ``alerts`` and ``total``, of mask smoothing ``radius`` and ``percent``.
    """
    runs = [
        pd.DataFrame(run["curve"]).assign(**{fact: run[fact] for fact in [*FACTS, "defense", *also]})
        for run in read_json(path)["runs"]
    ]
    return pd.concat(runs, ignore_index=True)


def read_shares(path: str | Path, also: Sequence[str] = ("margin",)) -> pd.DataFrame:
    """Long form of metrics that are shares, one row a run and metric.

    The columns are ``FACTS``, ``defense``, the facts in ``also``, ``metric``, and the fields of
    :class:`patchcert.metrics.Share`, of which those of a share of no image are NaN. ``margin`` is the M that a region scorer
    was trained for, if any.
    """
    rows = [
        {fact: run[fact] for fact in [*FACTS, "defense", *also]} | {"metric": metric} | found
        for run in read_json(path)["runs"]
        for metric, found in run.items()
        if isinstance(found, dict)
    ]
    return pd.DataFrame(rows)


def scorers(table: pd.DataFrame) -> pd.DataFrame:
    """A table of region scorers with what their names say: ``receptive_field``, if any, ``output`` and ``defense``."""
    families, fields = zip(*(split(model) for model in table["model"]), strict=True)
    outputs = pd.Series([OUTPUTS.get(family.rpartition("_")[2], "heaviside") for family in families], index=table.index)
    return table.assign(
        receptive_field=pd.to_numeric(pd.Series(fields, index=table.index), errors="coerce"),
        output=outputs,
        margin=pd.to_numeric(table["margin"], errors="coerce"),
        defense=outputs.map(lambda output: "derandomized_smoothing" if output == "votes" else "bagcert"),
    )


def read_multilabel(path: str | Path, name: str) -> pd.DataFrame:
    """One of the tables of a multi-label defense's metrics, with ``FACTS``, ``defense`` and the chosen ``at`` threshold."""
    stored = read_json(path)
    tables = [
        pd.DataFrame(run[name]).assign(**{fact: run[fact] for fact in [*FACTS, "defense"]}, at=stored["threshold"])
        for run in stored["runs"]
    ]
    return pd.concat(tables, ignore_index=True)


def _multilabel(name: str, shown: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    return _shown(pd.concat([read_multilabel(path, name) for path in paths], ignore_index=True), shown)


def read_times(path: str | Path) -> pd.DataFrame:
    """Times of what one run did: of single answers, a row a mask set and algorithm, or of training steps, a row a training.

    The columns are ``device``, and ``FACTS``, ``algorithm``, ``milliseconds``, ``calls`` and ``images``; or ``dataset``,
    ``model`` and those of :func:`patchcert.training.throughput.step_times`.
    """
    stored = read_json(path)
    return pd.DataFrame([stored["run"] | row | {"device": stored["device"]} for row in stored["rows"]])


def _training(path: str | Path) -> dict[str, Any]:
    """The facts of a run, from the place of its record, with what the search of its strategy took."""
    dataset, model, training, seed = Path(path).parts[-5:-1]
    facts = {"dataset": dataset, "model": model, "training": training, "seed": int(seed.removeprefix("seed-"))}
    stored = read_json(path)
    return facts | {"extra_passes": stored["extra_passes"], "copies": stored["copies"], "epochs": stored["epochs"]}


def read_images(certificates: Paths, facts: Sequence[Mapping[str, Any]], indexes: Paths) -> pd.DataFrame:
    """Certificates, one row an image, with the size of its object.

    The columns are ``FACTS``, ``image_id``, ``label``, ``undefended``, ``defended``, ``certified`` and ``object_size``, per
    cent.
    """
    table = pd.concat(
        [
            pd.read_parquet(path).assign(**{fact: fact_of[fact] for fact in FACTS})
            for path, fact_of in zip(certificates, facts, strict=True)
        ],
        ignore_index=True,
    )
    index = pd.concat([pd.read_parquet(path).assign(dataset=Path(path).parent.name) for path in indexes], ignore_index=True)
    columns = [*FACTS, "image_id", "label", "undefended", "defended", "certified", "object_size"]
    return table.merge(index[["dataset", "image_id", "object_size"]], on=["dataset", "image_id"], validate="m:1")[columns]


def _shown(table: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """The rows of some certificates, in the order of these; facts that the table does not have tell none of them apart."""
    wanted = facts[[fact for fact in facts if fact in table]].drop_duplicates()
    return wanted.assign(order=range(len(wanted))).merge(table, how="inner", sort=False).sort_values("order", kind="stable")


def in_order(values: pd.Series) -> list[str]:
    """Distinct values in the order in which they first occur, which is the configuration's."""
    return list(dict.fromkeys(values))


def spoken(name: str) -> str:
    """A name for readers: ``greedy_cutout_6x6`` as ``greedy cutout 6x6``, and those of timm, with their dot, unchanged."""
    return name if "." in name else name.replace("_", " ")
