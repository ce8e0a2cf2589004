"""The published weights that trainings start from, among the raw inputs.

The Snakefile imports this module whenever it is parsed: what knows timm is imported only where a row is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from patchcert import InputError
from patchcert.datasets.sources import Source, row_of
from patchcert.study.config import products, settings_of
from patchcert.study.facts import Config, runs_of

REGISTRY = "config/sources.csv"


def weights_source(training: Mapping[str, Any], model: str, dataset: str) -> str | None:
    """Name of the source that a training of a model on a dataset starts from; None where it is no published one."""
    pretrained: bool | str = settings_of(training, model, dataset)["pretrained"]
    return model if pretrained is True else pretrained or None


def check_weights(config: Config, sources: Mapping[str, Sequence[Source]]) -> None:
    """See that the registry has published weights, as one file each, for every training that wants some.

    Args:
        config: a complete configuration.
        sources: the registry.

    Raises:
        InputError: it has none, or several; the message has a line for each key, and a row to add for each of timm's models.
    """
    if faults := list(dict.fromkeys(_faults(config, sources))):
        raise InputError("\n".join(faults))


def _faults(config: Config, sources: Mapping[str, Sequence[Source]]) -> Iterator[str]:
    wanted: dict[str, list[str]] = {}
    for training, model, dataset in _trained(config):
        if weights_source(config["trainings"][training], model, dataset) == model:
            wanted.setdefault(model, []).append(training)
    for model, trainings in wanted.items():
        if (fault := _fault(model, sources)) is None:
            continue
        names = ", ".join(dict.fromkeys(trainings))
        yield f"pretrained: true of the model {model} (trainings {names}): {fault}; {_remedy(model, sources)}"
    for training, block in config["trainings"].items():
        for name in (each.get("pretrained") for each in (block, *block["where"])):
            if isinstance(name, str) and (fault := _fault(name, sources)):
                remedy = "write true, or the name of one checkpoint that it has"
                yield f"configuration key trainings.{training}.pretrained: {fault}; {remedy}"


def _fault(name: str, sources: Mapping[str, Sequence[Source]]) -> str | None:
    found = len(sources.get(name, []))
    return None if found == 1 else f"{REGISTRY} has {f'{found} rows' if found else 'no row'} named {name!r}"


def _remedy(model: str, sources: Mapping[str, Sequence[Source]]) -> str:
    if model in sources:
        return "keep one"
    from patchcert.models.published import published_source

    try:
        return f"add the row\n{row_of(published_source(model))}"
    except InputError as error:
        return str(error)


def _trained(config: Config) -> Iterator[tuple[str, str, str]]:
    """Training, model and dataset of every run, and of the trainings that it starts from."""
    for block in (*config["runs"], *(each for analysis in config["analyses"].values() for each in products(analysis))):
        for run in runs_of(block):
            training: str | None = run["training"]
            while training:
                yield training, run["model"], run["dataset"]
                training = config["trainings"][training]["start_from"]
