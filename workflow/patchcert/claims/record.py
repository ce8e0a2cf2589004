"""The record of one regenerated number: what was published and measured, and digests of everything that it came from.

The record names the code, the parts of the configuration and the files upstream of the number, so that it can be told later,
from what is there then, whether the number still follows from them and which of them has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from patchcert import InputError, plugins
from patchcert.claims.readings import Measures
from patchcert.claims.status import COUNTERPART, status
from patchcert.claims.targets import CERTIFICATES, REGION_TIMES, TIMES, TRAINING_TIMES, Target, target
from patchcert.models.names import split
from patchcert.provenance import PACKAGE_FOLDER, code_digest, environment, file_sha256, read_json, settings_sha256
from patchcert.report.ledger import PUBLISHED
from patchcert.report.settings import is_counterpart
from patchcert.study.facts import CLAIMS, Config, Facts

SCRIPTS = PACKAGE_FOLDER.parent / "scripts"
LEDGER_FACTS = (
    *("id", "paper", "table", "row", "column", "defense", "metric", "unit", "relation", "published", "threshold"),
    *("tolerance", "tolerance_reason", "quoted_from"),
)
ADAPTERS = {
    "bagcert": ("predict_regions.py", "certify_regions.py"),
    "multilabel": ("predict.py", "gather_scores.py", "certify_multilabel.py"),
    "mask_smoothing": ("attack_images.py", "restore_images.py", "sample_noise.py", "certify_smoothing.py"),
}
"""What makes the certificates of a defense, where it is not masked predictions."""
MASKED = ("predict.py", "gather_predictions.py", "certify.py")
TIMING = {TIMES: "time_inference.py", REGION_TIMES: "time_regions.py", TRAINING_TIMES: "time_training.py"}
WITHOUT_EFFECT = ("patch_sizes", "mask_budgets", "attack_strengths")
"""Keys of a defense that say which certificates there are, and nothing of each."""


def target_of(row: Mapping[str, Any], config: Config) -> Target:
    """What gives a number of the ledger.

    Raises:
        InputError: nothing does.
    """
    found = target(row, config)
    if isinstance(found, str):
        other = "; config/paper.yaml has the published settings" if is_counterpart(row, config) else ""
        raise InputError(f"claim {row['id']}: the study {config['study']!r} cannot regenerate it: {found}{other}")
    return found


def configuration_of(found: Target, config: Config) -> dict[str, Any]:
    """The parts of a configuration that a number depends on, by their keys."""
    parts: dict[str, Any] = {"device": config["device"], "evaluate": config["evaluate"]}
    parts["predict"] = {key: config["predict"][key] for key in ("fill", "dtype", "batch_size", "compiled")}
    for facts in found.facts:
        parts[f"datasets.{facts['dataset']}"] = config["datasets"][facts["dataset"]]
        name: str | None = facts["training"]
        while name:
            parts[f"trainings.{name}"] = config["trainings"][name]
            name = config["trainings"][name]["start_from"]
        settings = config["defenses"].get(facts["defense"], {})
        kept = {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}
        parts[f"defenses.{facts['defense']}"] = kept
    return parts


def code_of(found: Target, config: Config) -> dict[str, list[str]]:
    """The adapters that make a number, each with the modules that it chooses by name."""
    # what the certificates amount to is asked of a module that is chosen by name
    code = {"claim.py": [f"patchcert.evaluation.{facts['defense']}" for facts in found.facts]}
    for facts in found.facts:
        model, _ = split(facts["model"])
        network = [f"patchcert.models.architectures.{model}"] if "." not in model else []
        adapters = ADAPTERS.get(facts["defense"], MASKED) if found.kind == CERTIFICATES else (TIMING[found.kind],)
        chosen = {"prepare.py": [f"patchcert.datasets.loaders.{config['datasets'][facts['dataset']]['loader']}"]}
        name: str | None = facts["training"]
        while name:
            strategy = f"patchcert.training.strategies.{config['trainings'][name]['strategy']}"
            chosen.setdefault(adapters[0] if found.kind == TRAINING_TIMES else "train.py", [*network]).append(strategy)
            name = config["trainings"][name]["start_from"]
        evaluated = [f"patchcert.evaluation.{facts['defense']}"] if adapters is MASKED else []
        for adapter in adapters:
            chosen.setdefault(adapter, []).extend([*network, *evaluated])
        for adapter, modules in chosen.items():
            code[adapter] = sorted({*code.get(adapter, []), *modules})
    return code


def measures(found: Target, files: Sequence[Sequence[str | Path]], config: Config) -> list[Measures]:
    """What the certificates of a number amount to, or the times of its runs.

    Args:
        found: as :func:`target_of` gives it.
        files: of each of its certificates, in their order, or one of times for each.
        config: as :func:`patchcert.study.config.complete` gives it.
    """
    return [facts | _measures(found.kind, facts, paths, config) for facts, paths in zip(found.facts, files, strict=True)]


def _measures(kind: str, facts: Facts, paths: Sequence[str | Path], config: Config) -> dict[str, Any]:
    import pandas as pd

    if kind != CERTIFICATES:
        times: dict[str, Any] = read_json(paths[0])
        return times
    confidence, tables = config["evaluate"]["confidence"], [pd.read_parquet(path) for path in paths]
    module = plugins.load("patchcert.evaluation", facts["defense"])
    if facts["defense"] == "multilabel":
        found: dict[str, Any] = module.measures(module.Certificates(*tables), config["defenses"]["multilabel"]["threshold"])
    elif facts["defense"] == "bagcert":
        found = module.measures(tables[0], facts["patch"], confidence)
    else:
        found = module.measures(tables[0], confidence)
    if {"label", "certified"} <= {*tables[0]}:
        shares = 100 * tables[0].groupby("label")["certified"].mean()
        found = found | {"certified_by_label": {str(label): float(share) for label, share in shares.items()}}
    return found


def record(
    row: Mapping[str, Any], config: Config, files: Sequence[Sequence[str | Path]], upstream: Mapping[str, Sequence[str | Path]]
) -> dict[str, Any]:
    """The record of a number.

    Args:
        row: of :func:`patchcert.report.ledger.read_ledger`.
        config: as :func:`patchcert.study.config.complete` gives it.
        files: as :func:`measures` takes them.
        upstream: what they were made from, by what it is, ``weights`` for instance.

    Returns:
        The row's own facts; ``measured``, ``difference`` (None for a counterpart) and ``status``; ``counterpart``; the
        ``certificates``, each with its facts and files; and the ``provenance``: digests of the ``configuration`` by its keys,
        of the ``code`` by adapter, and of ``files``; ``versions``, ``device`` and ``seeds``.

    Raises:
        InputError: the study has nothing that gives the number.
    """
    found = target_of(row, config)
    value, counterpart = found.read(measures(found, files, config)), is_counterpart(row, config)
    kinds = {found.kind: [path for paths in files for path in paths], **upstream}
    return {
        **{name: _plain(row[name]) for name in LEDGER_FACTS},
        "study": config["study"],
        "counterpart": counterpart,
        "measured": _plain(value),
        "difference": None if counterpart else _plain(value - row["published"]),
        "status": COUNTERPART if counterpart else status(row, value),
        "certificates": [
            {"facts": facts, "files": [str(path) for path in paths]} for facts, paths in zip(found.facts, files, strict=True)
        ],
        "provenance": {
            "configuration": {key: settings_sha256(part) for key, part in configuration_of(found, config).items()},
            "code": code_digests(found, config),
            "files": {kind: {str(path): file_sha256(path) for path in paths} for kind, paths in kinds.items()},
            "versions": environment("numpy", "pandas", "torch", "timm"),
            "device": config["device"],
            "seeds": sorted({facts["seed"] for facts in found.facts}),
        },
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN: None in its place."""
    return None if isinstance(value, float) and math.isnan(value) else value


def code_digests(found: Target, config: Config) -> dict[str, str]:
    """The digest of each adapter that makes a number, with what it uses."""
    return {name: code_digest(str(SCRIPTS / name), *modules) for name, modules in code_of(found, config).items()}


def path_of(config: Config, identity: str) -> str:
    """The record's path, from the project's folder."""
    return f"{config['directories']['results']}/{CLAIMS.format(claim=identity)}"


def verify(row: Mapping[str, Any], config: Config, root: str | Path = ".") -> dict[str, Any]:
    """Recompute a number from its stored certificates, and return its record if everything upstream is as it was.

    Args:
        row: of :func:`patchcert.report.ledger.read_ledger`.
        config: as :func:`patchcert.study.config.complete` gives it.
        root: the project's folder.

    Raises:
        InputError: there is no record, or something has changed since; the message has a line for each file, part of the
            configuration, adapter or number that did.
    """
    root = Path(root)
    found, path = target_of(row, config), path_of(config, row["id"])
    if not (root / path).is_file():
        raise InputError(f"{path}: missing; {row['id']} was not regenerated here; {regenerating(config, row['id'])} makes it")
    stored = read_json(root / path)
    changed = list(_changes(stored, row, found, config, root))
    if not changed:
        files = [[root / name for name in each["files"]] for each in stored["certificates"]]
        value = found.read(measures(found, files, config))
        if _plain(value) != stored["measured"]:
            changed.append(f"measured: recomputed {value!r} from the certificates, and the record has {stored['measured']!r}")
    if changed:
        again = f"{regenerating(config, row['id'])} makes it anew"
        raise InputError("\n".join((f"{path}: no longer follows from what is there; {again}; changed since:", *changed)))
    return dict(stored)


def _changes(stored: Mapping[str, Any], row: Mapping[str, Any], found: Target, config: Config, root: Path) -> Iterator[str]:
    """What differs from when a record was made, a line each."""
    then = stored["provenance"]
    for name in LEDGER_FACTS:
        if stored[name] != _plain(row[name]):
            yield f"  {PUBLISHED}: {name} is {row[name]!r}, and was {stored[name]!r}"
    if [each["facts"] for each in stored["certificates"]] != found.facts:
        yield "  configuration: other certificates give the number"
    now = {key: settings_sha256(part) for key, part in configuration_of(found, config).items()}
    yield from (f"  configuration key {key}" for key in _different(then["configuration"], now))
    yield from (
        f"  code: workflow/scripts/{name}, or a module that it uses"
        for name in _different(then["code"], code_digests(found, config))
    )
    for kind, files in then["files"].items():
        for name, digest in files.items():
            if not (root / name).is_file():
                yield f"  {kind}: {name} is missing"
            elif file_sha256(root / name) != digest:
                yield f"  {kind}: {name}"


def _different(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(key for key in {*then, *now} if then.get(key) != now.get(key))


def regenerating(config: Config, identity: str) -> str:
    """The command that regenerates a number alone."""
    option = "" if config["study"] == "default" else f" --configfile config/{config['study']}.yaml"
    return f"snakemake {path_of(config, identity)}{option}"


def planning(config: Config, identity: str) -> str:
    """The command that counts what regenerating a number will still cost."""
    return regenerating(config, identity).replace("snakemake", "patchcert plan", 1)
