"""The configuration of a study: checked against a closed schema when the workflow is read, and filled with defaults.

The schema, ``workflow/schemas/config.schema.yaml``, holds types, defaults, descriptions and examples; what one key says of
another (a training that starts from another, a patch that must fit into an image) is checked here.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, relevance

from patchcert import InputError

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"


@cache
def schema() -> dict[str, Any]:
    """The schema of the configuration, as parsed YAML."""
    return dict(yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8")))


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of a configuration with every default filled in; the argument is left alone.

    Args:
        config: the parsed YAML of a configuration file, with what the command line changed.

    Raises:
        InputError: an unknown key, a wrong type or value, or keys that contradict each other; the message gives the key, the
            value and what to write instead.
    """
    validator = Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(json.loads(json.dumps(config))), key=relevance)
    if errors:
        raise InputError("\n".join(dict.fromkeys(_explain(error) for error in errors)))
    filled = copy.deepcopy(dict(config))
    _fill(filled, schema())
    _check_references(filled)
    return filled


def _resolved(node: Mapping[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return {**schema()["$defs"][reference.rsplit("/", 1)[1]], **node} if reference else dict(node)


def _fill(value: Any, node: Mapping[str, Any]) -> None:
    node = _resolved(node)
    if isinstance(value, dict):
        for key, child in node.get("properties", {}).items():
            child = _resolved(child)
            if key not in value and "default" in child:
                value[key] = copy.deepcopy(child["default"])
            if key in value:
                _fill(value[key], child)
        extra = node.get("additionalProperties")
        for key in value.keys() - node.get("properties", {}).keys():
            if isinstance(extra, Mapping):
                _fill(value[key], extra)
    elif isinstance(value, list) and "items" in node:
        for item in value:
            _fill(item, node["items"])


def _explain(error: ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    node = _resolved(error.schema) if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties":
        known = node["properties"]
        unknown = [key for key in error.instance if key not in known]
        return "\n".join(f"{_key([*path, key])}: unknown key; {_instead(key, known)}" for key in unknown)
    if error.validator == "required":
        missing = str(error.message).split("'")[1]
        return f"{_key([*path, missing])}: missing; write for example {_example(missing, _property(error, missing))}"
    if error.schema is False:
        owner = error.absolute_path[-2] if len(error.absolute_path) > 1 else "this block"
        return f"{_key(path)}: {_json(error.instance)} is not read by the strategy of {owner}; take the key out"
    if error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
        return f"{_key([*path, str(error.instance)])}: no name; write {node['description']}"
    allowed = f"one of {', '.join(map(_json, error.validator_value))}" if error.validator == "enum" else None
    wanted = allowed or node.get("description", str(error.message)).rstrip(".")
    example = "" if allowed or not node.get("examples") else f"; write for example {_json(node['examples'][0])}"
    reason = "" if allowed else f" ({error.message})" if error.validator not in ("pattern", "anyOf") else ""
    return f"{_key(path)}: {_json(error.instance)} is wrong{reason}; it is: {wanted}{example}"


def _property(error: ValidationError, key: str) -> Mapping[str, Any]:
    """The schema of a key that is missing; a conditional part of the schema does not describe it, its parent does."""
    node: Any = schema()
    for part in list(error.absolute_path):
        node = _resolved(node)
        node = (
            node["items"] if isinstance(part, int) else node.get("properties", {}).get(part, node.get("additionalProperties"))
        )
    return _resolved(_resolved(node)["properties"][key])


def _key(path: Iterable[str]) -> str:
    return "configuration key " + (".".join(path) or "(top level)")


def _instead(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]!r}? {_example(near[0], _resolved(known[near[0]]))}"
    return f"the keys here are {', '.join(known)}"


def _example(key: str, node: Mapping[str, Any]) -> str:
    return f"{key}: {_json(node['examples'][0])}"


def _json(value: Any) -> str:
    return json.dumps(value)


def _check_references(config: Mapping[str, Any]) -> None:
    trainings, datasets = config["trainings"], config["datasets"]
    for name, training in trainings.items():
        _check_chain(name, trainings)
        for number, block in enumerate(config["runs"]):
            if name in block["trainings"] and "patch_size" in training and block["dataset"] in datasets:
                _check_patch(f"trainings.{name}.patch_size", training["patch_size"], datasets[block["dataset"]])
    for number, block in enumerate(config["runs"]):
        _check_name(f"runs.{number}.dataset", block["dataset"], datasets)
        for training in block["trainings"]:
            _check_name(f"runs.{number}.trainings", training, trainings)
        for defense, settings in config["defenses"].items():
            for patch in settings["patch_sizes"]:
                _check_patch(f"defenses.{defense}.patch_sizes", patch, datasets[block["dataset"]])


def _check_name(key: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{_key([key])}: {name!r} is not described; {meant}write one of {', '.join(known)}, or add its block")


def _check_chain(name: str, trainings: Mapping[str, Any]) -> None:
    chain = [name]
    while (start := trainings[chain[-1]]["start_from"]) is not None:
        _check_name(f"trainings.{chain[-1]}.start_from", start, trainings)
        if start in chain:
            raise InputError(
                f"{_key([f'trainings.{name}.start_from'])}: {' -> '.join([*chain, start])} never ends; write null for one"
            )
        chain.append(start)


def _check_patch(key: str, patch: list[int], dataset: Mapping[str, Any]) -> None:
    if any(side > limit for side, limit in zip(patch, dataset["image_size"], strict=True)):
        raise InputError(
            f"{_key([key])}: {patch} does not fit into images of {dataset['image_size']} pixels; write a smaller patch"
        )
