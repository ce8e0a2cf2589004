"""SVHN: house numbers cropped to one digit, 73,257 to learn from and 26,032 to test on, 32x32 pixels (Netzer et al., 2011).

The further, easier digits of its part "extra" are not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.datasets.raw import numbered_records, readable

PARTS = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image, the training part first: ``image_id``, ``label`` (int64, the digit) and ``part``.

    Raises:
        InputError: a file is damaged.
    """
    return numbered_records("svhn", {part: _part(files, part).labels for part in PARTS})


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
    """The images of some of the records, each uint8 [32, 32, 3]."""
    data = np.concatenate([_part(files, part).data for part in PARTS])
    yield from (data[row].transpose(1, 2, 0) for row in chosen.index)


def _part(files: Mapping[str, Path], part: str) -> Any:
    """torchvision's dataset of one part, in which the digit 0 has the label 0 and not the publisher's 10."""
    from scipy.io.matlab import MatReadError
    from torchvision.datasets import SVHN

    file = files[PARTS[part]]
    # the file's digest was verified when it was fetched
    unverified = {name: (address, file.name, None) for name, (address, _, _) in SVHN.split_list.items()}
    with readable(file, MatReadError, OSError):
        return type("SVHN", (SVHN,), {"split_list": unverified})(file.parent, split=part)
