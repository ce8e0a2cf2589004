"""Images with a block restored from what surrounds it, for every position of the block: Telea's fast marching, by OpenCV.

Only the restored blocks are kept, since the rest of each copy is the image; and they are kept on disk, since they depend on no
classifier.

Source: Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics Tools 9, 2004, as
mask-guided randomized smoothing uses it (section 3.2).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.masks import Size, patch_positions
from patchcert.provenance import settings_sha256, whole_file

RADIUS = 3
"""Pixels around a missing one that it is restored from. The paper does not say; this is the value of OpenCV's own example."""
MARGIN = RADIUS + 2
"""Pixels around a block that its restored pixels depend on: the radius, and one more on either side for gradients there."""


def restored_blocks(pixels: NDArray[np.uint8], block: Size) -> NDArray[np.uint8]:
    """What every position of a block shows when it is restored from the rest of the image.

    Args:
        pixels: an image, uint8 [H, W, 3].
        block: rows and columns, pixels.

    Returns:
        uint8 [P, rows, columns, 3], positions as :func:`patchcert.masks.patch_positions` orders them.

    Raises:
        InputError: the block does not fit into the image, or OpenCV is not installed.
    """
    cv2 = _opencv()
    rows, columns = pixels.shape[:2]
    positions = patch_positions((rows, columns), block)
    found = np.empty((len(positions), *block, 3), dtype=np.uint8)
    for shown, (top, bottom, left, right) in zip(found, positions.tolist(), strict=True):
        # what is farther away does not reach the block, and a whole image takes far longer
        above, before = max(0, top - MARGIN), max(0, left - MARGIN)
        around = np.ascontiguousarray(pixels[above : bottom + MARGIN, before : right + MARGIN])
        missing = np.zeros(around.shape[:2], dtype=np.uint8)
        inside = slice(top - above, bottom - above), slice(left - before, right - before)
        missing[inside] = 1
        shown[:] = cv2.inpaint(around, missing, RADIUS, cv2.INPAINT_TELEA)[inside]
    return found


def restored(images: NDArray[np.uint8], block: Size, cache: Path, workers: int = 1) -> Iterator[NDArray[np.uint8]]:
    """The restored blocks of one image after the other, from the cache or made anew by several threads.

    A file of the cache is named by a digest of the image, the block and OpenCV's version, and appears whole or not at all. It
    takes P * rows * columns * 3 bytes: 59 kB for a block of 5x5 in 32x32 pixels, 114 MB for 32x32 in 224x224.

    Args:
        images: uint8 [N, 3, H, W].
        block: rows and columns, pixels.
        cache: folder of the files.
        workers: threads that make what is not there yet.

    Returns:
        For each image uint8 [P, rows, columns, 3] as :func:`restored_blocks` gives it, mapped from the file.

    Raises:
        InputError: images of a wrong shape or type, no worker, a block that does not fit, a damaged file, or OpenCV is not
            installed.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise InputError(f"images: {images.dtype} of shape {images.shape}; give uint8 [N, 3, H, W]")
    if workers < 1:
        raise InputError(f"workers: {workers}; write a whole number from 1 up")
    version = _opencv().__version__
    files = [cache / f"{_digest(image, block, version)}.npy" for image in images]
    return _restored(images, block, files, workers)


def _restored(images: NDArray[np.uint8], block: Size, files: list[Path], workers: int) -> Iterator[NDArray[np.uint8]]:
    # threads, since OpenCV lets go of Python's lock; processes would run the adapter's file again, which Snakemake's jobs are
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Path, Future[None]]] = deque()
        for image, file in zip(images, files, strict=True):
            waiting.append((file, pool.submit(_store, image, block, file)))
            if len(waiting) > 2 * workers:  # far enough ahead that nobody waits, and no farther
                yield _finished(*waiting.popleft(), block, images.shape[2:])
        while waiting:
            yield _finished(*waiting.popleft(), block, images.shape[2:])


def _finished(file: Path, work: Future[None], block: Size, image_size: tuple[int, ...]) -> NDArray[np.uint8]:
    work.result()
    return _read(file, block, image_size)


def _store(image: NDArray[np.uint8], block: Size, file: Path) -> None:
    """Make the restored blocks of an image, [3, H, W], unless their file is there."""
    if file.exists():
        return
    found = restored_blocks(image.transpose(1, 2, 0), block)
    with whole_file(file) as temporary:
        np.save(temporary, found)


def _read(file: Path, block: Size, image_size: tuple[int, ...]) -> NDArray[np.uint8]:
    wanted = (image_size[0] - block[0] + 1) * (image_size[1] - block[1] + 1), *block, 3
    try:
        found: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    except ValueError as error:
        raise InputError(f"{file}: it is damaged ({error}); delete it, and it is made anew") from error
    if found.shape != wanted:
        raise InputError(f"{file}: shape {found.shape} in place of {wanted}; delete it, and it is made anew")
    return found


def _digest(image: NDArray[np.uint8], block: Size, version: str) -> str:
    pixels = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    return settings_sha256([pixels, list(image.shape), list(block), RADIUS, version])


def _opencv() -> Any:
    try:
        return import_module("cv2")
    except ModuleNotFoundError as error:
        raise InputError("inpainting: OpenCV is not installed; install opencv-python-headless") from error
