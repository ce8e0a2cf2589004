"""Published weights among the raw inputs: which source a training starts from, and what a registry without it is answered."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchcert import InputError
from patchcert.datasets.sources import Source, read_sources, row_of
from patchcert.models.published import published_source
from patchcert.study.config import complete
from patchcert.study.weights import check_weights, weights_source

ROOT = Path(__file__).parents[2]
PAPER = complete(yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8")))
SOURCES = read_sources(ROOT / "config/sources.csv")
OF_TIMM = [name for name in SOURCES if "." in name]
TRESNET, RESNET = "tresnet_l.miil_in1k_448", "resnet50.tv_in1k"


def without(*names: str) -> dict[str, list[Source]]:
    return {name: rows for name, rows in SOURCES.items() if name not in names}


def paper(training: str, **settings: Any) -> dict[str, Any]:
    config = copy.deepcopy(PAPER)
    config["trainings"][training] |= settings
    return config


@pytest.mark.parametrize(
    ("training", "model", "dataset", "source"),
    [
        ("plain", RESNET, "imagenet", RESNET),
        ("multilabel_plain", TRESNET, "voc2007", TRESNET),
        ("multilabel_plain", TRESNET, "coco", "tresnet_l_coco2014"),
        ("multilabel_random_cutout", TRESNET, "coco", None),
    ],
)
def test_the_source_that_a_training_starts_from(training: str, model: str, dataset: str, source: str | None) -> None:
    assert weights_source(PAPER["trainings"][training], model, dataset) == source


def test_the_paper_study_has_a_row_for_each_of_its_models_as_timm_publishes_it_and_no_other() -> None:
    check_weights(PAPER, SOURCES)
    for name in OF_TIMM:
        assert [row_of(entry) for entry in SOURCES[name]] == [row_of(published_source(name))]
        with pytest.raises(InputError) as caught:
            check_weights(PAPER, without(name))
        assert str(caught.value).startswith(f"pretrained: true of the model {name} (trainings ")
        assert str(caught.value).endswith(
            f"config/sources.csv has no row named {name!r}; add the row\n{row_of(SOURCES[name][0])}"
        )


def test_rows_that_are_missing_or_twice_are_told_at_once() -> None:
    """The warm-up is trained only because another training starts from it."""
    sources = without(RESNET, "tresnet_l_coco2014") | {TRESNET: SOURCES[TRESNET] * 2}
    with pytest.raises(InputError) as caught:
        check_weights(PAPER, sources)
    assert set(str(caught.value).splitlines()) == {
        f"pretrained: true of the model {TRESNET} (trainings multilabel_plain): config/sources.csv has 2 rows named "
        f"{TRESNET!r}; keep one",
        f"pretrained: true of the model {RESNET} (trainings gaussian_patch_warm_up): config/sources.csv has no row named "
        f"{RESNET!r}; add the row",
        row_of(SOURCES[RESNET][0]),
        "configuration key trainings.multilabel_plain.pretrained: config/sources.csv has no row named 'tresnet_l_coco2014'; "
        "write true, or the name of one checkpoint that it has",
    }


def test_of_what_nobody_publishes_no_row_is_asked() -> None:
    with pytest.raises(InputError, match=r"model cifar_resnet18 \(trainings gaussian_patch\): .*; nobody publishes weights of"):
        check_weights(paper("gaussian_patch", pretrained=True), SOURCES)
