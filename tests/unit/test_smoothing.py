"""The sampler: what noise it shows, counts that do not depend on batches, and what certificates from them promise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, kstest

from patchcert import InputError, smoothing_bench
from patchcert.defenses.mask_smoothing import certify, infer, linear
from patchcert.models.registry import Normalisation
from patchcert.smoothing import BLOCK, Counts, sample_counts

torch.set_num_threads(1)

SIZE = (6, 7)
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TINTED = Normalisation((0.1, 0.5, 0.7), (0.2, 0.3, 0.6))
BOXES = np.array([[1, 3, 2, 5], [0, 6, 0, 7], [5, 6, 6, 7], [2, 6, 0, 2], [0, 2, 4, 7]])
NAMES = [f"image {number}" for number in range(len(BOXES))]


def pictures(count: int = len(BOXES), seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


class Watched(torch.nn.Module):
    """Keeps what it is shown, and answers the class of a random linear function of it."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.weights = torch.randn(classes, 3, *SIZE, generator=torch.Generator().manual_seed(5))
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.seen.append(images.clone())
        return ((images - 0.5)[:, None] * self.weights).sum(dim=(2, 3, 4))


class Linear(torch.nn.Module):
    """A score w x + b of pixel values in [0, 1] as logits of two classes; the answer is 1 where it is above 0."""

    def __init__(self, weights: np.ndarray, bias: float) -> None:
        super().__init__()
        self.weights, self.bias = torch.tensor(weights, dtype=torch.float32), bias

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = (images * self.weights).sum(dim=(1, 2, 3)) + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def sample(model: torch.nn.Module, images: torch.Tensor | None = None, **changes: Any) -> Counts:
    settings: dict[str, Any] = {"normalisation": PLAIN, "sigma": 0.5, "selection": 20, "estimation": 150}
    settings |= {"boxes": BOXES, "ids": NAMES} | changes
    shown = pictures() if images is None else images
    return sample_counts(model, shown, settings.pop("boxes"), settings.pop("ids"), **settings)


# --- what the classifier is shown --------------------------------------------------------------------------------------------


def test_outside_the_box_copies_are_exact_and_inside_there_is_noise_before_normalisation() -> None:
    model, sigma, samples = Watched(), 3.0, 900
    images = pictures()
    sample(model, normalisation=TINTED, sigma=sigma, selection=samples // 9, estimation=samples // 9 * 8)
    clean = TINTED.of_unit(images)
    shown = torch.cat(model.seen).view(len(BOXES), samples, 3, *SIZE)
    for image, copies, (top, bottom, left, right) in zip(range(len(BOXES)), shown, BOXES.tolist(), strict=True):
        inside = torch.zeros(SIZE, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert torch.equal(copies[:, :, ~inside], clean[image][:, ~inside].expand(samples, -1, -1))
        spread = torch.tensor(TINTED.std)[:, None]
        unit = copies[:, :, inside] * spread + torch.tensor(TINTED.mean)[:, None]
        noise = (unit - images[image][:, inside]).numpy().reshape(samples, -1) / sigma
        # unclipped, normal, of the same deviation in every pixel and channel
        assert kstest(noise.ravel(), "norm").pvalue > 1e-4
        assert np.abs(noise.std(axis=0) - 1).max() < 5 / np.sqrt(2 * samples)
        # independent of each other from pixel to pixel, and from sample to sample
        correlations = np.corrcoef(noise.T) - np.eye(noise.shape[1])
        assert np.abs(correlations).max() < 5.5 / np.sqrt(samples)
        assert np.abs(np.mean(noise[1:] * noise[:-1], axis=0)).max() < 5 / np.sqrt(samples)
        assert len(np.unique(noise[:, 0])) > samples * 0.99, "no noise comes twice, in either phase or any block"


def test_batches_are_full_and_never_larger() -> None:
    model = Watched()
    sample(model, selection=20, estimation=150, batch_size=48)
    wanted = len(BOXES) * 170
    assert [len(batch) for batch in model.seen] == [48] * (wanted // 48) + [wanted % 48]


# --- counts ------------------------------------------------------------------------------------------------------------------


def test_a_classifier_that_writes_over_what_it_is_shown_changes_nothing_for_the_next_batch(reference: Counts) -> None:
    class Scribbler(Watched):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            images[:, 1:].fill_(9)
            return logits

    assert np.array_equal(sample(Scribbler(), batch_size=16), reference)


def test_counts_are_of_the_answers_of_each_phase() -> None:
    model = Watched()
    found = sample(model, selection=20, estimation=150, batch_size=64)
    logits = ((torch.cat(model.seen) - 0.5)[:, None] * model.weights).sum(dim=(2, 3, 4))
    answers = logits.argmax(dim=1).view(len(BOXES), 170).numpy()
    for phase, part in ((found.selection, slice(0, 20)), (found.estimation, slice(20, 170))):
        assert phase.dtype == np.int64
        assert phase.tolist() == [np.bincount(row[part], minlength=3).tolist() for row in answers]
    assert (np.ptp(found.estimation, axis=1) < 150).any(), "a classifier that says one thing tells nothing here"


@pytest.fixture(scope="module")
def reference() -> Counts:
    return sample(Watched())


@pytest.mark.parametrize("batch_size", [1, 7, BLOCK - 1, BLOCK, 170, 10_000])
def test_counts_do_not_depend_on_the_batch_size(reference: Counts, batch_size: int) -> None:
    assert np.array_equal(sample(Watched(), batch_size=batch_size), reference)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2], [0, 4, 4, 1]])
@pytest.mark.parametrize("shown", [128, 2])
def test_counts_do_not_depend_on_the_other_images(
    reference: Counts, order: list[int], shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchcert.smoothing.IMAGES_SHOWN", shown)
    found = sample(Watched(), pictures()[order], boxes=BOXES[order], ids=[NAMES[number] for number in order], batch_size=33)
    assert np.array_equal(found, [phase[order] for phase in reference])


def test_more_samples_go_on_where_fewer_ended(reference: Counts) -> None:
    fewer, alone = sample(Watched(), estimation=70), sample(Watched(), selection=70)
    assert np.array_equal(fewer.selection, reference.selection)
    assert (fewer.estimation <= reference.estimation).all()
    assert np.array_equal(alone.estimation, reference.estimation)
    assert (reference.selection <= alone.selection).all()


def test_noise_belongs_to_seed_id_and_phase() -> None:
    def noise(**changes: Any) -> torch.Tensor:
        model = Watched()
        sample(model, pictures(1), **{"boxes": BOXES[1:2], "ids": ["a"], "selection": 1, "estimation": 1} | changes)
        return torch.cat(model.seen) - pictures(1)

    found = noise()
    assert torch.equal(found, noise())
    others = [found[1], noise(seed=1)[0], noise(ids=["b"])[0]]
    assert all((found[0] - other).abs().min() > 0 for other in others)
    torch.testing.assert_close(noise(sigma=5.0), 10 * found, rtol=1e-4, atol=1e-5)


def test_a_tie_goes_to_the_smallest_class() -> None:
    class Tied(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 2.0, 2.0, 2.0]).expand(len(images), -1)

    assert sample(Tied()).estimation.tolist() == [[0, 150, 0, 0]] * len(BOXES)


def test_where_memory_is_exhausted_batches_are_halved_and_counts_stay(
    reference: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    class Tight(Watched):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 20:
                raise torch.OutOfMemoryError("20 at most")
            return super().forward(images)

    with caplog.at_level(logging.WARNING):
        assert np.array_equal(sample(Tight(), batch_size=64), reference)
    assert [record.getMessage().rsplit(" ", 1)[1] for record in caplog.records] == ["32", "16"]


# --- against the closed form -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_counts_of_a_linear_classifier_converge_to_its_closed_form(seed: int) -> None:
    random, sigma, samples = np.random.default_rng(seed), 0.4, 4000
    weights = random.normal(size=(3, *SIZE))
    images = pictures(seed=seed)
    masks = np.zeros((len(BOXES), 1, *SIZE), dtype=bool)
    for mask, (top, bottom, left, right) in zip(masks, BOXES, strict=True):
        mask[0, top:bottom, left:right] = True
    bias = float(-(weights * images.double().numpy()).sum(axis=(1, 2, 3)).mean())
    exact = linear(weights, bias, images.double().numpy(), masks, sigma)
    found = sample(Linear(weights, bias), images, sigma=sigma, selection=200, estimation=samples)
    hits = found.estimation[np.arange(len(BOXES)), exact.labels]
    # two-sided bounds that the true probability leaves once in a million
    lowest, highest = binom.ppf(5e-7, samples, exact.probabilities), binom.ppf(1 - 5e-7, samples, exact.probabilities)
    assert ((lowest <= hits) & (hits <= highest)).all(), (hits, exact.probabilities * samples)
    certified = certify(found.selection, found.estimation, sigma, alpha=1e-6)
    answered = certified.labels >= 0
    assert answered.any()
    assert np.array_equal(certified.labels[answered], exact.labels[answered])
    assert (certified.radii <= exact.radii)[answered].all()


class Network(torch.nn.Module):
    """Two layers with random weights, curved enough that a search has something to find."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(3 * SIZE[0] * SIZE[1], 24), torch.nn.Tanh(), torch.nn.Linear(24, 3)
        )
        self.layers[1].weight.data *= 6
        self.layers[3].weight.data *= 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images - 0.5)
        return logits


def searched(model: torch.nn.Module, images: torch.Tensor, labels: np.ndarray, norms: np.ndarray, sigma: float) -> torch.Tensor:
    """Changes inside the boxes, of these norms, that gradients find to be worst for the label under noise."""
    generator, limits = torch.Generator().manual_seed(9), torch.tensor(norms, dtype=torch.float32)[:, None, None, None]
    inside = torch.zeros(len(images), 1, *SIZE)
    for mask, (top, bottom, left, right) in zip(inside, BOXES, strict=True):
        mask[0, top:bottom, left:right] = 1
    change = torch.zeros_like(images)
    truth = torch.tensor(labels).repeat_interleave(200)
    for _ in range(30):
        change = change.detach().requires_grad_()
        noise = torch.randn(len(images), 200, 3, *SIZE, generator=generator) * sigma
        shown = (images + change)[:, None] + noise * inside[:, None]
        loss = torch.nn.functional.cross_entropy(model(shown.flatten(0, 1)), truth, reduction="sum")
        (slope,) = torch.autograd.grad(loss, change)
        moved = change + limits * 0.3 * torch.nn.functional.normalize((slope * inside).flatten(1), dim=1).view_as(slope)
        length = moved.flatten(1).norm(dim=1)[:, None, None, None]
        change = moved * (limits / length).clamp(max=1)
    return change.detach()


@pytest.mark.parametrize("seed", range(3))
def test_gradients_find_no_change_below_the_radius_that_turns_a_network(seed: int) -> None:
    model, images, sigma = Network(seed).eval(), pictures(seed=seed), 0.5
    found = sample(model, images, sigma=sigma, estimation=5000)
    certified = certify(found.selection, found.estimation, sigma)
    assert (certified.labels >= 0).sum() >= 3
    turned = []
    for share in (0.999, 4):
        norms = certified.radii * share
        attacked = images + searched(model, images, certified.labels.clip(0), norms, sigma)
        # attacked pixels may leave [0, 1], which the theorem allows and the sampler is not asked about
        shown = answers_under_noise(model, attacked, sigma)
        turned.append(((shown != certified.labels) & (certified.labels >= 0)).sum())
    assert turned[0] == 0
    assert turned[1] > 0, "a search that never succeeds shows nothing"


def answers_under_noise(model: torch.nn.Module, images: torch.Tensor, sigma: float, samples: int = 4000) -> np.ndarray:
    generator = torch.Generator().manual_seed(77)
    counts = []
    for image, (top, bottom, left, right) in zip(images, BOXES, strict=True):
        copies = image.repeat(samples, 1, 1, 1)
        copies[:, :, top:bottom, left:right] += sigma * torch.randn(samples, 3, bottom - top, right - left, generator=generator)
        with torch.inference_mode():
            counts.append(np.bincount(model(copies).argmax(dim=1).numpy(), minlength=3))
    return infer(np.stack(counts))


# --- errors ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": pictures() * 255}, r"^images: .* to 2\d\d; divide by 255, and let them be normalised here$"),
        ({"images": pictures()[:, :1]}, r"^images: torch\.float32 of shape \(5, 1, 6, 7\); give one or more, float32 "),
        ({"images": torch.zeros(0, 3, *SIZE)}, "^images: "),
        ({"images": pictures().mul(255).byte()}, r"^images: torch\.uint8 "),
        ({"images": pictures() * torch.nan}, "^images: nan to nan; "),
        ({"boxes": BOXES[:4]}, "^boxes: 4, ids: 5; write one for each of 5 images$"),
        ({"ids": NAMES[:4]}, "^boxes: 5, ids: 4; "),
        ({"boxes": np.add(BOXES, [0, 2, 0, 0])}, r"^boxes: \[0, 8, 0, 7\] is no box in 6x7; "),
        ({"boxes": BOXES * [1, 1, 0, 0]}, r"^boxes: \[1, 3, 0, 0\] has no pixel; leave out images"),
        ({"sigma": 0.0}, r"^sigma: 0\.0; "),
        ({"selection": 0}, "^selection: 0; write a whole number from 1 up$"),
        ({"estimation": -1}, "^estimation: -1; "),
        ({"batch_size": 0}, "^batch_size: 0; "),
        ({"dtype": "float16"}, "^dtype: 'float16'; write one of float32, bfloat16$"),
        ({"device": "cuda"}, "^device: 'cuda', and torch finds no GPU here; write cpu$"),
    ],
)
def test_what_cannot_be_sampled(changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        sample(Watched(), **changes)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.tensor([0.0, torch.nan, 1.0]), "^the classifier gave a logit that is not finite; no label can be read from it$"),
        (torch.tensor([0.0, torch.inf, 1.0]), "^the classifier gave a logit that is not finite; "),
        (torch.tensor([1.0]), r"^the classifier gave outputs of shape \(\d+, 1\); it must give logits of two classes or more$"),
    ],
)
def test_outputs_that_are_no_logits(logits: torch.Tensor, message: str) -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return logits.expand(len(images), -1)

    with pytest.raises(InputError, match=message):
        sample(Broken())


# --- the benchmark -----------------------------------------------------------------------------------------------------------

SMALL = ["--pixels", "32", "--mask", "4", "--classes", "3", "--images", "2", "--samples", "20", "--rounds", "2"]


def test_the_benchmark_times_the_sampler_and_forward_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoothing_bench.main([*SMALL, "--batch-size", "16", "--output", str(tmp_path / "bench.csv")]) == 0
    found = pd.read_csv(tmp_path / "bench.csv")
    assert found["contender"].tolist() == [smoothing_bench.FORWARD, smoothing_bench.SAMPLER]
    what = ["model", "image_size", "mask", "batch_size", "copies"]
    assert found[what].to_numpy().tolist() == [["small_resnetv2", "32x32", "4x4", 16, 40]] * 2
    rates = found["samples_per_second"]
    assert found["of_forward"].tolist() == pytest.approx([1, rates[1] / rates[0]], rel=1e-3)
    assert smoothing_bench.SAMPLER in capsys.readouterr().out


def test_both_contenders_show_full_batches_that_lie_in_memory_alike() -> None:
    class Laid(Watched):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.is_contiguous(memory_format=torch.channels_last)
            return images.mean(dim=(2, 3))

    setting = smoothing_bench.Setting("any", pixels=6, mask=2, classes=3, images=2, samples=20)
    assert setting.box == [2, 4, 2, 4]
    for contender, sizes in ((smoothing_bench.forward, [16] * 3), (smoothing_bench.sampler, [16, 16, 8])):
        shown: list[int] = []
        model = Laid()
        model.register_forward_hook(lambda _, given, __, shown=shown: shown.append(len(given[0])))
        assert contender(model, setting, 16)() == sum(sizes)
        assert shown == sizes


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--batch-size", "0"], "batch_size: 0; write a whole number from 1 up"),
        (["--rounds", "0"], "--rounds: 0; write a whole number from 1 up"),
        (["--samples", "1"], "estimation: 0; write a whole number from 1 up"),
        (["--mask", "33"], "is no box in 32x32"),
    ],
)
def test_what_cannot_be_measured(option: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoothing_bench.main([*SMALL, *option]) == 1
    assert message in capsys.readouterr().err
