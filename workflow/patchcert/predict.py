"""The engine: what a classifier says on the masked copies of images.

Masks travel as boxes and are expanded on the device; each image travels once, and batches are filled across images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.predictions import LARGEST_LABEL, expand_pairs

if TYPE_CHECKING:
    from patchcert.masks import MaskSet

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BATCH_SIZES = {"cpu": 64}
LARGE_BATCH_SIZE = 1024


class Answers(NamedTuple):
    """What a classifier says of n images: labels int64 [n, P], unmasked labels int64 [n], smallest margins float32 [n]."""

    labels: NDArray[np.int64]
    unmasked: NDArray[np.int64]
    margins: NDArray[np.float32]


def pair_labels(
    model: torch.nn.Module,
    images: torch.Tensor,
    mask_set: MaskSet,
    *,
    fill: float = 0.0,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> NDArray[np.int64]:
    """The label of every image under every pair of masks, int64 [N, K, K].

    Args:
        model: a classifier, images [n, C, H, W] to logits [n, classes]; it is put into evaluation mode and on the device.
        images: float tensor [N, C, H, W], normalised as the model wants it.
        mask_set: the masks, made for H x W images.
        fill: value of masked pixels, after normalisation; 0 is the mean colour.
        device: a torch device, ``cpu`` or ``cuda`` for instance.
        dtype: ``float32``, or ``bfloat16`` for autocast. It is part of a prediction's identity.
        batch_size: masked copies a forward pass; by default a size that suits the device.

    Raises:
        InputError: images and masks have different sizes, an unknown dtype or an absent device, a batch size below one, fewer
            than two classes, or a logit that is not finite.
    """
    answers = predict(model, images, mask_set, fill=fill, device=device, dtype=dtype, batch_size=batch_size)
    return expand_pairs(answers.labels, len(mask_set))


def predict(
    model: torch.nn.Module,
    images: torch.Tensor,
    mask_set: MaskSet,
    *,
    fill: float = 0.0,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> Answers:
    """Labels under every unordered pair, labels without a mask, and the smallest margins; arguments as :func:`pair_labels`."""
    if images.ndim != 4 or tuple(images.shape[2:]) != mask_set.image_size:
        raise InputError(
            f"images: shape {tuple(images.shape)}; the masks want [N, C, {mask_set.image_size[0]}, {mask_set.image_size[1]}]"
        )
    if dtype not in DTYPES:
        raise InputError(f"dtype: {dtype!r}; write one of {', '.join(DTYPES)}")
    size = batch_size if batch_size is not None else BATCH_SIZES.get(torch.device(device).type, LARGE_BATCH_SIZE)
    if size < 1:
        raise InputError(f"batch_size: {size}; write a whole number from 1 up")
    model = on_device(model, device).eval()
    count, pairs = len(images), torch.from_numpy(mask_set.pairs).to(device)
    labels = np.empty((count, len(pairs)), dtype=np.int64)
    margins = np.empty((count, len(pairs)), dtype=np.float32)
    unmasked = np.empty(count, dtype=np.int64)
    with torch.inference_mode(), torch.autocast(torch.device(device).type, DTYPES[dtype], enabled=dtype != "float32"):
        hidden = box_pixels(mask_set.boxes, mask_set.image_size, device)
        hidden_pairs = hidden[pairs[:, 0]] | hidden[pairs[:, 1]]
        for start in range(0, count, size):
            block = images[start : start + size].to(device).contiguous(memory_format=torch.channels_last)
            unmasked[start : start + size] = _forward(model, block).argmax(dim=1).cpu().numpy()
            for part in torch.arange(len(block) * len(pairs), device=device).split(size):
                image, pair = part // len(pairs), part % len(pairs)
                logits = _forward(model, masked_copies(block, image, hidden_pairs[pair], fill))
                largest, winners = logits.topk(2, dim=1)
                rows, columns = start + image.cpu().numpy(), pair.cpu().numpy()
                labels[rows, columns] = winners[:, 0].cpu().numpy()
                margins[rows, columns] = (largest[:, 0] - largest[:, 1]).cpu().numpy()
    largest_label = max(labels.max(initial=0), unmasked.max(initial=0))
    if largest_label > LARGEST_LABEL:
        raise InputError(f"labels up to {largest_label}; predictions hold at most {LARGEST_LABEL}")
    return Answers(labels, unmasked, margins.min(axis=1, initial=np.inf))


def on_device(model: torch.nn.Module, device: str) -> torch.nn.Module:
    """The model on a device, its weights laid out channels-last, which convolutions on both CPU and GPU prefer.

    Raises:
        InputError: there is no such device here.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {device!r}, and torch finds no GPU here; write cpu")
    return model.to(device).to(memory_format=torch.channels_last)


def _forward(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(batch).float()
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(
            f"the classifier gave outputs of shape {tuple(logits.shape)}; it must give logits of two classes or more"
        )
    if not torch.isfinite(logits).all():
        raise InputError("the classifier gave a logit that is not finite; no label can be read from it")
    return logits


def box_pixels(boxes: NDArray[np.int64], image_size: tuple[int, int], device: Any = "cpu") -> torch.Tensor:
    """Boxes (top, bottom, left, right; int64 [..., 4]) as pixels: bool [..., H, W], true where the box is."""
    edges = torch.as_tensor(boxes, device=device)[..., None, None]
    row = torch.arange(image_size[0], device=device)[:, None]
    column = torch.arange(image_size[1], device=device)[None, :]
    top, bottom, left, right = edges.unbind(dim=-3)
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def masked_copies(images: torch.Tensor, rows: torch.Tensor, hidden: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Copies of some images with pixels set to ``fill``, laid out channels-last without a copy more than that.

    Args:
        images: [n, C, H, W], best channels-last.
        rows: which image each copy shows, int64 [b].
        hidden: pixels to set, bool [b, H, W].
        fill: their value.

    Returns:
        [b, C, H, W].
    """
    copies = images.permute(0, 2, 3, 1).index_select(0, rows)
    return copies.masked_fill_(hidden[..., None], fill).permute(0, 3, 1, 2)


def mask_out(images: torch.Tensor, hidden: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Images [n, C, H, W] with the hidden pixels, bool [n, H, W], set to ``fill``."""
    return images.masked_fill(hidden[:, None], fill)
