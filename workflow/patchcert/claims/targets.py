"""What of a study gives a number of the ledger: its certificates, and how the number is read from them; or why nothing does.

Whose certificates these are says :mod:`patchcert.report.settings`, as it does for the reports.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from patchcert.claims import readings
from patchcert.claims.readings import Reading
from patchcert.models.names import split
from patchcert.report.ledger import FRACTION, ORDER_ONLY, PER_CENT
from patchcert.report.results import OUTPUTS
from patchcert.report.settings import SMOOTHING, is_counterpart, setting_of
from patchcert.study import facts as of_certificates
from patchcert.study.facts import ANALYSED_BY, GRID, RUN_FACTS, Config, Facts, facts_of

QUOTED = "quoted from others"
OTHERS = "a defense of others that the study does not have"
DIFFERENCE = "a difference from a number of others"
HARDWARE = "time of the authors' hardware"
NO_COUNTERPART = "no counterpart in this study"
NOT_CONFIGURED = "not in this configuration"
REASONS = (QUOTED, OTHERS, DIFFERENCE, HARDWARE, NO_COUNTERPART, NOT_CONFIGURED)
"""Why nothing of a study gives a number. The last is for a configuration from which its setting was taken out."""

CERTIFICATES, TIMES, REGION_TIMES, TRAINING_TIMES = "certificates", "times", "region_times", "training_times"
"""What a number is read from: measures of certificates, or the times of a run, or of steps of training."""
FILES = {
    TIMES: of_certificates.TIMES,
    REGION_TIMES: of_certificates.REGION_TIMES,
    TRAINING_TIMES: of_certificates.TRAINING_TIMES,
}
"""Files of what is no certificate, under the folder of results."""

OWN = ("undefended", "double_masking", "minority_reports", "bagcert", "multilabel", "mask_smoothing")
"""Defenses that a study of the published datasets has."""

LABELS = {
    "n02107908": 240,
    "n02116738": 275,
    "n02342885": 333,
    "n04152593": 782,
    "n11879895": 984,
    "n12057211": 986,
}
"""Labels of the classes of ImageNet that the papers name: their places in the order of WordNet ids."""

SETTINGS = {"Undefended clean": "undefended", "Defended clean": "defended", "Certified robust": "certified"}
ATTACKERS = {
    "New certification procedure (worst case)": "worst_case",
    "New certification procedure (FN attack)": "fn",
    "New certification procedure (FP attack)": "fp",
}
"""Rows of the tables of Multi-Label PatchCleanser by the names of :mod:`patchcert.evaluation.multilabel`."""
TO_OTHERS = ("clean_gain", "certified_gain", "certified_ratio")
"""Metrics of how far a defense is above others."""
NEW_PROCEDURE = "New certification procedure"
REGIONS = ("bagcert_conditions", "bagcert_patch_sizes", "bagcert_aspect_ratios", "defenses")
"""Analyses of region scorers that are trained as BagCert's main results are."""

Fits = Callable[[Facts], bool]
"""Whether a certificate's facts have the setting of a number."""


class Target(NamedTuple):
    """What gives a number.

    Attributes:
        kind: :data:`CERTIFICATES`, or one of :data:`FILES`.
        analysis: the first analysis that plans it, or :data:`patchcert.study.facts.GRID`.
        facts: of each certificate, or of the certificates of the runs that are timed.
        read: the number from their measures, in the ledger's unit.
    """

    kind: str
    analysis: str
    facts: list[Facts]
    read: Reading

    @property
    def source(self) -> str:
        """What gives the number, in a word for readers."""
        return "certificate" if self.kind == CERTIFICATES else "times"


def target(row: Mapping[str, Any], config: Config) -> Target | str:
    """What gives a number of the ledger in a study, or one of :data:`REASONS`.

    Args:
        row: of :func:`patchcert.report.ledger.read_ledger`.
        config: a configuration as :func:`patchcert.study.config.complete` gives it.
    """
    counterpart = is_counterpart(row, config)
    if reason := _without(row, counterpart):
        return reason
    fits = setting_of(row, config).fits
    if row["paper"] == "multilabel_patchcleanser":
        found = _multilabel(row, config, fits, counterpart)
    elif row["paper"] == SMOOTHING:
        found = _smoothing(row, config, fits)
    elif row["defense"] in ("bagcert", "derandomized_smoothing"):
        found = _bagcert(row, config, fits)
    elif row["defense"] == "minority_reports":
        found = _minority_reports(row, config, fits)
    else:
        found = _double_masking(row, config, fits)
    if found is None:
        return NO_COUNTERPART if counterpart else HARDWARE if row["tolerance_reason"] == ORDER_ONLY else NOT_CONFIGURED
    return found


def _without(row: Mapping[str, Any], counterpart: bool) -> str | None:
    """Why no study, or none of this kind, can have the number."""
    if counterpart:
        return None if row["default_model"] else NO_COUNTERPART
    if row["quoted_from"]:
        return QUOTED
    if row["defense"] not in OWN or (row["paper"] == "patchcleanser" and row["defense"] == "bagcert"):
        return HARDWARE if row["tolerance_reason"] == ORDER_ONLY else OTHERS
    if row["metric"] in TO_OTHERS and row["paper"] in (SMOOTHING, "patchcleanser"):
        return DIFFERENCE
    return None


def _found(config: Config, analyses: Iterable[str], defense: str, fits: Fits) -> tuple[str, list[Facts]] | None:
    """The first analysis that has certificates that fit, with these."""
    for name in analyses:
        if facts := [each for each in facts_of(config, name, defense) if fits(each)]:
            return name, facts
    return None


def _of_one(found: tuple[str, list[Facts]] | None, read: Reading, kind: str = CERTIFICATES) -> Target | None:
    """A target of the first of the certificates that were found, if any."""
    return Target(kind, found[0], found[1][:1], read) if found else None


def _of_all(found: tuple[str, list[Facts]] | None, read: Reading) -> Target | None:
    return Target(CERTIFICATES, *found, read) if found else None


def _double_masking(row: Mapping[str, Any], config: Config, fits: Fits) -> Target | None:
    if row["metric"] == "search_passes":
        timed = _found(config, ["strategies"], "double_masking", fits)
        run = {fact: timed[1][0][fact] for fact in (*RUN_FACTS, "defense")} if timed else {}
        return Target(TRAINING_TIMES, timed[0], [run], readings.passes(run["training"])) if timed else None
    if row["metric"] == "inference_time":
        found = _found(config, ["mask_budgets"], "double_masking", fits)
        facts = found[1][0] if found else {"patch": "", "budget": ""}
        return _of_one(found, readings.milliseconds(facts["patch"], facts["budget"], "double_masking"), TIMES)
    found = _found(config, [GRID, *config["analyses"]], "double_masking", fits)
    if found is None and is_counterpart(row, config):  # other shapes of a patch have fewer masks in a small study
        found = _found(config, ["patch_shapes"], "double_masking", setting_of(row, config).under_any_masks().fits)
    if label := re.search(r"class (n\d{8})", row["column"]):
        return _of_one(found, readings.of_label(LABELS[label[1]]))
    if row["mask_budget"] and not row["patch"]:  # whatever patch the masks are made for
        loss = readings.gain("undefended_clean", "defended_clean", max)
        return _of_all(found, loss if row["metric"] == "clean_loss" else readings.share(row["metric"], min))
    return _of_one(found, readings.share(row["metric"]))


def _minority_reports(row: Mapping[str, Any], config: Config, fits: Fits) -> Target | None:
    detector, classifier = (_found(config, ["minority_reports"], name, fits) for name in ("minority_reports", "double_masking"))
    if "most robust" in row["row"]:
        return _of_one(detector, readings.most_robust)
    column = "clean" if row["metric"] == "defended_clean" else "certified"
    both = (detector[0], [detector[1][0], classifier[1][0]]) if detector and classifier else None
    return _of_all(both, readings.as_accurate(column))


def _multilabel(row: Mapping[str, Any], config: Config, fits: Fits, counterpart: bool) -> Target | None:
    found = _found(config, ["multilabel"], "multilabel", fits)
    return _of_one(found, _multilabel_reading(row, config, found[1][0]["patch"], counterpart)) if found else None


def _multilabel_reading(row: Mapping[str, Any], config: Config, patch: str, counterpart: bool) -> Reading:
    own = config["defenses"]["multilabel"]["threshold"]
    at: dict[str, Any] = {"threshold": float(own if counterpart else row["threshold"] or own)}
    kind, _, quantity = row["metric"].partition("_")
    setting = SETTINGS.get(row["row"], "certified")
    if row["table"] == "Section I":
        setting = "certified" if "certified" in row["column"] else "defended"
    if row["metric"] == "area_share":
        grid = {name: readings.cell("areas", "grid", FRACTION, setting=name) for name in SETTINGS.values()}
        return readings.portion(grid[setting], grid["undefended"])
    if quantity in ("gain", "loss"):
        points = {name: readings.cell("points", kind, PER_CENT, setting=name, **at) for name in SETTINGS.values()}
        if row["row"] == NEW_PROCEDURE:  # of any attacker, above what the old one certifies
            told = ({"attacker": name, "actual_patch": patch} for name in ATTACKERS.values())
            best = readings.largest([readings.cell("attackers", kind, PER_CENT, **at, **each) for each in told])
            return readings.difference(best, points["certified"])
        higher, lower = (points[name] for name in ("defended", "undefended"))
        return readings.difference(higher, lower) if quantity == "gain" else readings.difference(lower, higher)
    if row["metric"] == "area_under_curve":
        if row["table"] == "Table II":  # the paper's curves are of 100 thresholds
            return readings.cell("areas", "grid", row["unit"], setting=setting)
        number = re.match(r"Class (\d+)/", row["column"])
        if counterpart or number is None:
            return readings.area_of_extreme_class(setting, best="person" in row["column"])
        return readings.cell("classes", "area", row["unit"], setting=setting, **{"class": int(number[1])})
    if row["row"] in ATTACKERS:
        at |= {"attacker": ATTACKERS[row["row"]], "actual_patch": patch}
        return readings.cell("attackers", quantity, row["unit"], **at)
    # averages in the way of common evaluation code, which the published ones are
    column = quantity if kind == "overall" else f"{row['metric']}_published"
    return readings.cell("points", column, row["unit"], setting=setting, **at)


def _bagcert(row: Mapping[str, Any], config: Config, fits: Fits) -> Target | None:
    metric = row["metric"]
    if metric in ("certification_time", "parameters"):
        read = readings.millions_of_parameters if metric == "parameters" else readings.certification_seconds
        return _of_one(_found(config, ["bagcert_times"], "bagcert", fits), read, REGION_TIMES)
    if metric == "certified_gain":
        return _of_all(_found(config, REGIONS[:1], "bagcert", fits), readings.gain("condition_3_2", "condition_3_3"))
    if metric == "unstable_runs":
        return _of_all(_found(config, ["bagcert_outputs"], "bagcert", _output(row, fits)), readings.chance_level("clean"))
    measured = {"defended_clean": "clean", "certified": "condition_3_2"}.get(metric, metric)
    if row["defense"] == "derandomized_smoothing" and metric == "certified":
        measured = "condition_3_3"  # which is theirs
    if row["patch"].startswith("any"):
        return _of_all(_found(config, ["bagcert_aspect_ratios"], "bagcert", fits), readings.share(measured, min))
    return _of_one(_found(config, REGIONS, "bagcert", fits), readings.share(measured))


def _output(row: Mapping[str, Any], fits: Fits) -> Fits:
    """What fits and has the output that the row is about."""

    def has(facts: Facts) -> bool:
        family, _ = split(facts["model"])
        return fits(facts) and OUTPUTS.get(family.rpartition("_")[2], "heaviside") == row["row"].lower()

    return has


def _smoothing(row: Mapping[str, Any], config: Config, fits: Fits) -> Target | None:
    if row["metric"] in ("inference_time", "training_time"):
        return None
    metric = {"defended_clean": "empirical", "undefended_clean": "undefended"}.get(row["metric"], row["metric"])
    if row["metric"] == "defended_clean":
        place = "clean"
    else:
        place = next((name for name in ("attacked", "grad_cam") if name in row["column"].split()), "center")
    if metric == "tolerated_noise":
        found = _found(config, ["smoothing_noise"], "mask_smoothing", lambda facts: fits(facts) and facts["place"] == place)
        trained = config["trainings"][found[1][0]["training"]]["noise_sigma"] if found else math.nan
        return _of_all(found, readings.tolerated_noise(trained))
    sigma = re.search(r"sigma (\d+)", row["row"])

    def has(facts: Facts) -> bool:
        return fits(facts) and facts["place"] == place and (sigma is None or facts["sigma"] == int(sigma[1]))

    # the noise that the network was trained on comes first
    found = _found(config, [name for name in ANALYSED_BY if name.startswith("smoothing")], "mask_smoothing", has)
    return _of_one(found, readings.largest_radius if metric == "largest_radius" else readings.share(metric))
