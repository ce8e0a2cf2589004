"""How fast the engine is, measured in one process against a plain loop and against forward passes alone.

The contenders take turns, round by round, so that a slow spell of the machine falls on all of them; what counts are the ratios
within a round. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import timm
import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from patchcert import InputError
from patchcert.device import device_name
from patchcert.masking import DTYPES, box_pixels
from patchcert.masks import MaskSet, Size, mask_set
from patchcert.predict import Engine
from patchcert.provenance import environment, whole_file, write_json
from patchcert.report.style import WIDTH, save, styled

PLAIN_LOOP, FORWARD, MATRIX, CERTIFICATE = "plain loop", "forward passes alone", "matrix mode", "certificate mode"
PLAIN_BATCH_SIZE = 16
BATCH_SIZES = {"cpu": (8, 16, 32, 64), "cuda": (64, 128, 256, 512, 1024)}
TRIAL_PASSES = 128
DENSE_BFLOAT16_TFLOPS = {"H200": 989.4, "H100 PCIe": 756.5, "H100": 989.4, "A100": 312.0, "L40S": 362.0}
"""TFLOP a second of dense bfloat16 matrix products, as the vendor states it, by what a GPU's name contains."""
STYLE: dict[str, Any] = {"palette": "colorblind", "font_size": 9, "resolution": 160}

MEMORY_IMAGES = (200, 2000)
MEMORY_BUDGETS: tuple[Size, ...] = ((3, 3), (6, 6))
MEMORY_IMAGE_SIZE = (96, 96)
MEMORY_BLOCK = 100
MEBIBYTE = 2**20


class Setting(NamedTuple):
    """How the classifier is run: its dtype, and whether through ``torch.compile``."""

    dtype: str
    compiled: bool = False

    def __str__(self) -> str:
        """As the figure names it."""
        return f"{self.dtype}, compiled" if self.compiled else self.dtype


PLAIN = Setting("float32")


class Contender(NamedTuple):
    """Something that is timed: its batch size, and one turn of it, which says how many forward passes it made."""

    batch_size: int
    turn: Callable[[], int]


def speed(
    models: Sequence[str],
    masks: MaskSet,
    *,
    dtypes: Sequence[str] = tuple(DTYPES),
    compiled: bool = False,
    device: str = "cpu",
    rounds: int = 3,
    images: int = 1,
) -> pd.DataFrame:
    """Forward passes a second of every contender, a row for each model, dtype, contender and way of running the classifier.

    The *plain loop* classifies 16 images under one pair of masks after the other, in float32, the masks multiplied onto them.
    *Forward passes alone* see batches that are masked already, channels-last, of the fastest size. *Matrix mode* and
    *certificate mode* are the engine, with batches of that size; the true labels of certificate mode are those that the
    classifier gives, so that it stops only where the random weights fail.

    Args:
        models: timm's names, without a weight tag where no weights are meant.
        masks: the mask set.
        dtypes: of the engine and of the forward passes alone.
        compiled: run both through ``torch.compile`` too, with the batch size that is fastest without.
        device: a torch device.
        rounds: turns of each contender.
        images: images that the engine predicts in a turn; the others make as many forward passes.

    Returns:
        ``model``, ``dtype``, ``compiled``, ``contender``, ``batch_size``, ``passes_per_second`` (median over the rounds),
        ``of_forward`` and ``of_plain_loop`` (medians of the ratios within a round), ``images_per_second`` (whole matrices),
        ``tflops`` (TFLOP a second) and ``of_peak`` (per cent of the device's dense bfloat16 peak, where that is known).

    Raises:
        InputError: timm has no such model, or there is no such device here.
    """
    rows = []
    for name in models:
        settings = [Setting(dtype, each) for each in ((False, True) if compiled else (False,)) for dtype in dtypes]
        contenders = _contenders(name, masks, settings, device, images)
        rates = _rates(name, contenders, rounds)
        flops = _flops(_model(name, masks.image_size, device), masks.image_size, device)
        for (contender, setting), measured in rates.items():
            passes = statistics.median(measured)
            tflops = passes * flops / 1e12
            rows.append(
                {
                    "model": name,
                    "dtype": setting.dtype,
                    "compiled": setting.compiled,
                    "contender": contender,
                    "batch_size": contenders[contender, setting].batch_size,
                    "passes_per_second": passes,
                    "of_forward": _ratio(measured, rates[FORWARD, setting]) if (FORWARD, setting) in rates else None,
                    "of_plain_loop": _ratio(measured, rates[PLAIN_LOOP, PLAIN]),
                    "images_per_second": passes / len(masks.areas.boxes),
                    "tflops": tflops,
                    "of_peak": _of_peak(tflops, device) if setting.dtype == "bfloat16" else None,
                }
            )
    return pd.DataFrame(rows)


def _contenders(
    name: str, masks: MaskSet, settings: Sequence[Setting], device: str, images: int
) -> dict[tuple[str, Setting], Contender]:
    size, passes = masks.image_size, images * len(masks.areas.boxes)
    shown = torch.randn(max(images, PLAIN_BATCH_SIZE), 3, *size, generator=torch.Generator().manual_seed(0))
    plain = _plain_loop(_model(name, size, device), shown[:PLAIN_BATCH_SIZE].to(device), masks, passes)
    contenders = {(PLAIN_LOOP, PLAIN): Contender(PLAIN_BATCH_SIZE, plain)}
    shown = shown[:images]
    batches: dict[str, int] = {}
    for setting in settings:
        dtype = setting.dtype
        model = _model(name, size, device)
        batch = batches[dtype] = batches.get(dtype) or _best_batch(model, masks, dtype, device)
        engine = Engine(model, masks, device=device, dtype=dtype, batch_size=batch, compiled=setting.compiled)
        truth = engine.certificate(shown, [0] * images).unmasked
        contenders[FORWARD, setting] = Contender(batch, _forward(engine, passes, device))
        contenders[MATRIX, setting] = Contender(batch, _counted(engine, partial(engine.matrix, shown)))
        contenders[CERTIFICATE, setting] = Contender(batch, _counted(engine, partial(engine.certificate, shown, truth)))
    return contenders


def _rates(
    name: str, contenders: Mapping[tuple[str, Setting], Contender], rounds: int
) -> dict[tuple[str, Setting], list[float]]:
    """Forward passes a second of every contender in every round, after a round that does not count."""
    rates: dict[tuple[str, Setting], list[float]] = {key: [] for key in contenders}
    with tqdm(total=(rounds + 1) * len(contenders), desc=name, unit="turn", disable=None) as progress:
        for number in range(rounds + 1):
            for key, contender in contenders.items():
                began = time.perf_counter()
                passes = contender.turn()
                if number:
                    rates[key].append(passes / (time.perf_counter() - began))
                progress.update()
    return rates


def _plain_loop(model: torch.nn.Module, images: torch.Tensor, masks: MaskSet, passes: int) -> Callable[[], int]:
    pixels = box_pixels(masks.boxes, masks.image_size, images.device)
    pairs = masks.pairs[:: max(len(masks.pairs) * len(images) // passes, 1)].tolist()

    def turn() -> int:
        with torch.no_grad():
            for first, second in pairs:
                keep = (~pixels[first]).float() * (~pixels[second]).float()
                model(images * keep).argmax(dim=1).cpu()
        return len(pairs) * len(images)

    return turn


def _forward(engine: Engine, passes: int, device: str) -> Callable[[], int]:
    batch, size = engine.batch_size, engine.mask_set.image_size
    copies = torch.randn(batch, 3, *size).to(device).contiguous(memory_format=torch.channels_last)
    calls = -(-passes // batch)

    def turn() -> int:
        with engine.inference():
            for _ in range(calls):
                labels = engine.classifier(copies).argmax(dim=1)
            labels.cpu()
        return calls * batch

    return turn


def _counted(engine: Engine, work: Callable[[], object]) -> Callable[[], int]:
    def turn() -> int:
        before = engine.passes
        work()
        return engine.passes - before

    return turn


def _best_batch(model: torch.nn.Module, masks: MaskSet, dtype: str, device: str) -> int:
    """The batch size with the most forward passes a second, of those that fit into the device's memory."""
    rates = {}
    for batch in BATCH_SIZES[torch.device(device).type]:
        try:
            engine = Engine(model, masks, device=device, dtype=dtype, batch_size=batch)
            turn = _forward(engine, max(TRIAL_PASSES, batch), device)
            turn()
            began = time.perf_counter()
            rates[batch] = turn() / (time.perf_counter() - began)
        except torch.OutOfMemoryError:
            break
    return max(rates, key=rates.__getitem__)


def _model(name: str, size: Size, device: str) -> torch.nn.Module:
    if not timm.is_model(name):
        raise InputError(f"--models: timm has no {name!r}; write one that timm.list_models() names, such as resnet18")
    torch.manual_seed(0)
    model: torch.nn.Module = timm.create_model(name, pretrained=False)
    return model.eval().to(device)


def _flops(model: torch.nn.Module, size: Size, device: str) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *size, device=device))
    return int(counter.get_total_flops())


def _ratio(measured: Sequence[float], against: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(measured, against, strict=True))


def _of_peak(tflops: float, device: str) -> float | None:
    peaks = [peak for part, peak in DENSE_BFLOAT16_TFLOPS.items() if part in device_name(device)]
    return 100 * tflops / peaks[0] if peaks else None


def memory(device: str = "cpu") -> pd.DataFrame:
    """Peak memory of the engine in matrix mode for few and many images and masks, each in a process of its own.

    Images are made block by block and answers are let go, as the workflow does, which stores them.

    Returns:
        ``images``, ``masks``, ``forward_passes``, ``baseline_mib`` (torch is loaded and one block predicted) and ``peak_mib``.
    """
    spawn = multiprocessing.get_context("spawn")  # a process that is forked would start with this one's memory
    rows = []
    for budget in MEMORY_BUDGETS:
        for images in MEMORY_IMAGES:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                rows.append(pool.submit(_memory_of, images, budget, device).result())
    return pd.DataFrame(rows)


def _memory_of(images: int, budget: Size, device: str) -> dict[str, Any]:
    masks = mask_set(MEMORY_IMAGE_SIZE, (13, 13), budget)
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(3 * 64, 10))
    engine = Engine(model, masks, device=device)
    generator = torch.Generator().manual_seed(0)
    engine.matrix(torch.randn(MEMORY_BLOCK, 3, *MEMORY_IMAGE_SIZE, generator=generator))
    baseline = _peak(device)
    for _ in tqdm(range(images // MEMORY_BLOCK), desc=f"{images} images, {len(masks)} masks", unit="block", disable=None):
        engine.matrix(torch.randn(MEMORY_BLOCK, 3, *MEMORY_IMAGE_SIZE, generator=generator))
    return {
        "images": images,
        "masks": len(masks),
        "forward_passes": engine.passes,
        "baseline_mib": baseline,
        "peak_mib": _peak(device),
    }


def _peak(device: str) -> float:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEBIBYTE
    # not getrusage, whose peak a process takes over from the one that started it
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def draw(table: pd.DataFrame, title: str) -> Figure:
    """Forward passes a second of every contender, a panel a model; each bar says how many times the plain loop it is.

    Args:
        table: as :func:`speed` returns it.
        title: what is above the panels: masks and hardware.
    """
    shown = table.assign(bar=[f"{row.contender}, {Setting(row.dtype, row.compiled)}" for row in table.itertuples()])
    bars, models = list(dict.fromkeys(shown["bar"])), list(dict.fromkeys(shown["model"]))
    with styled(STYLE) as colours:
        figure, panels = plt.subplots(
            len(models), 1, figsize=(WIDTH, (0.26 * len(bars) + 0.6) * len(models) + 0.4), squeeze=False
        )
        for panel, model in zip(panels[:, 0], models, strict=True):
            rows = shown[shown["model"] == model]
            kinds = dict(zip(dict.fromkeys(shown["contender"]), colours, strict=False))
            sns.barplot(
                rows, x="passes_per_second", y="bar", order=bars, hue="contender", palette=kinds, legend=False, ax=panel
            )
            for row in rows.itertuples():
                panel.text(row.passes_per_second, bars.index(row.bar), f" {row.of_plain_loop:.2f}x", va="center")
            panel.margins(x=0.12)
            panel.set(xlabel="forward passes a second", ylabel="")
            panel.set_title(model, loc="left")
        figure.suptitle(title, fontsize=STYLE["font_size"])
    return figure


def write(folder: Path, tables: Mapping[str, pd.DataFrame], masks: MaskSet, device: str) -> None:
    """Write the tables as CSV, the figure of the speeds, and what they were measured on.

    Args:
        folder: where to.
        tables: ``speed``, ``memory`` or both.
        masks: the mask set of the speeds.
        device: a torch device.
    """
    hardware = device_name(device)
    for name, table in tables.items():
        with whole_file(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    size = "x".join(map(str, masks.image_size))
    if "speed" in tables:
        title = f"{size} pixels, {len(masks)} masks; times the plain loop in float32\n{hardware}"
        save(draw(tables["speed"], title), folder / "speed.svg", folder / "speed.png")
    facts = {"device": hardware, "image_size": size, "masks": len(masks), "versions": environment("torch", "timm", "numpy")}
    write_json(folder / "device.json", facts)
