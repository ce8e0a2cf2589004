"""The stored artifact of a multi-label classifier: scores and their row extrema, with the identity of how they came about.

Certificates at every threshold need only this and never a model; nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.defenses.multilabel import Extrema
from patchcert.predictions import UNREADABLE, check_alike
from patchcert.provenance import read_json, whole_file, write_json


@dataclass(frozen=True)
class ScorePredictions:
    """Scores of one multi-label classifier on N images: as they are, and the row extrema under K masks.

    Attributes:
        image_ids: str [N], unique.
        values: float32 [N, 3 K + 1, C]: of each image first the scores without a mask, then under each mask alone, then the
            lowest and then the highest over second masks.
        identity: what the scores depend on, JSON-like.
    """

    image_ids: NDArray[np.str_]
    values: NDArray[np.float32]
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InputError: lengths differ, ids repeat, or the number of rows is not 3 K + 1 for any K.
        """
        count = len(self.image_ids)
        if self.values.ndim != 3 or len(self.values) != count or self.values.shape[1] % 3 != 1 or self.values.shape[1] < 4:
            raise InputError(f"scores: shape {self.values.shape} for {count} images; write [images, 3 masks + 1, classes]")
        if len(np.unique(self.image_ids)) != count:
            raise InputError("scores: image ids repeat; write each image once")

    @property
    def unmasked(self) -> NDArray[np.float32]:
        """Scores of the images as they are, float32 [N, C]."""
        return self.values[:, 0]

    @property
    def extrema(self) -> Extrema:
        """The row extrema; no array is copied."""
        masks = self.values.shape[1] // 3
        single, lowest, highest = (self.values[:, 1 + masks * part : 1 + masks * (part + 1)] for part in range(3))
        return Extrema(single=single, lowest=lowest, highest=highest)

    def save(self, path: str | Path) -> None:
        """Write one ``.npz`` file, whole or not at all; the same scores give the same bytes."""
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            identity = np.array(json.dumps(self.identity, sort_keys=True))
            np.savez(stream, image_ids=self.image_ids, values=self.values, identity=identity)

    @classmethod
    def of(
        cls, image_ids: NDArray[np.str_], unmasked: NDArray[np.float32], extrema: Extrema, identity: Mapping[str, Any]
    ) -> ScorePredictions:
        """The artifact of what the engine answered for images."""
        values = np.concatenate([unmasked[:, None], extrema.single, extrema.lowest, extrema.highest], axis=1)
        return cls(image_ids, values, identity)

    @classmethod
    def load(cls, path: str | Path) -> ScorePredictions:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["image_ids"], stored["values"], json.loads(str(stored["identity"])))
        except UNREADABLE as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError(f"{path}: no scores file ({error}); delete it and run snakemake again") from error

    @classmethod
    def concatenate(cls, shards: Sequence[ScorePredictions]) -> ScorePredictions:
        """Join shards that were made alike, in the order given.

        Raises:
            InputError: there is no shard, or two were made with different identities.
        """
        check_alike([shard.identity for shard in shards])
        ids, values = (np.concatenate([getattr(shard, name) for shard in shards]) for name in ("image_ids", "values"))
        return cls(ids, values, shards[0].identity)


def gather(shards: Sequence[str | Path], values_file: str | Path, record_file: str | Path) -> None:
    """Join shards into an array that can be memory-mapped and a JSON record, each whole or not at all.

    One shard is in memory at a time.

    Args:
        shards: what :meth:`ScorePredictions.save` wrote, in order.
        values_file: the ``.npy`` file to write, ``values`` of all.
        record_file: the JSON file to write, with ``image_ids`` and ``identity``.

    Raises:
        InputError: a shard is damaged, or two do not belong together.
    """
    read = [(shard.image_ids.tolist(), shard.values.shape, shard.identity) for shard in map(ScorePredictions.load, shards)]
    check_alike([identity for _, _, identity in read])
    ids = [image_id for some, _, _ in read for image_id in some]
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), *read[0][1][1:])}
    with whole_file(values_file) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for path in shards:
            stream.write(ScorePredictions.load(path).values.astype("<f4").tobytes())
    write_json(record_file, {"image_ids": ids, "identity": read[0][2]})


def open_scores(values_file: str | Path, record_file: str | Path) -> ScorePredictions:
    """What :func:`gather` wrote; the values are memory-mapped.

    Raises:
        InputError: a file is damaged, or they do not belong together.
    """
    record = read_json(record_file)
    try:
        values = np.load(values_file, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise InputError(f"{values_file}: no array of scores ({error}); delete it and run snakemake again") from error
    return ScorePredictions(np.array(record["image_ids"], dtype=np.str_), values, record["identity"])
