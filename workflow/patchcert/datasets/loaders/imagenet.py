"""ImageNet (ILSVRC 2012): 1,281,167 images of 1,000 classes to learn from, and the 50,000 of its validation set to test on.

Labels count the classes in the order of their WordNet ids, as those of torchvision's and timm's models do; the numbers that the
challenge's own development kit gives them have another order. The archives of images are not compressed: nothing is extracted.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from patchcert.datasets.raw import pieces, readable

TRAIN = "ILSVRC2012_img_train.tar"
VALIDATION = "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12.tar.gz"
META = "ILSVRC2012_devkit_t12/data/meta.mat"
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image in the order of the archives, so that they are read from front to back, the training images first.

    ``image_id`` is ImageNet's, ``n01440764_10026`` or ``ILSVRC2012_val_00000001``; ``label`` int64; ``part``, of which the
    validation set is ``test``; ``file``, ``offset`` and ``size``, both in bytes, say where the JPEG file is.

    Raises:
        InputError: an archive is damaged.
    """
    label_of, truth = _kit(files[KIT])
    rows = []
    with readable(files[TRAIN]), tarfile.open(files[TRAIN], "r:") as archive:
        for synset in archive:
            label = label_of[PurePosixPath(synset.name).stem]
            with tarfile.open(fileobj=archive.extractfile(synset), mode="r:") as images:
                for image in images:
                    rows.append((_image_id(image), label, "train", TRAIN, synset.offset_data + image.offset_data, image.size))
    with readable(files[VALIDATION]), tarfile.open(files[VALIDATION], "r:") as images:
        for image in images:
            number = int(_image_id(image).rpartition("_")[2])  # counted from 1, as are the lines of the ground truth
            rows.append((_image_id(image), truth[number - 1], "test", VALIDATION, image.offset_data, image.size))
    return pd.DataFrame(rows, columns=["image_id", "label", "part", "file", "offset", "size"])


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The JPEG files of some of the records, read one after the other."""
    return pieces(files, chosen)


def _image_id(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).stem


def _kit(file: Path) -> tuple[dict[str, int], list[int]]:
    """Labels by WordNet id, and the label of each validation image, from the development kit."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with readable(file, MatReadError, OSError), tarfile.open(file) as archive:
        meta, truth = (archive.extractfile(member).read() for member in (META, TRUTH))  # type: ignore[union-attr]
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        classes = synsets[synsets["num_children"] == 0]  # the others are what several classes have in common
        label_of = {wnid: label for label, wnid in enumerate(sorted(classes["WNID"]))}
        wnid_of = dict(zip(classes["ILSVRC2012_ID"], classes["WNID"], strict=True))
        return label_of, [label_of[wnid_of[int(line)]] for line in truth.split()]
