"""What the name of a classifier says, for those who only want to know its module; nothing heavy is imported."""

from __future__ import annotations

import re


def split(name: str) -> tuple[str, int | None]:
    """The module of ``patchcert.models.architectures`` that a name means, and its receptive field if it ends in one.

    ``small_bagcert_rf9`` is ``small_bagcert`` with a receptive field of 9 pixels.
    """
    found = re.fullmatch(r"(\w+)_rf([1-9]\d*)", name)
    return (found[1], int(found[2])) if found else (name, None)
