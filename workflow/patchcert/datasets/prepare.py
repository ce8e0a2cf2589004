"""Preparation: every picture of a dataset decoded, scaled and cropped once, beside the index that says which is which.

No later stage reads a raw file. A loader is a module of ``patchcert.datasets.loaders`` with two functions:

* ``records(files)``: one row an image, numbered from 0 in an order that never changes: ``image_id`` (str, unique), ``label``
  (int64, from 0 up) and, where its publisher has parts, ``part`` (``train`` or ``test``). An image that may show any number of
  classes has in place of ``label`` two lists of one length: ``labels`` (int, ascending), and ``object_sizes`` (float), how much
  of the published picture the box of the largest object of each takes up, in per cent. ``file``, if there is one, names the raw
  file that holds the picture. Further columns are the loader's own.
* ``pictures(files, chosen)``: of some rows of the records, in their order, what :func:`prepared` takes.

One whose images have one label may have a third, ``object_sizes(files, table, preparation)``: how much of each prepared image
the bounding box of its object takes up, in per cent.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from patchcert import InputError, plugins
from patchcert.datasets.index import write_index
from patchcert.datasets.splits import with_splits
from patchcert.provenance import whole_file

LOADERS = "patchcert.datasets.loaders"
COLUMNS = ("image_id", "label", "labels", "part", "object_size", "object_sizes", "split", "row")
"""Columns of the index, as far as a dataset has them; those of a loader's own stay out of it."""
AHEAD = 4
"""Pictures a thread that are read before they are wanted, so that the threads do not wait for the disk."""

Picture: TypeAlias = bytes | NDArray[np.uint8]
"""An image file's bytes, or uint8 [H, W] or [H, W, 3]."""
Preparation: TypeAlias = Callable[[Picture], NDArray[np.uint8]]
Named: TypeAlias = tuple[str, str, Picture]
"""The raw files that a picture is in, its image id, and the picture."""


def prepared(picture: Picture, image_size: tuple[int, int], resize: int | None = None) -> NDArray[np.uint8]:
    """A picture as classifiers see it, uint8 [3, H, W], scaled bicubically; a grey one gets three equal channels.

    PatchCleanser scales and crops the pictures of ImageNet and ImageNette, and scales the small ones of CIFAR-10 as a whole
    (section 4.1 and appendix A of the paper).

    Args:
        picture: an encoded or a decoded picture.
        image_size: rows and columns H, W, pixels.
        resize: the shorter side that the picture is scaled to before its middle is cropped, pixels; ``None`` scales the whole
            picture.

    Raises:
        OSError, SyntaxError, ValueError: Pillow cannot decode the picture.
    """
    rows, columns = image_size
    with Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else Image.fromarray(picture) as opened:
        image = opened.convert("RGB")
    if resize is None:
        image = image.resize((columns, rows), Image.Resampling.BICUBIC)
    else:
        shorter = min(image.size)
        width, height = (resize * side // shorter for side in image.size)
        left, top = round((width - columns) / 2), round((height - rows) / 2)
        image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + columns, top + rows))
    return np.asarray(image).transpose(2, 0, 1)


def prepare(
    settings: Mapping[str, Any], files: Mapping[str, Path], index_file: str | Path, pixels_file: str | Path, threads: int = 1
) -> pd.DataFrame:
    """Write the prepared images and the index of a dataset, each whole or not at all.

    Args:
        settings: the dataset's block of the configuration: ``loader``, ``classes``, ``image_size``, ``resize``,
            ``split_sizes``, ``split_seed``, ``unlabelled``.
        files: paths by file name.
        index_file: Parquet, one row an image: ``image_id``; ``label`` and ``object_size`` (per cent, NaN where nobody knows),
            or the lists ``labels`` and ``object_sizes``; ``part`` where its publisher has parts; ``split`` and ``row``.
        pixels_file: NumPy array uint8 [M, 3, H, W] of the images that are in a split; ``row`` is an image's place in it.
        threads: how many pictures are decoded and scaled at once.

    Returns:
        The index.

    Raises:
        InputError: a file is damaged, or the sizes of the splits or the number of classes do not fit.
    """
    loader = plugins.load(LOADERS, settings["loader"])
    preparation = partial(prepared, image_size=tuple(settings["image_size"]), resize=settings["resize"])
    table = with_splits(loader.records(files), settings)
    if (labels := _count_of_labels(table)) > settings["classes"]:
        raise InputError(f"classes: {settings['classes']}; the images of {settings['loader']} have more labels; write {labels}")
    if "label" in table:
        sizes_of = getattr(loader, "object_sizes", None)
        table["object_size"] = sizes_of(files, table, preparation) if sizes_of else np.nan
    chosen = table[table["row"] >= 0]
    pictures = zip(_held_by(chosen, files), chosen["image_id"], loader.pictures(files, chosen), strict=True)
    task = partial(_prepared_by_name, preparation)
    _write(pixels_file, (len(chosen), 3, *settings["image_size"]), _in_order(task, pictures, threads))
    index = table[[name for name in COLUMNS if name in table]]
    with whole_file(index_file) as temporary:
        write_index(temporary, index, settings["classes"])
    return index


def counts(index: pd.DataFrame) -> dict[str, Any]:
    """How many images an index has: ``images`` by split, ``images_by_label`` by split and label, each image under each of its
    labels, and, where images can have none, ``unlabelled``, how many have none, by part.
    """
    column = "label" if "label" in index else "labels"
    found: dict[str, Any] = {"images": index["split"].value_counts().to_dict()}
    found["images_by_label"] = {
        split: of_split[column].explode().dropna().value_counts().sort_index().rename(str).to_dict()
        for split, of_split in index.groupby("split")
    }
    if column == "labels":
        parts = index["part"] if "part" in index else pd.Series("all", index.index)
        found["unlabelled"] = (index["labels"].map(len) == 0).groupby(parts).sum().to_dict()
    return found


def _count_of_labels(table: pd.DataFrame) -> int:
    """The least number of classes that has all labels."""
    largest = table["label"] if "label" in table else table["labels"].map(partial(max, default=-1))
    return int(largest.max()) + 1


def _held_by(chosen: pd.DataFrame, files: Mapping[str, Path]) -> Iterable[str]:
    """The raw file of each picture; all of them where the loader does not say which."""
    if "file" in chosen:
        return (str(files[name]) for name in chosen["file"])
    return repeat(", ".join(map(str, files.values())), len(chosen))


def _prepared_by_name(preparation: Preparation, named: Named) -> NDArray[np.uint8]:
    source, image_id, picture = named
    try:
        return preparation(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{source}: the image {image_id} cannot be decoded ({error}); fetch it anew") from error


def _in_order(task: Callable[[Named], NDArray[np.uint8]], items: Iterable[Named], threads: int) -> Iterator[NDArray[np.uint8]]:
    """What a task makes of each item, in their order, by threads that hold few items at a time."""
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(task, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(path: str | Path, shape: tuple[int, ...], images: Iterable[NDArray[np.uint8]]) -> None:
    target = Path(path)
    for left_behind in target.parent.glob(f".{target.name}.*"):  # by a job that was killed; it may be as large as the dataset
        left_behind.unlink()
    # not through a memory map, in which a full disk is no error but the end of the process
    with whole_file(target) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for pixels in tqdm(images, total=shape[0], unit="image", desc="preparing", disable=None):
            stream.write(pixels.tobytes())
