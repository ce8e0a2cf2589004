"""Files of arrays with an entry for each image, which the work of mask smoothing hands from one job to the next.

Nothing here imports torch, so that certificates are made without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchcert.provenance import whole_file


class Shown(NamedTuple):
    """Images as a classifier is shown them, N of them.

    Attributes:
        ids: str [N].
        labels: true labels, int64 [N].
        pixels: uint8 [N, 3, H, W].
        patches: where the attacker's patch is, int64 [N, 4]: top, bottom, left, right, half-open; no pixel in a clean image.
        clean: the classifier's answer to the clean image, int64 [N].
        undefended: its answer to what is shown, int64 [N].
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    patches: NDArray[np.int64]
    clean: NDArray[np.int64]
    undefended: NDArray[np.int64]


class Restored(NamedTuple):
    """What a classifier says of images with a block restored at every place: ``ids`` [N], ``maps`` int64 [N, R, C]."""

    ids: NDArray[np.str_]
    maps: NDArray[np.int64]


class Sampled(NamedTuple):
    """What a classifier says of N images under noise in a box of each.

    Attributes:
        ids: str [N].
        labels: true labels, int64 [N].
        undefended: the classifier's answer without noise, int64 [N].
        boxes: where the noise is, int64 [N, 4]; without a pixel, nothing was sampled.
        selection: counts of the first phase of Algorithm 1, int64 [N, C].
        estimation: counts of the second, int64 [N, C].
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    undefended: NDArray[np.int64]
    boxes: NDArray[np.int64]
    selection: NDArray[np.int64]
    estimation: NDArray[np.int64]


def save(file: str | Path, arrays: NamedTuple) -> None:
    """Write arrays as a compressed npz file, whole or not at all."""
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays._asdict())


def load(file: str | Path, kind: Any) -> Any:
    """Arrays of a kind, as :func:`save` wrote them."""
    with np.load(file, allow_pickle=False) as stored:
        return kind(**{name: stored[name] for name in kind._fields})
