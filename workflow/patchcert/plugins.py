"""Parts that are chosen by name: a loader, an architecture, a strategy is a module of that name in its folder.

No list of them is kept anywhere, so that adding one touches no code that the others run.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from patchcert import InputError


def names(package: str) -> list[str]:
    """Names that can be chosen in a package, ``patchcert.training.strategies`` for instance."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))


def load(package: str, name: str) -> ModuleType:
    """The module of that name.

    Raises:
        InputError: there is none; the message lists those that there are.
    """
    known = names(package)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{package.rsplit('.', 1)[1]}: {name!r} is unknown; {meant}write one of {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
