"""Which certificates of a study a published number belongs beside: those of its own setting, or their counterpart.

Where a study has images of the number's dataset these are the certificates of the same dataset, model, training, patch and
masks; every other study has the counterpart that the ledger names in its ``default_`` columns. What is reproduced of a number
and what the reports print beside it are found by this one rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from patchcert import InputError

if TYPE_CHECKING:
    import pandas as pd

Config = Mapping[str, Any]

SMOOTHING = "mask_guided_randomized_smoothing"
"""A paper that names neither its models nor what tells its trainings apart; a study has one for each dataset."""

SAME = "same setting"
"""What a legend says of numbers that were published of a study's own setting."""


class Setting(NamedTuple):
    """What a certificate has to be about for a number to stand beside it; ``None`` or an empty text asks for nothing.

    Attributes:
        counterpart: whether the study has no images of the number's dataset.
        datasets: names of the study's datasets that may be meant, each with the patches that are in its images.
        model: as the study names it; a counterpart without one has nothing beside it.
        trainings: of the study.
        patches: whether the patch has to be one of those of ``datasets``.
        budget: mask budget, ``6x6`` for instance.
    """

    counterpart: bool
    datasets: Mapping[str, Sequence[str]]
    model: str
    trainings: Sequence[str] | None
    patches: bool
    budget: str

    def fits(self, facts: Mapping[Any, Any] | pd.Series) -> bool:
        """Whether a certificate's facts have the setting.

        Args:
            facts: anything with ``dataset``, ``model``, ``training``, ``patch`` and ``budget``, so far as they are asked for.
        """
        return (
            facts["dataset"] in self.datasets
            and (facts["model"] == self.model or (self.model == "" and not self.counterpart))
            and (self.trainings is None or facts["training"] in self.trainings)
            and (self.budget == "" or facts["budget"] == self.budget)
            and (not self.patches or facts["patch"] in self.datasets[facts["dataset"]])
        )

    def under_any_masks(self) -> Setting:
        """The same, of a counterpart whatever its masks: against some patches a small study has fewer."""
        return self._replace(budget="") if self.counterpart else self


def matched_by(config: Config, shown: Collection[str]) -> dict[str, Any]:
    """The parts of a configuration that numbers are matched by, and no more, so that no other change draws a report anew.

    Args:
        config: a configuration as :func:`patchcert.study.config.complete` gives it.
        shown: trainings of the certificates that the numbers are to stand beside; where none of them is for a margin M, no
            margin is told.
    """
    datasets = {
        name: {key: block[key] for key in ("loader", "source", "image_size")} for name, block in config["datasets"].items()
    }
    margins = {name: block.get("margin") for name, block in config["trainings"].items()}
    needed = any(margins[training] is not None for training in shown)
    return {"datasets": datasets, "trainings": {name: {"margin": margin} for name, margin in margins.items()} if needed else {}}


def is_counterpart(row: Mapping[str, Any], config: Config) -> bool:
    """Whether a study has no images of the number's dataset, and can only have a counterpart of it."""
    return not any(_is_published(block, row["dataset"]) for block in config["datasets"].values())


def _is_published(block: Mapping[str, Any], dataset: str) -> bool:
    """Whether a dataset of a configuration is one of the papers, at any size; other images may have the same loader."""
    return bool(block["loader"] == dataset and block["source"].startswith(dataset))


def told(counterpart: bool, otherwise: str, same: str = SAME) -> str:
    """What legends and captions say that published values are of: the study's own setting, or what its counterpart is."""
    return otherwise if counterpart else same


def setting_of(row: Mapping[str, Any], config: Config) -> Setting:
    """The setting of a number in a study.

    Args:
        row: of :func:`patchcert.report.ledger.read_ledger`.
        config: a configuration as :func:`patchcert.study.config.complete` gives it, or its parts of :func:`matched_by`.

    Raises:
        InputError: the number is of images that the study has, and its patch has no meaning.
    """
    counterpart = is_counterpart(row, config)
    model, training, patch = (row[f"default_{name}" if counterpart else name] for name in ("model", "training", "patch"))
    meant = {
        name: block["image_size"]
        for name, block in config["datasets"].items()
        if counterpart or _is_published(block, row["dataset"])
    }
    return Setting(
        counterpart=counterpart,
        datasets={name: _patches(patch, size, counterpart) for name, size in meant.items()},
        model=model,
        trainings=_alike(training, row["paper"], counterpart, config),
        patches=bool(patch),
        budget=row["mask_budget"],
    )


def _patches(patch: str, image_size: Sequence[int], counterpart: bool) -> list[str]:
    return [] if not patch else [patch] if counterpart else patches_of(patch, image_size)


def _alike(training: str, paper: str, counterpart: bool, config: Config) -> list[str] | None:
    """The trainings of a study that have the name, or were for the same margin M if it has one."""
    if not training or (paper == SMOOTHING and not counterpart):
        return None
    margins = {name: block.get("margin") for name, block in config["trainings"].items()}
    margin = margins.get(training)
    # ImageNet's networks have a penalty more than CIFAR's of the same margin
    return [training] if margin is None else [name for name, value in margins.items() if value == margin]


def patches_of(published: str, image_size: Sequence[int]) -> list[str]:
    """What a patch of the ledger is called in images of so many rows and columns; each rectangle where there are several.

    Sides grow with the image, 5x5 of 32x32 to 35x35 of 224x224, and have to be whole numbers of pixels.
    """
    rows, columns = image_size
    if found := re.search(r"\((\d+)x(\d+) of (\d+)x(\d+)\)", published):
        height, width, of_rows, of_columns = map(int, found.groups())
        if height * rows % of_rows or width * columns % of_columns:
            return []
        side = f"{height * rows // of_rows}x{width * columns // of_columns}"
        return [f"2-of-{side}" if published.startswith("two patches") else side]
    if found := re.fullmatch(r"any rectangle of (\d+) % \(of \d+x\d+\)", published):
        return [f"area-{int(found[1]) * rows * columns // 100}"]
    if found := re.fullmatch(r"any rectangle of (\d+) px \(of (\d+)x(\d+)\)", published):
        if [int(found[2]), int(found[3])] != [rows, columns]:
            return []
        return [f"{side}x{int(found[1]) // side}" for side in range(1, rows + 1) if int(found[1]) % side == 0]
    raise InputError(f"config/published.csv: patch {published!r}; write for example 2.4 % (5x5 of 32x32)")


def of_study(ledger: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The ledger as a study sees it.

    Args:
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        config: as for :func:`setting_of`.

    Returns:
        The ledger with the columns ``here``, each number's :class:`Setting`, and ``patch_here``, which gives for each dataset
        of the study what the number's patch is called in its images, and is empty where there is no such patch.
    """
    sizes = {name: block["image_size"] for name, block in config["datasets"].items()}
    rows = ledger.to_dict("records")
    named = {
        patch: {name: next(iter(_patches(patch, size, False)), "") for name, size in sizes.items()}
        for patch in ledger["patch"].unique()
    }
    return ledger.assign(here=[setting_of(row, config) for row in rows], patch_here=[named[row["patch"]] for row in rows])
