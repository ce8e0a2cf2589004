"""The losses of training: by hand, as the binary cross-entropy that they generalise, and for the labels that they suit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from patchcert import InputError
from patchcert.training.losses import asymmetric_losses, check_labels, cross_entropies, loss_of, margin_losses
from patchcert.training.quality import quality


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_asymmetric_loss_by_hand() -> None:
    """Present at 0.8; absent at 0.25, which the margin makes 0.2; absent at 0.04, which it makes nothing."""
    logits = torch.tensor([[logit(0.8), logit(0.25), logit(0.04)]])
    found = asymmetric_losses(logits, torch.tensor([[True, False, False]]))
    assert found.item() == pytest.approx(-math.log(0.8) - 0.2**4 * math.log(0.8), rel=1e-5)


def test_the_exponent_of_present_classes_by_hand() -> None:
    found = asymmetric_losses(torch.tensor([[logit(0.75)]]), torch.tensor([[True]]), positive=2)
    assert found.item() == pytest.approx(-(0.25**2) * math.log(0.75), rel=1e-5)


def test_without_exponents_and_margin_it_is_the_binary_cross_entropy_of_each_image() -> None:
    torch.manual_seed(0)
    logits, truth = 3 * torch.randn(5, 7), torch.rand(5, 7) < 0.4
    found = asymmetric_losses(logits, truth, positive=0, negative=0, margin=0)
    wanted = binary_cross_entropy_with_logits(logits, truth.float(), reduction="none").sum(dim=1)
    torch.testing.assert_close(found, wanted)


def test_it_stays_finite_where_a_classifier_is_sure_of_the_wrong_thing() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = asymmetric_losses(logits, torch.tensor([[False, True]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


SCORES = torch.tensor([[0.7, 0.1, 0.3], [0.2, 0.9, 0.6], [0.5, 0.5, 0.1], [0.95, 0.0, 0.05]])
TRUTH = torch.tensor([0, 2, 1, 0])


@pytest.mark.parametrize(
    ("margin", "penalty", "wanted"),
    [
        (0.5, 0.0, [-0.4, 0.3, 0.0, -0.5]),
        (1.0, 0.0, [-0.4, 0.3, 0.0, -0.9]),
        (0.25, 0.5, [-0.25 - 0.2, 0.3 - 0.15, 0.0, -0.25 - 0.45]),
    ],
)
def test_margin_loss_by_hand(margin: float, penalty: float, wanted: list[float]) -> None:
    """Leads of 0.4, -0.3, 0 and 0.9 over the strongest other class; of 0.4, 0.3, 0 and 0.9 of the best over the second."""
    torch.testing.assert_close(margin_losses(SCORES, TRUTH, margin, penalty), torch.tensor(wanted))


def test_a_lead_beyond_the_margin_has_no_gradient_and_a_smaller_one_that_of_two_classes() -> None:
    scores = SCORES.clone().requires_grad_()
    margin_losses(scores, TRUTH, 0.5).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-1, 0, 1], [0, 1, -1], [1, -1, 0], [0, 0, 0]]


def test_the_margin_loss_is_the_share_of_patch_sizes_against_which_condition_3_3_fails() -> None:
    """Uniform sizes up to R places: the loss is 2 R / places times that share, less the margin (section 3.3)."""
    places, largest = 400, 100
    votes = torch.tensor([[390.0, 4, 6], [200, 150, 60], [150, 200, 10], [300, 100, 20]])
    found = margin_losses(votes / places, torch.zeros(4, dtype=torch.int64), margin=2 * largest / places)
    lead = votes[:, 0] - votes[:, 1:].amax(dim=1)
    sizes = torch.arange(0.5, largest)  # the middle of each step of one place
    failing = (lead[:, None] <= 2 * sizes).float().mean(dim=1)
    torch.testing.assert_close(found, 2 * largest / places * (failing - 1) - (lead / places).clamp(max=0))


def test_a_block_names_its_loss_and_a_search_takes_labels_as_they_are() -> None:
    logits, truth = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    settings = {"loss": "cross_entropy", "label_smoothing": 0.3}
    smoothed, plain = loss_of(settings)(logits, truth), loss_of(settings, smoothed=False)(logits, truth)
    torch.testing.assert_close(smoothed, cross_entropy(logits, truth, reduction="none", label_smoothing=0.3))
    torch.testing.assert_close(plain, cross_entropies(logits, truth))
    assert not torch.allclose(smoothed, plain)
    assert loss_of({"loss": "asymmetric", "label_smoothing": 0}) is asymmetric_losses
    margin = loss_of({"loss": "margin", "label_smoothing": 0.3, "margin": 0.25, "one_hot_penalty": 0.5})
    torch.testing.assert_close(margin(SCORES, TRUTH), margin_losses(SCORES, TRUTH, 0.25, 0.5))


@pytest.mark.parametrize(
    ("loss", "several", "wanted"), [("cross_entropy", True, "asym"), ("margin", True, "asym"), ("asymmetric", False, "cross")]
)
def test_a_loss_for_other_labels_is_refused(loss: str, several: bool, wanted: str) -> None:
    check_labels({"loss": loss}, not several)
    with pytest.raises(InputError, match=f"^loss: {loss}; .*write {wanted}"):
        check_labels({"loss": loss}, several)


def test_quality_is_the_accuracy_of_single_labels() -> None:
    logits = np.array([[0, 1], [1, 0], [2, 3], [0, 9]], dtype=np.float32)
    assert quality(logits, np.array([1, 1, 1, 1])) == ("accuracy", 0.75)


def test_quality_is_the_average_precision_over_the_classes_that_occur() -> None:
    """The first class is ranked right, wrong, right: (1 + 2/3) / 2; the second perfectly; the third is in no image."""
    logits = np.array([[3, 3, 1], [2, 1, 1], [1, 0, 1]], dtype=np.float32)
    truth = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=np.bool_)
    name, value = quality(logits, truth)
    assert name == "average_precision"
    assert value == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
