"""What the paper of mask-guided randomized smoothing found, asked of this run's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from patchcert.masks import size_from_text
from patchcert.report.results import in_order
from patchcert.report.smoothing import (
    ANSWERED,
    ATTACKED,
    CENTER,
    EMPIRICAL,
    GRAD_CAM,
    PLACES,
    UNDEFENDED,
    UNRESTRICTED,
    curve,
    strength,
)
from patchcert.report.terms import ONE_PLACE, patch_area
from patchcert.report.verdicts import (
    SIMILAR,
    Answer,
    Finding,
    Run,
    asked,
    ends_lower,
    falls,
    finding,
    of_metric,
    runs_of,
    values_along,
)

FLAT = 0.9
"""Up to which part of the largest radius that the samples allow a curve that is called flat is flat."""

FOUND = 90
"""What share of the patches the mask covers at least where localisation is said to work, per cent."""

GAP = 10
"""Points by which certified accuracy is below empirical accuracy at most, where what is right is said to be certified."""

SWAMPED = "30x30"
"""The mask under which noise is said to hide the whole image."""

GUESSED = 10
"""Accuracy of guessing among ten classes, per cent."""

NEAR_GUESSED = 20
"""Accuracy that is called near guessing among ten classes at most, per cent."""

KEPT = 2
"""Points of accuracy that noise stronger than in training costs at most where accuracy is said to be kept, per cent."""

STRONGER = (2.5, 4)
"""How many times as strong as in training the noise is that is called about three times as strong."""

EXTREME = 10
"""How many times as strong as in training the noise is at least that is called extreme."""

_PAPER = "Mask-guided randomized smoothing"
_ANY = f"against any content{ONE_PLACE}"


def _places(smoothing: pd.DataFrame, radii: pd.DataFrame) -> list[Finding]:
    flat = []
    for run, rows in runs_of(radii).items():
        numbers = []
        for (place, sigma), part in rows.groupby(["place", "sigma"], sort=False):
            first, last = _at(part, 0), _at(part, FLAT * part["largest_radius"].iloc[0])
            numbers.append((f"{first:.1f} to {last:.1f} (sigma {sigma:g}, {PLACES[place]})", round(first - last, 6) <= SIMILAR))
        flat.append(Answer(run, numbers))
    reached = smoothing[smoothing["largest_radius"] > smoothing["largest_norm"]]
    hardly = []
    for run, means in _means(reached, UNRESTRICTED, "sigma", "place").items():
        if {CENTER, GRAD_CAM} <= set(means):
            pairs = means[[CENTER, GRAD_CAM]].dropna().itertuples(name=None)
            numbers = [
                (f"{center:.1f} against {salient:.1f} (sigma {sigma:g})", abs(round(center - salient, 6)) <= SIMILAR)
                for sigma, center, salient in pairs
            ]
            hardly += [Answer(run, numbers)] if numbers else []
    noise = []
    for run, means in _means(smoothing, ANSWERED, "sigma", "place").items():
        spreads = (means.max() - means.min()).round(6)
        if len(means) > 1:
            noise.append(
                Answer(run, [(f"{spread:.1f} ({PLACES[place]})", spread <= SIMILAR) for place, spread in spreads.items()])
            )
    return [
        *finding(
            f"R-accuracy{ONE_PLACE} is nearly flat: from radius 0 to {100 * FLAT:g} % of the largest radius that the samples "
            f"allow it loses at most {SIMILAR} points ({_PAPER}, section 4.2)",
            flat,
        ),
        *finding(
            f"The place of the mask hardly matters: what is certified {_ANY} at the image centre and at the highest Grad-CAM "
            f"activation differs by at most {SIMILAR} points ({_PAPER}, Figures 2b and 2c)",
            hardly,
        ),
        *finding(
            f"The noise hardly matters: R-accuracy{ONE_PLACE} at radius 0 differs by at most {SIMILAR} points between the "
            f"standard deviations ({_PAPER}, Figure 2)",
            noise,
        ),
    ]


def _attacked(smoothing: pd.DataFrame) -> list[Finding]:
    cured, certified, located, known = [], [], [], []
    for run, rows in runs_of(smoothing).items():
        shown = rows[rows["place"] == ATTACKED]
        own = shown.pivot_table(index="sigma", columns="metric", values="percent").round(6)
        cured.append(_pairs(run, own, EMPIRICAL, UNDEFENDED, lambda gain: gain > 0))
        reached = own[own.index.isin(shown.loc[shown["largest_radius"] > shown["largest_norm"], "sigma"])]
        if len(reached):
            certified.append(_pairs(run, reached, UNRESTRICTED, EMPIRICAL, lambda gain: -GAP <= gain <= 0))
        located.append(Answer(run, _least(own["covered"], FOUND)))
        given = rows[rows["place"].isin([CENTER, GRAD_CAM]) & (rows["metric"] == UNRESTRICTED)]
        least = given.groupby(["sigma", "place"])["percent"].mean().groupby("sigma").min().rename("known")
        both = reached.join(least, how="inner")
        if len(both):
            known.append(_pairs(run, both, UNRESTRICTED, "known", lambda gain: gain < 0))
    return [
        *finding(
            f"On attacked images the smoothed classifier is right more often than the undefended one ({_PAPER}, section 4.2)",
            cured,
        ),
        *finding(
            f"On attacked images what is certified {_ANY} is at most {GAP} points below the share of right answers, and not "
            f"above it ({_PAPER}, section 4.2)",
            certified,
        ),
        *finding(f"The mask covers the patch of at least {FOUND} % of the attacked images ({_PAPER}, section 3.2)", located),
        *finding(
            f"On attacked images less is certified {_ANY} than with a mask at a known place ({_PAPER}, Figure 2)",
            known,
        ),
    ]


def _mask_sizes(smoothing: pd.DataFrame) -> list[Finding]:
    answered = of_metric(smoothing, ANSWERED)
    patches = sorted(in_order(answered["patch"]), key=patch_area)
    by_patch = values_along(answered, "patch", patches)
    swamped = [
        Answer(run, [(f"{values[SWAMPED]:.1f}", values[SWAMPED] <= NEAR_GUESSED)])
        for run, values in by_patch.items()
        if SWAMPED in values
    ]
    return [
        *asked(
            f"R-accuracy{ONE_PLACE} at radius 0 falls from the smallest mask to the largest, and rises at no step ({_PAPER}, "
            "Figure 3)",
            by_patch,
            falls,
        ),
        *finding(
            f"Under a mask of {SWAMPED} px R-accuracy{ONE_PLACE} at radius 0 is at most {NEAR_GUESSED} %, near the {GUESSED} % "
            f"of guessing among ten classes ({_PAPER}, Figure 3)",
            swamped,
        ),
    ]


def _trainings(radii: pd.DataFrame) -> list[Finding]:
    """Small squares against larger ones in training, for every mask size."""
    small, matched = [], []
    for run, rows in runs_of(radii, "training", "patch").items():
        sizes, fits = [], []
        for patch in sorted(in_order(rows["patch"]), key=patch_area):
            own = rows[rows["patch"] == patch]
            sides = sorted(in_order(own["noise_sides"]), key=_largest)
            if len(sides) > 1:
                far = {each: _at(own[own["noise_sides"] == each], FLAT * own["largest_radius"].min()) for each in sides}
                least, rival = sides[0], max(sides[1:], key=lambda each: far[each])
                sizes.append(
                    (f"{far[least]:.1f} against {far[rival]:.1f} ({rival} px; mask {patch})", far[least] >= far[rival])
                )
                near = {each: _at(own[own["noise_sides"] == each], 0) for each in sides}
                best = max(sides, key=lambda each: near[each])
                reaches = _largest(best) >= max(size_from_text(patch))
                fits.append((f"{best} px with {near[best]:.1f} (mask {patch})", reaches))
        small += [Answer(run, sizes)] if sizes else []
        matched += [Answer(run, fits)] if fits else []
    return [
        *finding(
            f"Training with the smallest squares is best, or as good as the best: at {100 * FLAT:g} % of the largest radius no "
            f"other training has a higher R-accuracy{ONE_PLACE} ({_PAPER}, Figure 4)",
            small,
        ),
        *finding(
            f"At radius 0 the training with the highest R-accuracy{ONE_PLACE} is one whose squares reach the size of the mask "
            f"({_PAPER}, section 4.3)",
            matched,
        ),
    ]


def _noise(smoothing: pd.DataFrame) -> list[Finding]:
    """Noise beyond that of the training, which is taken to be the weakest."""
    kept, extreme = [], []
    certified = {
        run: rows.groupby("sigma")["percent"].mean() for run, rows in runs_of(of_metric(smoothing, UNRESTRICTED)).items()
    }
    for run, rows in runs_of(of_metric(smoothing, ANSWERED)).items():
        means = rows.groupby("sigma")["percent"].mean().round(6)
        times = means.index / means.index[0]
        about = means[(times >= STRONGER[0]) & (times <= STRONGER[1])]
        numbers = [
            (f"{means.iloc[0]:.1f} (sigma {means.index[0]:g}) to {value:.1f} (sigma {sigma:g})", means.iloc[0] - value <= KEPT)
            for sigma, value in about.items()
        ]
        kept += [Answer(run, numbers)] if numbers else []
        strong = certified[run][times >= EXTREME]
        if len(strong):
            extreme.append(
                Answer(run, [(f"{value:.1f} (sigma {sigma:g})", value > GUESSED) for sigma, value in strong.items()])
            )
    return [
        *finding(
            f"Under noise about three times as strong as the weakest, that of the training, R-accuracy{ONE_PLACE} at radius 0 "
            f"is at most {KEPT} points lower ({_PAPER}, Figure 5)",
            kept,
        ),
        *finding(
            f"Under noise at least {EXTREME} times as strong more is certified {_ANY} than the {GUESSED} % of guessing among "
            f"ten classes ({_PAPER}, Figure 5)",
            extreme,
        ),
    ]


def _localisation(localisation: pd.DataFrame) -> list[Finding]:
    steps = sorted(localisation["steps"].unique())
    covered = values_along(of_metric(localisation, "covered"), "steps", steps)
    by_strength = {run: values.rename(strength) for run, values in covered.items()}
    fooled = of_metric(localisation, "covered_if_succeeded")
    fooled = fooled[(fooled["steps"] == steps[-1]) & (fooled["total"] > 0)]
    answers = [
        Answer(run, [(f"{percent:.1f} ({strength(steps[-1])})", round(percent, 6) >= FOUND)])
        for run, rows in runs_of(fooled).items()
        for percent in [rows["percent"].mean()]
    ]
    return [
        *asked(
            f"The strongest attack's patch is covered by the mask more often than that of the weakest ({_PAPER}, section 3.3)",
            by_strength,
            lambda values: ends_lower(-values),
        ),
        *finding(
            f"Where the strongest attack succeeds, the mask covers at least {FOUND} % of the patches ({_PAPER}, section 3.2)",
            answers,
        ),
    ]


ANALYSES: Mapping[str, Callable[..., list[Finding]]] = {
    "smoothing_places": _places,
    "smoothing_attacked": _attacked,
    "smoothing_mask_sizes": _mask_sizes,
    "smoothing_trainings": _trainings,
    "smoothing_noise": _noise,
    "smoothing_localisation": _localisation,
}
"""What asks the frames of an analysis, by its name."""


# --- numbers -----------------------------------------------------------------------------------------------------------------


def _at(radii: pd.DataFrame, radius: float) -> float:
    """The mean R-accuracy over the seeds, rounded, since a mean is not exact."""
    return round(curve(radii).at(radius), 6)


def _means(smoothing: pd.DataFrame, metric: str, *by: str) -> dict[Run, pd.DataFrame]:
    """Means over the seeds of each run, a row and a column for each value of two facts."""
    index, columns = by
    return {
        run: rows.pivot_table(index=index, columns=columns, values="percent", sort=False).round(6)
        for run, rows in runs_of(of_metric(smoothing, metric)).items()
    }


def _pairs(run: Run, means: pd.DataFrame, metric: str, other: str, holds: Callable[[float], bool]) -> Answer:
    """One metric against another at every standard deviation, asked for their difference."""
    return Answer(
        run,
        [
            (f"{row[metric]:.1f} against {row[other]:.1f} (sigma {sigma:g})", holds(round(row[metric] - row[other], 6)))
            for sigma, row in means.iterrows()
        ],
    )


def _least(values: pd.Series, least: float) -> list[tuple[str, bool]]:
    """The values by standard deviation, or one number where they are all the same."""
    return [(f"{value:.1f}", bool(value >= least)) for value in dict.fromkeys(values.round(6))]


def _largest(sides: str) -> int:
    """The largest side of the squares that ``5 to 10`` says."""
    return int(sides.split(" to ")[-1])
