"""The analyses with the settings of the PatchCleanser paper: 224x224 pixels, full-size models, its patches and mask sets."""

from __future__ import annotations

import pytest
import yaml
from workflow_study import fresh_copy

pytestmark = pytest.mark.workflow

MODELS = [
    "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "resnetv2_50x1_bit.goog_distilled_in1k",
    "resmlp_24_224.fb_distilled_in1k",
]
DATASET = {
    "loader": "digits",
    "source": "digits",
    "classes": 10,
    "image_size": [224, 224],
    "split_sizes": {"calibration": 280, "test": 400},
}
BOTH = {"dataset": "large", "models": MODELS[:1], "trainings": ["random_cutout"]}
SETTINGS = {
    "study": "paper_settings",
    "device": "cuda",
    "datasets": {"large": DATASET},
    "trainings": {
        "plain": {"strategy": "plain", "epochs": 10, "learning_rate": 0.01},
        "random_cutout": {"strategy": "random_cutout", "epochs": 10, "learning_rate": 0.01, "cutout_size": [128, 128]},
    },
    "runs": [{"dataset": "large", "models": MODELS, "trainings": ["plain", "random_cutout"]}],
    "defenses": {"double_masking": {"patch_sizes": [[23, 23], [32, 32], [39, 39]], "mask_budgets": [[6, 6]]}},
    "analyses": {
        "mask_set": BOTH | {"patches": [[32, 32]], "budgets": [[6, 6]], "mode": "matrix"},
        "patch_sizes": BOTH | {"models": MODELS, "patches": [[23, 23], [32, 32], [39, 39]], "budgets": [[6, 6]]},
        "patch_shapes": BOTH | {"patches": ["area-501", [23, 23], "2-of-23x23", [32, 32]], "budgets": [[6, 6]]},
        "mask_budgets": BOTH | {"patches": [[32, 32]], "budgets": [[side, side] for side in range(2, 8)]},
        "overestimated_patch": BOTH | {"patches": [[side, side] for side in (32, 40, 48, 56, 64)], "budgets": [[6, 6]]},
        "large_patches": BOTH | {"patches": [[side, side] for side in range(32, 193, 16)], "budgets": [[6, 6]]},
        "minority_reports": BOTH | {"patches": [[32, 32]], "budgets": [[6, 6]]},
        "objects": BOTH | {"patches": [[32, 32]], "budgets": [[6, 6]]},
    },
    "predict": {"shards": 8, "dtype": "bfloat16"},
}


def test_every_analysis_is_planned_with_the_papers_settings(tmp_path):
    study = fresh_copy(tmp_path / "study")
    (study.folder / "config/large.yaml").write_text(yaml.safe_dump(SETTINGS))
    study.config = "config/large.yaml"
    jobs = study.plan()
    sizes = {23, 32, 39, 40, 48, 56, 64, *range(32, 193, 16)}
    masks_of_the_vit = len(sizes) + len({2, 3, 4, 5, 7}) + len({"area-501", "2-of-23x23"})
    assert jobs["gather_predictions"] == masks_of_the_vit + 3 + 4 * 3  # the plain ViT, and two models twice, under the grid's
    assert jobs["predict"] == 8 * jobs["gather_predictions"]
    assert (jobs["train"], jobs["time_inference"]) == (6, 1)
    assert [sum(name.startswith(kind) for name in jobs) for kind in ("figure/", "table/")] == [12, 6]
