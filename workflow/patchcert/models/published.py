"""Where timm's weights of a model are published, as a row of the registry of raw inputs."""

from __future__ import annotations

from patchcert import InputError
from patchcert.datasets.sources import TIMM, UNPUBLISHED, Source
from patchcert.models.registry import published_labels, timm_settings

FILE = "model.safetensors"
NO_LICENCE = "none stated"
_OWNER = "timm/"


def published_source(model: str) -> Source:
    """The file that timm publishes under a full name of its own, of which neither digest nor size is known here.

    Raises:
        InputError: timm has no such name, or its weights are not among those that it keeps itself.
    """
    published_labels(model)
    settings = timm_settings(model)
    if settings.hf_hub_id != f"{_OWNER}{model}":
        raise InputError(
            f"the weights of {model} are not among those that timm keeps; write the name of a row that you add for them, or "
            "choose another model"
        )
    address = f"https://huggingface.co/{settings.hf_hub_id}/resolve/main/{FILE}"
    return Source(model, TIMM, FILE, UNPUBLISHED, None, settings.license or NO_LICENCE, address)
