"""A classifier for tests of the engine: it says what it is told to of every masked copy, and remembers what it was shown."""

from __future__ import annotations

import numpy as np
import torch

from patchcert.masks import Grid, MaskSet


def row_of_masks(count: int) -> MaskSet:
    """One-pixel masks side by side, and one pixel that none of them hides: all pairs of masks hide different pixels."""
    return MaskSet((1, count + 1), (Grid((1, 1), (1, 1), (0,), tuple(range(count))),))


def hidden_pixels(masks: MaskSet) -> np.ndarray:
    """What each mask hides, bool [K, H, W], box by box."""
    hidden = np.zeros((len(masks), *masks.image_size), dtype=bool)
    for picture, boxes in zip(hidden, masks.boxes.reshape(len(masks), -1, 4).tolist(), strict=True):
        for top, bottom, left, right in boxes:
            picture[top:bottom, left:right] = True
    return hidden


def area_numbers(masks: MaskSet) -> np.ndarray:
    """Which distinct masked area each pair of masks has, int64 [K, K], counted from 0."""
    hidden, numbers = hidden_pixels(masks), {}
    return np.array([[numbers.setdefault((one | other).tobytes(), len(numbers)) for other in hidden] for one in hidden])


class Scripted(torch.nn.Module):
    """Gives the labels [N, K, K] under every two masks, and those [N] of the images as they are.

    Every pixel of image n is n + 1 and masked pixels are 0: a masked copy tells which image it shows and what is hidden.
    ``seen`` lists the image and the hidden pixels of every row, ``batches`` the rows of every forward pass. ``gaps`` are the
    distances between the largest logit and all others, [N, K, K].
    """

    def __init__(
        self, masks: MaskSet, labels: np.ndarray, unmasked: np.ndarray | int = 0, gaps: np.ndarray | float = 8.0
    ) -> None:
        super().__init__()
        labels = np.asarray(labels)
        self.labels, self.unmasked = labels, np.broadcast_to(unmasked, len(labels))
        self.gaps = np.broadcast_to(gaps, labels.shape)
        self.classes = int(max(self.labels.max(), self.unmasked.max())) + 2
        hidden, self.size = hidden_pixels(masks), masks.image_size
        self.pairs = {
            (one | other).tobytes(): (first, second) for first, one in enumerate(hidden) for second, other in enumerate(hidden)
        }
        assert np.ones(self.size, dtype=bool).tobytes() not in self.pairs, "nothing would tell the images apart"
        self.seen: list[tuple[int, bytes]] = []
        self.batches: list[int] = []

    @property
    def images(self) -> torch.Tensor:
        """The images, float32 [N, 1, H, W]."""
        return torch.arange(1.0, len(self.labels) + 1)[:, None, None, None].expand(-1, 1, *self.size)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(batch))
        logits = torch.zeros(len(batch), self.classes)
        for row, picture in zip(logits, batch[:, 0].numpy(), strict=True):
            image, hidden = int(picture.max()) - 1, (picture == 0).tobytes()
            self.seen.append((image, hidden))
            if True not in (picture == 0):
                row[self.unmasked[image]] = 8.0
            else:
                pair = self.pairs[hidden]
                row[self.labels[image][pair]] = self.gaps[image][pair]
        return logits
