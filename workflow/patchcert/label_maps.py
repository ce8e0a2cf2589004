"""What a classifier says of an image with a block restored at every place: what localisation votes on.

Source: Zhang et al., "Certified defense against patch attacks via mask-guided randomized smoothing", Science China Information
Sciences 65, 2022, section 3.2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.attacks.patch_pgd import answers
from patchcert.device import on_device
from patchcert.inpainting import restored
from patchcert.masking import usual_batch_size
from patchcert.masks import Size, patch_positions
from patchcert.models.registry import Normalisation
from patchcert.smoothing import inference


def label_maps(
    model: torch.nn.Module,
    images: NDArray[np.uint8],
    block: Size,
    cache: Path,
    *,
    normalisation: Normalisation,
    workers: int = 1,
    device: str = "cpu",
    batch_size: int | None = None,
) -> NDArray[np.int64]:
    """The label of each image with a block at each position, with a stride of one pixel, restored from its surroundings.

    Args:
        model: normalised images [b, 3, H, W] to logits [b, classes]; of tied logits the smallest class is the label.
        images: uint8 [N, 3, H, W]; an attacked image is rounded to whole values, as a picture that is stored has them.
        block: rows and columns, pixels.
        cache: folder of restored blocks, see :func:`patchcert.inpainting.restored`.
        normalisation: how the model wants its images.
        workers: threads that restore blocks.
        device: a torch device.
        batch_size: copies a forward pass; by default a size that suits the device.

    Returns:
        int64 [N, R, C]: R = H - rows + 1, C = W - columns + 1.

    Raises:
        InputError: see :func:`patchcert.inpainting.restored`; or there is no image, or a logit is not finite.
    """
    blocks = restored(images, block, cache, workers)
    if not len(images):
        raise InputError("images: there is none; give one or more")
    classifier = on_device(model, device).eval()
    height, width = images.shape[2:]
    positions = torch.from_numpy(patch_positions((height, width), block)[:, ::2])
    size = usual_batch_size(device) if batch_size is None else batch_size
    found = []
    with inference(device):
        for image, patches in zip(torch.from_numpy(images).to(device), blocks, strict=True):
            parts = []
            for start in range(0, len(positions), size):
                part = slice(start, start + size)
                inside = torch.from_numpy(np.array(patches[part])).to(device)
                shown = _with_blocks(image, positions[part].to(device), inside)
                logits = classifier(normalisation(shown).contiguous(memory_format=torch.channels_last)).float()
                parts.append(torch.where(logits.isfinite().all(dim=1), answers(logits), -1))
            found.append(torch.cat(parts).cpu().numpy())
    labels = np.stack(found)
    if (labels < 0).any():
        raise InputError("the classifier gave a logit that is not finite; no label can be read from it")
    return labels.reshape(len(images), height - block[0] + 1, width - block[1] + 1)


def _with_blocks(image: torch.Tensor, corners: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Copies [b, 3, H, W] of an image [3, H, W] with blocks [b, rows, columns, 3] at corners (top, left), int64 [b, 2]."""
    rows, columns = inside.shape[1:3]
    copies = image.permute(1, 2, 0).repeat(len(inside), 1, 1, 1)
    number = torch.arange(len(inside), device=image.device)[:, None, None]
    down = corners[:, :1] + torch.arange(rows, device=image.device)
    across = corners[:, 1:] + torch.arange(columns, device=image.device)
    copies[number, down[:, :, None], across[:, None, :]] = inside
    return copies.permute(0, 3, 1, 2)
