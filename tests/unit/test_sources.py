"""The registry of raw inputs: what is read, and what every malformed one is answered with."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from patchcert import InputError
from patchcert.datasets.sources import COLUMNS, Source, read_sources, row_of

REGISTRY = Path(__file__).parents[2] / "config" / "sources.csv"
HEADER = ",".join(COLUMNS)
GOOD = {
    "name": "flowers",
    "version": "2.1",
    "file": "flowers.tar.gz",
    "digest": "sha256:" + "0f" * 32,
    "bytes": "12",
    "licence": "CC0-1.0",
    "origin": "https://example.org/flowers.tar.gz?download=1",
}


def row(**changes: str) -> str:
    return ",".join((GOOD | changes).values())


def write(folder: Path, *lines: str) -> Path:
    path = folder / "sources.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_shipped_registry_lists_the_digits() -> None:
    (digits,) = read_sources(REGISTRY)["digits"]
    assert (digits.version, digits.file, digits.licence) == ("1998", "digits.csv.gz", "CC-BY-4.0")
    assert digits.origin == "package:sklearn/datasets/data/digits.csv.gz"


def test_a_row_is_a_source_with_its_size_as_a_number(tmp_path: Path) -> None:
    sources = read_sources(write(tmp_path, HEADER, row()))
    origin = "https://example.org/flowers.tar.gz?download=1"
    expected = Source("flowers", "2.1", "flowers.tar.gz", "sha256:" + "0f" * 32, 12, "CC0-1.0", origin)
    assert sources == {"flowers": [expected]}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("digest", "md5:" + "0f" * 16),
        ("digest", "unpublished"),
        ("origin", "manual:https://example.org/register.php"),
        ("origin", "generated:flowers"),
        ("origin", "generated:flowers?red=3&blue_ones=40"),
    ],
)
def test_other_forms_of_a_value(tmp_path: Path, column: str, value: str) -> None:
    (source,) = read_sources(write(tmp_path, HEADER, row(**{column: value})))["flowers"]
    assert getattr(source, column) == value


def test_a_size_that_nobody_publishes(tmp_path: Path) -> None:
    (source,) = read_sources(write(tmp_path, HEADER, row(digest="unpublished", bytes="unpublished")))["flowers"]
    assert source.bytes is None
    assert source.content == "any number of bytes with any digest"


def test_the_shipped_registry_has_the_datasets_of_the_papers() -> None:
    sources = read_sources(REGISTRY)
    assert list(sources) == [
        *("digits", "cifar10", "cifar100", "svhn", "imagenette", "imagenet"),
        *("photographs", "scenes", "scenes_small", "coco2014", "voc2007", "tresnet_l_coco2014"),
        *(name for name in sources if "." in name),  # models of timm
    ]
    assert {entry.origin for entry in sources["imagenet"]} == {"manual:https://image-net.org/download.php"}
    assert sum(entry.bytes or 0 for entry in sources["imagenet"]) == 154_644_969_425


def test_the_documentation_has_the_terms_of_every_source_under_its_licence() -> None:
    text = (REGISTRY.parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
    terms = dict(re.findall(r"^\| `([\w.]+)` \| (.+ \|.*<https?://\S+>.*) \|$", text, re.MULTILINE))
    licences = {name: {entry.licence for entry in entries} for name, entries in read_sources(REGISTRY).items()}
    assert {name: {row.split(" | ")[0]} for name, row in terms.items()} == licences


def test_a_source_is_written_as_the_row_that_it_was_read_from(tmp_path: Path) -> None:
    lines = [row(licence='"free, mostly"'), row(name="birds", digest="unpublished", bytes="unpublished")]
    sources = read_sources(write(tmp_path, HEADER, *lines))
    assert [row_of(source) for (source,) in sources.values()] == lines


def test_a_source_can_have_several_files_and_versions_in_the_order_of_the_rows(tmp_path: Path) -> None:
    lines = [row(), row(file="labels.mat"), row(name="birds"), row(version="3")]
    sources = read_sources(write(tmp_path, HEADER, *lines))
    assert list(sources) == ["flowers", "birds"]
    assert [(source.version, source.file) for source in sources["flowers"]] == [
        ("2.1", "flowers.tar.gz"),
        ("2.1", "labels.mat"),
        ("3", "flowers.tar.gz"),
    ]
    assert sources["birds"] == [replace(sources["flowers"][0], name="birds")]


def test_a_byte_order_mark_blank_lines_and_quotes_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    path = tmp_path / "sources.csv"
    quoted = row(licence='"free, mostly"')
    path.write_bytes(f"\ufeff{HEADER}\r\n\r\n{quoted}\r\n".encode())
    assert read_sources(path)["flowers"][0].licence == "free, mostly"


def test_a_registry_without_rows_has_no_sources(tmp_path: Path) -> None:
    assert read_sources(write(tmp_path, HEADER)) == {}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", ""),
        ("name", "a/b"),
        ("version", ".."),
        ("version", "1 2"),
        ("file", "folder/file.gz"),
        ("file", "folder\\file.gz"),
        ("file", ".hidden"),
        ("file", "é.gz"),
        ("digest", ""),
        ("digest", "0f" * 32),
        ("digest", "sha256:" + "0F" * 32),
        ("digest", "sha256:" + "0f" * 31),
        ("digest", "sha256:" + "0f" * 16),
        ("digest", "md5:" + "0f" * 32),
        ("digest", "sha1:" + "0f" * 20),
        ("digest", "md5:" + "0f" * 16 + " "),
        ("bytes", ""),
        ("bytes", "0"),
        ("bytes", "-1"),
        ("bytes", "1e6"),
        ("bytes", "²"),
        ("licence", ""),
        ("licence", " "),
        ("origin", ""),
        ("origin", "ftp://example.org/a"),
        ("origin", "https://"),
        ("origin", "https://example.org/a b"),
        ("origin", "/data/a"),
        ("origin", "package:sklearn"),
        ("origin", "package:sklearn/../a"),
        ("origin", "package:sk.learn/a"),
        ("origin", "manual:"),
        ("origin", "manual:/data/a"),
        ("origin", "generated:"),
        ("origin", "generated:flowers?red"),
        ("origin", "generated:flowers?red=-1"),
        ("origin", "generated:flowers?red=1&"),
        ("origin", "generated:../flowers"),
    ],
)
def test_a_malformed_value_is_named_with_its_file_row_and_column(tmp_path: Path, column: str, value: str) -> None:
    path = write(tmp_path, HEADER, row(name="birds"), row(**{column: value}))
    with pytest.raises(InputError) as caught:
        read_sources(path)
    assert str(caught.value).startswith(f"{path}: row 3, column {column}: {value!r}; write ")


def test_a_file_that_is_listed_twice_is_named_with_both_rows(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, row(), row(name="birds"), row(bytes="13"))
    with pytest.raises(InputError, match=r"row 4, column file: 'flowers.tar.gz' of flowers 2.1 is in row 2 already"):
        read_sources(path)


@pytest.mark.parametrize("header", ["", HEADER + ",note", HEADER.replace("licence", "license"), HEADER[5:]])
def test_the_columns_are_closed(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, header, row())
    with pytest.raises(InputError) as caught:
        read_sources(path)
    assert str(caught.value).startswith(f"{path}: row 1: the columns are ")
    assert str(caught.value).endswith(f"write {HEADER}")


def test_an_empty_file_is_told_the_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"row 1: the columns are nothing; write {HEADER}"):
        read_sources(write(tmp_path))


@pytest.mark.parametrize(
    ("line", "column"), [("flowers", "name"), (row().rsplit(",", 1)[0], "licence"), (row() + ",more", "origin")]
)
def test_a_row_of_another_length_is_named(tmp_path: Path, line: str, column: str) -> None:
    path = write(tmp_path, HEADER, line)
    with pytest.raises(InputError) as caught:
        read_sources(path)
    values = line.split(",")
    expected = f"{path}: row 2: it has {len(values)} values (column {column} is {values[-1]!r}); write 7: {HEADER}"
    assert str(caught.value) == expected


def test_an_absent_or_unreadable_registry_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n{row(licence='propriété')}\n".encode("latin-1"))
    for path in (tmp_path / "none.csv", tmp_path, latin):
        with pytest.raises(InputError) as caught:
            read_sources(path)
        assert str(caught.value).startswith(f"{path}: cannot be read (")


def test_reading_the_registry_imports_nothing_heavy() -> None:
    code = "import sys, patchcert.datasets.sources; print(*{'numpy', 'pandas', 'pooch', 'requests'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
