"""Multi-label datasets in COCO's format: MSCOCO 2014, 80 classes of everyday objects (Lin et al., 2014), and scenes of digits.

An archive of annotations holds ``annotations/instances_NAME.json`` for each archive of images ``NAME.zip``, whose images are in
its folder ``NAME``. ``train2014.zip`` is the part ``train``; what begins with ``val`` or ``test`` is the part ``test``.

An image has the label of every class of which it shows an object, crowds of objects too, as in the published multi-label
evaluations of MSCOCO. Labels count the classes in the order of their ids, which for MSCOCO have gaps.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pandas as pd

from patchcert import InputError
from patchcert.datasets.raw import readable

ANNOTATIONS = "annotations"
PARTS = {"train": "train", "val": "test", "test": "test"}
"""The published parts by how the names of their archives begin."""
KEYS = ("images", "annotations", "categories")

log = logging.getLogger(__name__)


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row an image in the order of the images' ids, the training part first.

    ``image_id`` is the image's file name without its ending, ``COCO_val2014_000000000042``; ``labels``; ``part``;
    ``object_sizes``; ``file``, the archive that holds it, and ``member``, its path in it.

    Raises:
        InputError: an archive is damaged, or annotations and images do not fit together.
    """
    (annotations,) = (path for file, path in files.items() if file.startswith(ANNOTATIONS))
    tables, categories = [], []
    for prefix, part in PARTS.items():
        for images in (path for file, path in files.items() if file.startswith(prefix)):
            coco = _annotated(annotations, images.stem)
            tables.append(pd.DataFrame(_rows(coco, annotations, images)).assign(part=part))
            categories.append(sorted(coco.cats))
    if any(others != categories[0] for others in categories):
        raise InputError(f"{annotations}: its parts have other categories than one another; fetch it anew")
    return pd.concat(tables, ignore_index=True)


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[bytes]:
    """The image files of some of the records."""
    for file, images in chosen.groupby("file", sort=False):
        with readable(files[str(file)], BadZipFile), ZipFile(files[str(file)]) as archive:
            for member in images["member"]:
                yield archive.read(member)


def _annotated(annotations: Path, name: str) -> Any:
    """pycocotools' index of the annotations of an archive of images."""
    from pycocotools.coco import COCO

    member = f"annotations/instances_{name}.json"
    with readable(annotations, BadZipFile):
        with ZipFile(annotations) as archive:
            content = json.loads(archive.read(member))
        missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
        if missing:
            raise InputError(
                f"{annotations}: {member} is not in COCO's format: it has no {' and no '.join(missing)}; fetch it anew"
            )
        coco = COCO()
        coco.dataset = content
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            coco.createIndex()
        for annotation in coco.anns.values():
            for key, known in (("image_id", coco.imgs), ("category_id", coco.cats)):
                if annotation[key] not in known:
                    raise InputError(
                        f"{annotations}: {member}: the {key} of annotation {annotation['id']} is {annotation[key]}, "
                        "which it does not list; fetch it anew"
                    )
    log.info("%s: %d objects in %d images, %d categories", member, len(coco.anns), len(coco.imgs), len(coco.cats))
    return coco


def _rows(coco: Any, annotations: Path, images: Path) -> Iterator[dict[str, Any]]:
    with readable(images, BadZipFile), ZipFile(images) as archive:
        held = set(archive.namelist())
    label_of = {category: label for label, category in enumerate(sorted(coco.cats))}
    for number in sorted(coco.imgs):
        with readable(annotations, ZeroDivisionError):
            image, largest = coco.imgs[number], dict[int, float]()
            for annotation in coco.imgToAnns.get(number, []):
                label, (_, _, width, height) = label_of[annotation["category_id"]], annotation["bbox"]
                size = 100 * width * height / (image["width"] * image["height"])
                largest[label] = max(size, largest.get(label, 0.0))
            member = f"{images.stem}/{image['file_name']}"
        if member not in held:
            raise InputError(f"{images}: it has no {member}, which {annotations} lists; fetch both anew")
        labels = sorted(largest)
        yield {
            "image_id": Path(member).stem,
            "labels": labels,
            "object_sizes": [largest[label] for label in labels],
            "file": images.name,
            "member": member,
        }
