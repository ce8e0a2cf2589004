"""The facts of every certificate that a configuration asks for: what tells it from the others, and where its files are.

A certificate's facts are ``dataset``, ``model``, ``training``, ``seed``, ``patch``, ``budget`` and ``defense``, and of mask
smoothing and its localisation some more. Rules take their wildcards from them, and readers of results find rows by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from patchcert.study.config import products

Facts = dict[str, Any]
Config = Mapping[str, Any]

RUN = "{dataset}/{model}/{training}/seed-{seed}"
MASKED = f"{RUN}/patch-{{patch}}/masks-{{budget}}"
RUN_FACTS = ("dataset", "model", "training", "seed")

METRICS = "metrics/{analysis}/{defense}.json"
TIMES, REGION_TIMES = f"times/{RUN}.json", f"region_times/{RUN}.json"
TRAINING_TIMES = "training_times/{dataset}/{model}.json"
CLAIMS = "claims/{claim}.json"
"""Files under the folder of results: what certificates amount to, how long answers, region scores and steps of
training take, and the record of a published number that was regenerated alone."""

GRID = "grid"
"""What the certificates of the grid of runs go by among the analyses."""

ANALYSED_BY = {
    "mask_budgets": ["double_masking", "challenger"],
    "minority_reports": ["double_masking", "minority_reports"],
    "multilabel": ["multilabel"],
    "defenses": ["double_masking", "bagcert"],
    "bagcert_conditions": ["bagcert"],
    "bagcert_patch_sizes": ["bagcert"],
    "bagcert_aspect_ratios": ["bagcert"],
    "bagcert_times": ["bagcert"],
    "bagcert_attacks": ["bagcert"],
    "bagcert_outputs": ["bagcert"],
    "smoothing_places": ["mask_smoothing"],
    "smoothing_attacked": ["mask_smoothing"],
    "smoothing_mask_sizes": ["mask_smoothing"],
    "smoothing_trainings": ["mask_smoothing"],
    "smoothing_noise": ["mask_smoothing"],
    "smoothing_localisation": ["localisation"],
}
"""The defenses whose certificates an analysis compares, where it is not double masking alone."""

NO_MASKS = "none"
"""The mask budget of a defense that masks nothing."""

MASKING_NOTHING = ("bagcert", "mask_smoothing", "localisation")

PLACES = {"smoothing_places": ["center", "grad_cam"], "smoothing_attacked": ["center", "clean", "attacked"]}
"""Where an analysis of mask smoothing puts the mask, if not in the middle of the image alone, which the others are held
against."""


def as_text(size: str | Sequence[int]) -> str:
    """Rows and columns as paths name them; what is a text already stays as it is."""
    return size if isinstance(size, str) else f"{size[0]}x{size[1]}"


def runs_of(block: Config) -> list[Facts]:
    """The facts of the runs that a block of the configuration names, as the product of its lists."""
    return [
        {"dataset": block["dataset"], "model": model, "training": training, "seed": seed}
        for model, training, seed in product(block["models"], block["trainings"], block["seeds"])
    ]


def in_order(runs: Sequence[Facts], by: Sequence[str] = RUN_FACTS) -> list[Facts]:
    """Runs, each once, by dataset, model and training as first named; or certificates, by what else tells them apart."""
    named = {fact: list(dict.fromkeys(run[fact] for run in runs)) for fact in by}
    unique = {tuple(named[fact].index(run[fact]) for fact in named): run for run in runs}
    return [unique[place] for place in sorted(unique)]


def once(facts: Iterable[Facts]) -> list[Facts]:
    """Facts in their order, each once."""
    return [dict(unique) for unique in dict.fromkeys(tuple(fact.items()) for fact in facts)]


def parts_of(config: Config, target: str | None) -> list[str]:
    """The analyses that a named target makes; if it is none those of the bare snakemake, the grid of runs among them."""
    analyses = [name for name, block in config["analyses"].items() if block["target"] == target]
    return analyses if target else [GRID, *analyses]


def grid_facts(config: Config) -> list[Facts]:
    """The facts of every certificate of the grid: its runs under every patch and budget that a defense names."""
    facts = [
        run | {"patch": as_text(patch), "budget": as_text(budget), "defense": defense}
        for defense, settings in config["defenses"].items()
        for block in config["runs"]
        for run, patch, budget in product(
            runs_of(block), block["patch_sizes"] or settings.get("patch_sizes", []), settings.get("mask_budgets", [])
        )
    ]
    return in_order(facts, by=("defense", *RUN_FACTS, "patch", "budget"))


def analysis_facts(config: Config, name: str, defense: str = "double_masking") -> list[Facts]:
    """The facts of every certificate that an analysis needs of a defense; none where it is not configured.

    What names no mask budgets is for a defense that masks nothing, and what names some for the others.
    """
    if name not in config["analyses"]:
        return []
    return once(
        run | {"patch": as_text(patch), "budget": as_text(budget), "defense": defense} | further
        for block in products(config["analyses"][name])
        if ("budgets" in block) != (defense in MASKING_NOTHING)
        for run, patch, budget in product(runs_of(block), block["patches"], block.get("budgets", [NO_MASKS]))
        for further in _further_facts(config, name, defense, block, run["training"])
    )


def _further_facts(config: Config, name: str, defense: str, block: Config, training: str) -> list[Facts]:
    """What else tells the certificates of a run against one patch apart, or has to be known of them."""
    settings = config["defenses"].get("mask_smoothing", {})
    if defense == "localisation":
        return [{"steps": steps, "shown": f"steps-{steps}"} for steps in settings["attack_strengths"]]
    if defense != "mask_smoothing":
        return [{}]
    sides = " to ".join(map(str, dict.fromkeys(config["trainings"][training].get("noise_sides", []))))
    known = {"noise_sides": sides, "samples": settings["estimation_samples"]}
    places, sigmas = PLACES.get(name, ["center"]), [int(sigma) if sigma == int(sigma) else sigma for sigma in block["sigmas"]]
    return [known | {"place": place, "sigma": sigma} for place, sigma in product(places, sigmas)]


def facts_of(config: Config, analysis: str, defense: str | None = None) -> list[Facts]:
    """The facts of the certificates of an analysis, or of the grid of runs, of one defense or of every one that it compares."""
    if analysis == GRID:
        facts = grid_facts(config)
    else:
        compared = ANALYSED_BY.get(analysis, ["double_masking"])
        facts = [each for name in compared for each in analysis_facts(config, analysis, name)]
    return [each for each in facts if defense in (None, each["defense"])]


def region_facts(config: Config, analysis: str) -> list[Facts]:
    """The facts of BagCert's certificates of an analysis, with the margin M that each run was trained for."""
    return [
        facts | {"margin": config["trainings"][facts["training"]].get("margin")}
        for facts in facts_of(config, analysis, "bagcert")
    ]
