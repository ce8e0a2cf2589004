"""The stored artifact of a region scorer: its scores of every image, with the identity of how they came about.

Scores of 0 and 1 are stored as bits. Beside them stands which of them are *unsure*: decided so narrowly that other hardware or
another batch size might decide otherwise. Certificates against any patch need only this and never a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.predictions import UNREADABLE
from patchcert.provenance import read_json, whole_file, write_json

Block = tuple[NDArray[Any], NDArray[np.bool_]]
"""Scores from 0 to 1, float32 [n, C, H, W], and which of them are unsure, bool of that shape."""
IMAGES_A_BLOCK = 500


@dataclass(frozen=True)
class RegionScores:
    """Region scores of N images.

    Attributes:
        image_ids: str [N], unique.
        stored: uint8 [N, C, H, ceil(W / 8)], eight scores a byte along the rows, or float32 [N, C, H, W].
        unsure: places of unsure scores in the flattened scores, int64, rising.
        shape: of the scores, [N, C, H, W].
        identity: what the scores depend on, JSON-like.
    """

    image_ids: NDArray[np.str_]
    stored: NDArray[Any]
    unsure: NDArray[np.int64]
    shape: tuple[int, int, int, int]
    identity: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InputError: shapes differ, or ids repeat.
        """
        width = -(-self.shape[3] // 8) if self.stored.dtype == np.uint8 else self.shape[3]
        if self.stored.shape != (*self.shape[:3], width) or len(self.image_ids) != self.shape[0]:
            raise InputError(f"region scores: {self.stored.shape} stored for {self.shape}; delete them and run snakemake again")
        if len(np.unique(self.image_ids)) != len(self.image_ids):
            raise InputError("region scores: image ids repeat; write each image once")

    def blocks(self, size: int = IMAGES_A_BLOCK) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.bool_]]]:
        """Some images at a time: which, their scores, bool or float32 [n, C, H, W], and which of them are unsure, bool."""
        each = int(np.prod(self.shape[1:]))
        for begin in range(0, self.shape[0], size):
            images = slice(begin, min(begin + size, self.shape[0]))
            held = np.asarray(self.stored[images])
            scores = np.unpackbits(held, axis=3, count=self.shape[3]).astype(np.bool_) if held.dtype == np.uint8 else held
            unsure = np.zeros(scores.size, dtype=np.bool_)
            first, last = np.searchsorted(self.unsure, [images.start * each, images.stop * each])
            unsure[self.unsure[first:last] - images.start * each] = True
            yield images, scores, unsure.reshape(scores.shape)


def write(
    folder: Mapping[str, str | Path],
    image_ids: NDArray[np.str_],
    blocks: Iterable[Block],
    *,
    binary: bool,
    identity: Mapping[str, Any],
) -> None:
    """Store region scores as they come, each file whole or not at all.

    Args:
        folder: paths by name: ``values`` and ``unsure``, ``.npy`` files, and ``record``, a JSON file.
        image_ids: str [N].
        blocks: scores of the images in order.
        binary: whether all scores are 0 or 1, to be stored as bits.
        identity: what the scores depend on, JSON-like.

    Raises:
        InputError: scores that are said to be binary are not, or are not those of N images.
    """
    shape: tuple[int, ...] = (0, 0, 0, 0)
    done, unsure = 0, [np.zeros(0, dtype=np.int64)]
    with whole_file(folder["values"]) as temporary, temporary.open("wb") as stream:
        for scores, uncertain in blocks:
            if binary and not np.isin(scores, (0, 1)).all():
                raise InputError("region scores: some are neither 0 nor 1; the scorer's last function is no step")
            held = np.packbits(scores.astype(np.bool_), axis=3) if binary else scores.astype(np.float32)
            if not done:
                shape = (len(image_ids), *scores.shape[1:])
                kind = "|u1" if binary else "<f4"
                header = {"descr": kind, "fortran_order": False, "shape": (len(image_ids), *held.shape[1:])}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(held).tobytes())
            unsure.append(np.flatnonzero(uncertain) + done * int(np.prod(shape[1:])))
            done += len(scores)
        if done != len(image_ids):
            raise InputError(f"region scores: of {done} images, and there are {len(image_ids)} ids")
    with whole_file(folder["unsure"]) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.concatenate(unsure))
    write_json(folder["record"], {"image_ids": image_ids.tolist(), "shape": list(shape), "identity": dict(identity)})


def load(folder: Mapping[str, str | Path]) -> RegionScores:
    """What :func:`write` wrote; the scores are memory-mapped.

    Raises:
        InputError: a file is damaged, or they do not belong together.
    """
    record = read_json(folder["record"])
    arrays = []
    for name in ("values", "unsure"):
        try:
            arrays.append(np.load(folder[name], mmap_mode="r", allow_pickle=False))
        except UNREADABLE as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError(f"{folder[name]}: no array ({error}); delete it and run snakemake again") from error
    shape = tuple(record["shape"])
    return RegionScores(
        np.array(record["image_ids"], dtype=np.str_), arrays[0], np.asarray(arrays[1]), shape, record["identity"]
    )
