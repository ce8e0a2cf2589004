"""Configuration, paths and the functions that rules take their inputs and parameters from."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from patchcert import InputError
from patchcert.datasets.sources import read_sources
from patchcert.provenance import code_digest, settings_sha256
from patchcert.study.config import complete

try:
    config.update(complete(config))
    SOURCES = read_sources("config/sources.csv")
    for block in config["datasets"].values():
        if block["source"] not in SOURCES:
            raise InputError(f"config/sources.csv: no row named {block['source']!r}; it has {', '.join(SOURCES)}")
except InputError as error:
    raise WorkflowError(str(error)) from None

NAME = r"[a-z0-9][a-z0-9_]*"
DATA, CHECKPOINTS, RESULTS, REPORTS = (config["directories"][name] for name in ("data", "checkpoints", "results", "reports"))
RUN = "{dataset}/{model}/{training}/seed-{seed}"
MASKED = f"{RUN}/patch-{{patch}}/masks-{{budget}}"
LOGS, BENCHMARKS, SCRATCH = f"{RESULTS}/logs", f"{RESULTS}/benchmarks", f"{RESULTS}/.scratch"

GPU_SLOTS = 1 if config["device"] == "cuda" else 0


def as_text(size):
    return f"{size[0]}x{size[1]}"


def as_size(text):
    return [int(side) for side in text.split("x")]


def configured_runs():
    """The facts of every configured run, each once, by dataset, model and training as the configuration first names them."""
    runs = [
        {"dataset": block["dataset"], "model": model, "training": training, "seed": seed}
        for block in config["runs"]
        for model, training, seed in product(block["models"], block["trainings"], block["seeds"])
    ]
    named = {fact: list(dict.fromkeys(run[fact] for run in runs)) for fact in ("dataset", "model", "training", "seed")}
    unique = {tuple(named[fact].index(run[fact]) for fact in named): run for run in runs}
    return [unique[place] for place in sorted(unique)]


def configured_masks(defense):
    """The facts of every patch and budget that a defense is evaluated with."""
    settings = config["defenses"].get(defense, {"patch_sizes": [], "mask_budgets": []})
    return [
        {"patch": as_text(patch), "budget": as_text(budget)}
        for patch, budget in product(settings["patch_sizes"], settings["mask_budgets"])
    ]


def masked_runs(defense):
    return [run | masks for run, masks in product(configured_runs(), configured_masks(defense))]


def certified_facts():
    """The facts of every certificate, and of the prediction behind it: run, patch, budget and defense."""
    return [facts | {"defense": defense} for defense in config["defenses"] for facts in masked_runs(defense)]


def every(pattern, facts):
    """A path for each of the facts, without repetition."""
    return list(dict.fromkeys(pattern.format(**fact) for fact in facts))


def source_path(entry):
    return f"{DATA}/{entry.name}/{entry.version}/{entry.file}"


def dataset_of(wildcards):
    return config["datasets"][wildcards.dataset]


def source_entry(wildcards):
    entries = [
        entry
        for entry in SOURCES.get(wildcards.source, [])
        if (entry.version, entry.file) == (wildcards.version, wildcards.file)
    ]
    if not entries:
        raise WorkflowError(f"config/sources.csv has no row for {wildcards.source}/{wildcards.version}/{wildcards.file}")
    return vars(entries[0])


def source_files(wildcards):
    return [source_path(entry) for entry in SOURCES[dataset_of(wildcards)["source"]]]


def loader_module(wildcards):
    return f"patchcert.datasets.loaders.{dataset_of(wildcards)['loader']}"


def architecture_modules(wildcards):
    """The module of a small architecture; timm's own models have none here."""
    return [] if "." in wildcards.model else [f"patchcert.models.architectures.{wildcards.model}"]


def data_identity(wildcards):
    """Digest of what the images, labels and splits of a dataset depend on.

    It goes into the record of every checkpoint and prediction, so that weights that were restored from elsewhere are recognised
    if they belong to other data.
    """
    digests = [entry.sha256 for entry in SOURCES[dataset_of(wildcards)["source"]]]
    code = adapter_code("prepare.py", loader_module(wildcards))
    return settings_sha256([dataset_of(wildcards), digests, code])


def training_settings(wildcards):
    """A training's block without the name of the training that it starts from, whose weights are an input."""
    block = config["trainings"][wildcards.training]
    return {key: value for key, value in block.items() if key != "start_from"}


def starting_weights(wildcards):
    start = config["trainings"][wildcards.training]["start_from"]
    return rules.train.output.weights.format(**(dict(wildcards) | {"training": start})) if start else []


def adapter_code(script, *modules):
    """Digest of what a rule's adapter runs, with the modules that it chooses by name.

    Snakemake's own trigger goes by the file time of the adapter, which a checkout changes; this one goes by content.
    """
    return code_digest(str(Path(workflow.basedir, "workflow", "scripts", script)), *modules)


def training_code(wildcards):
    strategy = config["trainings"][wildcards.training]["strategy"]
    return adapter_code("train.py", f"patchcert.training.strategies.{strategy}", *architecture_modules(wildcards))


def prediction_code(wildcards):
    return adapter_code("predict.py", *architecture_modules(wildcards))


def defense_settings(wildcards):
    """What a defense's certificates depend on beside the predictions: its block without what the paths say."""
    block = config["defenses"][wildcards.defense]
    return {key: value for key, value in block.items() if key not in ("patch_sizes", "mask_budgets")}


def defense_code(wildcards):
    return adapter_code("certify.py", f"patchcert.defenses.{wildcards.defense}")


def evaluated_runs(wildcards):
    return [facts for facts in certified_facts() if facts["defense"] == wildcards.defense]


def evaluated_certificates(wildcards):
    return every(rules.certify.output[0], evaluated_runs(wildcards))


def example_run():
    """The first configured run with the last, finest mask set: what the mask figure shows."""
    return masked_runs("double_masking")[: len(configured_masks("double_masking"))][-1]


def table_code(wildcards):
    return adapter_code("table.py", f"patchcert.report.tables.{wildcards.table}")


def table_caption(wildcards):
    return TABLES[wildcards.table]


def recorded_runs():
    """Every configured run and every run that one of them starts from."""
    runs = configured_runs()
    for run in runs:  # grows while it is read
        start = config["trainings"][run["training"]]["start_from"]
        if start and run | {"training": start} not in runs:
            runs.append(run | {"training": start})
    return runs


def expected_identity(run):
    """What a run's record says where its weights are those that the configuration asks for."""
    facts = SimpleNamespace(**run)
    return {
        "settings": training_settings(facts),
        "data": data_identity(facts),
        "code": training_code(facts),
        "device": config["device"],
    }


def configured_sources():
    return [entry for block in config["datasets"].values() for entry in SOURCES[block["source"]]]
