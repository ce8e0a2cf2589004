"""The configuration of a study: checked against a closed schema when the workflow is read, and filled with defaults.

The schema, ``workflow/schemas/config.schema.yaml``, holds types, defaults, descriptions and examples; what one key says of
another (a training that starts from another, a patch that must fit into an image) is checked here.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from patchcert import InputError

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
SHOWN = 60
"""Characters of a wrong value that a message repeats."""
TYPES = {
    "object": "a block of keys",
    "array": "a list in brackets",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number (YAML takes 1.0e-3 for one, and 1e-3 for a text)",
    "null": "null",
    "boolean": "true or false",
}
"""The schema's types in a newcomer's words."""
LIMITS = {
    "minimum": "a number from {} up",
    "exclusiveMinimum": "a number above {}",
    "maximum": "a number up to {}",
    "exclusiveMaximum": "a number below {}",
    "minItems": "a list of {} or more entries",
    "maxItems": "a list of {} or fewer entries",
    "minProperties": "a block with {} key or more",
    "minLength": "a text of {} character or more",
    "uniqueItems": "each entry once",
}
"""What keeps within each limit of the schema."""
PATCHES_DRAWN_TO_SCALE = ("mask_set", "overestimated_patch", "large_patches")
"""Analyses whose figures want the rows and columns of each patch."""

LOADERS_OF_SEVERAL_LABELS = ("coco", "voc2007")
"""Loaders of datasets whose images have any number of labels."""

WITHOUT_MASKS = ("bagcert", "smoothing")
"""What the names of analyses begin with whose defense masks nothing."""

WHOLE = ("defenses", "mask_set", "multilabel", "objects")
"""Further analyses that read more than what certificates amount to, and take all test images."""

SMOOTHED = ("smoothing_places", "smoothing_attacked", "smoothing_mask_sizes", "smoothing_trainings", "smoothing_noise")
"""Analyses that add noise in a mask."""


@cache
def schema() -> dict[str, Any]:
    """The schema of the configuration, as parsed YAML."""
    return dict(yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8")))


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of a configuration with every default filled in; the argument is left alone.

    Args:
        config: the parsed YAML of a configuration file, with what the command line changed.

    Raises:
        InputError: unknown keys, wrong types or values, or keys that contradict each other; the message has a line for each,
            with the key, the value and what to write instead.
    """
    filled: dict[str, Any] = json.loads(json.dumps(config, default=str))
    errors = sorted(_validator().iter_errors(filled), key=lambda error: [str(part) for part in error.absolute_path])
    faults = [line for error in errors for line in _explain(error)]
    if not faults:
        _fill(filled, schema())
        faults = list(_contradictions(filled))
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))
    # Snakemake compares parameters as text: in one order always, keys that only change places rerun nothing
    ordered: dict[str, Any] = json.loads(json.dumps(filled, sort_keys=True))
    return ordered


def configuration(path: str | Path, root: str | Path = ".") -> dict[str, Any]:
    """A configuration from its file, completed.

    Raises:
        InputError: the file is none; the message names it.
    """
    try:
        parsed = yaml.safe_load(Path(root, path).read_text(encoding="utf-8"))
        if not isinstance(parsed, dict):
            raise InputError("not a configuration; write for example --config config/paper.yaml")
        return complete(parsed)
    except (yaml.YAMLError, InputError) as error:
        raise InputError(f"{path}: {error}") from None


def products(analysis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The blocks of lists whose products an analysis is: its own lists, and those with what each entry of ``also`` replaces."""
    own = {key: value for key, value in analysis.items() if key != "also"}
    return [own, *(own | each for each in analysis["also"])]


def settings_of(training: Mapping[str, Any], model: str, dataset: str) -> dict[str, Any]:
    """A training's block as it is for one model on one dataset: with what fits of ``where``, and without that key."""
    settings = {key: value for key, value in training.items() if key != "where"}
    for each in training["where"]:
        if model in each.get("models", [model]) and dataset in each.get("datasets", [dataset]):
            settings |= {key: value for key, value in each.items() if key not in ("models", "datasets")}
    return settings


@cache
def _validator() -> Any:
    # YAML's 2.0, .nan and .inf are no whole number and no number here, though JSON Schema lets them pass
    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
            "number": lambda _, value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
        }
    )
    return validators.extend(Draft202012Validator, type_checker=types)(schema())  # type: ignore[no-untyped-call]


def resolved(node: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema with the definition that it refers to, if any, written out; its own keys win."""
    reference = node.get("$ref")
    return {**schema()["$defs"][reference.rsplit("/", 1)[1]], **node} if reference else dict(node)


def _fill(value: Any, node: Mapping[str, Any]) -> None:
    node = resolved(node)
    if isinstance(value, dict):
        for key, child in node.get("properties", {}).items():
            child = resolved(child)
            if key not in value and "default" in child:
                value[key] = copy.deepcopy(child["default"])
        for key in value:
            _fill(value[key], _child(node, key))
    elif isinstance(value, list):
        for item in value:
            _fill(item, node["items"])


def _child(node: Mapping[str, Any], part: str | int) -> dict[str, Any]:
    """The schema of one key of a block or of one entry of a list."""
    node = resolved(node)
    return resolved(
        node["items"] if isinstance(part, int) else node.get("properties", {}).get(part) or node["additionalProperties"]
    )


def _explain(error: ValidationError) -> list[str]:
    """What is wrong, one line a fault: the key, the value, and what to write instead."""
    path = list(error.absolute_path)
    value: Any = error.instance
    wanted: Any = error.validator_value
    rule = str(error.validator)
    if rule == "additionalProperties":
        known = _node(path)["properties"]
        return [f"{_key([*path, key])}: unknown key; {_instead(key, known)}" for key in value if key not in known]
    if rule == "required":
        example = {key: _node([*path, key])["examples"][0] for key in wanted if key not in value}
        return [f"{_key([*path, key])}: missing; write for example {key}: {json.dumps(it)}" for key, it in example.items()]
    if rule == "not":
        return [f"{_key(path)}: {_json(value)} is not read with this training's strategy and loss; take the key out"]
    node: Any = error.schema
    if "propertyNames" in error.absolute_schema_path:
        if rule == "enum":
            return [f"{_key([*path, value])}: the name is wrong; {_one_of(value, wanted)}"]
        return [f"{_key([*path, value])}: the name is wrong; write {node['description']}, for example {node['examples'][0]}"]
    if rule == "enum":
        return [f"{_key(path)}: {_json(value)} is wrong; write {' or '.join(wanted)}"]
    if rule == "type":
        right = " or ".join(TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    elif rule == "pattern" or ("minItems" in node and node["minItems"] == node.get("maxItems")):
        right = node["description"]
    else:
        right = LIMITS[rule].format(wanted)
    return [f"{_key(path)}: {_json(value)} is wrong; write {right}, for example {json.dumps(_node(path)['examples'][0])}"]


def _node(path: Iterable[str | int]) -> dict[str, Any]:
    """The part of the schema that describes a key; what it says of the key under a condition is left out."""
    node = schema()
    for part in path:
        node = _child(node, part)
    return node


def _key(path: Iterable[str | int]) -> str:
    return "configuration key " + (".".join(map(str, path)) or "(top level)")


def _instead(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]!r}? Write for example {near[0]}: {json.dumps(resolved(known[near[0]])['examples'][0])}"
    return f"the keys here are {', '.join(known)}"


def _json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Keys that contradict each other in a configuration that keeps to the schema."""
    trainings, datasets = config["trainings"], config["datasets"]
    for name, dataset in datasets.items():
        side = max(dataset["image_size"])
        if dataset["resize"] and dataset["resize"] < side:
            wanted = f"write {side} or more, or null"
            yield f"{_key(['datasets', name, 'resize'])}: {dataset['resize']} leaves less than image_size to crop; {wanted}"
    for name, training in trainings.items():
        yield from _chain_fault(name, trainings)
        yield from _start_fault(name, training)
        budgets = training.get("mask_budgets", [])
        if len(budgets) == 2 and any(few > many for few, many in zip(*budgets, strict=True)):
            yield (
                f"{_key(['trainings', name, 'mask_budgets'])}: {budgets} are two mask sets of which the second has the larger "
                f"masks; write the large masks first, {budgets[::-1]}"
            )
        smallest, largest = sides = training.get("noise_sides", [1, 1])
        if smallest > largest:
            yield (
                f"{_key(['trainings', name, 'noise_sides'])}: {sides} has the largest side first; "
                f"write the smallest first, {sides[::-1]}"
            )
    blocks: list[tuple[list[str | int], Mapping[str, Any]]] = [
        (["runs", number], block) for number, block in enumerate(config["runs"])
    ]
    for name, analysis in config["analyses"].items():
        own, *further = products(analysis)
        yield from _mask_faults(name, analysis)
        yield from _subset_faults(name, analysis, config)
        yield from _smoothing_faults(name, analysis, config)
        blocks.append((["analyses", name], own))
        blocks += [(["analyses", name, "also", number], block) for number, block in enumerate(further)]
        if analysis["target"] is not None:
            yield from _name_fault(["analyses", name, "target"], analysis["target"], "targets", config["targets"])
    for name, training in trainings.items():
        for number, each in enumerate(training["where"]):
            for place, dataset in enumerate(each.get("datasets", [])):
                yield from _name_fault(["trainings", name, "where", number, "datasets", place], dataset, "datasets", datasets)
    for path, block in blocks:
        yield from _name_fault([*path, "dataset"], block["dataset"], "datasets", datasets)
        for place, training in enumerate(block["trainings"]):
            yield from _name_fault([*path, "trainings", place], training, "trainings", trainings)
        if block["dataset"] in datasets:
            yield from _size_faults(path, block, config)
            yield from _label_faults(path, block, config)
    yield from _undrawable(config["analyses"])


def _mask_faults(name: str, analysis: Mapping[str, Any]) -> Iterator[str]:
    """Mask budgets that an analysis needs and lacks, or has and does not need."""
    key = _key(["analyses", name, "budgets"])
    if name == "defenses":
        return
    if not name.startswith(WITHOUT_MASKS):
        if "budgets" not in analysis:
            yield f"{key}: missing; write for example budgets: [[3, 3], [6, 6]]"
    elif any("budgets" in block for block in products(analysis)):
        yield f"{key}: this defense has no mask sets; take the key out"


def _subset_faults(name: str, analysis: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """A random subset of test images where a defense has none, or of more or fewer images than there are or are needed."""
    key, number, shards = _key(["analyses", name, "images"]), analysis["images"], config["predict"]["shards"]
    if number is None:
        return
    if name.startswith(WITHOUT_MASKS) or name in WHOLE:
        yield f"{key}: this analysis shows all test images of its predictions; take the key out"
        return
    if number < shards:
        yield f"{key}: {number} is fewer than the {shards} shards of predict.shards; write {shards} at least"
    for dataset in dict.fromkeys(block["dataset"] for block in products(analysis)):
        tests = config["datasets"].get(dataset, {"split_sizes": {"test": number}})["split_sizes"]["test"]
        if number > tests:
            yield f"{key}: {number} is more than the {tests} test images of {dataset}; write {tests} at most"


def _smoothing_faults(name: str, analysis: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Deviations of noise that an analysis needs and lacks, or has and does not need, and what else smoothing cannot do."""
    key: list[str | int] = ["analyses", name]
    if name not in SMOOTHED:
        if any("sigmas" in block for block in products(analysis)):
            yield f"{_key([*key, 'sigmas'])}: no noise is added in this analysis; take the key out"
    elif "sigmas" not in analysis:
        yield f"{_key([*key, 'sigmas'])}: missing; write for example sigmas: [7]"
    if not name.startswith("smoothing"):
        return
    images = config["defenses"]["mask_smoothing"]["images"]
    lists: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
        ((), analysis),
        *((("also", number), block) for number, block in enumerate(analysis["also"])),
    ]
    for path, block in lists:
        for place, patch in enumerate(block.get("patches", [])):
            if isinstance(patch, str) and not patch.replace("x", "").isdigit():
                wanted = "write rows and columns, for example [5, 5]"
                yield f"{_key([*key, *path, 'patches', place])}: {patch} is not one patch of one size; {wanted}"
    for block in products(analysis):
        tests = config["datasets"].get(block["dataset"], {"split_sizes": {"test": images}})["split_sizes"]["test"]
        if images > tests:
            where = _key(["defenses", "mask_smoothing", "images"])
            yield f"{where}: {images} is more than the {tests} test images of {block['dataset']}; write {tests} at most"


def _label_faults(path: list[str | int], block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Defenses and losses for one label an image where images have several, and the other way round."""
    several = config["datasets"][block["dataset"]]["loader"] in LOADERS_OF_SEVERAL_LABELS
    has = "any number of labels" if several else "one label"
    if several != (path[:2] == ["analyses", "multilabel"]):
        wanted = "the analysis multilabel alone is for such" if several else "write a dataset whose loader is coco or voc2007"
        yield f"{_key([*path, 'dataset'])}: images of {block['dataset']} have {has} each; {wanted}"
        return
    for name in block["trainings"]:
        chosen = config["trainings"][name]["loss"] if name in config["trainings"] else None
        if chosen and several != (chosen == "asymmetric"):
            loss = "asymmetric" if several else "cross_entropy, or margin for a region scorer"
            yield (
                f"{_key(['trainings', name, 'loss'])}: {chosen} is not for images of {block['dataset']} with {has} each; "
                f"write {loss}"
            )


def _size_faults(path: list[str | int], block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Patches of a block of runs or of an analysis that do not fit into the images, and too large numbers of images."""
    dataset = config["datasets"][block["dataset"]]
    size, tests = dataset["image_size"], dataset["split_sizes"]["test"]
    if (shards := config["predict"]["shards"]) > tests:
        yield f"{_key(['predict', 'shards'])}: {shards} is more than the {tests} test images; write {tests} at most"
    if path[:2] == ["analyses", "mask_budgets"] and (timed := config["predict"]["timed_images"]) > tests:
        yield f"{_key(['predict', 'timed_images'])}: {timed} is more than the {tests} test images; write {tests} at most"
    for training in block["trainings"]:
        if "patch_size" in config["trainings"].get(training, {}):
            yield from _patch_fault(["trainings", training, "patch_size"], config["trainings"][training]["patch_size"], size)
        _, side = config["trainings"].get(training, {}).get("noise_sides", (1, 1))
        if side > min(size):
            where = _key(["trainings", training, "noise_sides"])
            yield f"{where}: {side} does not fit into images of {size[0]}x{size[1]} pixels; write {min(size)} at most"
    patches = {(*path, "patches", place): patch for place, patch in enumerate(block.get("patches", []))}
    if path[0] == "runs":
        for place, patch in enumerate(block["patch_sizes"] or []):
            patches[(*path, "patch_sizes", place)] = patch
        for defense, settings in config["defenses"].items() if block["patch_sizes"] is None else ():
            for place, patch in enumerate(settings.get("patch_sizes", [])):
                patches["defenses", defense, "patch_sizes", place] = patch
    for key, patch in patches.items():
        yield from _patch_fault(key, patch, size)


def _undrawable(analyses: Mapping[str, Any]) -> Iterator[str]:
    """What the figures of the analyses cannot show."""
    for name in PATCHES_DRAWN_TO_SCALE:
        for block in products(analyses[name]) if name in analyses else ():
            for place, patch in enumerate(block["patches"]):
                if "-" in patch:
                    wanted = "write rows and columns, for example [5, 5]"
                    yield f"{_key(['analyses', name, 'patches', place])}: {patch} is not one patch of one size; {wanted}"
    if analyses.get("mask_set", {"mode": "matrix"})["mode"] != "matrix":
        yield f"{_key(['analyses', 'mask_set', 'mode'])}: certificate leaves out labels that its figure shows; write matrix"


def _name_fault(path: Iterable[str | int], name: str, kind: str, known: Mapping[str, Any]) -> Iterator[str]:
    if name not in known:
        yield f"{_key(path)}: {_json(name)} is not under {kind}; {_one_of(name, known)}, or add its block"


def _one_of(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{f'did you mean {near[0]!r}? Write' if near else 'write'} one of {', '.join(known)}"


def _chain_fault(name: str, trainings: Mapping[str, Any]) -> Iterator[str]:
    chain = [name]
    while (start := trainings[chain[-1]]["start_from"]) in trainings and start not in chain:
        chain.append(start)
    if start == name == min(chain):  # each loop is told once
        yield f"{_key(['trainings', name, 'start_from'])}: {' -> '.join([*chain, name])} never ends; write null for one of them"
    elif start is not None:
        yield from _name_fault(["trainings", chain[-1], "start_from"], start, "trainings", trainings)


def _start_fault(name: str, training: Mapping[str, Any]) -> Iterator[str]:
    places: dict[tuple[str | int, ...], Mapping[str, Any]] = {(): training}
    places |= {("where", number): each for number, each in enumerate(training["where"])}
    for place, block in places.items():
        if block.get("pretrained") and (start := training["start_from"]):
            yield (
                f"{_key(['trainings', name, *place, 'pretrained'])}: {_json(block['pretrained'])}, and start_from is {start}, "
                "a second start; write false, or take start_from out"
            )
        if block.get("epochs") == 0 and not block.get("pretrained", training["pretrained"]):
            wanted = "write a number from 1 up, or pretrained: true"
            yield f"{_key(['trainings', name, *place, 'epochs'])}: 0 would teach nothing; {wanted}"


def _patch_fault(path: Iterable[str | int], patch: list[int] | str, image: list[int]) -> Iterator[str]:
    if isinstance(patch, str) and patch.startswith("area-"):
        if int(patch.removeprefix("area-")) > (pixels := math.prod(image)):
            yield f"{_key(path)}: {patch} is more than the {pixels} pixels of an image; write area-{pixels} at most"
        return
    sides = [int(side) for side in patch.rsplit("-", 1)[-1].split("x")] if isinstance(patch, str) else patch
    if any(side > limit for side, limit in zip(sides, image, strict=True)):
        yield f"{_key(path)}: {patch} does not fit into images of {image} pixels; write a patch of at most {image}"
