"""The benchmark: who is timed, what is counted and what is written; never how fast."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from patchcert import InputError, bench
from patchcert.cli import main
from patchcert.masks import mask_set
from patchcert.predict import Engine

MASKS = mask_set((32, 32), (5, 5), (2, 2))  # 4 masks, 10 pairs


class Small(torch.nn.Module):
    """A classifier that remembers the batches that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 32 * 32, 4)
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images.clone())
        logits: torch.Tensor = self.linear(images.flatten(1))
        return logits


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Small]:
    made: list[Small] = []

    def create(name: str, pretrained: bool) -> Small:
        assert not pretrained
        made.append(Small())
        return made[-1]

    monkeypatch.setattr(bench.timm, "create_model", create)
    return made


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": model,
                "dtype": dtype,
                "compiled": False,
                "contender": contender,
                "batch_size": 16,
                "passes_per_second": rate,
                "of_forward": rate / 200,
                "of_plain_loop": rate / 100,
                "images_per_second": rate / 10,
                "tflops": rate / 1e3,
                "of_peak": float("nan"),
            }
            for model in ("resnet18", "vit_tiny_patch16_224")
            for contender, dtype, rate in (
                (bench.PLAIN_LOOP, "float32", 100.0),
                (bench.FORWARD, "float32", 200.0),
                (bench.MATRIX, "float32", 190.0),
                (bench.CERTIFICATE, "float32", 180.0),
            )
        ]
    )


def test_every_contender_is_timed_in_every_dtype(small: list[Small]) -> None:
    found = bench.speed(["resnet18"], MASKS, rounds=2, images=3)
    assert found[["dtype", "contender"]].to_numpy().tolist() == [
        ["float32", bench.PLAIN_LOOP],
        *[[dtype, name] for dtype in ("float32", "bfloat16") for name in (bench.FORWARD, bench.MATRIX, bench.CERTIFICATE)],
    ]
    assert (found["passes_per_second"] > 0).all()
    plain = found[found["contender"] == bench.PLAIN_LOOP].iloc[0]
    assert plain["of_plain_loop"] == 1
    assert plain["batch_size"] == bench.PLAIN_BATCH_SIZE
    assert (found.loc[found["contender"] == bench.FORWARD, "of_forward"] == 1).all()
    assert found["images_per_second"].to_numpy() == pytest.approx(found["passes_per_second"].to_numpy() / 10)
    flops = 2 * 3 * 32 * 32 * 4
    assert found["tflops"].to_numpy() == pytest.approx(found["passes_per_second"].to_numpy() * flops / 1e12)
    engines = found[found["contender"].isin([bench.MATRIX, bench.CERTIFICATE])]
    assert (engines["batch_size"] == found.loc[found["contender"] == bench.FORWARD, "batch_size"].to_numpy().repeat(2)).all()


def test_compiled_contenders_run_one_compiled_classifier_in_the_same_batches(
    small: list[Small], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []

    def compiled(model: Small, **_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def classify(images: torch.Tensor) -> torch.Tensor:
            called.append(len(images))
            logits: torch.Tensor = model(images)
            return logits

        return classify

    monkeypatch.setattr(torch, "compile", compiled)
    found = bench.speed(["resnet18"], MASKS, dtypes=["float32"], compiled=True, rounds=1)
    assert found["compiled"].tolist() == [False] * 4 + [True] * 3
    assert found["batch_size"].iloc[1:].nunique() == 1
    assert set(called) == {found["batch_size"].iloc[-1]}
    assert found["of_forward"].iloc[4] == 1


def test_the_plain_loop_classifies_masked_images_pair_by_pair() -> None:
    model, images = Small(), torch.randn(16, 3, 32, 32)
    assert bench._plain_loop(model, images, MASKS, 160)() == 160
    assert [len(batch) for batch in model.seen] == [16] * 10
    for batch, (first, second) in zip(model.seen, MASKS.pairs, strict=True):
        expected = images.clone()
        for top, bottom, left, right in MASKS.boxes[[first, second]]:
            expected[:, :, top:bottom, left:right] = 0
        assert torch.equal(batch, expected)


def test_a_turn_of_the_plain_loop_makes_about_as_many_passes_as_the_others() -> None:
    masks = mask_set((32, 32), (5, 5), (6, 6))
    assert 666 <= bench._plain_loop(Small(), torch.randn(16, 3, 32, 32), masks, 666)() <= 2 * 666


def test_a_turn_of_forward_passes_fills_every_batch() -> None:
    model = Small()
    assert bench._forward(Engine(model, MASKS, batch_size=8), 20, "cpu")() == 24
    assert [tuple(batch.shape) for batch in model.seen] == [(8, 3, 32, 32)] * 3
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in model.seen)


def test_a_turn_of_the_engine_counts_its_forward_passes() -> None:
    engine = Engine(Small(), MASKS)
    assert bench._counted(engine, lambda: engine.matrix(torch.randn(3, 3, 32, 32)))() == 3 * (10 + 1)


def test_ratios_are_taken_within_a_round() -> None:
    assert bench._ratio([10, 40, 90], [10, 20, 30]) == 2


@pytest.mark.parametrize(
    ("name", "share"), [("NVIDIA H200", 100 / 989.4), ("NVIDIA H100 PCIe", 100 / 756.5), ("AMD EPYC", None)]
)
def test_the_share_of_a_known_devices_peak(monkeypatch: pytest.MonkeyPatch, name: str, share: float | None) -> None:
    monkeypatch.setattr(bench, "device_name", lambda device: name)
    assert bench._of_peak(1.0, "cpu") == (None if share is None else pytest.approx(share))


def test_batches_that_do_not_fit_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Limited(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 16:
                raise torch.OutOfMemoryError
            return super().forward(images)

    assert bench._best_batch(Limited(), MASKS, "float32", "cpu") in (8, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units")
def test_memory_is_measured_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MEMORY_IMAGES", (100, 200))
    monkeypatch.setattr(bench, "MEMORY_BUDGETS", ((2, 2),))
    found = bench.memory()
    assert found["images"].tolist() == [100, 200]
    assert found["masks"].tolist() == [4, 4]
    # a block before the measurement, then all of them; 10 pairs and the image as it is
    assert found["forward_passes"].tolist() == [200 * 11, 300 * 11]
    assert (found["baseline_mib"] > 50).all()
    assert (found["peak_mib"] >= found["baseline_mib"]).all()


def test_the_figure_shows_every_rate_with_its_ratio(table: pd.DataFrame) -> None:
    figure = bench.draw(table, "224x224 pixels, 36 masks\nsome processor")
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["resnet18", "vit_tiny_patch16_224"]
    for panel in figure.axes:
        assert sorted(round(bar.get_width()) for bar in panel.patches if bar.get_width()) == [100, 180, 190, 200]
        assert [label.get_text() for label in panel.get_yticklabels()][:2] == [
            "plain loop, float32",
            "forward passes alone, float32",
        ]
        assert [text.get_text().strip() for text in panel.texts] == ["1.00x", "2.00x", "1.90x", "1.80x"]
        assert panel.get_xlabel() == "forward passes a second"
    assert figure.get_suptitle().endswith("some processor")
    plt.close(figure)


def test_what_is_written_names_the_hardware(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "device_name", lambda device: "some processor")
    bench.write(tmp_path, {"speed": table, "memory": pd.DataFrame({"images": [1]})}, MASKS, "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "device.json",
        "memory.csv",
        "speed.csv",
        "speed.png",
        "speed.svg",
    ]
    assert json.loads((tmp_path / "device.json").read_text())["device"] == "some processor"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "speed.csv"), table, check_dtype=False, rtol=1e-3)
    bench.write(tmp_path / "only", {"memory": table}, MASKS, "cpu")
    assert sorted(path.name for path in (tmp_path / "only").iterdir()) == ["device.json", "memory.csv"]


def test_an_unknown_model() -> None:
    with pytest.raises(InputError, match=r"^--models: timm has no 'resnet19'; write one that timm\.list_models\(\) names"):
        bench.speed(["resnet19"], MASKS)


def test_the_command_writes_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: pd.DataFrame
) -> None:
    asked = {}

    def speed(models, masks, **named):
        asked.update(named, models=models, masks=masks)
        return table

    monkeypatch.setattr(bench, "speed", speed)
    monkeypatch.setattr(bench, "memory", lambda device: pd.DataFrame({"peak_mib": [12.5]}))
    arguments = ["bench", "--models", "resnet18", "--image", "32", "32", "--patch", "5", "5", "--budget", "2", "2"]
    assert main([*arguments, "--rounds", "2", "--memory", "--output", str(tmp_path)]) == 0
    assert asked["models"] == ["resnet18"]
    assert len(asked["masks"]) == 4
    assert (asked["rounds"], asked["device"], asked["dtypes"]) == (2, "cpu", ["float32", "bfloat16"])
    assert asked["compiled"] is False
    printed = capsys.readouterr()
    assert "matrix mode" in printed.out
    assert "12.5" in printed.out
    assert (tmp_path / "memory.csv").is_file()
    assert main([*arguments, "--rounds", "0"]) == 1
    assert "--rounds: 0; write a whole number from 1 up" in capsys.readouterr().err
