"""Projected gradient descent on the pixels of a patch: how often an attacker who tries succeeds.

What it finds is a lower bound on what patches can do, and so an upper bound on robust accuracy; certified accuracy is the bound
from the other side. An image that is certified and attacked with success would refute the certificate. Source: Madry et al.,
Towards Deep Learning Models Resistant to Adversarial Attacks, on patches as Metzen and Yatsura describe in Efficient Certified
Defenses against Patch Attacks on Image Classifiers, appendix A.2 (:func:`targeted`), and as Zhang et al. do in Certified
defense against patch attacks via mask-guided randomized smoothing, section 4.1 (:func:`untargeted`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.masking import box_pixels
from patchcert.masks import Size, patch_positions

Classify: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Images float32 [n, C, H, W] in [0, 1] to logits [n, classes]; gradients pass through."""
Objective: TypeAlias = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Images float32 [b, C, H, W] in [0, 1] and which of the attacked images each is, int64 [b], to what the attacker wants large,
float [b], and whether it has succeeded, bool [b]."""
STEPS, STEP_SIZE = 100, 0.025
"""Steps of the paper's attack, and how far a value goes in each."""
BATCH_SIZE = 256
PLACES = 80
"""Random places at which mask-guided randomized smoothing is attacked."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """The worst that was found for each of N images.

    Attributes:
        images: float32 [N, C, H, W] in [0, 1]; outside the box at the chosen place they are as they were, to the bit.
        objective: what the attack reached, float32 [N].
        succeeded: bool [N].
        places: which of an image's places it is, int64 [N].
    """

    images: torch.Tensor
    objective: torch.Tensor
    succeeded: torch.Tensor
    places: torch.Tensor


def strongest_patches(
    objective: Objective,
    images: torch.Tensor,
    boxes: ArrayLike,
    *,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    until_success: bool = True,
) -> Attacked:
    """Optimise a patch at each of the given places, and keep the worst of all that was seen on the way.

    A patch starts as noise and may show anything: each step moves every value in it by ``step_size`` along the sign of the
    gradient and back into [0, 1]. An attack that has succeeded is worse than one that has not; among those that have not, the
    larger objective is worse, and the earlier place and step on a tie. An image on which one has succeeded is left alone from
    then on. Without ``until_success`` the larger objective is worse whether or not an attack has succeeded, and every step at
    every place is taken.

    Args:
        objective: what to maximise; what it says of an image must not depend on the others of a batch.
        images: float32 [N, C, H, W] in [0, 1], on the device of the classifier.
        boxes: where patches go, int64 [N, P, 4]: top, bottom, left, right, half-open; the same number of places for each image.
        steps: steps of each patch; 0 tries the noise alone.
        step_size: how far a value goes in a step.
        seed: start of the noise.
        batch_size: images at once.
        until_success: whether success is all that is wanted.

    Raises:
        InputError: images outside [0, 1], or boxes that do not fit the images.
    """
    places = _checked_boxes(images, boxes)
    generator = torch.Generator().manual_seed(seed)
    best = Attacked(
        images.clone(),
        torch.full((len(images),), -torch.inf, device=images.device),
        torch.zeros(len(images), dtype=torch.bool, device=images.device),
        torch.zeros(len(images), dtype=torch.int64, device=images.device),
    )
    for place in range(places.shape[1]):
        for part in torch.arange(len(images), device=images.device).split(batch_size):
            # noise for those that have fallen, too: it must not depend on how the others fare
            noise = torch.rand((len(part), *images.shape[1:]), generator=generator).to(images.device)
            standing = ~best.succeeded[part] if until_success else torch.ones_like(part, dtype=torch.bool)
            rows = part[standing]
            inside = box_pixels(places[rows.cpu().numpy(), place], (images.shape[2], images.shape[3]), images.device)[:, None]
            shown = torch.where(inside, noise[standing], images[rows])
            for step in range(steps + 1):
                if not len(rows):
                    break
                slope, fallen = _look(objective, shown, rows, place, best, climbing=step < steps, until_success=until_success)
                left = ~fallen if until_success else torch.ones_like(fallen)
                moved = (shown + step_size * slope.sign()).clamp(0, 1)
                rows, inside, shown = rows[left], inside[left], torch.where(inside, moved, shown)[left]
    return best


def _look(
    objective: Objective,
    shown: torch.Tensor,
    rows: torch.Tensor,
    place: int,
    best: Attacked,
    *,
    climbing: bool,
    until_success: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep in ``best`` the attacked images that are worse than what is there.

    Returns:
        The gradient of the objective, or zeros where nobody climbs on, and which attacks have succeeded, bool [b].
    """
    with torch.set_grad_enabled(climbing):
        watched = shown.detach().requires_grad_(climbing)
        reached, succeeded = objective(watched, rows)
    slope = torch.autograd.grad(reached.sum(), watched)[0] if climbing else torch.zeros_like(shown)
    reached = reached.detach().float()
    worse = (succeeded & until_success) | (reached > best.objective[rows])
    kept = rows[worse]
    best.images[kept], best.objective[kept] = shown[worse], reached[worse]
    best.succeeded[kept], best.places[kept] = succeeded[worse], place
    return slope, succeeded


def targeted(
    classify: Classify,
    images: torch.Tensor,
    labels: ArrayLike,
    targets: ArrayLike,
    boxes: ArrayLike,
    *,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Attacked:
    """Attack each image with one target class: maximise the lead of its logit over that of the true label.

    For class scores between 0 and 1 that is the paper's margin loss with M = 1, its one rival fixed to the target; without the
    bound M it has a gradient for every other classifier, too. Heaviside steps have that of their surrogate. An attack has
    succeeded where the answer is not the label, whether or not it is the target; a tie is answered by the smallest label. An
    image whose answer is wrong without a patch may come out of it right: what is robust is right before and after.

    Args:
        classify: the classifier, in evaluation mode; :meth:`patchcert.models.registry.Normalisation.of_unit` makes of images
            what a model wants.
        images: float32 [N, C, H, W] in [0, 1], on the device of the classifier.
        labels: true labels, int [N].
        targets: target classes, int [N]; BagCert takes the class that condition 3.2 finds weakest.
        boxes: int64 [N, 4], or [N, P, 4] for the worst of several places.
        steps: steps of each patch.
        step_size: how far a value goes in a step.
        seed: start of the noise.
        batch_size: images at once.

    Raises:
        InputError: as in :func:`strongest_patches`; labels or targets of another number than the images, or a target that is
            the label.
    """
    truth, aims = (_checked_labels(name, given, images) for name, given in (("labels", labels), ("targets", targets)))
    if (same := torch.nonzero(truth == aims)[:, 0]).numel():
        raise InputError(f"targets: {int(aims[same[0]])} is the label of image {int(same[0])} too; write another class")

    def lead(shown: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = classify(shown)
        target, label = (logits.gather(1, each[rows, None])[:, 0] for each in (aims, truth))
        return target - label, answers(logits) != truth[rows]

    return strongest_patches(lead, images, _several(boxes), steps=steps, step_size=step_size, seed=seed, batch_size=batch_size)


def untargeted(
    classify: Classify,
    images: torch.Tensor,
    labels: ArrayLike,
    boxes: ArrayLike,
    *,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Attacked:
    """Maximise the cross-entropy of the true label at every place, and keep the place and step where it was greatest.

    That is the attack of mask-guided randomized smoothing: a patch may show anything (an l-infinity bound of 255 of 255), and
    the place with the greatest loss is wanted, so that an image goes on being attacked when its answer has turned. The paper
    does not say how many steps it takes, nor how long they are. An attack has succeeded where the answer is not the label; a
    tie is answered by the smallest label. Values are not rounded to those that a stored picture can have.

    Args:
        classify: as for :func:`targeted`: logits with gradients. A defense that has none is attacked through its base.
        images: float32 [N, C, H, W] in [0, 1], on the device of the classifier.
        labels: true labels, int [N].
        boxes: int64 [N, 4], or [N, P, 4] for the worst of several places, such as :func:`random_places` gives.
        steps: steps of each patch.
        step_size: how far a value goes in a step.
        seed: start of the noise.
        batch_size: images at once.

    Returns:
        The attacked images; their objective is the cross-entropy in nats.

    Raises:
        InputError: as in :func:`strongest_patches`; or labels of another number than the images.
    """
    truth = _checked_labels("labels", labels, images)

    def loss(shown: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = classify(shown)
        return torch.nn.functional.cross_entropy(logits, truth[rows], reduction="none"), answers(logits) != truth[rows]

    return strongest_patches(
        loss,
        images,
        _several(boxes),
        steps=steps,
        step_size=step_size,
        seed=seed,
        batch_size=batch_size,
        until_success=False,
    )


def random_places(count_images: int, patch: Size, image_size: Size, places: int = PLACES, seed: int = 0) -> NDArray[np.int64]:
    """Places of a patch drawn at random for each image, no two of an image the same.

    What is drawn for an image depends on the seed and its number alone, not on how many images there are.

    Args:
        count_images: N.
        patch: rows and columns, pixels.
        image_size: rows and columns, pixels.
        places: P, places an image; all that there are where they are fewer.
        seed: start of the drawing.

    Returns:
        int64 [N, P, 4]: top, bottom, left, right, half-open.

    Raises:
        InputError: the patch does not fit into the image, or fewer than one place is asked for.
    """
    if places < 1:
        raise InputError(f"places: {places}; write a whole number from 1 up")
    everywhere = patch_positions(image_size, patch)
    wanted = min(places, len(everywhere))
    drawn = [
        np.random.default_rng((seed, image)).choice(len(everywhere), wanted, replace=False) for image in range(count_images)
    ]
    return everywhere[np.array(drawn, dtype=np.int64).reshape(count_images, wanted)]


def answers(logits: torch.Tensor) -> torch.Tensor:
    """The class with the highest logit, int64 [n]; a tie goes to the smallest, which torch's own argmax does not promise."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    highest = logits == logits.amax(dim=1, keepdim=True)
    return classes.where(highest, logits.shape[1]).amin(dim=1)


def _several(boxes: ArrayLike) -> NDArray[Any]:
    """Boxes [N, P, 4], of boxes of one place an image, [N, 4], or of several."""
    places = np.asarray(boxes)
    return places[:, None] if places.ndim == 2 else places


def _checked_labels(name: str, given: ArrayLike, images: torch.Tensor) -> torch.Tensor:
    labels = np.asarray(given)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{name}: {labels.dtype} of shape {labels.shape}; write a whole number for each of {len(images)} images"
        )
    return torch.tensor(labels.astype(np.int64), device=images.device)


def _checked_boxes(images: torch.Tensor, boxes: ArrayLike) -> NDArray[np.int64]:
    if images.ndim != 4 or not images.is_floating_point():
        raise InputError(f"images: {images.dtype} of shape {tuple(images.shape)}; give float32 [N, C, H, W]")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise InputError(f"images: {images.min():.3g} to {images.max():.3g}; divide by 255, and normalise in the classifier")
    places = np.asarray(boxes)
    wanted = f"[{len(images)}, places, 4]"
    if places.ndim != 3 or places.shape[::2] != (len(images), 4) or not places.shape[1]:
        raise InputError(f"boxes: shape {places.shape}; write top, bottom, left, right of each place, {wanted}")
    if not np.issubdtype(places.dtype, np.integer):
        raise InputError(f"boxes: {places.dtype}; write whole numbers of pixels")
    top, bottom, left, right = np.moveaxis(places, -1, 0)
    height, width = images.shape[2:]
    fits = (top >= 0) & (top < bottom) & (bottom <= height) & (left >= 0) & (left < right) & (right <= width)
    if not fits.all():
        wrong = places[~fits][0].tolist()
        raise InputError(f"boxes: {wrong} is no box in images of {height}x{width} pixels; write top, bottom, left, right")
    return places.astype(np.int64)
