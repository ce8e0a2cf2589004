"""The registry of raw inputs: which files a source has, how they are recognised and where they come from.

The Snakefile imports this module whenever it is parsed, so it stays with the standard library.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from patchcert import InputError

UNPUBLISHED = "unpublished"
"""In place of the digest and size of a file whose publisher gives neither; what is fetched first is trusted and recorded."""
TIMM = "timm"
"""Version of the weights that timm publishes; the source has the full name of the model."""
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_NUMBER = r"[a-z_]+=\d+"
_PATH_PART = (_PART, "write letters, digits and . _ + - only, since it becomes part of a path")
_RULES = {
    "name": _PATH_PART,
    "version": _PATH_PART,
    "file": _PATH_PART,
    "digest": (
        rf"sha256:[0-9a-f]{{64}}|md5:[0-9a-f]{{32}}|{UNPUBLISHED}",
        "write sha256: and the 64 lower-case hexadecimal digits that sha256sum prints for it, or md5: and the 32 of md5sum, or "
        f"{UNPUBLISHED} where its publisher gives none and the first download is to be trusted",
    ),
    "bytes": (rf"[1-9][0-9]*|{UNPUBLISHED}", f"write the file's size in bytes, a positive integer, or {UNPUBLISHED}"),
    "licence": (r"\S(.*\S)?", "write the licence's SPDX identifier or its name"),
    "origin": (
        rf"package:[A-Za-z_]\w*(/{_PART})+|generated:[a-z]\w*(\?{_NUMBER}(&{_NUMBER})*)?|(manual:)?https?://[^\s/]+/\S+",
        "write package:NAME/PATH/IN/IT for a file of an installed Python package, generated:NAME?KEY=NUMBER for one that the "
        "module NAME of patchcert.datasets.generated makes, a http:// or https:// address, or manual: and the address of the "
        "page on which people register for a file that may not be downloaded automatically",
    ),
}


@dataclass(frozen=True)
class Source:
    """One file of a source: a row of the registry.

    Attributes:
        name: the source that the file belongs to; a source can have several files.
        version: the publisher's version of the source.
        file: name of the file, without a folder.
        digest: of its bytes, as its publisher gives it: ``sha256:`` and 64 or ``md5:`` and 32 lower-case hexadecimal digits;
            or ``UNPUBLISHED``.
        bytes: its size in bytes; None where it is unpublished.
        licence: what it may be used for, an SPDX identifier where there is one.
        origin: where it comes from: ``package:NAME/PATH``, ``generated:NAME?KEY=NUMBER&...``, ``http://...`` or ``https://...``;
            ``manual:https://...`` is the page on which people register for a file that may not be downloaded automatically.
    """

    name: str
    version: str
    file: str
    digest: str
    bytes: int | None
    licence: str
    origin: str

    @property
    def content(self) -> str:
        """How its bytes are recognised, in words."""
        size = "any number of" if self.bytes is None else self.bytes
        return f"{size} bytes with {'any digest' if self.digest == UNPUBLISHED else self.digest}"


COLUMNS = tuple(field.name for field in fields(Source))


def row_of(source: Source) -> str:
    """A source as a row of the registry, without the end of its line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(UNPUBLISHED if value is None else value for value in astuple(source))
    return text.getvalue()


def read_sources(path: str | Path) -> dict[str, list[Source]]:
    """Read the registry: the files of each source by the source's name, both in the order of the rows.

    Args:
        path: a CSV file in UTF-8 whose columns are exactly ``COLUMNS``, in this order.

    Raises:
        InputError: the file is absent or not such a table, a value is malformed, or a file is listed twice. The message
            names the file, the row (as a line of the file, the header being 1), the column and what to write instead.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); write a CSV table in UTF-8") from error
    if not rows or tuple(rows[0][1]) != COLUMNS:
        found = ",".join(rows[0][1]) if rows else "nothing"
        raise InputError(f"{path}: row 1: the columns are {found}; write {','.join(COLUMNS)}")
    sources: dict[str, list[Source]] = {}
    first_rows: dict[tuple[str, str, str], int] = {}
    for number, values in rows[1:]:
        source = _source(f"{path}: row {number}", values)
        first = first_rows.setdefault((source.name, source.version, source.file), number)
        if first != number:
            raise InputError(
                f"{path}: row {number}, column file: {source.file!r} of {source.name} {source.version} is in "
                f"row {first} already; remove one of the two or give it another file name"
            )
        sources.setdefault(source.name, []).append(source)
    return sources


def _source(where: str, values: list[str]) -> Source:
    if len(values) != len(COLUMNS):
        last = COLUMNS[min(len(values), len(COLUMNS)) - 1]
        found = f"it has {len(values)} values (column {last} is {values[-1]!r})"
        raise InputError(f"{where}: {found}; write {len(COLUMNS)}: {','.join(COLUMNS)}")
    for (column, (pattern, remedy)), value in zip(_RULES.items(), values, strict=True):
        if not re.fullmatch(pattern, value, re.ASCII):
            raise InputError(f"{where}, column {column}: {value!r}; {remedy}")
    texts = dict(zip(COLUMNS, values, strict=True))
    size = None if texts["bytes"] == UNPUBLISHED else int(texts["bytes"])
    return Source(**{**texts, "bytes": size})  # type: ignore[arg-type]
