"""Work that takes long, done in blocks of images: each finished block is a file, so that a killed job goes on where it stopped.

Snakemake does not know of these files. Their folder is named by all that their content depends on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from patchcert.provenance import settings_sha256

LOG = logging.getLogger(__name__)


@contextmanager
def finished_blocks(
    scratch: Path,
    identity: Any,
    images: int,
    block_size: int,
    work: Callable[[slice, Path], str],
    *,
    activity: str,
) -> Iterator[list[Path]]:
    """The files of all blocks, those that are missing made first; they are deleted when they have been used without a fault.

    Args:
        scratch: folder of the folders of blocks.
        identity: what the blocks depend on, JSON-like.
        images: how many there are.
        block_size: images of a block.
        work: makes the file of a slice of the images, and says how fast it goes.
        activity: what is being done, for the log.
    """
    folder = scratch / settings_sha256([identity, images, block_size])[:16]
    parts = [slice(start, min(start + block_size, images)) for start in range(0, images, block_size)]
    files = [folder / f"block-{part.start:07d}.npz" for part in parts]
    missing = [(part, file) for part, file in zip(parts, files, strict=True) if not file.exists()]
    if len(missing) < len(files):
        LOG.info("%s of %s blocks were done before; going on", len(files) - len(missing), len(files))
    left = sum(part.stop - part.start for part, _ in missing)
    done = 0
    with tqdm(total=left, unit="image", desc=activity, disable=None) as progress:
        for part, file in missing:
            said = work(part, file)
            done += part.stop - part.start
            progress.set_postfix_str(said, refresh=False)
            progress.update(part.stop - part.start)
            LOG.info("%s: %s of %s images done, %s", activity, done, left, said)
    yield files
    if folder.exists():
        shutil.rmtree(folder)  # with what a job left that was killed while it wrote
