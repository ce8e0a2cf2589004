"""Bounds against an attack by gradients on a trained multi-label classifier: nothing certified falls.

The world tests try every content of tiny images; here a patch is optimised on images of a real training, against the defended
answers' own scores.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from patchcert.curves import precision, recall
from patchcert.datasets.generated.scenes import scenes
from patchcert.defenses.multilabel import Counts, Extrema, certify, certify_located, infer
from patchcert.masking import mask_out
from patchcert.masks import mask_set
from patchcert.models import registry
from patchcert.predict import Engine

torch.set_num_threads(1)

SIDE, PATCH, HIDDEN = 64, 6, 20
MASKS = mask_set((SIDE, SIDE), (PATCH, PATCH), (4, 4))
THRESHOLDS = (0.2, 0.5, 0.8)
STEPS = 5


def batch(part: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [n, 3, 64, 64] and labels, bool [n, 10]."""
    made = list(scenes(part, count))
    pixels = torch.tensor(np.stack([scene.pixels for scene in made])).permute(0, 3, 1, 2)
    labels = torch.zeros(count, 10, dtype=torch.bool)
    for row, scene in zip(labels, made, strict=True):
        row[[digit.label for digit in scene.digits]] = True
    return registry.normalisation("small_resnetv2")(pixels), labels


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """Trained for a moment: good enough that some labels are certified and some fall."""
    torch.manual_seed(0)
    model = registry.build("small_resnetv2", 10, (SIDE, SIDE)).train()
    images, labels = batch("train", 800)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(14):
        for part in torch.randperm(len(images)).split(32):
            start = torch.randint(0, SIDE - HIDDEN, (len(part), 2, 2)).numpy()
            boxes = np.stack([start[..., 0], start[..., 0] + HIDDEN, start[..., 1], start[..., 1] + HIDDEN], axis=-1)
            logits = model(mask_out(images[part], boxes))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[part].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def attacked(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, top: int, left: int) -> torch.Tensor:
    """Images whose patch at one place raises the loss of their labels under all masks that leave it to be seen."""
    hides = (MASKS.boxes[:, 0] <= top) & (top + PATCH <= MASKS.boxes[:, 1]) & (MASKS.boxes[:, 2] <= left)
    open_boxes = MASKS.boxes[~(hides & (left + PATCH <= MASKS.boxes[:, 3]))]
    place = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    place[top : top + PATCH, left : left + PATCH] = True
    patch = torch.zeros_like(images).requires_grad_()
    for _ in range(STEPS):
        shown = [mask_out(torch.where(place, patch, images), np.broadcast_to(box, (len(images), 1, 4))) for box in open_boxes]
        losses = [torch.nn.functional.binary_cross_entropy_with_logits(model(each), labels.float()) for each in shown]
        (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), patch)
        with torch.no_grad():
            patch.add_(0.2 * gradient.sign()).clamp_(-1, 1)  # pixels of 0 to 255 after normalisation
    return torch.where(place, patch.detach(), images)


def summed(counts: Counts) -> Counts:
    return Counts(*(each.sum() for each in counts))


def test_no_attack_undoes_what_is_certified_and_bounds_are_in_order(classifier: torch.nn.Module) -> None:
    images, labels = batch("test", 24)
    truth = labels.numpy()
    engine = Engine(classifier, MASKS)
    clean = engine.scores(images).extrema
    fell = 0
    for top, left in ((0, 0), (24, 24), (48, 8)):
        after: Extrema = engine.scores(attacked(classifier, images, labels, top, left)).extrema
        for threshold in THRESHOLDS:
            answers = infer(after, threshold)
            certified = certify(clean, truth, threshold)
            sure = certified.tp + certified.tn == 1
            assert (answers[sure] == truth[sure]).all(), "a certified label fell"
            located = certify_located(clean, truth, threshold, "worst_case")
            assert ((truth & ~answers).sum(axis=1) <= located.fn).all()
            assert ((answers & ~truth).sum(axis=1) <= located.fp).all()
            held = Counts((truth & answers).sum(), 0, (truth & ~answers).sum(), (answers & ~truth).sum())
            bounds = [recall(summed(each)) for each in (certified, located)]
            assert bounds[0] <= bounds[1] <= recall(Counts(*map(np.asarray, held)))
            fell += int((infer(clean, threshold) != answers).sum())
    assert fell > 20, "the attack is one"


def test_something_is_certified_and_not_everything(classifier: torch.nn.Module) -> None:
    images, labels = batch("test", 24)
    counts = summed(certify(Engine(classifier, MASKS).scores(images).extrema, labels.numpy(), 0.5))
    assert 0.05 < recall(counts) < 0.95
    assert precision(counts) > 0.1
