"""What the adapters share: where a job's words go, and how it ends on the user's fault and on one of ours."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchcert import InputError
from patchcert.study.adapter import job

PACKAGE_PARENT = Path(__file__).parents[2] / "workflow"


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Leave the root logger as it was: a job takes it over."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_log_file_is_made_with_its_folders_and_holds_what_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "train" / "job.log"
    with job(log):
        logging.getLogger("patchcert.anything").info("half of it done")
    assert log.read_text("utf-8").rstrip().endswith(" half of it done")
    assert capsys.readouterr().err.rstrip().endswith(" half of it done")


def test_the_log_of_the_run_before_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("of yesterday", encoding="utf-8")
    with job(str(log)):
        logging.getLogger().info("of today")
    assert "yesterday" not in log.read_text("utf-8")


def test_the_users_fault_ends_the_job_with_its_message_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit) as caught, job(log):
        raise InputError("predict.shards: 0; write 1 or more, größer")
    assert caught.value.code == 1
    for said in (log.read_text("utf-8"), capsys.readouterr().err):
        assert said.rstrip().endswith("predict.shards: 0; write 1 or more, größer")
        assert len(said.splitlines()) == 1


def test_every_other_error_goes_on_and_leaves_its_traceback_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(KeyError, match="missing"), job(log):
        raise KeyError("missing")
    for said in (log.read_text("utf-8"), capsys.readouterr().err):
        assert "the job failed" in said
        assert "Traceback (most recent call last)" in said
        assert "KeyError: 'missing'" in said


def test_a_job_that_is_interrupted_is_not_called_failed(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(KeyboardInterrupt), job(log):
        raise KeyboardInterrupt
    assert log.read_text("utf-8") == ""


def test_a_process_exits_with_status_1_and_one_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom patchcert import InputError\nfrom patchcert.study.adapter import job\n"
        "with job(sys.argv[1]):\n    raise InputError('no such file; fetch it')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "job.log")],
        env={"PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.rstrip().endswith("no such file; fetch it")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
