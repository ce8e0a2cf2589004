"""Certificates of mask-guided randomized smoothing as records, one row an image, and the R-accuracies they amount to.

What is certified of a record is said at the head of :mod:`patchcert.defenses.mask_smoothing`: a radius at one place, and in an
attacked image no bound against other attacks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.defenses.mask_smoothing import (
    ABSTAIN,
    Certificates,
    accuracy,
    answer_radii,
    certify,
    infer,
    largest_norm,
    lower_bound,
    radius,
    turning_points,
)
from patchcert.localisation import Outcome
from patchcert.masks import Size
from patchcert.metrics import share, share_if_any

OUTCOMES = {"located": Outcome.LOCATED, "undisturbed": Outcome.UNDISTURBED, "ambiguous": Outcome.AMBIGUOUS}


def records(
    ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    undefended: NDArray[np.int64],
    selection: NDArray[np.int64],
    estimation: NDArray[np.int64],
    *,
    sigma: float,
    alpha: float,
    mask: Size,
    outcomes: NDArray[np.int64] | None = None,
    covered: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """What is answered and certified of each image.

    Args:
        ids: image ids, [N].
        labels: true labels, int64 [N].
        undefended: answers of the base classifier without noise, int64 [N].
        selection: counts of the first phase of Algorithm 1, int64 [N, C]; none of an image where no patch was located.
        estimation: counts of the second, likewise.
        sigma: standard deviation of the noise.
        alpha: probability that a certificate is allowed to be wrong.
        mask: rows and columns of the patch that the mask is for, pixels.
        outcomes: of the localisation, where there was one: :class:`patchcert.localisation.Outcome`, int64 [N].
        covered: of attacked images, whether the mask covers the patch, bool [N].

    Returns:
        Columns ``image_id``, ``label``, ``undefended``; ``answer`` (label, or -1 for ABSTAIN) and ``radius`` of Algorithm 1;
        ``empirical`` (the most frequent label under noise; that of the base classifier where no patch is located, and -1 where
        the image is ambiguous), ``outcome``, ``covered`` (true where there is no patch to cover), ``counted_radius`` (as
        :func:`patchcert.defenses.mask_smoothing.answer_radii` gives it), and what is the same for all images: ``alpha``,
        ``largest_norm`` of the patch, and ``largest_radius`` that this number of samples can certify.
    """
    sampled = estimation.any(axis=1)
    answer, radii = np.full(len(ids), ABSTAIN), np.zeros(len(ids))
    empirical = undefended.copy()
    if outcomes is not None:
        empirical[outcomes == Outcome.AMBIGUOUS] = ABSTAIN
    if sampled.any():
        answer[sampled], radii[sampled] = certify(selection[sampled], estimation[sampled], sigma, alpha)
        empirical[sampled] = infer(estimation[sampled])
    samples = int(estimation.sum(axis=1).max())
    return pd.DataFrame(
        {
            "image_id": ids,
            "label": labels,
            "undefended": undefended,
            "answer": answer,
            "radius": radii,
            "empirical": empirical,
            "outcome": Outcome.LOCATED if outcomes is None else outcomes,
            "covered": True if covered is None else covered,
            "counted_radius": answer_radii(Certificates(answer, radii), labels, covered),
            "alpha": alpha,
            "largest_norm": largest_norm(mask),
            "largest_radius": float(radius(lower_bound(samples, samples, alpha), sigma)) if samples else 0.0,
        }
    )


def measures(records: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """What the certificates of one run at one place amount to.

    Args:
        records: as :func:`records` gives them.
        confidence: level of the Wilson intervals.

    Returns:
        As the fields of :class:`patchcert.metrics.Share`: ``undefended`` and ``empirical`` (right answers), ``answered`` and
        ``unrestricted`` (the certified R-accuracy at 0 and at ``largest_norm``), ``rescued`` (the latter of the images alone
        that the base classifier gets wrong without the defense; NaN where there is none), ``covered``, and a share for each
        outcome of the localisation; ``alpha``, ``largest_norm`` and ``largest_radius``; and ``curve``, the certified
        R-accuracy in per cent from each ``radius`` on, up to the next.
    """
    radii, labels = records["counted_radius"].to_numpy(), records["label"]
    norm = float(records["largest_norm"].iloc[0])
    hits = {
        "undefended": records["undefended"] == labels,
        "empirical": records["empirical"] == labels,
        "answered": radii > 0,
        "unrestricted": radii > norm,
        "covered": records["covered"],
        **{name: records["outcome"] == outcome for name, outcome in OUTCOMES.items()},
    }
    turns = turning_points(radii)
    shares = {name: share(np.asarray(each, dtype=bool), confidence) for name, each in hits.items()}
    shares["rescued"] = share_if_any((radii > norm)[records["undefended"] != labels], confidence)
    return {name: each._asdict() for name, each in shares.items()} | {
        "alpha": float(records["alpha"].iloc[0]),
        "largest_norm": norm,
        "largest_radius": float(records["largest_radius"].iloc[0]),
        "curve": [
            {"radius": r, "percent": 100 * p} for r, p in zip(turns.tolist(), accuracy(radii, turns).tolist(), strict=True)
        ],
    }
