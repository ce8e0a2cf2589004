"""Classifiers by name: the small architectures of the default study, and timm's by their full ``architecture.tag`` names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten

import safetensors.torch
import timm
import torch
from timm.models import PretrainedCfg
from torch import nn

from patchcert import InputError, plugins
from patchcert.models.names import split
from patchcert.provenance import whole_file

ARCHITECTURES = "patchcert.models.architectures"
UNREADABLE = (
    safetensors.SafetensorError,
    UnpicklingError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
)
"""What torch, safetensors and timm's converters raise when a file is damaged or belongs to something else."""
SHOWN = 200
"""Characters of what they say that a message repeats."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation for each colour channel of images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images uint8 [N, 3, H, W] as the model wants them: float32 [N, 3, H, W]; 0 is the mean colour."""
        return self.of_unit(images.float() / 255)

    def of_unit(self, images: torch.Tensor) -> torch.Tensor:
        """Images float32 [N, 3, H, W] in [0, 1] likewise; gradients pass through."""
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (images - mean) / std


def build(name: str, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """A classifier with random weights, images [n, 3, H, W] to logits [n, classes].

    Args:
        name: one of :func:`names`, or a full timm name such as ``vit_base_patch16_224.augreg_in21k_ft_in1k``.
        classes: number of labels.
        image_size: rows and columns, pixels.

    Raises:
        InputError: an unknown name, a receptive field that an architecture does not come in, or a timm name without its weight
            tag (whose meaning changes between releases).
    """
    if _is_timm(name):
        return timm.create_model(name, pretrained=False, num_classes=classes)
    family, receptive_field = split(name)
    known = _names(family)
    if name not in known:
        raise InputError(f"model: {name!r} is unknown; write {' or '.join(known)}")
    chosen = {} if receptive_field is None else {"receptive_field": receptive_field}
    model: nn.Module = plugins.load(ARCHITECTURES, family).build(classes, image_size, **chosen)
    return model


def names() -> list[str]:
    """The architectures of this package, each receptive field that one comes in under a name of its own."""
    return [name for family in plugins.names(ARCHITECTURES) for name in _names(family)]


def _names(family: str) -> list[str]:
    fields = getattr(plugins.load(ARCHITECTURES, family), "RECEPTIVE_FIELDS", None)
    return [family] if fields is None else [f"{family}_rf{field}" for field in fields]


def normalisation(name: str) -> Normalisation:
    """How a model wants its images: timm's published settings, or mean and deviation 0.5 for the small architectures."""
    if _is_timm(name):
        published = timm_settings(name)
        return Normalisation(tuple(published.mean), tuple(published.std))
    return Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def timm_settings(name: str) -> PretrainedCfg:
    """What timm says of the weights that a full name of its own stands for.

    Raises:
        InputError: it says nothing.
    """
    settings = timm.get_pretrained_cfg(name)
    if settings is None:
        raise InputError(f"model: timm publishes no settings for {name!r}; choose a name that it lists as pretrained")
    return settings


def published_labels(name: str) -> int:
    """How many labels the weights tell apart that timm publishes under a full name of its own.

    Raises:
        InputError: nobody publishes weights under this name.
    """
    if not _is_timm(name):
        raise InputError(f"nobody publishes weights of {name}; write pretrained: false, or choose one of timm's models")
    return timm_settings(name).num_classes


def build_published(name: str, classes: int, image_size: tuple[int, int], path: str | Path, labels: int) -> nn.Module:
    """A classifier as :func:`build` gives it, with weights that somebody publishes.

    They are in any layout that timm converts to its own. Nothing but tensors and plain containers is unpickled, and nothing is
    downloaded. The last layer is the file's, or random where the file tells apart another number of labels; all else has to be
    in the file, and nothing more.

    Args:
        name: a full timm name.
        classes: number of labels.
        image_size: rows and columns, pixels.
        path: ``.safetensors``, ``.pth`` or ``.pt``; the weights, or a mapping that has them under ``model`` or ``state_dict``.
        labels: how many the file tells apart; :func:`published_labels` knows it of timm's own.

    Raises:
        InputError: see :func:`build`; or the file is damaged, holds other objects, or weights of another architecture or number
            of labels.
    """
    model = build(name, classes, image_size)
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
        if not state:  # which timm would take for a reason to download
            raise ValueError("it holds no weights")
        given = {"state_dict": state, "custom_load": False, "num_classes": labels}
        filled = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=given)
        model.load_state_dict(filled.state_dict() | (_last_layer(model, name) if labels != classes else {}))
    except UNREADABLE as error:
        raise InputError(
            f"{path}: no weights of {name} with {labels} labels ({shorten(str(error) or 'it is empty', SHOWN)}); delete it and "
            f"{Path(path).name}.sha256 beside it, and correct its row in config/sources.csv or the model's name"
        ) from error
    return model


def _last_layer(model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    named: str | Sequence[str] | None = timm_settings(name).classifier
    layers = (named,) if isinstance(named, str) else named or ()
    return {key: tensor for key, tensor in model.state_dict().items() if key.rpartition(".")[0] in layers}


def _is_timm(name: str) -> bool:
    if timm.is_model(name) and name not in timm.list_pretrained():
        tagged = timm.list_pretrained(f"{name.split('.')[0]}.*")
        full = f"write the full name, one of {', '.join(tagged)}" if tagged else "timm has none for it; choose another model"
        raise InputError(f"model: {name!r} names no weights; {full}")
    if "." in name and not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_pretrained(), n=3)
        raise InputError(f"model: timm has no {name!r}; did you mean {', '.join(near) or 'another name'}?")
    return "." in name


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write a model's weights as safetensors, whole or not at all."""
    with whole_file(path) as temporary:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        safetensors.torch.save_file(state, temporary)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read weights written by :func:`save_weights` into a model of the same architecture.

    Raises:
        InputError: the file is damaged, or belongs to another architecture or number of classes.
    """
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise InputError(f"{path}: no weights of this model ({str(error).splitlines()[0]}); train it anew") from error


def trained(name: str, classes: int, image_size: tuple[int, int], weights: str | Path) -> nn.Module:
    """A classifier with weights written by :func:`save_weights`, in evaluation mode, on the processor.

    Raises:
        InputError: as :func:`build` and :func:`load_weights` do.
    """
    model = build(name, classes, image_size)
    load_weights(model, weights)
    return model.eval()
