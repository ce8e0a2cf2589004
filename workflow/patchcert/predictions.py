"""The stored artifact: what a classifier said on the masked copies of images, with the identity of how it came about.

Everything after it (certificates, metrics, report) needs only this file and never a model; nothing here imports torch.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.defenses.asking import UNPREDICTED
from patchcert.provenance import whole_file

STORED_UNPREDICTED = np.iinfo(np.uint16).max
"""What stands in a file, where labels are ``uint16``, for a pair of masks that nobody asked about."""
LARGEST_LABEL = STORED_UNPREDICTED - 1
ARRAYS = ("image_ids", "labels", "unmasked", "margins", "confidences", "passes")
BLOCK_ENTRIES = 2**22
"""Entries of expanded labels that a block holds at most, unless one image has more."""
UNREADABLE = (KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged ``.npz`` file, or another file, can raise."""


class Answers(NamedTuple):
    """What a classifier says of n images under K masks, P = K (K + 1) / 2 pairs.

    Attributes:
        labels: int64 [n, P], ``UNPREDICTED`` under pairs that certificate mode did not need.
        unmasked: int64 [n], labels of the images as they are.
        margins: float32 [n], the smallest distance between the two largest logits over what was predicted.
        confidences: float32 [n, K], the softmax confidence of each one-mask label.
        passes: int64 [n], masked copies that were classified.
    """

    labels: NDArray[np.int64]
    unmasked: NDArray[np.int64]
    margins: NDArray[np.float32]
    confidences: NDArray[np.float32]
    passes: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Labels of one classifier on N images under every unordered pair of K masks.

    Attributes:
        image_ids: str [N], unique.
        labels: uint16 [N, P], one column for each row of ``MaskSet.pairs``, P = K (K + 1) / 2; ``STORED_UNPREDICTED`` where
            certificate mode did not need the label.
        unmasked: uint16 [N], labels of the images as they are (the undefended answer).
        margins: float32 [N], the smallest distance between the two largest logits over an image's predicted pairs.
        confidences: float32 [N, K], the softmax confidence of each one-mask label.
        passes: uint32 [N], masked copies that were classified.
        identity: what the predictions depend on (data, weights, masks, fill, dtype, device, versions), JSON-like.
    """

    image_ids: NDArray[np.str_]
    labels: NDArray[np.uint16]
    unmasked: NDArray[np.uint16]
    margins: NDArray[np.float32]
    confidences: NDArray[np.float32]
    passes: NDArray[np.uint32]
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InputError: lengths differ, ids repeat, or the number of pairs is not K (K + 1) / 2 for any K.
        """
        count = len(self.image_ids)
        if self.labels.ndim != 2 or self.confidences.ndim != 2 or {len(array) for array in self._arrays().values()} != {count}:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in self._arrays().items())
            raise InputError(f"predictions: {shapes}; write one row for each image in all of them")
        if len(np.unique(self.image_ids)) != count:
            raise InputError("predictions: image ids repeat; write each image once")
        if self.confidences.shape[1] != self.masks:
            raise InputError(
                f"predictions: confidences {self.confidences.shape} for {self.masks} masks; write one column for each mask"
            )

    def _arrays(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ARRAYS}

    @property
    def masks(self) -> int:
        """Number of masks K."""
        return masks_of_pairs(self.labels.shape[1])

    @cached_property
    def pair_labels(self) -> NDArray[np.int64]:
        """Labels as the defenses read them, int64 [N, K, K], symmetric, ``UNPREDICTED`` where nobody asked."""
        labels = self.labels.astype(np.int64)
        labels[self.labels == STORED_UNPREDICTED] = UNPREDICTED
        return expand_pairs(labels, self.masks)

    def blocks(self) -> Iterator[tuple[slice, Predictions]]:
        """The predictions image block by image block, each small enough to be expanded to [n, K, K] without much memory."""
        size = max(1, BLOCK_ENTRIES // self.masks**2)
        for start in range(0, max(len(self.image_ids), 1), size):
            part = slice(start, start + size)
            yield part, Predictions(**{name: array[part] for name, array in self._arrays().items()}, identity=self.identity)

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz`` file, whole or not at all; the same predictions give the same bytes."""
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **self._arrays(), identity=np.array(json.dumps(self.identity, sort_keys=True)))

    @classmethod
    def of(cls, image_ids: NDArray[np.str_], answers: Answers, identity: Mapping[str, Any]) -> Predictions:
        """The artifact of what the engine answered for images."""
        labels = np.where(answers.labels == UNPREDICTED, STORED_UNPREDICTED, answers.labels)
        return cls(
            image_ids,
            labels.astype(np.uint16),
            answers.unmasked.astype(np.uint16),
            answers.margins,
            answers.confidences,
            answers.passes.astype(np.uint32),
            identity,
        )

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{name: stored[name] for name in ARRAYS}, identity=json.loads(str(stored["identity"])))
        except UNREADABLE as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError(f"{path}: no predictions file ({error}); delete it and run snakemake again") from error

    @classmethod
    def concatenate(cls, shards: Sequence[Predictions]) -> Predictions:
        """Join shards that were made alike, in the order given.

        Raises:
            InputError: there is no shard, or two were made with different identities.
        """
        check_alike([shard.identity for shard in shards])
        joined = {name: np.concatenate([getattr(shard, name) for shard in shards]) for name in ARRAYS}
        return cls(**joined, identity=shards[0].identity)


def check_alike(identities: Sequence[Mapping[str, Any]]) -> None:
    """Check that shards that are to be joined were made alike.

    Raises:
        InputError: there is no shard, or two were made with different identities.
    """
    if not identities:
        raise InputError("predictions: no shard to join")
    one = identities[0]
    for other in identities[1:]:
        different = [key for key in sorted({*one, *other}) if key not in one or key not in other or one[key] != other[key]]
        if different:
            raise InputError(f"predictions: shards differ in {', '.join(different)}; predict them anew")


def masks_of_pairs(pairs: int) -> int:
    """The number of masks K that have this many unordered pairs, K (K + 1) / 2.

    Raises:
        InputError: no K has.
    """
    masks = (math.isqrt(8 * pairs + 1) - 1) // 2
    if masks < 1 or masks * (masks + 1) // 2 != pairs:
        raise InputError(f"predictions: {pairs} pairs; K masks have K (K + 1) / 2 of them, 666 for 36")
    return masks


def expand_pairs(labels: NDArray[Any], masks: int) -> NDArray[np.int64]:
    """Turn labels of unordered pairs, [N, P], into the symmetric int64 [N, K, K]."""
    first, second = np.triu_indices(masks)
    matrix = np.empty((len(labels), masks, masks), dtype=np.int64)
    matrix[:, first, second] = labels
    matrix[:, second, first] = labels
    return matrix
