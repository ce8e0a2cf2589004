"""What the tests of mask smoothing's reports share: made-up frames of certificates whose every number follows from a rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from scipy.special import ndtri

from patchcert.masks import size_from_text
from patchcert.metrics import share
from patchcert.report.ledger import COLUMNS

from .configurations import seen

TOTAL = 400
NAN = float("nan")
SAMPLES, ALPHA = 1000, 0.001
REACH = float(ndtri(ALPHA ** (1 / SAMPLES)))
"""The largest radius that the samples allow, in standard deviations."""
CONTENT = [(0.0, 1.0), (0.25, 0.99), (0.6, 0.98), (0.9, 0.96), (1.0, 0.0)]
"""A curve as parts of the largest radius and of R-accuracy at radius 0."""


def certificate(sigma: float = 7.0, place: str = "center", patch: str = "5x5", seed: int = 0, **facts: Any) -> dict[str, Any]:
    """The facts of one certificate."""
    usual = {"dataset": "digits", "model": "small_resnetv2", "training": "gaussian_patch", "seed": seed, "patch": patch}
    rows, columns = size_from_text(patch)
    own = {"budget": "none", "defense": "mask_smoothing", "sigma": sigma, "place": place, "noise_sides": "5"}
    reach = {"largest_norm": math.sqrt(3 * rows * columns), "largest_radius": sigma * REACH}
    return usual | own | {"samples": SAMPLES, "alpha": ALPHA} | reach | facts


def shares(facts: Mapping[str, Any], total: int = TOTAL, **percents: float) -> list[dict[str, Any]]:
    """A row a metric, with the Wilson interval of so many of the images; no images give NaN."""
    empty = dict.fromkeys(("percent", "low", "high"), NAN) | {"hits": 0, "total": 0}
    return [
        dict(facts)
        | {"metric": metric}
        | (empty if percent != percent else share([100 * number < percent * total for number in range(total)])._asdict())
        for metric, percent in percents.items()
    ]


def curve(facts: Mapping[str, Any], answered: float, parts: Iterable[tuple[float, float]] = CONTENT) -> list[dict[str, Any]]:
    """A row a turning point: parts of the largest radius, and what part of the answered images is left from there on."""
    return [dict(facts) | {"radius": radius * facts["largest_radius"], "percent": answered * left} for radius, left in parts]


def certified(
    facts: Mapping[str, Any], answered: float, parts: Iterable[tuple[float, float]] = CONTENT, **others: float
) -> Any:
    """Both frames' rows of a certificate: what is certified at the largest norm follows from the curve."""
    parts = list(parts)
    reached = [left for radius, left in parts if radius * facts["largest_radius"] <= facts["largest_norm"]]
    metrics = {"undefended": 97.5, "empirical": min(100, answered + 2.5)} | others
    metrics |= {"answered": answered, "unrestricted": round(4 * answered * reached[-1]) / 4}
    metrics |= {"rescued": round(3 * answered * reached[-1]) / 4}
    return shares(facts, **metrics), curve(facts, answered, parts)


def frames(certificates: Iterable[Any]) -> dict[str, pd.DataFrame]:
    """The frames ``smoothing`` and ``radii`` of certificates."""
    pairs = list(certificates)
    return {
        name: pd.DataFrame([row for pair in pairs for row in pair[place]]) for place, name in enumerate(("smoothing", "radii"))
    }


PLACES = frames(
    certified(certificate(sigma, place, seed=seed), 96.0 - sigma / 4 + seed)
    for sigma in (3.0, 7.0, 12.0)
    for place in ("center", "grad_cam")
    for seed in (0, 1)
)
ATTACKED = frames(
    certified(
        certificate(sigma, place),
        {"clean": 6.0, "attacked": 76.0, "center": 94.0}[place] - sigma / 4,
        undefended={"clean": 97.5, "attacked": 11.0, "center": 97.5}[place],
        empirical={"clean": 96.5, "attacked": 83.0, "center": 97.0}[place] - sigma / 4,
        **{
            "clean": {"located": 8.0, "undisturbed": 91.0, "ambiguous": 1.0},
            "attacked": {"located": 94.0, "undisturbed": 3.5, "ambiguous": 2.5, "covered": 91.0},
            "center": {},
        }[place],
    )
    for sigma in (3.0, 7.0, 12.0)
    for place in ("clean", "attacked", "center")
)
MASK_SIZES = frames(
    certified(
        certificate(patch=f"{side}x{side}"), answered, [(0.0, 1.0), (0.3, 1 - side / 80), (0.85, 1 - side / 40), (1.0, 0.0)]
    )
    for side, answered in {5: 96.0, 10: 90.0, 15: 74.0, 20: 50.0, 25: 24.0, 30: 11.0}.items()
)
TRAININGS = frames(
    certified(
        certificate(
            patch=f"{side}x{side}", training=f"gaussian_patch_5_to_{most}", noise_sides=f"5 to {most}" if most > 5 else "5"
        ),
        95.0 - 2 * side - most / 5 + (12 if most >= side else 0),
        [(0.0, 1.0), (0.5, 0.9 - most / 100), (0.95, 0.85 - most / 50), (1.0, 0.0)],
    )
    for most in (5, 10, 15, 20)
    for side in (10, 15, 20)
)
NOISE = frames(
    certified(certificate(sigma), answered, [(0.0, 1.0), (0.2, 0.97), (0.7, 0.9), (1.0, 0.0)])
    for sigma, answered in {7.0: 96.0, 20.0: 95.0, 50.0: 80.0, 80.0: 52.0}.items()
)


def located(steps: int, succeeded: float, covered: float, elsewhere: float, undisturbed: float, **facts: Any) -> Any:
    """The localisation under attacks of so many gradient steps; what is left is ambiguous."""
    own = {name: value for name, value in certificate().items() if name not in {"sigma", "place", "noise_sides", "samples"}}
    own = {name: value for name, value in own.items() if name not in {"alpha", "largest_norm", "largest_radius"}}
    outcomes = {"covered": covered, "elsewhere": elsewhere, "undisturbed": undisturbed}
    outcomes["ambiguous"] = 100 - sum(outcomes.values())
    fooled = min(100.0, covered + 6) if succeeded else NAN
    return shares(own | {"steps": steps} | facts, succeeded=succeeded, **outcomes, covered_if_succeeded=fooled)


LOCALISATION = pd.DataFrame(
    [
        row
        for numbers in [
            (0, 0.0, 4.0, 3.0, 90.0),
            (5, 31.0, 33.0, 6.0, 58.0),
            (20, 72.0, 70.0, 9.0, 17.0),
            (100, 95.0, 88.0, 5.0, 4.0),
        ]
        for row in located(*numbers)
    ]
)


def stated(row: str, column: str, metric: str, published: float, patch: str = "5x5", **others: str) -> dict[str, Any]:
    """A row of the ledger, of the paper's numbers on CIFAR-10."""
    paper = {"paper": "mask_guided_randomized_smoothing", "dataset": "cifar10", "relation": "=", "unit": "per cent"}
    here = {"default_model": "small_resnetv2", "default_training": "gaussian_patch", "default_patch": patch}
    own = {"table": "Table 1", "row": row, "column": column, "defense": "mask_smoothing", "metric": metric}
    return (
        dict.fromkeys(COLUMNS, "")
        | paper
        | own
        | {"published": published, "patch": f"2.4 % ({patch} of 32x32)"}
        | here
        | others
    )


IMAGENET = {"dataset": "imagenet", "patch": "2 % (32x32 of 224x224)"} | dict.fromkeys(
    ("default_model", "default_training", "default_patch"), ""
)
PUBLISHED = pd.DataFrame(
    [
        stated("DRS", "CIFAR-10 clean", "defended_clean", 83.9, defense="derandomized_smoothing"),
        stated("DRS", "CIFAR-10 certified", "certified", 56.3, defense="derandomized_smoothing"),
        stated("BAGCERT", "CIFAR-10 clean", "defended_clean", 86.0, defense="bagcert"),
        stated("BAGCERT", "CIFAR-10 certified", "certified", 60.0, defense="bagcert"),
        stated("Ours", "CIFAR-10 clean", "defended_clean", 86.4),
        stated("Ours", "CIFAR-10 attacked 25-accuracy", "unrestricted", 71.8),
        stated("MRS", "CIFAR-10 attacked 25-accuracy", "unrestricted", 71.8, table="Abstract"),
        stated("MRS", "CIFAR-10 attacked 25-accuracy", "unrestricted", 70.0, table="Section 4.2", relation=">"),
        stated("MRS", "CIFAR-10 attacked empirical", "empirical", 80.0, table="Section 4.2", relation="~"),
        stated("MRS", "CIFAR-10 center 25-accuracy", "unrestricted", 88.0, table="Section 4.2", relation="~"),
        stated("MRS", "CIFAR-10 grad_cam 25-accuracy", "unrestricted", 88.5, table="Section 4.2", relation="~"),
        stated("MRS", "CIFAR-10 0-accuracy", "answered", 10.0, "30x30", table="Section 4.3", relation="~"),
        stated("MRS", "ImageNet attacked 1024-accuracy", "unrestricted", 53.6, **IMAGENET),
    ]
)
LEDGER = seen(PUBLISHED)
