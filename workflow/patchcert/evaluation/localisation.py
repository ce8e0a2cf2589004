"""Where the localisation finds the patches of attacked images, one row an image, and how often it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.localisation import Locations, Outcome, covered
from patchcert.metrics import share_if_any


def records(
    ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    clean: NDArray[np.int64],
    undefended: NDArray[np.int64],
    patches: NDArray[np.int64],
    found: Locations,
) -> pd.DataFrame:
    """What became of each attacked image.

    Args:
        ids: image ids, [N].
        labels: true labels, int64 [N].
        clean: answers of the classifier to the clean images, int64 [N].
        undefended: its answers to the attacked ones, int64 [N].
        patches: where the patches are, int64 [N, 4].
        found: where they were found.

    Returns:
        Columns ``image_id``, ``right`` (the clean image was answered right), ``succeeded`` (and the attacked one is not),
        ``outcome`` (:class:`patchcert.localisation.Outcome`) and ``covered``.
    """
    located = found.outcomes == Outcome.LOCATED
    return pd.DataFrame(
        {
            "image_id": ids,
            "right": clean == labels,
            "succeeded": (clean == labels) & (undefended != labels),
            "outcome": found.outcomes,
            "covered": located & covered(found.boxes, patches),
        }
    )


def measures(records: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """How often the patch was found.

    Args:
        records: as :func:`records` gives them.
        confidence: level of the Wilson intervals.

    Returns:
        As the fields of :class:`patchcert.metrics.Share`: ``succeeded`` of the images that were answered right without a patch;
        of all images ``covered``, ``elsewhere`` (located, and the patch is not covered), ``undisturbed`` and ``ambiguous``; and
        ``covered_if_succeeded`` of those whose attack succeeded. A share of no images is NaN.
    """
    outcome, hit = records["outcome"], records["covered"].to_numpy(dtype=bool)
    succeeded = records["succeeded"].to_numpy(dtype=bool)
    shares = {
        "succeeded": succeeded[records["right"].to_numpy(dtype=bool)],
        "covered": hit,
        "elsewhere": (outcome == Outcome.LOCATED).to_numpy() & ~hit,
        "undisturbed": (outcome == Outcome.UNDISTURBED).to_numpy(),
        "ambiguous": (outcome == Outcome.AMBIGUOUS).to_numpy(),
        "covered_if_succeeded": hit[succeeded],
    }
    return {name: share_if_any(each, confidence)._asdict() for name, each in shares.items()}
