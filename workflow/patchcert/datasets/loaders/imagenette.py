"""ImageNette: ten easily told classes of ImageNet at full size, 9,469 images to learn from and 3,925 to test on (version 2).

Labels count the classes in the order of their WordNet ids, as in ImageNet.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from patchcert.datasets.raw import readable

FILE = "imagenette2.tgz"
FOLDERS = {"train": "train", "val": "test"}
"""The parts by the archive's folders."""


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image, in the archive's order, since it can only be read from its start.

    ``image_id`` is ImageNet's, ``n01440764_10026``; ``label`` int64; ``part``; ``member`` is the path in the archive.

    Raises:
        InputError: the archive is damaged, or holds no images.
    """
    with readable(files[FILE]), tarfile.open(files[FILE], "r|gz") as archive:
        paths = [PurePosixPath(member.name) for member in archive if member.isfile() and member.name.endswith(".JPEG")]
        if not paths:
            raise LookupError("no file named *.JPEG in it")
        _, labels = np.unique([path.parts[-2] for path in paths], return_inverse=True)
        return pd.DataFrame(
            {
                "image_id": [path.stem for path in paths],
                "label": labels.astype(np.int64),
                "part": [FOLDERS[path.parts[-3]] for path in paths],
                "member": list(map(str, paths)),
            }
        )


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The JPEG files of some of the records, one after the other as the archive is read."""
    wanted = set(chosen["member"])
    with readable(files[FILE]), tarfile.open(files[FILE], "r|gz") as archive:
        for member in archive:
            if member.name in wanted:
                yield archive.extractfile(member).read()  # type: ignore[union-attr]
