"""Long work in blocks: nothing finished is done twice, nothing of another job is taken up, and nothing is left behind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from patchcert.study.blocks import finished_blocks


class Killed(BaseException):
    """Stands for a process that ends at once."""


def run(scratch: Path, images: int = 7, identity: Any = "job", block_size: int = 3, stop_at: int | None = None) -> list[str]:
    """The slices that were worked on; each block's file holds its slice, and is read when all are there."""
    done: list[str] = []

    def work(part: slice, file: Path) -> str:
        text = f"{part.start}:{part.stop}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if part.start == stop_at:
            (file.parent / f".{file.name}.begun").touch()
            raise Killed
        file.write_text(text)
        done.append(text)
        return f"said {text}"

    starts = range(0, images, block_size)
    try:
        with finished_blocks(scratch, identity, images, block_size, work, activity="working") as files:
            assert [file.read_text() for file in files] == [f"{start}:{min(start + block_size, images)}" for start in starts]
    except Killed:
        pass
    return done


def left(scratch: Path) -> list[str]:
    return sorted(file.name for file in scratch.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("images", "block_size", "parts"),
    [(7, 3, ["0:3", "3:6", "6:7"]), (6, 3, ["0:3", "3:6"]), (2, 9, ["0:2"]), (2, 1, ["0:1", "1:2"]), (0, 3, [])],
)
def test_every_image_is_in_one_block(tmp_path: Path, images: int, block_size: int, parts: list[str]) -> None:
    assert run(tmp_path, images, block_size=block_size) == parts
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("stop_at", "before"), [(0, []), (3, ["0:3"]), (6, ["0:3", "3:6"])])
def test_a_killed_job_goes_on_and_clears_up_what_it_had_begun(tmp_path: Path, stop_at: int, before: list[str]) -> None:
    assert run(tmp_path, stop_at=stop_at) == before
    assert len(left(tmp_path)) == len(before) + 1
    assert [*before, *run(tmp_path)] == ["0:3", "3:6", "6:7"]
    assert list(tmp_path.iterdir()) == []


def test_files_stay_until_they_have_been_used_without_a_fault(tmp_path: Path) -> None:
    def work(_: slice, file: Path) -> str:
        file.parent.mkdir(exist_ok=True)
        file.touch()
        return ""

    with pytest.raises(Killed), finished_blocks(tmp_path, "job", 7, 3, work, activity="working"):
        raise Killed
    assert left(tmp_path) == ["block-0000000.npz", "block-0000003.npz", "block-0000006.npz"]


@pytest.mark.parametrize("change", [{"identity": ["job", 1]}, {"images": 8}, {"block_size": 2}], ids=str)
def test_blocks_of_another_job_are_neither_taken_up_nor_deleted(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path, stop_at=6)
    assert run(tmp_path, **change)[0].startswith("0:")
    assert run(tmp_path) == ["6:7"]


def test_the_log_says_what_was_done_before_and_how_far_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, stop_at=3)
    with caplog.at_level(logging.INFO, logger="patchcert.study.blocks"):
        caplog.clear()
        run(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 blocks were done before; going on",
        "working: 3 of 4 images done, said 3:6",
        "working: 4 of 4 images done, said 6:7",
    ]
