"""Digests of code, settings and files, versions, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import platform
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import patchcert
from patchcert import InputError, provenance
from patchcert.provenance import (
    code_digest,
    environment,
    file_digest,
    file_sha256,
    read_json,
    settings_sha256,
    whole_file,
    write_json,
)

PACKAGE = {
    "__init__.py": '"""A package."""\n\n\nclass InputError(ValueError):\n    """A fault."""\n',
    "top.py": '"""Uses one module, and another inside a function."""\n\nfrom patchcert.middle import helper\n\n\n'
    "def run(number):\n    from patchcert import late\n\n    return helper(number) + late.LATE\n",
    "middle.py": "import os\n\nimport patchcert.folder.deep\nfrom patchcert.folder import sibling\n\n\n"
    "def helper(number):\n    return patchcert.folder.deep.DEPTH + sibling.VALUE + number\n",
    "late.py": "LATE = 1\n",
    "folder/__init__.py": "",
    "folder/deep.py": "from patchcert import middle  # a cycle\n\nDEPTH = 1\n",
    "folder/sibling.py": "VALUE = 2\n",
    "apart.py": "from patchcert import top\n\nAPART = 1\n",
    "study/__init__.py": "",
    "study/adapter.py": "from patchcert import apart\n\nLOG = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A throw-away package that the digest takes for this one."""
    root = tmp_path / "patchcert"
    for name, text in PACKAGE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE_FOLDER", root)
    code_digest.cache_clear()
    yield root
    code_digest.cache_clear()


def fresh(*names: str) -> str:
    code_digest.cache_clear()
    return code_digest(*names)


def changed(path: Path, change: Callable[[str], str], *names: str) -> bool:
    """Whether the digest of ``names`` reacts to a change of a file."""
    before, text = fresh(*names), path.read_text(encoding="utf-8")
    new = change(text)
    assert new != text
    path.write_text(new, encoding="utf-8")
    after = fresh(*names)
    path.write_text(text, encoding="utf-8")
    assert fresh(*names) == before
    return after != before


@pytest.mark.parametrize(
    "name", ["top.py", "middle.py", "late.py", "folder/deep.py", "folder/sibling.py", "folder/__init__.py"]
)
def test_code_that_is_reached_counts(package: Path, name: str) -> None:
    assert changed(package / name, lambda text: text + "\nMORE = 1\n", "patchcert.top")


@pytest.mark.parametrize("name", ["apart.py", "study/__init__.py", "study/adapter.py"])
def test_code_that_is_not_reached_does_not_count(package: Path, name: str) -> None:
    assert not changed(package / name, lambda text: text + "\nMORE = 1\n", "patchcert.top")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "# a comment\n\n\n" + text.replace("return helper", "return  helper"),
        lambda text: text.replace('"""Uses one module, and another inside a function."""', '"""Other words."""'),
        lambda text: text.replace('"""Uses one module, and another inside a function."""\n', ""),
        lambda text: text.replace("helper(number) + late.LATE", "(\n        helper(number)\n        + late.LATE\n    )  # why"),
        lambda text: text.replace("def run(number):\n", 'def run(number):\n    """Words."""\n'),
        lambda text: text + "\n\n\n# the end\n",
    ],
    ids=["comment", "docstring", "no-docstring", "layout", "function-docstring", "end"],
)
def test_comments_docstrings_and_layout_do_not_count(package: Path, change: Callable[[str], str]) -> None:
    assert not changed(package / "top.py", change, "patchcert.top")


@pytest.mark.parametrize("kind", ["class Thing:", "async def thing():"])
def test_docstrings_of_classes_and_coroutines_do_not_count(package: Path, kind: str) -> None:
    path = package / "late.py"
    path.write_text(f'{kind}\n    """Words."""\n\n    VALUE = 1\n', encoding="utf-8")
    assert not changed(path, lambda text: text.replace("Words", "Other words"), "patchcert.late")
    assert changed(path, lambda text: text.replace("VALUE = 1", "VALUE = 2"), "patchcert.late")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("+ late", "- late"),
        lambda text: text.replace("def run(number)", "def run(number=0)"),
        lambda text: text.replace("number", "count"),
        lambda text: text + "\n\ndef more():\n    return 'a string that is no docstring'\n",
    ],
)
def test_code_counts(package: Path, change: Callable[[str], str]) -> None:
    assert changed(package / "top.py", change, "patchcert.top")


def test_a_string_that_is_no_docstring_counts(package: Path) -> None:
    path = package / "late.py"
    path.write_text("LATE = 'one'\n", encoding="utf-8")
    assert changed(path, lambda text: text.replace("one", "two"), "patchcert.top")


def test_moving_code_to_another_module_counts(package: Path) -> None:
    before = fresh("patchcert.top")
    (package / "late.py").write_text("VALUE = 2\n", encoding="utf-8")
    (package / "folder" / "sibling.py").write_text("LATE = 1\n", encoding="utf-8")
    assert fresh("patchcert.top") != before


def test_several_names_in_any_order(package: Path) -> None:
    assert fresh("patchcert.late", "patchcert.folder.sibling") == fresh("patchcert.folder.sibling", "patchcert.late")
    assert fresh("patchcert.late", "patchcert.late") == fresh("patchcert.late") != fresh("patchcert.folder.sibling")
    assert fresh("patchcert.top", "patchcert.middle") == fresh("patchcert.top")  # it is reached anyway
    assert changed(package / "apart.py", lambda text: text + "\nMORE = 1\n", "patchcert.top", "patchcert.apart")
    assert fresh("patchcert") == fresh("patchcert")  # the package itself is its __init__


def test_a_digest_has_sixteen_digits(package: Path) -> None:
    assert len(fresh("patchcert.top")) == 16
    int(fresh("patchcert.top"), 16)


def test_the_code_of_an_adapter_and_what_it_imports_counts(package: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "scripts" / "train.py"
    adapter.parent.mkdir()
    adapter.write_text(
        "from patchcert.late import LATE\nfrom patchcert.study.adapter import job\n\nprint(LATE)\n", encoding="utf-8"
    )
    assert changed(adapter, lambda text: text.replace("print(LATE)", "print(-LATE)"), str(adapter))
    assert changed(package / "late.py", lambda text: "LATE = 2\n", str(adapter))
    assert not changed(adapter, lambda text: "# words\n" + text, str(adapter))
    assert not changed(package / "study" / "adapter.py", lambda text: text + "\nMORE = 1\n", str(adapter))
    assert not changed(package / "apart.py", lambda text: text + "\nMORE = 1\n", str(adapter))
    assert changed(package / "top.py", lambda text: text + "\nMORE = 1\n", str(adapter), "patchcert.top")
    elsewhere = tmp_path / "another" / "checkout" / "train.py"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(adapter.read_bytes())
    assert fresh(str(elsewhere)) == fresh(str(adapter))


@pytest.mark.parametrize(
    "name", ["patchcert.none", "patchcert.folder.none", "os", "top", "patchcert.top.run", "", "none/train.py"]
)
def test_what_is_no_code_of_this_package(package: Path, name: str) -> None:
    for names in ((name,), ("patchcert.top", name)):
        with pytest.raises(InputError) as caught:
            fresh(*names)
        assert str(caught.value) == (f"code digest: {name!r} is no file and no module under {package}; write its dotted name")


def test_the_digest_of_this_package_follows_its_imports_and_imports_nothing_heavy() -> None:
    """In a process of its own: the throw-away package is not involved."""
    code = (
        "import sys\nfrom patchcert.provenance import code_digest\n"
        "print(code_digest('patchcert.training.trainer'), sorted({'torch', 'timm'} & set(sys.modules)))"
    )
    folder = str(Path(patchcert.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": folder, "PATH": ""}
    )
    assert done.stdout == f"{fresh('patchcert.training.trainer')} []\n"
    assert fresh("patchcert.training.trainer") != fresh("patchcert.masks")


@pytest.mark.parametrize("content", [b"", b"some bytes\n", bytes(range(256)) * 5000])
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == file_sha256(str(tmp_path / "file")) == hashlib.sha256(content).hexdigest()
    assert file_digest(tmp_path / "file", "sha256") == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert file_digest(tmp_path / "file", "md5") == f"md5:{hashlib.md5(content).hexdigest()}"


def test_settings_by_hand() -> None:
    expected = hashlib.sha256(b'{"a":[1,2.5,null],"b":{"c":true,"d":"\\u00e9"}}').hexdigest()
    assert settings_sha256({"b": {"d": "é", "c": True}, "a": [1, 2.5, None]}) == expected


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does() -> None:
    assert settings_sha256({"a": 1, "b": {"c": 2, "d": 3}}) == settings_sha256({"b": {"d": 3, "c": 2}, "a": 1})
    assert settings_sha256([1, 2]) != settings_sha256([2, 1])
    assert settings_sha256({"a": 1}) != settings_sha256({"a": "1"}) != settings_sha256({"a": 1.5})


def test_numpy_values_count_as_plain_ones() -> None:
    plain = {"a": [[1, 2], [3, 4]], "b": 5, "c": 0.5, "d": True, "e": ["x", "y"]}
    arrays = {
        "a": np.array([[1, 2], [3, 4]]), "b": np.int64(5), "c": np.float32(0.5), "d": np.True_, "e": np.array(["x", "y"])
    }  # fmt: skip
    assert settings_sha256(arrays) == settings_sha256(plain)
    assert settings_sha256({**arrays, "b": np.int64(6)}) != settings_sha256(plain)


@pytest.mark.parametrize("value", [Path("a"), {1, 2}, object()])
def test_settings_without_a_json_form(value: object) -> None:
    with pytest.raises(TypeError, match=f"^settings hold a {type(value).__name__}, which has no JSON form$"):
        settings_sha256({"key": value})


def test_the_environment_has_versions_and_says_what_is_absent() -> None:
    assert environment("numpy", "no-such-distribution") == {
        "python": platform.python_version(),
        "patchcert": patchcert.__version__,
        "numpy": version("numpy"),
        "no-such-distribution": "absent",
    }
    assert list(environment()) == ["python", "patchcert"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "results.csv"
    with whole_file(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".results.csv.")
        assert temporary.suffix == ".csv"
        temporary.write_text("content", encoding="utf-8")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "content"
    assert names_in(target.parent) == ["results.csv"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_a_whole_file_replaces_the_old_one_at_once(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    target.write_text("old", encoding="utf-8")
    target.chmod(0o600)
    with whole_file(str(target)) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert target.read_text(encoding="utf-8") == "old"
    assert target.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert names_in(tmp_path) == ["results.csv"]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None], ids=["replaces", "new"])
def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path: Path, old: str | None, fault: type[BaseException]) -> None:
    target = tmp_path / "results.csv"
    if old:
        target.write_text(old, encoding="utf-8")

    def fail() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise fault

    with pytest.raises(fault):
        fail()
    assert names_in(tmp_path) == (["results.csv"] if old else [])
    assert not old or target.read_text(encoding="utf-8") == old


def test_a_block_that_removes_its_file_is_an_error_and_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(FileNotFoundError), whole_file(target) as temporary:
        temporary.unlink()
    assert names_in(tmp_path) == ["results.csv"]
    assert target.read_text(encoding="utf-8") == "old"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    with whole_file(target) as one, whole_file(target) as other:
        assert one != other
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
    assert target.read_text(encoding="utf-8") == "one"  # the outer block ends last
    assert names_in(tmp_path) == ["results.csv"]


def test_json_is_written_to_diff_well_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "record.json"
    write_json(path, {"b": np.array([1, 2]), "a": {"é": np.float64(0.5)}})
    assert path.read_text(encoding="utf-8") == ('{\n  "a": {\n    "\\u00e9": 0.5\n  },\n  "b": [\n    1,\n    2\n  ]\n}\n')
    assert read_json(path) == read_json(str(path)) == {"a": {"é": 0.5}, "b": [1, 2]}


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": {1, 2}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert names_in(tmp_path) == ["record.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"a, b\n1, 2\n", b"\xff\xfe\x00"])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: not a JSON file (")
    assert str(caught.value).endswith("); delete it and run snakemake again")


def test_a_missing_json_file_is_just_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
