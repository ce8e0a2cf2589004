"""Classifiers by name: the small architectures of the default study, and timm's by their full ``architecture.tag`` names."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import safetensors.torch
import timm
import torch
from torch import nn

from patchcert import InputError, plugins
from patchcert.models.names import split
from patchcert.provenance import whole_file

ARCHITECTURES = "patchcert.models.architectures"


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


def build(name: str, classes: int, image_size: tuple[int, int], *, published: bool = False) -> nn.Module:
    """A classifier, images [n, 3, H, W] to logits [n, classes], with random weights or with those that timm publishes.

    Args:
        name: one of :func:`names`, or a full timm name such as ``vit_base_patch16_224.augreg_in21k_ft_in1k``.
        classes: number of labels.
        image_size: rows and columns, pixels.
        published: start from the weights that the name's tag stands for; the last layer is new where the number of labels is
            another. They are downloaded once, into the folder that ``HF_HOME`` names.

    Raises:
        InputError: an unknown name, a receptive field that an architecture does not come in, a timm name without its weight tag
            (whose meaning changes between releases), or published weights that do not exist or cannot be had.
    """
    if _is_timm(name):
        try:
            return timm.create_model(name, pretrained=published, num_classes=classes)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"model: the published weights of {name} cannot be had ({str(error).splitlines()[0]}); connect to the network, "
                "or put them into the folder that HF_HOME names"
            ) from error
    if published:
        raise InputError(f"pretrained: nobody publishes weights of {name}; write false, or choose one of timm's models")
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
        published = timm.get_pretrained_cfg(name)
        if published is None:
            raise InputError(f"model: timm publishes no settings for {name!r}; choose a name that it lists as pretrained")
        return Normalisation(tuple(published.mean), tuple(published.std))
    return Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Read weights as somebody else published them, in any layout that timm converts to its own.

    Nothing but tensors and plain containers is unpickled.

    Args:
        model: one of timm's.
        path: ``.pth``, ``.pt`` or ``.safetensors``; the weights, or a mapping that has them under ``model`` or ``state_dict``.

    Raises:
        InputError: the file is damaged, holds other objects, or weights of another architecture or number of classes.
    """
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        timm.models.load_checkpoint(model, str(path), filter_fn=convert, weights_only=True)
    except (safetensors.SafetensorError, RuntimeError, UnpicklingError, EOFError) as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise InputError(
            f"{path}: no checkpoint of this model ({reason}); "
            "delete it, and correct its row in config/sources.csv or the model's name"
        ) from error


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
