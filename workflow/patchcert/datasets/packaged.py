"""Files that ship inside installed Python packages, found without importing the packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from patchcert import InputError

PREFIX = "package:"


def packaged_file(origin: str) -> Path:
    """The file of an origin ``package:NAME/PATH/IN/IT``.

    Raises:
        InputError: the package is not installed, or has no such file; the message begins with the origin.
    """
    package, inside = origin.removeprefix(PREFIX).split("/", 1)
    spec = find_spec(package)
    if spec is None:
        raise InputError(f"{origin}: no Python package {package} is installed; install it")
    folders = spec.submodule_search_locations or []
    for path in (Path(folder, inside) for folder in folders):
        if path.is_file():
            return path
    raise InputError(
        f"{origin}: no {inside} in {', '.join(folders) or spec.origin}; "
        "install the version that the environment is locked to, or correct the file's origin in the registry"
    )
