"""What the tests share of configurations."""

from __future__ import annotations

from typing import Any

MINIMAL: dict[str, Any] = {
    "study": "tiny",
    "datasets": {
        "digits": {
            "loader": "digits",
            "source": "digits",
            "classes": 10,
            "image_size": [32, 32],
            "split_sizes": {"calibration": 5, "test": 7},
        }
    },
    "trainings": {"plain": {"strategy": "plain", "epochs": 3, "learning_rate": 0.01}},
    "runs": [{"dataset": "digits", "models": ["small_vit"], "trainings": ["plain"]}],
    "defenses": {"double_masking": {"patch_sizes": [[5, 5]], "mask_budgets": [[6, 6]]}},
}
"""As few keys as a study can do with."""
