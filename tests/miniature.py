"""The paper study in miniature: its plan as it is, on a few images in the published archives and small networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from timm.models._registry import _model_entrypoints
from workflow_study import ROOT, Study, fresh_copy

from patchcert.datasets.sources import TIMM, read_sources

from . import small_networks
from .published import DATASETS, REGISTRY, publish, publish_weights, registry, timm_weights, tresnet_checkpoint

PAPER: dict[str, Any] = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
FEW = {"train": None, "calibration": 3, "test": 3}
SUBSET = 2
"""Images of the analyses that draw some."""
SHORT = {"epochs": 1, "batch_size": 8, "warmup_epochs": 0, "decay_after": [], "calibration_masks": 1}
"""Of every training; those for which the study has no epochs still have none."""
SMALL: dict[str, Any] = {
    "device": "cpu",
    "datasets": {name: {"split_sizes": FEW} for name in PAPER["datasets"]},
    "trainings": dict.fromkeys(PAPER["trainings"], SHORT),
    "predict": {"shards": 1, "timed_images": 1},
    "defenses": {
        "bagcert": {"batch_size": 4, "timed_images": 1, "attacked_images": 1, "attack_steps": 2},
        "mask_smoothing": {
            "images": 1,
            "selection_samples": 5,
            "estimation_samples": 20,
            "attack_places": 2,
            "attack_steps": 1,
            "attack_strengths": [0, 1],
        },
    },
    "analyses": {name: {"images": SUBSET} for name, block in PAPER["analyses"].items() if block.get("images")},
}
"""What the study is given in place of its own: numbers of images, steps, samples and jobs; no dataset, model, training, patch,
mask set or analysis is left out."""
WEIGHTS = (".safetensors", ".pth")


def miniature(folder: Path, server: Path, address: str) -> Study:
    """A copy of the project whose registry has the digests of miniature archives and checkpoints that a server has.

    Args:
        folder: where the copy goes.
        server: the folder that is served; the archives and checkpoints go there.
        address: of the server, which the study takes for a mirror.
    """
    study = fresh_copy(folder)
    stand_ins = Path(small_networks.__file__).read_text().partition('"""\n\n')[2]
    study.append("workflow/patchcert/models/registry.py", f"\n\n{stand_ins}\n\nregister()\nnarrow()\n")
    rows = []
    with mock.patch.dict(_model_entrypoints):
        small_networks.register()
        for name, entries in read_sources(REGISTRY).items():
            if name in DATASETS:
                entries, _ = publish(name, server, address)
            elif entries[0].file.endswith(WEIGHTS):
                (entry,) = entries
                if entry.version == TIMM:
                    write = partial(timm_weights, name=name)
                else:
                    write = partial(tresnet_checkpoint, classes=PAPER["datasets"]["coco"]["classes"])
                entries = [publish_weights(entry, server, address, write)]
            rows += entries
    (study.folder / "config/sources.csv").write_text(registry(rows))
    (study.folder / "small.yaml").write_text(yaml.safe_dump(SMALL | {"mirror": address}))
    study.config, study.environment = ["config/paper.yaml", "small.yaml"], {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    return study
