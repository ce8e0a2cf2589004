"""Data and checkpoints under DVC: recorded without upsetting Snakemake, brought back so that nothing is trained again.

DVC and Snakemake are called by their command lines. Nothing here is needed by a study that is not versioned.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from patchcert import InputError
from patchcert.provenance import file_digest, read_json, settings_sha256

LOG = logging.getLogger(__name__)


def version(folders: Sequence[Path]) -> None:
    """Record the folders in one ``dvc add``, keep their file times, and push them where a default remote is configured.

    ``dvc add`` may link files anew and so give them new times, after which Snakemake would rerun what uses them.

    Args:
        folders: folders in one repository, none within another; each gets a ``FOLDER.dvc`` beside it for git to track.

    Raises:
        InputError: a folder is missing, DVC is not installed or not initialised here, or dvc failed.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise InputError(f"version: no folder {_listed(missing)}; run snakemake first, it makes {_listed(missing)}")
    root = _repository(folders)
    with kept_times(folders):
        _dvc(root, "add", *_names(folders, root))
    recorded = _listed([_pointer(folder) for folder in folders])
    if _default_remote(root):
        _dvc(root, "push", *_names(folders, root))
        LOG.info("recorded and pushed %s; commit %s", _listed(folders), recorded)
    else:
        LOG.info("recorded %s, pushed nowhere (no default remote); commit %s", _listed(folders), recorded)


def restore(folders: Sequence[Path]) -> None:
    """Pull the folders as git's ``FOLDER.dvc`` files record them, and give all files one time if the pull changed any.

    The pull writes files in no particular order: by their times, a training may seem older than the weights it started
    from. The common time is now, since Snakemake reruns what is older than the scripts that git checked out.

    Args:
        folders: folders in one repository, as they were recorded; they need not exist.

    Raises:
        InputError: a folder was never recorded, DVC is not installed or not initialised here, no default remote is
            configured, or dvc failed, as it does rather than overwrite files that were never recorded.
    """
    root = _repository(folders)
    if not _default_remote(root):
        raise InputError("restore: no default DVC remote is configured; run: dvc remote add --default NAME FOLDER")
    missing = [_pointer(folder) for folder in folders if not _pointer(folder).is_file()]
    if missing:
        raise InputError(
            f"restore: no file {_listed(missing)}; run snakemake version where the study was run, and commit the file"
        )
    before = _times(folders)
    _dvc(root, "pull", *_names(folders, root))
    after = _times(folders)
    if after != before:
        _set_times(dict.fromkeys(after, time.time_ns()))
    changed = len(after.items() - before.items())
    LOG.info("restored %s: %d files, %d of them new or changed", _listed(folders), len(after), changed)


def set_aside(runs: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str]) -> list[Path]:
    """Delete restored files that the study as configured now would not make, so that Snakemake makes them anew.

    Their recorded versions stay in DVC's cache and remote.

    Args:
        runs: weights, each with what the ``identity`` in the record beside them has to say today.
        digests: data files, each with the digest of its bytes as the registry writes it.

    Returns:
        The deleted files; a file that does not exist is none of them.

    Raises:
        InputError: a record is no JSON file.
    """
    outdated = [Path(name) for name, digest in digests.items() if Path(name).is_file() and not _has_digest(name, digest)]
    for name, expected in runs.items():
        weights = Path(name)
        record = weights.with_name("record.json")
        if weights.is_file() and not (record.is_file() and _agrees(read_json(record)["identity"], expected)):
            outdated.append(weights)
    for path in outdated:
        LOG.warning("%s was recorded under other settings, code or data than now; it will be made again", path)
        path.unlink()
    return outdated


def adopt(
    config: Mapping[str, Any], snakefile: Path, index: str, trained: Sequence[str], folders: Sequence[Path], cores: int
) -> None:
    """Make Snakemake take restored files for its own, by two runs of it inside the one that is restoring.

    The first makes what the target ``index`` names: Snakemake reruns a job of which an input is about to be made, so the
    indexes have to exist before anything else asks for them. The second notes the settings of
    all restored files (``--touch --forceall``), without which Snakemake would not notice a later change of a setting.
    File times stay as they are.

    Args:
        config: the configuration of the run that is restoring, command line included.
        snakefile: the workflow's main file.
        index: target whose files training reads and DVC does not version.
        trained: targets that need every restored file.
        folders: folders that keep their file times.
        cores: CPU cores for making the indexes.

    Raises:
        InputError: Snakemake failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "config.json"
        settings.write_text(json.dumps(config), encoding="utf-8")
        command = ["snakemake", "--nolock", "--cores", str(cores), "--snakefile", str(snakefile)]
        command += ["--configfile", str(settings)]
        _run([*command, "--", index], Path.cwd())
        with kept_times(folders):
            _run([*command, "--touch", "--forceall", "--", *trained], Path.cwd())


@contextlib.contextmanager
def kept_times(folders: Sequence[Path]) -> Iterator[None]:
    """Give every file under the folders, at the end of the block, the time that it had at its beginning.

    Equal files that share their bytes (DVC's cache types ``hardlink`` and ``symlink``) get the newest time among them:
    Snakemake may then rerun more than it has to, and never too little.
    """
    before = _times(folders)
    try:
        yield
    finally:
        _set_times({path: moment for path, moment in before.items() if path.is_file()})


def _times(folders: Sequence[Path]) -> dict[Path, int]:
    """Modification time of every file in nanoseconds; a link's is the later of its own and its target's."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: max(path.lstat().st_mtime_ns, path.stat().st_mtime_ns) for path in paths}


def _set_times(times: Mapping[Path, int]) -> None:
    for path, moment in sorted(times.items(), key=lambda item: item[1]):
        os.utime(path, ns=(moment, moment))
        if path.is_symlink():
            os.utime(path, ns=(moment, moment), follow_symlinks=False)


def _repository(folders: Sequence[Path]) -> Path:
    """The folder that all the folders are in, once it is sure that DVC can work there."""
    root = Path(os.path.commonpath([folder.absolute().parent for folder in folders]))
    if importlib.util.find_spec("dvc") is None:
        raise InputError("DVC is not installed; run: pip install 'patchcert[versioning]'")
    if not any((folder / ".dvc").is_dir() for folder in (root, *root.parents)):
        raise InputError(f"{root} is not initialised for DVC; run there: dvc init")
    return root


def _default_remote(root: Path) -> str:
    return _dvc(root, "config", "core.remote")


def _dvc(root: Path, command: str, *arguments: str) -> str:
    return _run(["dvc", "--wait-for-lock", command, *arguments], root)


def _run(arguments: Sequence[str], folder: Path) -> str:
    """Run a module of this Python with arguments; -P because the repository's own folders are no modules."""
    result = subprocess.run(
        [sys.executable, "-P", "-m", *arguments],
        cwd=folder,
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise InputError(f"{' '.join(arguments)} failed with status {result.returncode}:\n{result.stderr.strip()}")
    return result.stdout.strip()


def _has_digest(path: str, digest: str) -> bool:
    return file_digest(path, digest.partition(":")[0]) == digest


def _agrees(identity: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return settings_sha256({key: identity.get(key) for key in expected}) == settings_sha256(dict(expected))


def _names(folders: Sequence[Path], root: Path) -> list[str]:
    return [folder.absolute().relative_to(root).as_posix() for folder in folders]


def _pointer(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.dvc")


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
