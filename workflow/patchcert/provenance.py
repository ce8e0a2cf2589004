"""Where a result comes from: digests of files, of settings and of code, versions, and files that appear whole or not at all."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import patchcert
from patchcert import InputError

PACKAGE_FOLDER = Path(patchcert.__file__).parent


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits, read in blocks of a constant size."""
    return file_digest(path, "sha256").removeprefix("sha256:")


def file_digest(path: str | Path, algorithm: str) -> str:
    """Digest of a file's bytes as the registry of raw inputs writes it: ``sha256:`` or ``md5:`` and hexadecimal digits."""
    with open(path, "rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


def settings_sha256(settings: Any) -> str:
    """SHA-256 of JSON-like settings; the order of a mapping's keys does not matter."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"settings hold a {type(value).__name__}, which has no JSON form")


WITHOUT_EFFECT = frozenset({"patchcert.study.adapter"})
"""Modules that no result depends on, so that a better log message reruns nothing."""


@cache
def code_digest(*code: str) -> str:
    """Digest of the code that adapters or modules run: their own and that of every patchcert module they import.

    Comments, docstrings and layout do not count, nor does a module that is not used by the named ones. The imports are read
    from the source, so nothing heavy is imported.

    Args:
        code: paths of adapters, ending in ``.py``, or dotted names, ``patchcert.training.trainer`` for instance.

    Returns:
        16 hexadecimal digits.

    Raises:
        InputError: a name is neither.
    """
    reached: dict[str, str] = {}
    waiting = list(code)
    while waiting:
        name = waiting.pop()
        if name in reached or name in WITHOUT_EFFECT:
            continue
        path = Path(name) if name.endswith(".py") else _source_path(name)
        if path is None or not path.is_file():
            raise InputError(f"code digest: {name!r} is no file and no module under {PACKAGE_FOLDER}; write its dotted name")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting.extend(_imported_modules(tree))
        reached[path.name if name.endswith(".py") else name] = ast.dump(_without_docstrings(tree))
    return settings_sha256(sorted(reached.items()))[:16]


def _source_path(name: str) -> Path | None:
    folder = PACKAGE_FOLDER.joinpath(*name.split(".")[1:]) if name.split(".")[0] == "patchcert" else None
    if folder is None:
        return None
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)


def _imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if _source_path(name) is not None)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return tree


def environment(*packages: str) -> dict[str, str]:
    """Versions of Python, of patchcert and of the named distributions (``absent`` where one is not installed)."""
    found = {"python": platform.python_version(), "patchcert": patchcert.__version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and move it into place only if the block ends without error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON that diffs well: sorted keys, two spaces, a final newline; whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, default=_plain) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; an unreadable one is an :class:`~patchcert.InputError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error}); delete it and run snakemake again") from error
