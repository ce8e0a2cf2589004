"""BagCert's region scorer: the published sizes, which pixels a score depends on, and what its parts compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch

from patchcert import InputError
from patchcert.models import registry
from patchcert.models.region_scorer import (
    CIFAR10_KERNELS,
    IMAGENET_KERNELS,
    OUTPUTS,
    Layer,
    RegionScorer,
    RegionVote,
    cifar10,
    heaviside,
    imagenet,
    shake,
)

torch.set_num_threads(1)

TABLE_1 = {5: 28, 7: 38, 9: 47, 11: 57, 13: 66}
"""Millions of parameters, by receptive field."""


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def small(receptive_field: int) -> RegionScorer:
    model = registry.build(f"small_bagcert_rf{receptive_field}", 3, (32, 32))
    assert isinstance(model, RegionVote)
    return model.scorer


CONFIGURATIONS: dict[str, tuple[int, Callable[[], RegionScorer]]] = {
    **{f"cifar10-{field}": (field, partial(cifar10, 3, field, width=4)) for field in CIFAR10_KERNELS},
    **{f"imagenet-{field}": (field, partial(imagenet, 3, field, width=2)) for field in IMAGENET_KERNELS},
    **{f"small-{field}": (field, partial(small, field)) for field in (5, 7, 9, 11, 13)},
}


def seen(convolutions: tuple[tuple[int, int, int], ...], place: int, pixels: int) -> range:
    """The pixels along an axis that an output depends on: from the output back through the stack to the image."""
    first, last = place, place
    for kernel, stride, padding in reversed(convolutions):
        first, last = first * stride - padding, last * stride - padding + kernel - 1
    return range(max(0, first), min(pixels, last + 1))


@pytest.mark.parametrize(("receptive_field", "make"), CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_a_score_depends_on_the_pixels_of_its_receptive_field_and_on_no_other(
    receptive_field: int, make: Callable[[], RegionScorer]
) -> None:
    """With positive weights and pixels nothing cancels, so that every path from a pixel to a score leaves a gradient."""
    torch.manual_seed(0)
    scorer = make().eval()
    for module in scorer.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.uniform_(module.weight, 0.5 / module.weight[0].numel(), 1.5 / module.weight[0].numel())
    images = torch.rand(1, 3, 64, 48, requires_grad=True)
    logits = scorer.logits(images).sum(dim=(0, 1))
    rows, columns = logits.shape
    middle = (rows // 2, columns // 2)
    for row, column in [middle, (0, 0), (rows - 1, columns - 1), (1, middle[1])]:
        (slope,) = torch.autograd.grad(logits[row, column], images, retain_graph=True)
        expected = torch.zeros(64, 48, dtype=torch.bool)
        reach = seen(scorer.convolutions, row, 64), seen(scorer.convolutions, column, 48)
        expected[reach[0].start : reach[0].stop, reach[1].start : reach[1].stop] = True
        assert torch.equal((slope != 0).all(dim=1)[0], expected)
        assert torch.equal((slope != 0).any(dim=1)[0], expected)
    assert [len(seen(scorer.convolutions, place, 10**6)) for place in (100, 101)] == [receptive_field] * 2


@pytest.mark.parametrize("receptive_field", CIFAR10_KERNELS)
def test_the_networks_for_cifar10_have_the_published_number_of_parameters(receptive_field: int) -> None:
    with torch.device("meta"):
        scorer = cifar10(10, receptive_field)
        assert scorer(torch.empty(1, 3, 32, 32)).shape == (1, 10, 32, 32)
    assert round(parameters(scorer) / 1e6) == TABLE_1[receptive_field]


@pytest.mark.parametrize("receptive_field", IMAGENET_KERNELS)
def test_the_networks_for_imagenet_have_a_quarter_of_the_rows_and_columns(receptive_field: int) -> None:
    with torch.device("meta"):
        scorer = imagenet(1000, receptive_field)
        assert scorer(torch.empty(1, 3, 224, 224)).shape == (1, 1000, 56, 56)
    widths = [block.paths[0][0].out_channels for block in scorer.blocks]  # type: ignore[union-attr, index]
    assert (scorer.stem[0].out_channels, widths) == (64, [64, 64, 128, 128, 256, 256, 512, 512])  # type: ignore[union-attr]


# --- what the parts compute --------------------------------------------------------------------------------------------------


def test_the_step_is_exact_and_has_the_slope_of_the_sigmoid() -> None:
    logits = torch.tensor([-2.0, -1e-30, 0.0, 1e-30, 0.5], requires_grad=True)
    stepped = heaviside(logits)
    assert stepped.tolist() == [0, 0, 1, 1, 1]
    (stepped * torch.tensor([1.0, 1, 2, 1, -3])).sum().backward()  # type: ignore[no-untyped-call]
    slope = torch.sigmoid(logits.detach()) * (1 - torch.sigmoid(logits.detach()))
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, slope * torch.tensor([1.0, 1, 2, 1, -3]))
    assert logits.grad[2].item() == pytest.approx(2 / 4)


@pytest.mark.parametrize("output", OUTPUTS)
def test_class_scores_are_the_means_of_scores_between_zero_and_one(output: str) -> None:
    torch.manual_seed(0)
    scorer = RegionScorer(5, Layer(3, 8), [Layer(3, 8, 2), Layer(1, 4)], output=output).eval()
    images = torch.randn(6, 3, 9, 7)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=output == "heaviside"):
        scores, votes = scorer(images), RegionVote(scorer)(images)
    assert (scores.shape, scores.dtype, votes.dtype) == ((6, 5, 5, 4), torch.float32, torch.float32)
    assert 0 <= scores.min() < scores.max() <= 1
    torch.testing.assert_close(votes, scores.sum(dim=(2, 3)) / 20)
    assert (set(scores.unique().tolist()) == {0.0, 1.0}) == (output == "heaviside")
    assert torch.allclose(scores.sum(dim=1), torch.ones(6, 5, 4)) == (output == "softmax")


@pytest.mark.parametrize("output", OUTPUTS)
def test_scores_of_a_step_are_unsure_near_it_and_others_never(output: str) -> None:
    torch.manual_seed(0)
    family = "small_bagcert" if output == "heaviside" else f"small_bagcert_{output}"
    model, images = registry.build(f"{family}_rf7", 4, (32, 32)).eval(), torch.randn(3, 3, 32, 32)
    assert isinstance(model, RegionVote)
    with torch.inference_mode():
        logits, scores = model.scorer.logits(images), model.scores(images)
        margin = logits.abs().median().item()
        said, unsure = model.scores_and_unsure(images, margin)
    torch.testing.assert_close(scores, OUTPUTS[output](logits))
    assert torch.equal(said, scores)
    expected = logits.abs() < margin if output == "heaviside" else torch.zeros_like(scores, dtype=torch.bool)
    assert torch.equal(unsure, expected)


def test_what_a_patch_reaches_follows_from_the_layers_and_the_size_of_the_image() -> None:
    """Stride 2, kernel 5 and padding 2: output o sees pixels 2 o - 2 to 2 o + 2."""
    model = registry.build("small_bagcert_rf5", 4, (32, 32))
    assert isinstance(model, RegionVote)
    places = model.places((8, 4), (7, 4))
    assert places.outputs.tolist() == model.affected((8, 4), (7, 4)).tolist() == [[0, 4, 0, 2]]
    assert places.patches.tolist() == [[0, 7, 0, 4]]
    rows = [[0, 2], [0, 3], [1, 3], [1, 4], [2, 4], [3, 4]]
    assert model.affected((8, 4), [(1, 4)]).tolist() == [[*each, 0, 2] for each in rows]


def test_shaken_paths_share_the_forward_and_the_backward_pass_by_two_random_numbers() -> None:
    torch.manual_seed(3)
    one, other = torch.ones(4, 2, 3, 3, requires_grad=True), torch.zeros(4, 2, 3, 3, requires_grad=True)
    shares = []
    for _ in range(20):
        one.grad = other.grad = None
        mixed = shake(one, other, training=True)
        assert len(mixed.unique()) == 1, "one number for all images"
        mixed.sum().backward()  # type: ignore[no-untyped-call]
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad + other.grad, torch.ones_like(one))
        shares.append((mixed.max().item(), one.grad.max().item()))
        assert len(one.grad.unique()) == 1
    forward, backward = torch.tensor(shares).T
    assert ((forward - backward).abs() > 1e-3).all(), "the two are drawn apart"
    assert all(0 <= each.min() < 0.3 and 0.7 < each.max() <= 1 for each in (forward, backward))
    assert torch.equal(shake(one, other, training=False), torch.full_like(one, 0.5))


def test_the_two_paths_of_a_block_have_their_convolutions_in_either_order() -> None:
    kernels = [
        [[part.kernel_size[0] for part in path if isinstance(part, torch.nn.Conv2d)] for path in block.paths]  # type: ignore[union-attr]
        for block in cifar10(10, 7, width=4).blocks
    ]
    assert kernels == [[[3, 1], [1, 3]] if kernel == 3 else [[1, 1], [1, 1]] for kernel in CIFAR10_KERNELS[7]]


def test_shaking_depends_on_the_global_generator_alone_and_ends_with_training() -> None:
    torch.manual_seed(0)
    scorer, images = cifar10(3, 5, width=4), torch.randn(2, 3, 8, 8)
    said = []
    for seed, training in product((1, 1, 2), (True, False)):
        torch.manual_seed(seed)
        scorer.train(training)
        for module in scorer.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        said.append(scorer.logits(images))
    assert torch.equal(said[0], said[2])
    assert not torch.equal(said[0], said[4])
    assert torch.equal(said[1], said[5])


@pytest.mark.parametrize(
    ("stem", "output", "message"),
    [
        (Layer(4, 8), "heaviside", "kernel: 4 has no middle; write an odd number, 5 for instance"),
        (Layer(3, 8), "step", "output: 'step' is unknown; write one of heaviside, sigmoid, softmax"),
    ],
)
def test_layers_and_outputs_that_there_are_not(stem: Layer, output: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        RegionScorer(10, stem, [], output=output)
    assert str(caught.value) == message
