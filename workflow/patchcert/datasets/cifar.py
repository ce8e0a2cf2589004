"""What CIFAR-10 and CIFAR-100 have in common: 50,000 training and 10,000 test images of 32x32 pixels, in pickles."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.datasets.raw import numbered_records, readable

SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""What keeps an archive from writing outside its folder, where Python has it: from 3.11.4 on."""


def records(archive: Path, published: str) -> pd.DataFrame:
    """One row an image, the training part first: ``image_id``, ``label`` (int64, the fine one of CIFAR-100) and ``part``.

    Args:
        archive: the Python version of the dataset.
        published: torchvision's name of the dataset, ``CIFAR10`` or ``CIFAR100``.

    Raises:
        InputError: the archive is damaged.
    """
    return numbered_records(published.lower(), {part: raw.targets for part, raw in _parts(archive, published).items()})


def pictures(archive: Path, published: str, chosen: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
    """The images of some of the records, each uint8 [32, 32, 3]."""
    data = np.concatenate([raw.data for raw in _parts(archive, published).values()])
    yield from (data[row] for row in chosen.index)


def _parts(archive: Path, published: str) -> dict[str, Any]:
    """torchvision's datasets of the training and of the test images."""
    from torchvision import datasets

    original = getattr(datasets, published)
    # the digest of the whole archive was verified when it was fetched, so that those of its members need not be
    unverified = {
        "train_list": [(file, None) for file, _ in original.train_list],
        "test_list": [(file, None) for file, _ in original.test_list],
        "meta": original.meta | {"md5": None},
    }
    reader = type(published, (original,), unverified)
    with TemporaryDirectory() as folder, readable(archive):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, **SAFELY)
        return {part: reader(folder, train=part == "train") for part in ("train", "test")}
