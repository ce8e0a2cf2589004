"""Studies to run, edit and plan in: a fresh one, and one that has run to its end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflow_study import Study, fresh_copy


@pytest.fixture
def fresh(tmp_path: Path) -> Study:
    """The project as cloned, where DVC is not initialised and nothing has run."""
    return fresh_copy(tmp_path / "fresh")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = fresh_copy(tmp_path_factory.mktemp("finished") / "study")
    study.run()
    return study


@pytest.fixture
def finished(finished_once: Study, tmp_path: Path) -> Study:
    """A copy, with all file times, of a study that has run to its end."""
    folder = tmp_path / "finished"
    shutil.copytree(finished_once.folder, folder, symlinks=True)
    return Study(folder)
