"""Places in place of masks: several masks may hide one patch, and a class fails only if all of them let it.

The certification histograms ask what an attacker can do under one mask. A patch that several masks hide is up against each of
them: the bounds on a defended score hold for every mask that hides the patch, and so the tightest of them does. Not in the
paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses.multilabel import Bounds
from patchcert.masks import MaskSet, Size


def covering(mask_set: MaskSet, patch_size: Size) -> NDArray[np.bool_]:
    """Which masks hide the patch at each of its positions, bool [rows, columns, K].

    Args:
        mask_set: single boxes, of one shape or several.
        patch_size: rows and columns of the patch, pixels; it may be smaller than what the masks were made for.

    Raises:
        InputError: the masks do not cover the patch, or are for several patches at once.
    """
    if mask_set.patches != 1:
        raise InputError(f"mask_set: it is for {mask_set.patches} patches at once; give one for a single patch")
    if not mask_set.covers(patch_size):
        raise InputError(
            f"patch_size: {tuple(patch_size)} is not covered by the mask set; write a smaller one, or make a set for it"
        )
    (rows, columns), (height, width) = mask_set.image_size, patch_size
    top, bottom, left, right = mask_set.boxes.T
    tops, lefts = np.arange(rows - height + 1)[:, None], np.arange(columns - width + 1)[:, None]
    inside_rows = (top <= tops) & (tops + height <= bottom)
    inside_columns = (left <= lefts) & (lefts + width <= right)
    return np.asarray(inside_rows[:, None] & inside_columns[None])


def places(mask_set: MaskSet, patch_size: Size) -> NDArray[np.bool_]:
    """The smallest sets of masks that hide the patch at some position, each once, bool [P, K].

    A set that contains another one is left out: what fails under all its masks also fails under all masks of the smaller set,
    so that an attacker who may choose loses nothing with the position of the smaller one. Bounds at a single position follow
    from its own set, a row of :func:`covering`. Arguments and errors are those of :func:`covering`.
    """
    return minimal(covering(mask_set, patch_size).reshape(-1, len(mask_set)))


def minimal(sets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of some sets, bool [S, K], that contain no other one; each once."""
    _, first = np.unique(np.packbits(sets, axis=1), axis=0, return_index=True)
    distinct = sets[np.sort(first)].astype(np.int64)
    contains = distinct @ (1 - distinct).T == 0  # [i, j]: no member of set i is missing from set j
    return np.asarray(distinct[contains.sum(axis=0) == 1], dtype=np.bool_)


def at_places(extrema: Bounds, covering_sets: ArrayLike) -> Bounds:
    """The bounds at each place: the largest lower and the smallest upper bound of the masks that hide the patch there.

    Everything that takes row extrema as bounds takes these: certificates, histograms and attackers.

    Args:
        extrema: row extrema, or other bounds, of K masks.
        covering_sets: the masks that hide the patch at each place, bool [P, K], such as :func:`places` gives.

    Raises:
        InputError: sets of a wrong shape or type, or one without a mask.
    """
    sets = np.asarray(covering_sets)
    masks = extrema.lowest.shape[1]
    if sets.ndim != 2 or sets.shape[1] != masks or sets.dtype != np.bool_ or not len(sets):
        raise InputError(
            f"covering_sets: {sets.dtype} of shape {sets.shape}; write true or false for each mask, [places, {masks}]"
        )
    if not sets.any(axis=1).all():
        raise InputError(
            f"covering_sets: place {int(sets.any(axis=1).argmin())} has no mask; make a mask set that covers the patch"
        )
    return Bounds(
        lowest=np.stack([extrema.lowest[:, members].max(axis=1) for members in sets], axis=1),
        highest=np.stack([extrema.highest[:, members].min(axis=1) for members in sets], axis=1),
    )
