"""What the reports of mask-guided randomized smoothing share: names, curves over the radius, and published values.

The frame ``smoothing`` is long, one row a certificate and metric; ``radii`` has the R-accuracy of each certificate as a step
function, one row a radius at which it changes: ``percent`` holds from that ``radius`` up to the next, and is 0 from the last
one on. Both have ``FACTS``, ``defense`` and :data:`patchcert.report.results.SMOOTHED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.report.published import beside
from patchcert.report.results import FACTS, spoken
from patchcert.report.settings import SMOOTHING
from patchcert.report.terms import ONE_PLACE

PAPER = SMOOTHING

UNDEFENDED, EMPIRICAL, ANSWERED, UNRESTRICTED, RESCUED = "undefended", "empirical", "answered", "unrestricted", "rescued"
"""Accuracies of the frame: without noise, under noise, with a radius above 0, and with one that any content needs, of all
images and of those alone that are wrong without the defense."""

CENTER, GRAD_CAM, CLEAN, ATTACKED = "center", "grad_cam", "clean", "attacked"
PLACES = {
    CENTER: "image centre",
    GRAD_CAM: "highest Grad-CAM activation",
    CLEAN: "found in clean images",
    ATTACKED: "found in attacked images",
}
"""Where the mask is, for readers."""

OUTCOMES = {
    "covered": "mask covers the patch",
    "elsewhere": "mask leaves some of it uncovered",
    "undisturbed": "no vote, no mask",
    "ambiguous": "several places, discarded",
}
"""What localisation makes of an attacked image, for readers; each image has one of them."""

EVERYWHERE = "every patch, every place"
"""What defenses certify that count with every place of the patch."""
ONE_ATTACK = f"images of one attack, where the mask covers the patch {ONE_PLACE}"
"""What is certified of attacked images."""

R_ACCURACY = f"certified R-accuracy {ONE_PLACE} (%)"
_TOLD = {"training": "{}", "patch": "{} px mask", "sigma": "sigma {:g}", "place": "{}"}
_SETTING = ("dataset", "model", "training", "patch", "sigma", "place")


class Curve(NamedTuple):
    """A step function: ``percent`` [K] holds from each of ``radii`` [K], increasing, up to the next."""

    radii: NDArray[np.float64]
    percent: NDArray[np.float64]

    def at(self, radius: float) -> float:
        """The R-accuracy at a radius from 0 up, per cent."""
        return float(self.percent[np.searchsorted(self.radii, radius, side="right") - 1])


class Setting(NamedTuple):
    """The rows of one setting: its facts, and a name that tells it from the others, empty where there is one only."""

    facts: dict[str, Any]
    name: str

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame that belong to the setting."""
        return frame[(frame[list(self.facts)] == pd.Series(self.facts)).all(axis=1)]


def curve(radii: pd.DataFrame) -> Curve:
    """The mean curve of certificates, those of several seeds for instance, exact at every radius."""
    runs = [
        Curve(rows["radius"].to_numpy(np.float64), rows["percent"].to_numpy(np.float64))
        for _, rows in radii.sort_values("radius", kind="stable").groupby([*FACTS, "sigma", "place"])
    ]
    turns = np.unique(np.concatenate([run.radii for run in runs]))
    each = [run.percent[np.searchsorted(run.radii, turns, side="right") - 1] for run in runs]
    return Curve(turns, np.mean(each, axis=0))


def settings_of(frame: pd.DataFrame, *along: str) -> list[Setting]:
    """The settings of a frame in its order, those as one that differ along some facts or in their seed alone."""
    facts = [fact for fact in _SETTING if fact in frame and fact not in along]
    distinct = frame[facts].drop_duplicates()
    told = [fact for fact in facts if distinct[fact].nunique() > 1]
    return [Setting(setting, ", ".join(_said(fact, setting[fact]) for fact in told)) for setting in distinct.to_dict("records")]


def _said(fact: str, value: Any) -> str:
    shown = PLACES[value] if fact == "place" else spoken(value) if isinstance(value, str) else value
    return _TOLD.get(fact, "{}").format(shown)


def strength(steps: int) -> str:
    """The gradient steps of an attack, for readers."""
    return "noise alone" if not steps else f"{steps} step{'s' if steps > 1 else ''}"


def published(ledger: pd.DataFrame, setting: Mapping[str, Any], *places: str) -> pd.DataFrame:
    """The paper's R-accuracies of a setting that are no bounds, each once, with the ``radius`` they hold at.

    Args:
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        setting: ``dataset``, ``model``, ``training`` and ``patch`` of ours.
        places: where the mask is, of :data:`PLACES`; empty for the numbers of which the paper does not say it.
    """
    own = ledger[(ledger["paper"] == PAPER) & (ledger["defense"] == "mask_smoothing") & ledger["relation"].isin(["=", "~"])]
    own = beside(own[own["metric"].isin([ANSWERED, UNRESTRICTED])], setting)
    named = own["column"].str.extract(rf"\b({'|'.join(PLACES)})\b", expand=False).fillna("")
    radius = own["column"].str.extract(r"\b(\d+)-accuracy\b", expand=False).astype(float)
    own = own[named.isin(places)].assign(radius=radius).dropna(subset="radius")
    return own.drop_duplicates(["radius", "published"])
