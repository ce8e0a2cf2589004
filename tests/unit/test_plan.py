"""What a plan counts, against numbers worked out by hand; snakemake itself is asked in tests/workflow/test_plan.py."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from patchcert import InputError
from patchcert.attacks.patch_pgd import random_places, untargeted
from patchcert.cli import main
from patchcert.datasets.loaders import digits
from patchcert.datasets.packaged import packaged_file
from patchcert.datasets.parts import PUBLISHED, split_sizes
from patchcert.datasets.sources import read_sources
from patchcert.masks import masks_from_text
from patchcert.planning import jobs
from patchcert.planning.costs import Cost, Costs
from patchcert.planning.jobs import PlannedJob, planned_jobs
from patchcert.planning.rates import Rate, Rates, read_rates
from patchcert.predict import Engine
from patchcert.study.plan import STAGES, Plan, Row, counted

ROOT = Path(__file__).parents[2]
SOURCES = read_sources(ROOT / "config/sources.csv")
DIGITS = {
    "loader": "digits",
    "source": "digits",
    "classes": 10,
    "image_size": [32, 32],
    "split_sizes": {"train": 200, "calibration": 50, "test": 30},
    "unlabelled": "drop",
}
TRAINING = {
    "strategy": "plain",
    "loss": "cross_entropy",
    "epochs": 4,
    "refresh_every": 1,
    "calibration_masks": 16,
    "pretrained": False,
    "precision": "float32",
}
GREEDY = {"strategy": "greedy_cutout", "patch_size": [5, 5], "mask_budgets": [[3, 3], [6, 6]], "epochs": 1}
GRID = {"strategy": "grid_cutout", "patch_size": [5, 5], "mask_budgets": [[3, 3]], "epochs": 3, "refresh_every": 2}
ASKED = {"asked": {"mode": "matrix"}, "engine": {"dtype": "float32"}}
SAMPLING = {"sampling": {"selection": 100, "estimation": 50}, "images": 6}
INDEX = "results/prepared/digits/index.parquet"


@pytest.fixture(autouse=True)
def nothing_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no study has: a prepared index would be read in place of the configuration."""
    monkeypatch.chdir(tmp_path)


def planned(rule: str, file: str, wildcards: dict[str, str] | None = None, dataset: Any = None, **params: Any) -> PlannedJob:
    facts = {"dataset": "digits", "model": "small_resnetv2"} | (wildcards or {})
    return PlannedJob(rule, file, facts, {"dataset": DIGITS | (dataset or {})} | params, (INDEX,), ("made",))


def training(**settings: Any) -> PlannedJob:
    return planned("train", "train", settings=TRAINING | settings)


def shard(item: str, **params: Any) -> PlannedJob:
    return planned("predict", "predict", {"patch": "5x5", "budget": "2x2", "scatteritem": item}, **ASKED | params)


def cost(job: PlannedJob) -> Cost:
    return Costs([job], SOURCES).of(job)


@pytest.mark.parametrize(
    ("job", "forward", "work"),
    [
        # 4 epochs of 200 images with their backward passes; 4 looks at 50 calibration images
        pytest.param(training(), 800 + 200, 2400 + 200, id="plain"),
        pytest.param(training(epochs=0, pretrained=True), 50, 50, id="as-published"),
        # two copies; 9 + 4 passes in each of two rounds; 16 draws beside the images as they are
        pytest.param(training(**GREEDY), 400 + 26 * 200 + 17 * 50, 1200 + 26 * 200 + 17 * 50, id="greedy"),
        # all 45 pairs, searched in the epochs 0 and 2
        pytest.param(training(**GRID), 600 + 2 * 45 * 200 + 3 * 17 * 50, 1800 + 2 * 45 * 200 + 3 * 17 * 50, id="grid"),
        # 4 masks, 10 pairs, and the image as it is; 30 images in 4 shards are 7, 8, 7 and 8
        pytest.param(shard("1-of-4"), 7 * 11, 7 * 11, id="first-shard"),
        pytest.param(shard("2-of-4"), 8 * 11, 8 * 11, id="second-shard"),
        pytest.param(planned("predict_regions", "predict", {"model": "small_bagcert_rf7"}), 30, 30, id="regions"),
        pytest.param(planned("predict_regions", "predict", {"model": "small_column_smoothing"}), 960, 960, id="columns"),
        pytest.param(planned("restore_images", "predict", {"patch": "5x5"}, images=6), 6 * 28**2, 6 * 28**2, id="places"),
        pytest.param(planned("sample_noise", "predict", {"place": "center"}, **SAMPLING), 6 * 150, 6 * 150, id="samples"),
        pytest.param(
            planned("attack_images", "predict", {"patch": "5x5", "steps": "2"}, images=6, places=3), 54, 162, id="attack"
        ),
        # a patch as large as the image has one place
        pytest.param(
            planned("attack_images", "predict", {"patch": "32x32", "steps": "0"}, images=99, places=3), 30, 90, id="one-place"
        ),
        pytest.param(
            planned("attack_regions", "predict", {"model": "small_bagcert_rf7"}, images=10, steps=5),
            60,
            180,
            id="regions-attack",
        ),
    ],
)
def test_passes(job: PlannedJob, forward: int, work: int) -> None:
    found = cost(job)
    assert (found.forward, found.work) == (forward, work)


def counting(seen: list[int]) -> Any:
    """Logits of two classes, all alike; ``seen`` takes how many images each pass has."""

    def classify(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images.mean(dim=(2, 3))[:, :2]

    return classify


@pytest.mark.parametrize("patch", ["5x5", "2-of-3x3", "area-10"])
def test_the_engine_makes_as_many_passes_as_are_planned(patch: str) -> None:
    masks = masks_from_text((32, 32), patch, "2x2")
    engine = Engine(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2)), masks)
    engine.matrix(torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(0)))
    wildcards = {"patch": patch, "budget": "2x2", "scatteritem": "1-of-10"}
    assert cost(planned("predict", "predict", wildcards, **ASKED)).forward == engine.passes


def test_a_random_subset_is_planned_alone() -> None:
    drawn = cost(shard("1-of-1", asked=ASKED["asked"] | {"images": 5}))
    assert drawn.forward * 2 == cost(shard("1-of-1", asked=ASKED["asked"] | {"images": 10})).forward


def test_the_attack_makes_as_many_passes_as_are_planned() -> None:
    seen: list[int] = []
    images = torch.rand((6, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    untargeted(counting(seen), images, [0] * 6, random_places(6, (5, 5), (32, 32), 3), steps=2)
    job = planned("attack_images", "predict", {"patch": "5x5", "steps": "2"}, images=6, places=3)
    assert cost(job).forward == sum(seen)


@pytest.mark.parametrize(
    ("job", "at_most"),
    [
        (shard("1-of-4"), False),
        (shard("1-of-4", asked={"mode": "certificate"}), True),
        (planned("sample_noise", "predict", {"place": "center"}, **SAMPLING), False),
        (planned("sample_noise", "predict", {"place": "attacked"}, **SAMPLING), True),
    ],
)
def test_what_may_stop_early_is_said_to_be_a_bound(job: PlannedJob, at_most: bool) -> None:
    assert cost(job).at_most is at_most


@pytest.mark.parametrize(
    ("job", "written"),
    [
        # 10 uint16, 4 float32 and 10 bytes an image, twice; or 3 float32 a mask and one more, for each of 10 classes
        (shard("1-of-4"), 2 * 7 * (20 + 16 + 10)),
        (shard("1-of-4", asked={"mode": "extrema"}), 2 * 7 * 4 * 13 * 10),
        (planned("prepare", "prepare"), 280 * 3 * 32 * 32),
        (
            planned("predict_regions", "predict", {"model": "small_bagcert_rf7"}),
            30 * 10 * 16 * 2,
        ),  # a map of 16x16 bits a class
    ],
)
def test_disk(job: PlannedJob, written: int) -> None:
    assert cost(job).written == written


def test_weights_are_as_large_as_their_file(tmp_path: Path) -> None:
    from patchcert.models import registry

    registry.save_weights(registry.build("small_resnetv2", 10, (32, 32)), tmp_path / "w.safetensors")
    header = 8 + int.from_bytes((tmp_path / "w.safetensors").read_bytes()[:8], "little")
    assert cost(training()).written == (tmp_path / "w.safetensors").stat().st_size - header


@pytest.mark.parametrize(
    ("name", "downloaded", "written", "unknown"),
    [
        ("cifar10", 170_498_071, 170_498_071, ()),
        ("digits", 0, 57_523, ()),
        # 86,567,656 parameters in float32
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", 346_270_624, 346_270_624, ()),
        ("tresnet_l_coco2014", 0, 0, ("size of tresnet_l_coco2014 2021, MS_COCO_TRresNet_L_448_86.6.pth",)),
    ],
)
def test_downloads(name: str, downloaded: int, written: int, unknown: tuple[str, ...]) -> None:
    found = cost(PlannedJob("fetch", "fetch", {}, {"entry": vars(SOURCES[name][0])}, (), ("file",)))
    assert (found.downloaded, found.written, found.unknown) == (downloaded, written, unknown)


def test_a_file_that_claims_to_be_of_timm_under_another_name_is_of_unknown_size() -> None:
    entry = vars(SOURCES["tresnet_l_coco2014"][0]) | {"version": "timm", "file": "model.safetensors"}
    found = cost(PlannedJob("fetch", "fetch", {}, {"entry": entry}, (), ("file",)))
    assert (found.downloaded, found.unknown) == (0, ("size of tresnet_l_coco2014 timm, model.safetensors",))


def test_what_nobody_has_described_is_unknown_and_not_nothing() -> None:
    assert cost(planned("time_inference", "predict")).unknown == ("passes of the jobs time_inference",)
    assert cost(planned("certify", "certify")).unknown == ()
    assert cost(training(pretrained=True)).unknown == ()
    new = planned("train", "train", dataset={"source": "new", "split_sizes": {"calibration": 5, "test": 5}}, settings=TRAINING)
    assert cost(new).unknown == (
        "training images of digits: write datasets.digits.split_sizes.train, or run snakemake prepared first",
    )


@pytest.mark.parametrize(
    ("source", "unlabelled", "train"),
    [
        ("digits", "drop", 1797 - 50 - 30),
        ("imagenet", "drop", 1_281_167 - 50),
        ("coco2014", "drop", 82_081 - 50),
        ("coco2014", "keep", 82_783 - 50),
        ("scenes_small", "drop", 300 - 50),
        ("new", "drop", None),
    ],
)
def test_all_that_remain_are_counted_from_what_is_published(source: str, unlabelled: str, train: int | None) -> None:
    sizes = {"train": None, "calibration": 50, "test": 30}
    block = DIGITS | {"source": source, "unlabelled": unlabelled, "split_sizes": sizes}
    assert split_sizes(block, SOURCES) == sizes | {"train": train}


def test_the_published_numbers_are_those_of_the_documentation_and_of_the_digits() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| ([\d,]+) \| ([\d,]+)", (ROOT / "docs/datasets.md").read_text(), re.MULTILINE)
    told = {name: {"train": int(train.replace(",", "")), "test": int(test.replace(",", ""))} for name, train, test in rows}
    assert {name: parts for name, parts in PUBLISHED.items() if name != "digits"} == {
        name: told[name] for name in PUBLISHED if name != "digits"
    }
    records = digits.records({digits.FILE: packaged_file(SOURCES["digits"][0].origin)})
    assert PUBLISHED["digits"] == {"all": len(records)}


def test_an_index_counts_unless_it_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(INDEX).parent.mkdir(parents=True)
    pd.DataFrame({"split": ["train"] * 3 + ["test"] * 2 + ["unused"]}).to_parquet(INDEX)
    job, again = training(), PlannedJob("prepare", "prepare", {"dataset": "digits"}, {"dataset": DIGITS}, (), (INDEX,))
    assert Costs([job], SOURCES).of(job).forward == 4 * 3
    assert Costs([job, again], SOURCES).of(job).forward == 800 + 200


# --- rows, hours and what is printed ------------------------------------------------------------------------------------


def made(rates: Rates, *jobs: PlannedJob) -> Plan:
    return Plan((), rates.device, *counted(jobs, SOURCES, rates))


def test_rows_are_by_stage_and_model_and_every_stage_has_one() -> None:
    jobs = [training(), training(), planned("attack_regions", "predict", {"model": "small_bagcert_rf7"}, images=10, steps=5)]
    rows = made(Rates("d", (Rate("small_resnetv2", "d", 13.0),)), *jobs).rows
    assert [row.stage for row in rows] == list(STAGES)
    assert rows[2] == Row("train", "small_resnetv2", 2, 0, 2000, 5200, pytest.approx(5200 / 13 / 3600), rows[2].written)
    assert (rows[4].work, rows[4].hours, rows[4].at_most) == (180, None, True)
    assert all(row.hours == 0 for row in rows if not row.work)


def test_a_model_without_a_rate_has_no_hours_and_is_named() -> None:
    rates = Rates("d", (Rate("small_resnetv2", "d", 5200 / 7200),))
    other = planned("predict_regions", "predict", {"model": "small_bagcert_rf7"})
    plan = made(rates, training(), training(), other)
    text = plan.as_text().splitlines()
    (trained,) = (line for line in text if line.startswith("train"))
    (unrated,) = (line for line in text if line.startswith("predict"))
    assert "2.00" in trained
    assert "no rate known" in unrated
    assert "2.00 and unknown" in next(line for line in text if line.startswith("total"))
    assert text[-1] == "- hours of small_bagcert_rf7 in float32, 32x32 pixels: no rate is known"
    content = json.loads(plan.as_json())
    assert [row["hours"] for row in content["rows"] if row["model"]] == [pytest.approx(2), None]
    assert content["total"]["forward"] == 2000 + 30
    assert made(Rates("d"), other).total.hours is None


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmarks" / "gpu"
    folder.mkdir(parents=True)
    (folder / "device.json").write_text('{"device": "GPU", "image_size": "224x224"}')
    (folder / "speed.csv").write_text(
        "model,dtype,compiled,contender,passes_per_second\nresnet18,float32,False,plain loop,1\n"
        "resnet18,float32,False,forward passes alone,50\nresnet18,float32,True,forward passes alone,70\n"
    )
    return tmp_path / "benchmarks"


def test_a_measured_rate_is_of_one_architecture_precision_and_image_size(benchmarks: Path, tmp_path: Path) -> None:
    rates = read_rates(benchmarks=benchmarks)
    assert rates.device == "GPU"
    assert rates.of("resnet18.a1_in1k", "float32", (224, 224)) == 50
    for other in (
        ("resnet18d", "float32", (224, 224)),
        ("resnet18", "bfloat16", (224, 224)),
        ("resnet18", "float32", (32, 32)),
    ):
        assert rates.of(*other) is None
    own = tmp_path / "own.csv"
    own.write_text("model,device,images_per_second\nresnet18,GPU,60\nsmall_vit,CPU,9.5\n")
    assert read_rates(own, "GPU", benchmarks).of("resnet18", "bfloat16", (32, 32)) == 60
    assert read_rates(own, "CPU", benchmarks).of("resnet18", "float32", (224, 224)) is None
    assert read_rates(benchmarks=tmp_path / "none") == Rates("")


@pytest.mark.parametrize(
    ("content", "device", "told"),
    [
        ("model,images\na,1\n", None, "the columns are model,images; write model,device,images_per_second"),
        ("model,device,images_per_second\na,d,fast\n", None, "row 2: images_per_second is 'fast'; write a number above 0"),
        ("model,device,images_per_second\na,d,0\n", None, "row 2: images_per_second is '0'; write a number above 0"),
        ("model,device,images_per_second\na,d,1\na,d,2\n", None, "a on d stands there twice; keep one row"),
        ("model,device,images_per_second\na,d,1\na,e,2\n", None, "--device: rates of several are known; write one of d, e"),
        ("model,device,images_per_second\na,d,1\n", "x", "--device: no rate is known for 'x'; write one of d"),
        ("", None, "cannot be read"),
    ],
)
def test_rates_that_cannot_be_taken(tmp_path: Path, content: str, device: str | None, told: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=f"^--(rates|device): .*{re.escape(told.removeprefix('--device: '))}"):
        read_rates(file, device, tmp_path)


@pytest.mark.parametrize(
    ("files", "arguments", "told"),
    [
        ([], [], "plan: no Snakefile in "),
        (["Snakefile"], ["--configfile", "none.yaml"], "--configfile: none.yaml: no such file"),
        (["Snakefile"], ["--rates", "none.csv"], "--rates: none.csv: cannot be read"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: list[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        Path(name).touch()
    assert main(["plan", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"patchcert: {told}")


def test_another_snakemake_is_not_taken_for_one_with_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Snakefile").touch()
    summary = subprocess.CompletedProcess([], 0, stdout="output_file\tdate\n", stderr="")
    monkeypatch.setattr(jobs, "_snakemake", lambda arguments, folder: summary)
    with pytest.raises(InputError, match=r"^plan: snakemake \d.* does not tell .*; install the version of constraints\.txt$"):
        planned_jobs([], folder=tmp_path)


def test_without_snakemake_its_installation_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^plan: Snakemake is not installed.*pip install 'patchcert\[workflow\]'$"):
        planned_jobs([])
