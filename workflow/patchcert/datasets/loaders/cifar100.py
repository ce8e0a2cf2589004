"""CIFAR-100: images of 100 fine classes, 50,000 to learn from and 10,000 to test on, 32x32 pixels (Krizhevsky, 2009)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.datasets import cifar

FILE = "cifar-100-python.tar.gz"


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image, the training part first; see :func:`patchcert.datasets.cifar.records`."""
    return cifar.records(files[FILE], "CIFAR100")


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
    """The images of some of the records, each uint8 [32, 32, 3]."""
    return cifar.pictures(files[FILE], "CIFAR100", chosen)
