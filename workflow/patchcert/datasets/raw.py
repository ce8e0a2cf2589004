"""What loaders share: records of images that have no names, files read piece by piece, and damaged ones said plainly."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from patchcert import InputError

DAMAGED = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, pickle.UnpicklingError)
OF_ANOTHER_FORM = (LookupError, ValueError, TypeError, RuntimeError)
"""A member, a key or a field that is missing or holds something else; torchvision raises ``RuntimeError`` for it."""


def numbered_records(name: str, labels: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """One row an image, part after part: ``image_id``, ``cifar10-test-01234`` for instance, ``label`` (int64) and ``part``."""
    parts = [
        pd.DataFrame(
            {"image_id": [f"{name}-{part}-{number:05d}" for number in range(len(of_part))], "label": of_part, "part": part}
        )
        for part, of_part in labels.items()
    ]
    return pd.concat(parts, ignore_index=True).astype({"label": np.int64})


def pieces(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The pieces of raw files that records name by ``file``, ``offset`` and ``size`` (bytes), file after file."""
    for file, images in chosen.groupby("file", sort=False):
        with files[str(file)].open("rb") as stream:
            for offset, size in zip(images["offset"], images["size"], strict=True):
                stream.seek(offset)
                yield stream.read(size)


@contextlib.contextmanager
def readable(path: Path, *faults: type[Exception]) -> Iterator[None]:
    """Say of what goes wrong while a raw file is read that the file is damaged, or not what it should be.

    Args:
        path: the file.
        faults: what its format's reader raises beside ``DAMAGED`` and ``OF_ANOTHER_FORM``.

    Raises:
        InputError: the block raised one of these.
    """
    kinds: tuple[type[Exception], ...] = (*DAMAGED, *OF_ANOTHER_FORM, *faults)
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        raise InputError(f"{path}: damaged, or not in the form of its publisher ({error!r}); fetch it anew") from error
