"""Parts chosen by name: what a folder holds, and what a wrong name is answered with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from patchcert import InputError
from patchcert.plugins import load, names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with two parts, one of them broken, and a package as a third."""
    folder = tmp_path / "kit_of_tests" / "strategies"
    (folder / "greedy_cutout").mkdir(parents=True)
    for name, text in {
        "../__init__.py": "",
        "__init__.py": "",
        "plain.py": "NAME = 'plain'\n",
        "broken.py": "raise RuntimeError('imported')\n",
        "notes.txt": "no module\n",
        "greedy_cutout/__init__.py": "NAME = 'greedy'\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "kit_of_tests.strategies"
    for name in [name for name in sys.modules if name.split(".")[0] == "kit_of_tests"]:
        del sys.modules[name]


def test_names_are_the_modules_of_the_folder_and_none_is_imported(package: str) -> None:
    assert names(package) == ["broken", "greedy_cutout", "plain"]
    assert f"{package}.plain" not in sys.modules


def test_a_part_is_a_module_or_a_package(package: str) -> None:
    assert load(package, "plain").NAME == "plain"
    assert load(package, "greedy_cutout").NAME == "greedy"
    assert load(package, "plain") is load(package, "plain")


def test_a_part_that_was_just_added_needs_no_list(package: str, tmp_path: Path) -> None:
    (tmp_path / "kit_of_tests" / "strategies" / "mine.py").write_text("NAME = 'mine'\n", encoding="utf-8")
    assert "mine" in names(package)
    assert load(package, "mine").NAME == "mine"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("greedy_cutuot", "did you mean 'greedy_cutout'? "),
        ("Plain", "did you mean 'plain'? "),
        ("zzz", ""),
        ("", ""),
        ("notes", ""),
        ("__init__", ""),
        ("strategies.plain", ""),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_there_are(package: str, name: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        load(package, name)
    assert str(caught.value) == f"strategies: {name!r} is unknown; {meant}write one of broken, greedy_cutout, plain"


def test_a_fault_inside_a_part_is_not_taken_for_an_unknown_name(package: str) -> None:
    with pytest.raises(RuntimeError, match=r"^imported$"):
        load(package, "broken")


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        ("patchcert.training.strategies", {"plain", "random_cutout", "greedy_cutout"}),
        ("patchcert.datasets.loaders", {"digits"}),
        ("patchcert.models.architectures", {"small_vit", "small_resmlp"}),
        ("patchcert.evaluation", {"double_masking", "challenger", "minority_reports"}),
        ("patchcert.report.tables", {"accuracy", "forward_passes"}),
        ("patchcert.report.figures", {"mask_set", "classes"}),
    ],
)
def test_the_shipped_parts_are_found(shipped: str, expected: set[str]) -> None:
    assert expected <= set(names(shipped))
    assert "__init__" not in names(shipped)


def test_a_shipped_part_is_loaded() -> None:
    assert load("patchcert.datasets.loaders", "digits").__name__ == "patchcert.datasets.loaders.digits"
