"""Data and checkpoints under DVC, with a plain folder as the remote."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from patchcert import InputError
from patchcert.provenance import file_digest
from patchcert.study.versioning import kept_times, restore, set_aside, version

needs_dvc = pytest.mark.skipif(importlib.util.find_spec("dvc") is None, reason="DVC is not installed")
PROJECT = Path(__file__).parents[2]
FOLDERS = ("data", "checkpoints")
FILES = ("data/src/v1/file.bin", "checkpoints/m/weights.safetensors", "checkpoints/m/log.csv")


def call(folder, *command):
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def folders(root):
    return [root / name for name in FOLDERS]


def files(root):
    return {path.relative_to(root): path.read_bytes() for folder in folders(root) for path in folder.rglob("*.*")}


def times(root):
    return {path: path.stat().st_mtime_ns for folder in folders(root) for path in folder.rglob("*.*")}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git and DVC repository with data and checkpoints, apart from the user's own settings and caches."""
    for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = somebody\nemail = somebody@example.org\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    root = tmp_path / "first"
    for number, name in enumerate(FILES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100 + number))
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    (root / ".gitignore").write_text("/data/\n/checkpoints/\n", encoding="utf-8")
    shutil.copytree(PROJECT / ".dvc", root / ".dvc", ignore=lambda _, names: set(names) - {"config", ".gitignore"})
    shutil.copy(PROJECT / ".dvcignore", root)
    call(root, "git", "init", "--quiet")
    return root


def configure(root, text):
    (root / ".dvc" / "config.local").write_text(text, encoding="utf-8")


def add_remote(root):
    configure(root, f"[core]\n    remote = store\n['remote \"store\"']\n    url = {root.parent / 'remote'}\n")


def clone(root):
    call(root, "git", "add", "--all")
    call(root, "git", "commit", "--quiet", "--message", "recorded")
    second = root.parent / "second"
    call(root.parent, "git", "clone", "--quiet", str(root), str(second))
    add_remote(second)
    return second


@needs_dvc
@pytest.mark.parametrize("links", ["hardlink", "symlink"])
def test_version_keeps_file_times_and_writes_a_pointer_per_folder(repository, links):
    configure(repository, f"[cache]\n    type = {links}\n")
    before = times(repository)
    version(folders(repository))
    assert times(repository) == before
    assert all((repository / f"{name}.dvc").is_file() for name in FOLDERS)


@needs_dvc
def test_restore_in_a_second_clone_brings_the_same_bytes_with_one_time(repository):
    add_remote(repository)
    before = times(repository)
    version(folders(repository))
    assert times(repository) == before
    second = clone(repository)
    restore(folders(second))
    assert files(second) == files(repository)
    moments = times(second)
    assert len(set(moments.values())) == 1
    assert min(moments.values()) > max(times(repository).values())
    restore(folders(second))
    assert times(second) == moments
    (second / "data/src/v1/file.bin").write_bytes(b"never recorded")
    with pytest.raises(InputError, match=r"pull data checkpoints failed(.|\n)*unsaved"):
        restore(folders(second))
    assert (second / "data/src/v1/file.bin").read_bytes() == b"never recorded"


@needs_dvc
def test_restore_without_a_remote_or_without_a_record_says_what_to_do(repository):
    with pytest.raises(InputError, match=r"dvc remote add --default"):
        restore(folders(repository))
    add_remote(repository)
    with pytest.raises(InputError, match=r"no file \S*data\.dvc, \S*checkpoints\.dvc; run snakemake version"):
        restore(folders(repository))


@needs_dvc
def test_a_folder_without_dvc_says_how_to_initialise_it(repository):
    (repository / ".dvc").rename(repository / "elsewhere")
    with pytest.raises(InputError, match=r"not initialised for DVC; run there: dvc init"):
        version(folders(repository))


def test_a_missing_folder_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"no folder \S*checkpoints; run snakemake first"):
        version(folders(tmp_path))


@pytest.mark.parametrize("action", [version, restore])
def test_without_dvc_the_extra_is_named(tmp_path, monkeypatch, action):
    for folder in folders(tmp_path):
        folder.mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'patchcert\[versioning\]'"):
        action(folders(tmp_path))


def test_times_are_kept_even_if_the_block_fails(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    os.utime(path, (1_600_000_000, 1_600_000_000))

    def write_and_fail():
        with kept_times([tmp_path]):
            path.write_text("new", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert path.stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_only_files_of_another_study_are_set_aside(tmp_path, algorithm):
    def weights(name: str, identity: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"weights")
        (folder / "record.json").write_text(json.dumps({"identity": identity}), encoding="utf-8")
        return folder / "weights.safetensors"

    settings = {"epochs": 3, "size": (2, 2)}
    same = weights("same", {"settings": {"size": [2, 2], "epochs": 3}, "seed": 1})
    other = weights("other", {"settings": {"size": [2, 2], "epochs": 4}, "seed": 1})
    unknown = weights("unknown", {"seed": 1})
    right, wrong = tmp_path / "right.bin", tmp_path / "wrong.bin"
    right.write_bytes(b"right")
    wrong.write_bytes(b"wrong")
    runs = {str(path): {"settings": settings} for path in (same, other, unknown, tmp_path / "absent.safetensors")}
    digests = {str(path): file_digest(right, algorithm) for path in (right, wrong, tmp_path / "absent.bin")}
    assert set(set_aside(runs, digests)) == {other, unknown, wrong}
    assert same.is_file()
    assert right.is_file()
    assert not other.exists()
    assert not wrong.exists()
