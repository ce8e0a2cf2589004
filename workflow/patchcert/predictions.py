"""The stored artifact: what a classifier said on the masked copies of images, with the identity of how it came about.

Everything after it (certificates, metrics, report) needs only this file and never a model; nothing here imports torch.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.provenance import whole_file

LARGEST_LABEL = np.iinfo(np.uint16).max
UNREADABLE = (KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged ``.npz`` file, or another file, can raise."""


@dataclass(frozen=True)
class Predictions:
    """Labels of one classifier on N images under every unordered pair of K masks.

    Attributes:
        image_ids: str [N], unique.
        labels: uint16 [N, P], one column for each row of ``MaskSet.pairs``, P = K (K + 1) / 2.
        unmasked: uint16 [N], labels of the images as they are (the undefended answer).
        margins: float32 [N], the smallest distance between the largest and the second largest logit over an image's pairs.
        identity: what the predictions depend on (data, weights, masks, fill, dtype, device, versions), JSON-like.
    """

    image_ids: NDArray[np.str_]
    labels: NDArray[np.uint16]
    unmasked: NDArray[np.uint16]
    margins: NDArray[np.float32]
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InputError: lengths differ, ids repeat, or the number of pairs is not K (K + 1) / 2 for any K.
        """
        count = len(self.image_ids)
        if self.labels.ndim != 2 or {len(self.labels), len(self.unmasked), len(self.margins)} != {count}:
            raise InputError(
                f"predictions: {count} image ids, labels {self.labels.shape}, unmasked {self.unmasked.shape}, margins "
                f"{self.margins.shape}; write one row for each image in all four"
            )
        if len(np.unique(self.image_ids)) != count:
            raise InputError("predictions: image ids repeat; write each image once")
        masks_of_pairs(self.labels.shape[1])

    @property
    def masks(self) -> int:
        """Number of masks K."""
        return masks_of_pairs(self.labels.shape[1])

    @cached_property
    def pair_labels(self) -> NDArray[np.int64]:
        """Labels as the defenses read them, int64 [N, K, K], symmetric."""
        return expand_pairs(self.labels, self.masks)

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz`` file, whole or not at all; the same predictions give the same bytes."""
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                image_ids=self.image_ids,
                labels=self.labels,
                unmasked=self.unmasked,
                margins=self.margins,
                identity=np.array(json.dumps(self.identity, sort_keys=True)),
            )

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(
                    stored["image_ids"],
                    stored["labels"],
                    stored["unmasked"],
                    stored["margins"],
                    json.loads(str(stored["identity"])),
                )
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
        if not shards:
            raise InputError("predictions: no shard to join")
        for shard in shards[1:]:
            one, other = shards[0].identity, shard.identity
            different = [key for key in sorted({*one, *other}) if key not in one or key not in other or one[key] != other[key]]
            if different:
                raise InputError(f"predictions: shards differ in {', '.join(different)}; predict them anew")
        return cls(
            np.concatenate([shard.image_ids for shard in shards]),
            np.concatenate([shard.labels for shard in shards]),
            np.concatenate([shard.unmasked for shard in shards]),
            np.concatenate([shard.margins for shard in shards]),
            shards[0].identity,
        )


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
