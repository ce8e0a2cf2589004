"""The configuration: what is filled in, what each fault is answered with, and that the schema describes all of it."""

from __future__ import annotations

import copy
import datetime
import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import timm
import yaml
from jsonschema import Draft202012Validator

from patchcert import InputError, plugins
from patchcert.models import registry
from patchcert.study import reference as reference_module
from patchcert.study.config import complete, products, resolved, schema, settings_of
from patchcert.study.facts import ANALYSED_BY
from patchcert.study.reference import reference

from .configurations import MINIMAL, shown

ROOT = Path(__file__).parents[2]
SHIPPED = {name: yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text("utf-8")) for name in ("study", "ci")}
RULES = shown(SHIPPED["study"])
"""What the rules show, and of which analysis."""
MISSING = object()
LOCALISATION = "localisation"
"""What is evaluated like a defense, and is part of mask_smoothing."""

FULL: dict[str, Any] = MINIMAL | {
    "trainings": MINIMAL["trainings"]
    | {
        "cutout": {
            "strategy": "random_cutout",
            "start_from": "plain",
            "epochs": 1,
            "learning_rate": 0.01,
            "cutout_size": [18, 18],
        },
        "greedy": {
            "strategy": "greedy_cutout",
            "start_from": "cutout",
            "epochs": 1,
            "learning_rate": 0.01,
            "patch_size": [5, 5],
            "mask_budgets": [[3, 3], [6, 6]],
        },
    },
    "runs": [{"dataset": "digits", "models": ["small_vit"], "trainings": ["plain", "cutout", "greedy"]}],
    "analyses": {
        "patch_shapes": {
            "dataset": "digits",
            "models": ["small_vit"],
            "trainings": ["plain"],
            "patches": [[5, 5], "5x5", "2-of-3x3", "area-10"],
            "budgets": [[3, 3]],
        }
    },
}
ANALYSIS: dict[str, Any] = FULL["analyses"]["patch_shapes"] | {"patches": [[5, 5]]}


def changed(path: str, value: Any) -> dict[str, Any]:
    """FULL with the value at a dotted path replaced, or taken out where it is MISSING."""
    config = copy.deepcopy(FULL)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    node: Any = config
    for part in parents:
        node = node[part] if isinstance(node, list) else node.setdefault(part, {})
    if value is MISSING:
        del node[last]
    else:
        node[last] = value
    return config


# --- what is filled in -------------------------------------------------------------------------------------------------------


def assert_kept(given: Any, filled: Any, place: str = "") -> None:
    """Everything given stands unchanged in what was filled, and lists have no more entries than before."""
    if isinstance(given, dict):
        for key, value in given.items():
            assert key in filled, f"{place}.{key} is lost"
            assert_kept(value, filled[key], f"{place}.{key}")
    elif isinstance(given, list):
        assert len(given) == len(filled), place
        for number, (before, after) in enumerate(zip(given, filled, strict=True)):
            assert_kept(before, after, f"{place}.{number}")
    else:
        assert (type(given), given) == (type(filled), filled), place


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration_keeps_its_meaning(name: str) -> None:
    assert_kept(SHIPPED[name], complete(SHIPPED[name]))


@pytest.mark.parametrize("config", [*SHIPPED.values(), MINIMAL, FULL], ids=[*SHIPPED, "minimal", "full"])
def test_completing_twice_changes_nothing_more(config: dict[str, Any]) -> None:
    assert complete(complete(config)) == complete(config)


def test_the_argument_is_left_alone() -> None:
    config = copy.deepcopy(FULL)
    filled = complete(config)
    filled["datasets"]["digits"]["image_size"].append(1)
    filled["runs"][0]["seeds"].append(9)
    assert config == FULL
    assert complete(config)["runs"][0]["seeds"] == [0], "a default must not be shared between two completed configurations"


def test_every_default_is_filled_also_in_nested_blocks() -> None:
    filled = complete(FULL)
    assert filled["device"] == "cpu"
    assert filled["mirror"] is None
    assert filled["directories"] == {
        "data": "data",
        "checkpoints": "checkpoints",
        "results": "results",
        "reports": "reports",
    }
    assert filled["datasets"]["digits"]["split_sizes"] == {"train": None, "calibration": 5, "test": 7}
    assert filled["datasets"]["digits"]["split_seed"] == 0
    assert filled["trainings"]["plain"] == {
        "strategy": "plain",
        "start_from": None,
        "pretrained": False,
        "epochs": 3,
        "batch_size": 64,
        "loss": "cross_entropy",
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.05,
        "momentum": 0.9,
        "warmup_epochs": 1,
        "decay_after": [],
        "precision": "float32",
        "gpus": 1,
        "refresh_every": 1,
        "label_smoothing": 0,
        "shift": 2,
        "flip": False,
        "calibration_masks": 16,
        "where": [],
    }
    assert filled["runs"][0] == FULL["runs"][0] | {"seeds": [0], "patch_sizes": None}
    assert filled["predict"] == {
        "fill": 0,
        "dtype": "float32",
        "compiled": False,
        "batch_size": None,
        "shards": 2,
        "block_size": 100,
        "timed_images": 50,
    }
    assert filled["defenses"] == {
        "double_masking": {"patch_sizes": [[5, 5]], "mask_budgets": [[6, 6]], "numerical_margin": 0.0001},
        "challenger": {"numerical_margin": 0.0001},
        "multilabel": {"threshold": 0.8, "smaller_patches": [], "numerical_margin": 0.00001},
        "bagcert": {
            "numerical_margin": 0.0001,
            "batch_size": 50,
            "timed_images": 100,
            "attacked_images": 100,
            "attack_steps": 100,
        },
        "mask_smoothing": {
            "images": 500,
            "selection_samples": 100,
            "estimation_samples": 100_000,
            "alpha": 0.001,
            "batch_size": None,
            "block_size": 10,
            "attack_places": 80,
            "attack_steps": 20,
            "attack_strengths": [0, 1, 2, 5, 10, 20],
            "overlap": 0.4,
            "threshold": 0.6,
            "tolerance": 3,
            "choice": "first",
        },
        "minority_reports": {},
    }
    assert filled["analyses"]["patch_shapes"] == FULL["analyses"]["patch_shapes"] | {
        "seeds": [0],
        "also": [],
        "target": None,
        "mode": "certificate",
        "images": None,
    }
    assert filled["evaluate"] == {"confidence": 0.95}
    assert filled["report"] == {"palette": "colorblind", "font_size": 9, "resolution": 160, "example_image": None}


def test_an_analysis_that_is_left_out_stays_out() -> None:
    assert complete(MINIMAL)["analyses"] == {}


def keys_with_defaults(node: Mapping[str, Any], value: Any, place: str = "") -> Iterator[tuple[str, bool]]:
    """Dotted path of each key of the schema that has a default, and whether the value has that key."""
    node = resolved(node)
    if isinstance(value, dict):
        for key, child in node.get("properties", {}).items():
            if "default" in resolved(child):
                yield f"{place}.{key}", key in value
            if key in value:
                yield from keys_with_defaults(child, value[key], f"{place}.{key}")
        for key in value.keys() - node.get("properties", {}).keys():
            yield from keys_with_defaults(node["additionalProperties"], value[key], f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from keys_with_defaults(node["items"], item, f"{place}.{number}")


@pytest.mark.parametrize("config", [*SHIPPED.values(), MINIMAL, FULL], ids=[*SHIPPED, "minimal", "full"])
def test_no_key_with_a_default_is_missing_afterwards(config: dict[str, Any]) -> None:
    found = dict(keys_with_defaults(schema(), complete(config)))
    assert len(found) > 20
    assert [key for key, present in found.items() if not present] == []


def test_keys_that_yaml_reads_as_numbers_are_names() -> None:
    config = copy.deepcopy(MINIMAL)
    config["trainings"][2024] = config["trainings"]["plain"]
    config["runs"][0]["trainings"] = ["2024"]
    assert set(complete(config)["trainings"]) == {"plain", "2024"}


# --- what each fault is answered with ----------------------------------------------------------------------------------------

TRAINING_KEYS = (
    "strategy, start_from, pretrained, epochs, batch_size, loss, margin, one_hot_penalty, optimizer, learning_rate, "
    "weight_decay, momentum, warmup_epochs, decay_after, precision, gpus, refresh_every, label_smoothing, shift, flip, "
    "calibration_masks, cutout_size, patch_size, mask_budgets, noise_sides, noise_sigma, where"
)
NAME = "write a name in lower-case letters, digits and underscores, for example"
NUMBER = "write a number (YAML takes 1.0e-3 for one, and 1e-3 for a text), for example"
MODELS = (
    "write small_resnetv2, small_convnext, small_vit, small_resmlp, cifar_resnet18, small_block_smoothing, "
    "small_column_smoothing, small_bagcert_rf5, small_bagcert_sigmoid_rf5, small_bagcert_softmax_rf5, bagcert_cifar10_rf5, "
    "bagcert_cifar10_sigmoid_rf5, bagcert_cifar10_softmax_rf5 to 13, "
    'bagcert_imagenet_rf17, 25 or 29, or timm\'s full name, architecture.tag, for example "small_resnetv2"'
)
LOADERS = "cifar10 or cifar100 or coco or digits or imagenet or imagenette or svhn or voc2007"
PATCH = (
    "write rows and columns of one patch, or 2-of-3x3 for two such patches, or area-10 for any rectangle of at most 10 pixels, "
    "for example [5, 5]"
)
ANALYSES = f"one of {', '.join(schema()['properties']['analyses']['propertyNames']['enum'])}"
ANALYSES_EXAMPLE = (
    '{"mask_budgets": {"dataset": "digits", "models": ["small_resnetv2"], "trainings": ["plain"], "patches": [[5, 5]], '
    '"budgets": [[2, 2], [3, 3]]}}'
)
RUNS_EXAMPLE = '[{"dataset": "digits", "models": ["small_resnetv2"], "trainings": ["plain"]}]'
TRAININGS_EXAMPLE = '{"plain": {"strategy": "plain", "epochs": 30, "learning_rate": 0.002}}'
DATASET_EXAMPLE = (
    '{"loader": "digits", "source": "digits", "classes": 10, "image_size": [32, 32], "split_sizes": {"calibration": 280, '
    '"test": 400}}'
)
GREEDY = {"strategy": "greedy_cutout", "epochs": 1, "learning_rate": 0.1}
NOISE = {"strategy": "gaussian_patch", "epochs": 1, "learning_rate": 0.1, "noise_sides": [5, 9], "noise_sigma": 7}

FAULTS: list[tuple[str, Any, str]] = [
    # an unknown key at each level, with and without a near one
    ("studdy", 1, "studdy: unknown key; did you mean 'study'? Write for example study: \"default\""),
    ("xyz", 1, f"xyz: unknown key; the keys here are {', '.join(schema()['properties'])}"),
    ("directories.dat", "x", "directories.dat: unknown key; did you mean 'data'? Write for example data: \"data\""),
    (
        "datasets.digits.loder",
        "x",
        "datasets.digits.loder: unknown key; did you mean 'loader'? Write for example loader: \"digits\"",
    ),
    (
        "datasets.digits.split_sizes.valid",
        3,
        "datasets.digits.split_sizes.valid: unknown key; the keys here are train, calibration, test",
    ),
    ("trainings.plain.epoch", 3, "trainings.plain.epoch: unknown key; did you mean 'epochs'? Write for example epochs: 10"),
    ("trainings.plain.zzz", 3, f"trainings.plain.zzz: unknown key; the keys here are {TRAINING_KEYS}"),
    (
        "runs.0.model",
        ["x"],
        'runs.0.model: unknown key; did you mean \'models\'? Write for example models: ["small_resnetv2", "small_vit"]',
    ),
    (
        "predict.batchsize",
        3,
        "predict.batchsize: unknown key; did you mean 'batch_size'? Write for example batch_size: 64",
    ),
    (
        "predict.timed_image",
        3,
        "predict.timed_image: unknown key; did you mean 'timed_images'? Write for example timed_images: 50",
    ),
    (
        "defenses.challenger.margin",
        1,
        "defenses.challenger.margin: unknown key; the keys here are numerical_margin",
    ),
    (
        "analyses.patch_shapes.budget",
        [[3, 3]],
        "analyses.patch_shapes.budget: unknown key; did you mean 'budgets'? Write for example budgets: [[3, 3], [6, 6]]",
    ),
    (
        "defenses.double_mask",
        {},
        "defenses.double_mask: unknown key; did you mean 'double_masking'? Write for example double_masking: "
        '{"patch_sizes": [[5, 5]], "mask_budgets": [[6, 6]]}',
    ),
    (
        "defenses.double_masking.margin",
        3,
        "defenses.double_masking.margin: unknown key; the keys here are patch_sizes, mask_budgets, numerical_margin",
    ),
    (
        "evaluate.confidance",
        1,
        "evaluate.confidance: unknown key; did you mean 'confidence'? Write for example confidence: 0.95",
    ),
    ("report.pallete", "x", "report.pallete: unknown key; did you mean 'palette'? Write for example palette: \"colorblind\""),
    # a wrong type
    ("mirror", 5, 'mirror: 5 is wrong; write a text or null, for example "/media/usb/patchcert"'),
    ("mirror", ["a"], 'mirror: ["a"] is wrong; write a text or null, for example "/media/usb/patchcert"'),
    ("study", 5, 'study: 5 is wrong; write a text, for example "default"'),
    (
        "trainings.plain.pretrained",
        1,
        "trainings.plain.pretrained: 1 is wrong; write true or false or a text, for example true",
    ),
    ("trainings.plain.epochs", "ten", 'trainings.plain.epochs: "ten" is wrong; write a whole number, for example 10'),
    ("trainings.plain.epochs", 2.0, "trainings.plain.epochs: 2.0 is wrong; write a whole number, for example 10"),
    ("trainings.plain.epochs", True, "trainings.plain.epochs: true is wrong; write a whole number, for example 10"),
    ("trainings.plain.epochs", None, "trainings.plain.epochs: null is wrong; write a whole number, for example 10"),
    ("trainings.plain.learning_rate", "1e-3", f'trainings.plain.learning_rate: "1e-3" is wrong; {NUMBER} 0.001'),
    ("trainings.plain.learning_rate", math.nan, f"trainings.plain.learning_rate: NaN is wrong; {NUMBER} 0.001"),
    ("trainings.plain.weight_decay", math.inf, f"trainings.plain.weight_decay: Infinity is wrong; {NUMBER} 0.05"),
    ("trainings.plain.weight_decay", True, f"trainings.plain.weight_decay: true is wrong; {NUMBER} 0.05"),
    (
        "trainings.plain.start_from",
        5,
        'trainings.plain.start_from: 5 is wrong; write a text or null, for example "plain"',
    ),
    (
        "datasets.digits.split_sizes.train",
        "all",
        'datasets.digits.split_sizes.train: "all" is wrong; write a whole number or null, for example 1000',
    ),
    (
        "trainings.plain",
        5,
        'trainings.plain: 5 is wrong; write a block of keys, for example {"strategy": "plain", "epochs": 30,',
    ),
    ("trainings", None, f"trainings: null is wrong; write a block of keys, for example {TRAININGS_EXAMPLE}"),
    ("predict", None, 'predict: null is wrong; write a block of keys, for example {"dtype": "float32", "shards": 2}'),
    ("runs", {"a": 1}, f'runs: {{"a": 1}} is wrong; write a list in brackets, for example {RUNS_EXAMPLE}'),
    ("runs.0", 5, f"runs.0: 5 is wrong; write a block of keys, for example {RUNS_EXAMPLE[1:-1]}"),
    (
        "runs.0.models",
        "small_vit",
        'runs.0.models: "small_vit" is wrong; write a list in brackets, for example ["small_resnetv2", "small_vit"]',
    ),
    (
        "datasets.digits.image_size",
        32,
        "datasets.digits.image_size: 32 is wrong; write a list in brackets, for example [32, 32]",
    ),
    ("predict.compiled", "yes", 'predict.compiled: "yes" is wrong; write true or false, for example false'),
    ("predict.batch_size", "max", 'predict.batch_size: "max" is wrong; write a whole number or null, for example 64'),
    (
        "analyses",
        ["patch_shapes"],
        f'analyses: ["patch_shapes"] is wrong; write a block of keys, for example {ANALYSES_EXAMPLE}',
    ),
    (
        "analyses.patch_shapes.patches",
        "2-of-3x3",
        'analyses.patch_shapes.patches: "2-of-3x3" is wrong; write a list in brackets, for example '
        '[[5, 5], "2-of-3x3", "area-10"]',
    ),
    (
        "analyses.patch_shapes.patches",
        [5],
        "analyses.patch_shapes.patches.0: 5 is wrong; write a list in brackets or a text, for example [5, 5]",
    ),
    # a wrong choice
    ("device", "gpu", 'device: "gpu" is wrong; write cpu or cuda'),
    ("datasets.digits.loader", "mnist", f'datasets.digits.loader: "mnist" is wrong; write {LOADERS}'),
    ("datasets.digits.loader", None, f"datasets.digits.loader: null is wrong; write {LOADERS}"),
    (
        "trainings.plain.strategy",
        "greedy",
        'trainings.plain.strategy: "greedy" is wrong; write plain or random_cutout or random_masks or gutout or '
        "greedy_cutout or grid_cutout or gaussian_patch",
    ),
    ("predict.dtype", "float16", 'predict.dtype: "float16" is wrong; write float32 or bfloat16'),
    (
        "analyses.patch_shapes.mode",
        "full",
        'analyses.patch_shapes.mode: "full" is wrong; write certificate or matrix',
    ),
    # a value that is too small, too large, empty or repeated
    ("trainings.plain.epochs", -1, "trainings.plain.epochs: -1 is wrong; write a number from 0 up, for example 10"),
    (
        "trainings.plain.learning_rate",
        0,
        "trainings.plain.learning_rate: 0 is wrong; write a number above 0, for example 0.001",
    ),
    (
        "trainings.plain.label_smoothing",
        1,
        "trainings.plain.label_smoothing: 1 is wrong; write a number below 1, for example 0.1",
    ),
    ("datasets.digits.classes", 1, "datasets.digits.classes: 1 is wrong; write a number from 2 up, for example 10"),
    (
        "datasets.digits.classes",
        65536,
        "datasets.digits.classes: 65536 is wrong; write a number up to 65535, for example 10",
    ),
    ("evaluate.confidence", 1, "evaluate.confidence: 1 is wrong; write a number below 1, for example 0.95"),
    ("evaluate.confidence", 0, "evaluate.confidence: 0 is wrong; write a number above 0, for example 0.95"),
    ("report.resolution", 3, "report.resolution: 3 is wrong; write a number from 30 up, for example 160"),
    ("report.palette", "", 'report.palette: "" is wrong; write colorblind or deep or muted or tab10 or Set2 or Dark2'),
    ("directories.data", "", 'directories.data: "" is wrong; write a text of 1 character or more, for example "data"'),
    ("runs", [], f"runs: [] is wrong; write a list of 1 or more entries, for example {RUNS_EXAMPLE}"),
    (
        "runs.0.models",
        [],
        'runs.0.models: [] is wrong; write a list of 1 or more entries, for example ["small_resnetv2", "small_vit"]',
    ),
    ("runs.0.seeds", [], "runs.0.seeds: [] is wrong; write a list of 1 or more entries, for example [0, 1, 2]"),
    ("runs.0.seeds", [0, 0], "runs.0.seeds: [0, 0] is wrong; write each entry once, for example [0, 1, 2]"),
    ("runs.0.seeds", [-1], "runs.0.seeds.0: -1 is wrong; write a number from 0 up, for example 0"),
    ("trainings", {}, f"trainings: {{}} is wrong; write a block with 1 key or more, for example {TRAININGS_EXAMPLE}"),
    (
        "datasets.digits.image_size",
        [32],
        "datasets.digits.image_size: [32] is wrong; write rows and columns, for example [32, 32]",
    ),
    (
        "datasets.digits.image_size",
        [3, 32, 32],
        "datasets.digits.image_size: [3, 32, 32] is wrong; write rows and columns, for example [32, 32]",
    ),
    (
        "datasets.digits.image_size",
        [32, 0],
        "datasets.digits.image_size.1: 0 is wrong; write a number from 1 up, for example 6",
    ),
    (
        "trainings.greedy.mask_budgets",
        [[2, 2], [3, 3], [6, 6]],
        "trainings.greedy.mask_budgets: [[2, 2], [3, 3], [6, 6]] is wrong; write a list of 2 or fewer entries, for example "
        "[[3, 3], [6, 6]]",
    ),
    ("predict.timed_images", 0, "predict.timed_images: 0 is wrong; write a number from 1 up, for example 50"),
    (
        "analyses.patch_shapes.patches",
        [[5, 5], [5, 5]],
        "analyses.patch_shapes.patches: [[5, 5], [5, 5]] is wrong; write each entry once, for example "
        '[[5, 5], "2-of-3x3", "area-10"]',
    ),
    ("analyses.patch_shapes.patches", [[5]], f"analyses.patch_shapes.patches.0: [5] is wrong; {PATCH}"),
    *(
        ("analyses.patch_shapes.patches", [[5, 5], text], f'analyses.patch_shapes.patches.1: "{text}" is wrong; {PATCH}')
        for text in (
            "0-of-3x3",
            "2-of-",
            "2-of-3",
            "2-of-area-10",
            "area-0",
            "area-",
            "area-2x5",
            "5x",
            "x5",
            "0x5",
            "5 x 5",
            "",
        )
    ),
    # names
    (
        "analyses.patch_shape",
        ANALYSIS,
        f"analyses.patch_shape: the name is wrong; did you mean 'patch_shapes'? Write {ANALYSES}",
    ),
    ("analyses.speed", ANALYSIS, f"analyses.speed: the name is wrong; write {ANALYSES}"),
    ("analyses.patch_shapes.models", ["resnet50"], f'analyses.patch_shapes.models.0: "resnet50" is wrong; {MODELS}'),
    ("study", "My Study", f'study: "My Study" is wrong; {NAME} "default"'),
    ("study", datetime.date(2024, 1, 2), f'study: "2024-01-02" is wrong; {NAME} "default"'),
    ("datasets.digits.source", "Digits", f'datasets.digits.source: "Digits" is wrong; {NAME} "digits"'),
    ("datasets.Big Digits", FULL["datasets"]["digits"], f"datasets.Big Digits: the name is wrong; {NAME} digits"),
    ("trainings._plain", FULL["trainings"]["plain"], f"trainings._plain: the name is wrong; {NAME} digits"),
    ("runs.0.models", ["small_resnet"], f'runs.0.models.0: "small_resnet" is wrong; {MODELS}'),
    ("runs.0.models", ["small_vit", "resnet50"], f'runs.0.models.1: "resnet50" is wrong; {MODELS}'),
    ("runs.0.models", ["vit_base_patch16_224"], f'runs.0.models.0: "vit_base_patch16_224" is wrong; {MODELS}'),
    # missing keys
    ("study", MISSING, 'study: missing; write for example study: "default"'),
    ("datasets", MISSING, f'datasets: missing; write for example datasets: {{"digits": {DATASET_EXAMPLE}}}'),
    ("trainings", MISSING, f"trainings: missing; write for example trainings: {TRAININGS_EXAMPLE}"),
    ("runs", MISSING, f"runs: missing; write for example runs: {RUNS_EXAMPLE}"),
    ("datasets.digits.loader", MISSING, 'datasets.digits.loader: missing; write for example loader: "digits"'),
    ("datasets.digits.split_sizes.test", MISSING, "datasets.digits.split_sizes.test: missing; write for example test: 400"),
    ("trainings.plain.strategy", MISSING, 'trainings.plain.strategy: missing; write for example strategy: "greedy_cutout"'),
    ("trainings.plain.epochs", MISSING, "trainings.plain.epochs: missing; write for example epochs: 10"),
    (
        "runs.0.models",
        MISSING,
        'runs.0.models: missing; write for example models: ["small_resnetv2", "small_vit"]',
    ),
    (
        "defenses.double_masking.patch_sizes",
        MISSING,
        "defenses.double_masking.patch_sizes: missing; write for example patch_sizes: [[5, 5]]",
    ),
    (
        "analyses.patch_shapes.budgets",
        MISSING,
        "analyses.patch_shapes.budgets: missing; write for example budgets: [[3, 3], [6, 6]]",
    ),
    # settings that do not belong to a strategy, or that it lacks
    (
        "trainings.plain.cutout_size",
        [18, 18],
        "trainings.plain.cutout_size: [18, 18] is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.cutout.patch_size",
        [5, 5],
        "trainings.cutout.patch_size: [5, 5] is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.greedy.cutout_size",
        [5, 5],
        "trainings.greedy.cutout_size: [5, 5] is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.cutout.cutout_size",
        MISSING,
        "trainings.cutout.cutout_size: missing; write for example cutout_size: [18, 18]",
    ),
    ("trainings.greedy.patch_size", MISSING, "trainings.greedy.patch_size: missing; write for example patch_size: [5, 5]"),
    (
        "trainings.greedy.mask_budgets",
        MISSING,
        "trainings.greedy.mask_budgets: missing; write for example mask_budgets: [[3, 3], [6, 6]]",
    ),
    (
        "trainings.plain.noise_sides",
        [5, 5],
        "trainings.plain.noise_sides: [5, 5] is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.cutout.noise_sigma",
        7,
        "trainings.cutout.noise_sigma: 7 is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.greedy.noise_sigma",
        7,
        "trainings.greedy.noise_sigma: 7 is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.noise",
        NOISE | {"cutout_size": [5, 5]},
        "trainings.noise.cutout_size: [5, 5] is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.noise",
        {key: value for key, value in NOISE.items() if key != "noise_sides"},
        "trainings.noise.noise_sides: missing; write for example noise_sides: [5, 10]",
    ),
    (
        "trainings.noise",
        NOISE | {"noise_sigma": 0},
        "trainings.noise.noise_sigma: 0 is wrong; write a number above 0, for example 7",
    ),
    (
        "trainings.noise",
        NOISE | {"noise_sides": [10, 5]},
        "trainings.noise.noise_sides: [10, 5] has the largest side first; write the smallest first, [5, 10]",
    ),
    # likewise of a loss
    (
        "trainings.plain.margin",
        0.5,
        "trainings.plain.margin: 0.5 is not read with this training's strategy and loss; take the key out",
    ),
    (
        "trainings.plain.one_hot_penalty",
        0,
        "trainings.plain.one_hot_penalty: 0 is not read with this training's strategy and loss; take the key out",
    ),
    # keys that contradict each other
    (
        "datasets.digits.resize",
        31,
        "datasets.digits.resize: 31 leaves less than image_size to crop; write 32 or more, or null",
    ),
    ("datasets.digits.resize", 0, "datasets.digits.resize: 0 is wrong; write a number from 1 up, for example 256"),
    (
        "runs.0.dataset",
        "digit",
        "runs.0.dataset: \"digit\" is not under datasets; did you mean 'digits'? Write one of digits, or add its block",
    ),
    (
        "runs.0.dataset",
        "cifar",
        'runs.0.dataset: "cifar" is not under datasets; write one of digits, or add its block',
    ),
    (
        "runs.0.trainings",
        ["plain", "gredy"],
        "runs.0.trainings.1: \"gredy\" is not under trainings; did you mean 'greedy'? Write one of plain, cutout, greedy, or "
        "add its block",
    ),
    (
        "trainings.cutout.start_from",
        "plian",
        "trainings.cutout.start_from: \"plian\" is not under trainings; did you mean 'plain'? Write one of plain, cutout, "
        "greedy, or add its block",
    ),
    (
        "trainings.plain.start_from",
        "plain",
        "trainings.plain.start_from: plain -> plain never ends; write null for one of them",
    ),
    (
        "trainings.plain.start_from",
        "greedy",
        "trainings.cutout.start_from: cutout -> plain -> greedy -> cutout never ends; write null for one of them",
    ),
    (
        "defenses.double_masking.patch_sizes",
        [[5, 5], [33, 5]],
        "defenses.double_masking.patch_sizes.1: [33, 5] does not fit into images of [32, 32] pixels; write a patch of at most "
        "[32, 32]",
    ),
    (
        "trainings.greedy.patch_size",
        [5, 33],
        "trainings.greedy.patch_size: [5, 33] does not fit into images of [32, 32] pixels; write a patch of at most [32, 32]",
    ),
    (
        "analyses.patch_shapes.dataset",
        "digit",
        "analyses.patch_shapes.dataset: \"digit\" is not under datasets; did you mean 'digits'? Write one of digits, or add "
        "its block",
    ),
    (
        "analyses.patch_shapes.trainings",
        ["plain", "cutuot"],
        "analyses.patch_shapes.trainings.1: \"cutuot\" is not under trainings; did you mean 'cutout'? Write one of plain, "
        "cutout, greedy, or add its block",
    ),
    *(
        (
            "analyses.patch_shapes.patches",
            ["32x32", "2-of-32x32", "area-1024", patch],
            f"analyses.patch_shapes.patches.3: {patch} does not fit into images of [32, 32] pixels; write a patch of at most "
            "[32, 32]",
        )
        for patch in ([5, 33], [33, 5], "5x33", "33x5", "2-of-33x5")
    ),
    (
        "analyses.patch_shapes.patches",
        ["area-1025"],
        "analyses.patch_shapes.patches.0: area-1025 is more than the 1024 pixels of an image; write area-1024 at most",
    ),
    *(
        (
            f"analyses.{name}",
            ANALYSIS | {"mode": "matrix", "patches": [[5, 5], "5x7", patch]},
            f"analyses.{name}.patches.2: {patch} is not one patch of one size; write rows and columns, for example [5, 5]",
        )
        for name, patch in product(("mask_set", "overestimated_patch", "large_patches"), ("area-10", "2-of-3x3"))
    ),
    *(
        (
            "analyses.patch_shapes",
            ANALYSIS | {"images": number},
            f"analyses.patch_shapes.images: {number} is {told}",
        )
        for number, told in (
            (8, "more than the 7 test images of digits; write 7 at most"),
            (1, "fewer than the 2 shards of predict.shards; write 2 at least"),
        )
    ),
    (
        "analyses.objects",
        ANALYSIS | {"images": 5},
        "analyses.objects.images: this analysis shows all test images of its predictions; take the key out",
    ),
    (
        "analyses.mask_set",
        ANALYSIS,
        "analyses.mask_set.mode: certificate leaves out labels that its figure shows; write matrix",
    ),
    (
        "analyses.mask_budgets",
        ANALYSIS,
        "predict.timed_images: 50 is more than the 7 test images; write 7 at most",
    ),
    ("predict.shards", 8, "predict.shards: 8 is more than the 7 test images; write 7 at most"),
    (
        "trainings.greedy.mask_budgets",
        [[6, 6], [3, 3]],
        "trainings.greedy.mask_budgets: [[6, 6], [3, 3]] are two mask sets of which the second has the larger masks; write the "
        "large masks first, [[3, 3], [6, 6]]",
    ),
]


def messages(config: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        complete(config)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("path", "value", "message"), FAULTS, ids=[f"{number}-{path}" for number, (path, _, _) in enumerate(FAULTS)]
)
def test_a_fault_is_answered_with_one_line_that_says_what_to_write(path: str, value: Any, message: str) -> None:
    (line,) = messages(changed(path, value))
    if message.endswith(","):  # an example whose rest is tested elsewhere
        line = line[: len(f"configuration key {message}")]
    assert line == f"configuration key {message}"


def test_the_margin_loss_needs_its_settings() -> None:
    assert messages(changed("trainings.plain.loss", "margin")) == [
        "configuration key trainings.plain.margin: missing; write for example margin: 0.5",
        "configuration key trainings.plain.one_hot_penalty: missing; write for example one_hot_penalty: 1",
    ]


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, value, _ in FAULTS])
def test_no_message_is_noise(path: str, value: Any) -> None:
    for line in messages(changed(path, value)):
        assert len(line) <= 5 * 128
        for noise in ("None", "True", "False", "{'", "['", "$ref", "$defs", "additionalProperties", "is not of type", "schema"):
            assert noise not in line


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"epochs": 0},
            "configuration key trainings.plain.epochs: 0 would teach nothing; write a number from 1 up, or pretrained: true",
        ),
        (
            {"pretrained": True, "start_from": "other"},
            "configuration key trainings.plain.pretrained: true, and start_from is other, a second start; write false, or take "
            "start_from out",
        ),
    ],
)
def test_a_training_starts_from_one_place(block: dict[str, Any], message: str) -> None:
    other = {"other": {"strategy": "plain", "epochs": 1, "learning_rate": 0.1}}
    config = MINIMAL | {"trainings": {"plain": MINIMAL["trainings"]["plain"] | block} | other}
    with pytest.raises(InputError) as caught:
        complete(config)
    assert str(caught.value) == message
    complete(MINIMAL | {"trainings": {"plain": MINIMAL["trainings"]["plain"] | {"epochs": 0, "pretrained": True}}})


SCENES = {"loader": "coco", "source": "scenes", "classes": 10, "image_size": [64, 64]}
SEVERAL = MINIMAL | {"datasets": MINIMAL["datasets"] | {"scenes": SCENES | {"split_sizes": {"calibration": 5, "test": 7}}}}
ONE_RUN = {"models": ["small_vit"], "trainings": ["plain"], "patches": [[5, 5]], "budgets": [[6, 6]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"runs": [MINIMAL["runs"][0] | {"dataset": "scenes"}]},
            "runs.0.dataset: images of scenes have any number of labels each; the analysis multilabel alone is for such",
        ),
        (
            {"analyses": {"objects": ONE_RUN | {"dataset": "scenes"}}},
            "analyses.objects.dataset: images of scenes have any number of labels each; the analysis multilabel alone is for "
            "such",
        ),
        (
            {"analyses": {"multilabel": ONE_RUN | {"dataset": "digits"}}},
            "analyses.multilabel.dataset: images of digits have one label each; write a dataset whose loader is coco or "
            "voc2007",
        ),
        (
            {"analyses": {"multilabel": ONE_RUN | {"dataset": "scenes"}}},
            "trainings.plain.loss: cross_entropy is not for images of scenes with any number of labels each; write asymmetric",
        ),
        (
            {"trainings": {"plain": MINIMAL["trainings"]["plain"] | {"loss": "asymmetric"}}},
            "trainings.plain.loss: asymmetric is not for images of digits with one label each; write cross_entropy, or "
            "margin for a region scorer",
        ),
    ],
)
def test_defenses_and_losses_suit_the_labels(change: dict[str, Any], message: str) -> None:
    assert messages(SEVERAL | change) == [f"configuration key {message}"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("objects", {}, "analyses.objects.budgets: missing; write for example budgets: [[3, 3], [6, 6]]"),
        (
            "bagcert_times",
            {"budgets": [[6, 6]]},
            "analyses.bagcert_times.budgets: this defense has no mask sets; take the key out",
        ),
        (
            "bagcert_attacks",
            {"also": [{"budgets": [[6, 6]]}]},
            "analyses.bagcert_attacks.budgets: this defense has no mask sets; take the key out",
        ),
    ],
)
def test_mask_budgets_are_named_where_there_are_masks(name: str, change: dict[str, Any], message: str) -> None:
    run = {key: value for key, value in ONE_RUN.items() if key != "budgets"} | {"dataset": "digits"}
    assert messages(MINIMAL | {"analyses": {name: run | change}}) == [f"configuration key {message}"]


SMOOTHING = {key: value for key, value in ONE_RUN.items() if key != "budgets"} | {"dataset": "digits", "sigmas": [1, 7]}
UNSMOOTHED = {key: value for key, value in SMOOTHING.items() if key != "sigmas"}
SEVEN = {"defenses": MINIMAL["defenses"] | {"mask_smoothing": {"images": 7}}}
"""As many sampled images as there are to test on."""


@pytest.mark.parametrize(
    ("name", "block", "messages_"),
    [
        *(
            (name, UNSMOOTHED, [f"analyses.{name}.sigmas: missing; write for example sigmas: [7]"])
            for name in (f"smoothing_{what}" for what in ("places", "attacked", "mask_sizes", "trainings", "noise"))
        ),
        # further products do not stand in for the analysis's own list
        (
            "smoothing_noise",
            UNSMOOTHED | {"also": [{"sigmas": [7]}]},
            ["analyses.smoothing_noise.sigmas: missing; write for example sigmas: [7]"],
        ),
        (
            "smoothing_localisation",
            SMOOTHING,
            ["analyses.smoothing_localisation.sigmas: no noise is added in this analysis; take the key out"],
        ),
        (
            "objects",
            SMOOTHING | {"budgets": [[6, 6]]},
            ["analyses.objects.sigmas: no noise is added in this analysis; take the key out"],
        ),
        (
            "bagcert_outputs",
            UNSMOOTHED | {"also": [{"sigmas": [7]}]},
            ["analyses.bagcert_outputs.sigmas: no noise is added in this analysis; take the key out"],
        ),
        (
            "smoothing_places",
            SMOOTHING | {"budgets": [[6, 6]]},
            ["analyses.smoothing_places.budgets: this defense has no mask sets; take the key out"],
        ),
        (
            "smoothing_attacked",
            SMOOTHING | {"patches": [[5, 5], "5x7", "area-10", "2-of-3x3"]},
            [
                "analyses.smoothing_attacked.patches.2: area-10 is not one patch of one size; write rows and columns, for "
                "example [5, 5]",
                "analyses.smoothing_attacked.patches.3: 2-of-3x3 is not one patch of one size; write rows and columns, for "
                "example [5, 5]",
            ],
        ),
        # told once, and where it stands
        (
            "smoothing_localisation",
            UNSMOOTHED | {"also": [{"patches": [[7, 7], "2-of-3x3"]}, {"seeds": [1]}]},
            [
                "analyses.smoothing_localisation.also.0.patches.1: 2-of-3x3 is not one patch of one size; write rows and "
                "columns, for example [5, 5]"
            ],
        ),
        (
            "smoothing_places",
            SMOOTHING | {"sigmas": [7, 0]},
            ["analyses.smoothing_places.sigmas.1: 0 is wrong; write a number above 0, for example 7"],
        ),
        (
            "smoothing_places",
            SMOOTHING | {"dataset": "digit"},
            [
                "analyses.smoothing_places.dataset: \"digit\" is not under datasets; did you mean 'digits'? Write "
                "one of digits, or add its block"
            ],
        ),
    ],
)
def test_what_an_analysis_of_mask_smoothing_names(name: str, block: dict[str, Any], messages_: list[str]) -> None:
    assert messages(MINIMAL | SEVEN | {"analyses": {name: block}}) == [f"configuration key {line}" for line in messages_]


def test_no_more_images_are_sampled_than_each_dataset_has() -> None:
    few = MINIMAL["datasets"]["digits"]
    many = few | {"split_sizes": {"calibration": 5, "test": 9}}
    analyses = {"smoothing_noise": SMOOTHING | {"dataset": "many", "also": [{"dataset": "digits"}]}}
    config = MINIMAL | SEVEN | {"datasets": {"digits": few, "many": many}, "analyses": analyses}
    complete(config)
    config["defenses"] = MINIMAL["defenses"] | {"mask_smoothing": {"images": 8}}
    told = "defenses.mask_smoothing.images: 8 is more than the 7 test images of digits; write 7 at most"
    assert messages(config) == [f"configuration key {told}"]
    complete(config | {"analyses": {}})  # nothing is sampled


@pytest.mark.parametrize("size", [[32, 16], [16, 32]])
def test_squares_of_noise_fit_into_the_images_of_the_runs_that_learn_with_them(size: list[int]) -> None:
    trainings = MINIMAL["trainings"] | {"noise": NOISE | {"noise_sides": [5, 17]}}
    datasets = MINIMAL["datasets"] | {"small": MINIMAL["datasets"]["digits"] | {"image_size": size}}
    config = MINIMAL | {"trainings": trainings, "datasets": datasets}
    config["runs"] = [MINIMAL["runs"][0] | {"trainings": ["noise"]}, MINIMAL["runs"][0] | {"dataset": "small"}]
    complete(config)
    config["runs"][1]["trainings"] = ["plain", "noise"]
    told = f"trainings.noise.noise_sides: 17 does not fit into images of {size[0]}x{size[1]} pixels; write 16 at most"
    assert messages(config) == [f"configuration key {told}"]
    trainings["noise"]["noise_sides"] = [16, 16]
    complete(config)


def test_settings_that_differ_for_some_models_and_datasets() -> None:
    where = [
        {"models": ["small_vit"], "learning_rate": 0.2},
        {"datasets": ["digits"], "batch_size": 8},
        {"models": ["small_vit"], "datasets": ["digits"], "learning_rate": 0.3},
    ]
    training = complete(changed("trainings.plain.where", where))["trainings"]["plain"]
    rate, size = training["learning_rate"], training["batch_size"]
    settings = [settings_of(training, *run) for run in [("small_vit", "others"), ("small_vit", "digits"), ("other", "others")]]
    assert [(each["learning_rate"], each["batch_size"]) for each in settings] == [(0.2, size), (0.3, 8), (rate, size)]
    assert all(each.keys() == training.keys() - {"where"} for each in settings)


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ({"datasets": ["digit"], "epochs": 1}, 'trainings.plain.where.0.datasets.0: "digit" is not under datasets'),
        ({"models": ["small_vit"], "epochs": 0}, "trainings.plain.where.0.epochs: 0 would teach nothing"),
        ({"models": ["small_vit"], "momentum": 0.5}, "trainings.plain.where.0.momentum: unknown key"),
        ({"models": ["small_vit"]}, 'trainings.plain.where.0: {"models": ["small_vit"]} is wrong'),
    ],
)
def test_what_cannot_differ(where: dict[str, Any], fault: str) -> None:
    (line,) = messages(changed("trainings.plain.where", [where]))
    assert line.startswith(f"configuration key {fault}")


def test_an_analysis_of_several_products() -> None:
    further = [{"models": ["small_resmlp"]}, {"patches": [[7, 7]], "seeds": [1, 2]}]
    analysis = complete(changed("analyses.patch_shapes.also", further))["analyses"]["patch_shapes"]
    lists = [(block["models"], len(block["patches"]), block["seeds"]) for block in products(analysis)]
    assert lists == [(["small_vit"], 4, [0]), (["small_resmlp"], 4, [0]), (["small_vit"], 1, [1, 2])]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("analyses.patch_shapes.also", [{"dataset": "digit"}], 'analyses.patch_shapes.also.0.dataset: "digit" is not under'),
        (
            "analyses.patch_shapes.also",
            [{"patches": [[33, 9]]}],
            "analyses.patch_shapes.also.0.patches.0: [33, 9] does",
        ),
        ("analyses.patch_shapes.also", [{"mode": "matrix"}], "analyses.patch_shapes.also.0.mode: unknown key"),
        ("runs.0.patch_sizes", [[5, 5], [5, 33]], "runs.0.patch_sizes.1: [5, 33] does not fit"),
    ],
)
def test_products_are_checked_like_what_they_stand_beside(key: str, value: Any, fault: str) -> None:
    (line,) = messages(changed(key, value))
    assert line.startswith(f"configuration key {fault}")


def test_runs_with_patches_of_their_own_do_without_those_of_the_defense() -> None:
    config = changed("defenses.double_masking.patch_sizes", [[33, 33]])
    assert len(messages(config)) == 1
    config["runs"][0]["patch_sizes"] = [[5, 5]]
    complete(config)


def test_an_analysis_names_a_target_that_there_is() -> None:
    analysis = FULL["analyses"]["patch_shapes"] | {"target": "extra"}
    with pytest.raises(
        InputError, match=r"analyses\.patch_shapes\.target: \"extra\" is not under targets; did you mean 'extras'"
    ):
        complete(FULL | {"analyses": {"patch_shapes": analysis}, "targets": {"extras": {"cost": "5 minutes"}}})


def test_each_of_several_faults_has_its_line() -> None:
    config = changed("trainings.plain.epochs", -1)
    config["device"] = "gpu"
    config["runs"][0]["sedes"] = [1]
    assert messages(config) == [
        'configuration key device: "gpu" is wrong; write cpu or cuda',
        "configuration key runs.0.sedes: unknown key; did you mean 'seeds'? Write for example seeds: [0, 1, 2]",
        "configuration key trainings.plain.epochs: -1 is wrong; write a number from 0 up, for example 10",
    ]


def test_several_unknown_keys_in_one_block_have_a_line_each() -> None:
    assert len(messages(changed("predict", {"x": 1, "y": 2}))) == 2


def test_several_missing_keys_in_one_block_have_a_line_each() -> None:
    missing = [line.split(":")[0].split()[-1] for line in messages({})]
    assert missing == ["study", "datasets", "trainings", "runs", "defenses"]


def test_an_unknown_start_is_told_once_though_others_start_from_there() -> None:
    assert len(messages(changed("trainings.plain.start_from", "nowhere"))) == 1


def test_a_long_value_is_shortened() -> None:
    (line,) = messages(changed("study", "x" * 500 + "!"))
    assert f'"{"x" * 55} ... is wrong' in line
    assert len(line) < 250


def test_a_patch_may_be_as_large_as_the_image() -> None:
    complete(changed("defenses.double_masking.patch_sizes", [[32, 32]]))


def test_every_test_image_may_have_a_shard_of_its_own() -> None:
    complete(changed("predict.shards", 7))


def test_every_test_image_may_be_timed() -> None:
    config = changed("predict.timed_images", 7)
    config["analyses"]["mask_budgets"] = ANALYSIS
    complete(config)


def test_where_no_answer_is_timed_any_number_of_images_may_be_left() -> None:
    complete(changed("predict.timed_images", 400))


def test_as_many_images_can_be_timed_as_the_dataset_of_the_analysis_has() -> None:
    config = changed("predict.timed_images", 8)
    config["datasets"]["many"] = config["datasets"]["digits"] | {"split_sizes": {"calibration": 5, "test": 8}}
    config["analyses"]["mask_budgets"] = ANALYSIS | {"dataset": "many"}
    complete(config)
    config["analyses"]["mask_budgets"] = ANALYSIS
    (line,) = messages(config)
    assert "predict.timed_images: 8 is more than the 7 test images" in line


def test_a_patch_of_the_grid_is_not_compared_with_the_images_of_an_analysis() -> None:
    config = changed("defenses.double_masking.patch_sizes", [[20, 20]])
    config["datasets"]["tiny"] = config["datasets"]["digits"] | {"image_size": [16, 16]}
    config["analyses"]["patch_shapes"]["dataset"] = "tiny"
    complete(config)


def test_a_patch_of_a_training_that_no_run_names_is_not_compared_with_images() -> None:
    config = changed("trainings.greedy.patch_size", [99, 99])
    config["runs"][0]["trainings"] = ["plain"]
    complete(config)


def test_mask_sets_of_one_size_along_an_axis_are_in_order() -> None:
    complete(changed("trainings.greedy.mask_budgets", [[3, 3], [3, 6]]))


# --- the schema --------------------------------------------------------------------------------------------------------------


def described(node: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Dotted path, sub-schema and parent of every key that can be configured, blocks by name and list entries included."""
    for key, child in node.get("properties", {}).items():
        yield f"{place}{key}", resolved(child), node
        yield from described(resolved(child), f"{place}{key}.")
    for below, name in (("additionalProperties", "NAME"), ("items", "N")):
        if isinstance(node.get(below), Mapping):
            yield f"{place}{name}", resolved(node[below]), node
            yield from described(resolved(node[below]), f"{place}{name}.")


DESCRIBED = list(described(schema()))


def test_the_schema_is_itself_valid_and_closed() -> None:
    Draft202012Validator.check_schema(schema())
    blocks = [node for _, node, _ in [("", schema(), {}), *DESCRIBED] if "properties" in node]
    assert len(blocks) > 8
    assert all(node["additionalProperties"] is False for node in blocks)


@pytest.mark.parametrize(("place", "node", "parent"), DESCRIBED, ids=[place for place, _, _ in DESCRIBED])
def test_a_key_is_described_and_its_examples_are_right(place: str, node: dict[str, Any], parent: Mapping[str, Any]) -> None:
    assert node["description"]
    assert node["examples"]
    checker = Draft202012Validator({"$defs": schema()["$defs"], **node})
    for example in node["examples"] + ([node["default"]] if "default" in node else []):
        assert [error.message for error in checker.iter_errors(example)] == []


@pytest.mark.parametrize(("place", "node", "parent"), DESCRIBED, ids=[place for place, _, _ in DESCRIBED])
def test_a_key_is_required_or_has_a_default_or_is_said_to_be_optional(
    place: str, node: dict[str, Any], parent: Mapping[str, Any]
) -> None:
    name = place.split(".")[-1]
    if name not in ("NAME", "N"):
        required = name in parent.get("required", [])
        optional = bool(
            re.search(
                r"\((random_cutout|gaussian_patch|strategies with the certificate's masks|margin loss) only\)|; optional\.|"
                r"; required (but|for) ",
                node["description"],
            )
        )
        assert [required, "default" in node, optional].count(True) == 1


@pytest.mark.parametrize(
    ("path", "package"),
    [
        (("trainings", "additionalProperties", "properties", "strategy"), "patchcert.training.strategies"),
        (("datasets", "additionalProperties", "properties", "loader"), "patchcert.datasets.loaders"),
    ],
)
def test_the_choices_are_the_modules_that_there_are(path: tuple[str, ...], package: str) -> None:
    node = schema()["properties"]
    for part in path:
        node = node[part]
    assert sorted(node["enum"]) == plugins.names(package)


def test_the_models_are_the_architectures_that_there_are_and_timms() -> None:
    node = schema()["$defs"]["models"]["items"]
    (choices,) = re.fullmatch(r"\^\((.*)\)\$", node["pattern"]).groups()  # type: ignore[union-attr]
    *own, timms = re.split(r"\|(?![^(]*\))", choices)
    fields = [re.fullmatch(r"(\w+_rf)\((.*)\)", name) for name in own]
    spelled = [
        [found[1] + field for field in found[2].split("|")] if found else [name]
        for name, found in zip(own, fields, strict=True)
    ]
    assert sorted(itertools.chain(*spelled)) == sorted(registry.names())
    assert timms == r"[a-z0-9_]+\.[a-z0-9_]+"
    assert all(names[0] in node["description"] for names in spelled)


def test_every_name_that_timm_publishes_can_be_configured() -> None:
    pattern = schema()["$defs"]["models"]["items"]["pattern"]
    assert [name for name in timm.list_pretrained() if not re.search(pattern, name)] == []


def test_a_strategys_own_keys_are_described_as_its_own() -> None:
    training = schema()["properties"]["trainings"]["additionalProperties"]
    for case in training["allOf"]:
        ((chooser, chosen),) = case["if"]["properties"].items()
        owner = chosen.get("const", "strategies with the certificate's masks") + (" loss" if chooser == "loss" else "")
        for key in case["then"].get("required", []):
            assert f"({owner} only)" in training["properties"][key]["description"]


def test_the_defenses_are_the_modules_that_evaluate_them() -> None:
    defenses = sorted(schema()["properties"]["defenses"]["properties"])
    assert sorted([*defenses, LOCALISATION]) == plugins.names("patchcert.evaluation")
    assert set(defenses) <= set(plugins.names("patchcert.defenses"))


def test_the_analyses_are_those_that_the_rules_show() -> None:
    analyses = {item["analysis"] for item in [*RULES["TABLES"].values(), *RULES["FIGURES"].values()] if "analysis" in item}
    node = schema()["properties"]["analyses"]
    assert analyses == set(node["propertyNames"]["enum"])
    assert all(re.search(rf"\b{name}\b", node["description"]) for name in analyses)


def test_what_an_analysis_compares_are_defenses() -> None:
    assert set(ANALYSED_BY) <= set(schema()["properties"]["analyses"]["propertyNames"]["enum"])
    defenses = set(schema()["properties"]["defenses"]["properties"])
    assert {name for names in ANALYSED_BY.values() for name in names} == defenses | {LOCALISATION}


@pytest.mark.parametrize("kind", ["tables", "figures"])
def test_what_the_rules_make_are_the_modules_that_there_are(kind: str) -> None:
    assert sorted(RULES[kind.upper()]) == plugins.names(f"patchcert.report.{kind}")


@pytest.mark.parametrize(
    ("kind", "name", "reads"),
    [
        (kind, name, item["reads"])
        for kind in ("tables", "figures")
        for name, item in RULES[kind.upper()].items()
        if item["reads"]  # those that read no frame have a rule of their own
    ],
)
def test_what_a_table_or_figure_is_given_is_what_it_takes(kind: str, name: str, reads: list[str]) -> None:
    module = plugins.load(f"patchcert.report.{kind}", name)
    takes = set(inspect.signature(module.make if kind == "tables" else module.draw).parameters)
    assert takes == set(reads) | ({"style"} if kind == "figures" else set())


# --- docs/configuration.md ---------------------------------------------------------------------------------------------------


def test_the_documentation_is_what_the_schema_says(golden: Callable[[Path, str], None]) -> None:
    assert reference_module.FILE == ROOT / "docs" / "configuration.md"
    golden(reference_module.FILE, reference())


def test_the_documentation_is_written_with_its_folder(tmp_path: Path) -> None:
    reference_module.write(tmp_path / "docs" / "configuration.md")
    assert (tmp_path / "docs" / "configuration.md").read_text("utf-8") == reference()


def test_the_documentation_has_a_row_for_every_key() -> None:
    rows = {line.split("`")[1]: line for line in reference().splitlines() if line.startswith("| `")}
    # list entries and blocks by name have no row of their own: their keys, or the list's row, say it
    keys = {place for place, _, _ in DESCRIBED if place.split(".")[-1] not in ("NAME", "N")}
    assert set(rows) == keys
    assert all(node["description"] in rows[place] for place, node, _ in DESCRIBED if place in rows)


@pytest.mark.parametrize(
    "row",
    [
        "| `trainings.NAME.epochs` | whole number from 0 | required | Passes over the training images; 0 takes published "
        "weights as they are. | `10` |",
        "| `trainings.NAME.batch_size` | whole number from 1 | `64` | Images a step. | `64` |",
        "| `evaluate.confidence` | number above 0 below 1 | `0.95` | Level of the Wilson intervals of accuracies. | `0.95` |",
        "| `runs.N.seeds` | list of whole numbers from 0 | `[0]` | Seeds of the training runs. | `[0, 1, 2]` |",
        '| `trainings.NAME.cutout_size` | `[rows, columns]` | required with `"random_cutout"` | Rows and columns',
        "| `trainings.NAME.mask_budgets` | list of `[rows, columns]`, at most 2 | "
        'required with `"random_masks"` or `"gutout"` or `"greedy_cutout"` or `"grid_cutout"` |',
        "| `mirror` | text or `null` | `null` |",
        '| `device` | `"cpu"` or `"cuda"` | `"cpu"` |',
        "| `datasets.NAME.source` | name | required |",
        "| `defenses.double_masking` | block | required |",
        "| `runs.N.models` | list of names | required |",
        "| `analyses` | block | `{}` | The papers' analyses",
        "| `analyses.NAME.budgets` | list of `[rows, columns]` | none | Masks along the rows and along the columns; req",
        '| `analyses.NAME.mode` | `"certificate"` or `"matrix"` | `"certificate"` |',
        "| `predict.batch_size` | whole number from 1 or `null` | `null` |",
        "| `predict.compiled` | `true` or `false` | `false` |",
    ],
)
def test_a_row_says_what_a_key_takes(row: str) -> None:
    assert row in reference()
