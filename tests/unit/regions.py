"""What the tests of BagCert's reports share: made-up frames of runs whose every number follows from a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from patchcert.metrics import share

TOTAL = 400
NAN = float("nan")
FIELDS, MARGINS = (5, 7, 9, 11, 13), (0.25, 0.5, 0.75, 1.0)
RECTANGLES = ("1x24", "2x12", "3x8", "4x6", "6x4", "8x3", "12x2", "24x1")
Facts = Mapping[str, Any]


def bagcert(field: int, margin: float, output: str = "heaviside", seed: int = 0, patch: str = "5x5") -> dict[str, Any]:
    """The facts of a run of BagCert."""
    name = "small_bagcert" if output == "heaviside" else f"small_bagcert_{output}"
    return {
        "dataset": "digits",
        "model": f"{name}_rf{field}",
        "training": f"margin_{100 * margin:03.0f}",
        "seed": seed,
        "patch": patch,
        "budget": "none",
        "defense": "bagcert",
        "receptive_field": field,
        "margin": margin,
        "output": output,
    }


def smoothing(kind: str, patch: str = "5x5") -> dict[str, Any]:
    """The facts of a run of derandomized smoothing."""
    own = {"model": f"small_{kind}_smoothing", "training": f"{kind}s", "defense": "derandomized_smoothing"}
    return bagcert(5, 0.5, patch=patch) | own | {"receptive_field": NAN, "margin": NAN, "output": "votes"}


def shares(facts: Facts, **percents: float) -> list[dict[str, Any]]:
    """A row for each metric: its per cent, which must be whole quarters, and the Wilson interval of so many of 400 images."""
    return [
        dict(facts) | {"metric": metric} | share([number < 4 * percent for number in range(TOTAL)])._asdict()
        for metric, percent in percents.items()
    ]


def frame(rows: Iterable[list[dict[str, Any]]]) -> pd.DataFrame:
    """The rows of all runs."""
    return pd.DataFrame([row for run in rows for row in run])


def of_grid(field: int, margin: float, area: float = 25.0, wide: float = 5.0, high: float = 5.0) -> dict[str, float]:
    """Accuracies that fall with the margin, or rise with it, and fall with the patch as BagCert sees it."""
    clean = 97.5 - 6 * margin - abs(field - 9) / 4
    seen = (wide + field - 1) * (high + field - 1)
    certified = max(0.0, round(4 * (88 - 0.2 * seen - 20 * (1 - margin) + field)) / 4)
    return {"clean": clean, "condition_3_2": certified, "condition_3_3": max(0.0, certified - 2 - margin)}


CONDITIONS = frame(
    [
        *(shares(bagcert(field, margin), **of_grid(field, margin)) for field in FIELDS for margin in MARGINS),
        shares(smoothing("block"), clean=90.0, condition_3_2=45.0, condition_3_3=41.0),
        shares(smoothing("column"), clean=92.0, condition_3_2=60.0, condition_3_3=56.5),
    ]
)


def _varied() -> list[tuple[int, float]]:
    return [(field, 0.5) for field in FIELDS] + [(7, margin) for margin in MARGINS if margin != 0.5]


SQUARES = frame(
    shares(bagcert(field, margin, patch=f"{side}x{side}"), **of_grid(field, margin, wide=side, high=side))
    for field, margin in _varied()
    for side in (2, 3, 5, 8, 10, 12)
)
SHAPES = frame(
    [
        *(
            shares(
                bagcert(field, margin, patch=patch),
                **of_grid(field, margin, wide=int(patch.split("x")[1]), high=int(patch.split("x")[0])),
            )
            for field, margin in _varied()
            for patch in RECTANGLES
        ),
        *(
            shares(smoothing("block", patch), clean=90.0, condition_3_2=45.0 - 2 * abs(number - 3.5), condition_3_3=20.0)
            for number, patch in enumerate(RECTANGLES)
        ),
        *(
            shares(smoothing("column", patch), clean=92.0, condition_3_2=certified, condition_3_3=0.0)
            for patch, certified in zip(RECTANGLES, (0.0, 1.5, 40.0, 58.0, 66.0, 75.0, 78.0, 80.0), strict=True)
        ),
    ]
)
ATTACKED = [
    shares(
        bagcert(field, margin), clean=values["clean"], attacked=round(4 * attacked) / 4, condition_3_2=values["condition_3_2"]
    )
    for field in FIELDS
    for margin in MARGINS
    for values in [of_grid(field, margin)]
    for attacked in [values["clean"] - 8 + field / 4]
]
ATTACKS = frame(
    [
        *ATTACKED,
        shares(smoothing("block"), clean=90.0, attacked=70.0, condition_3_2=45.0),
        shares(smoothing("column"), clean=92.0, attacked=75.0, condition_3_2=60.0),
    ]
)
OUTPUTS = frame(
    shares(bagcert(9, 0.5, output, seed), clean=clean, condition_3_2=certified, condition_3_3=0.0)
    for output, runs in {
        "heaviside": [(93.0, 60.0), (94.0, 62.0), (92.5, 61.0), (93.5, 59.0), (93.0, 61.5)],
        "sigmoid": [(92.0, 58.0), (10.0, 0.0), (9.5, 0.0), (10.0, 0.0), (11.0, 1.0)],
        "softmax": [(85.0, 45.0), (86.0, 44.0), (84.0, 46.0), (85.5, 45.5), (85.0, 43.0)],
    }.items()
    for seed, (clean, certified) in enumerate(runs)
)


def _times(facts: Facts, forward: float, certificate: float, parameters: int) -> list[dict[str, Any]]:
    measured = {"images": 100, "device": "a processor, 1 thread", "parameters": parameters}
    return [
        dict(facts) | {"part": part, "milliseconds": milliseconds} | measured
        for part, milliseconds in (("forward", forward), ("certificate", certificate))
    ]


TIMES = frame(
    [
        *(_times(bagcert(field, 0.5), 2.0 + field / 4, 0.08, 119_050 + 1000 * field) for field in FIELDS),
        _times(smoothing("block"), 98.5, 1.25, 1_100_234),
        _times(smoothing("column"), 3.5, 0.03, 1_100_234),
    ]
)
