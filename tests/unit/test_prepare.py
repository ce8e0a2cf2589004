"""The preparation of one picture, and of many: in order, by few at a time, whole or not at all."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from patchcert import InputError, plugins
from patchcert.datasets.prepare import AHEAD, prepare, prepared

SIDES = st.integers(1, 70)


def photograph(height: int, width: int, mode: str = "RGB") -> Image.Image:
    colours = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(colours).convert(mode)


# --- one picture -------------------------------------------------------------------------------------------------------------


@given(height=SIDES, width=SIDES, rows=st.integers(1, 20), columns=st.integers(1, 20), more=st.integers(0, 9))
def test_a_picture_is_cropped_out_of_the_middle_as_torchvision_does(
    height: int, width: int, rows: int, columns: int, more: int
) -> None:
    picture, resize = photograph(height, width), max(rows, columns) + more
    wanted = Compose([Resize(resize, InterpolationMode.BICUBIC), CenterCrop((rows, columns))])(picture)
    pixels = prepared(np.asarray(picture), (rows, columns), resize)
    np.testing.assert_array_equal(pixels, np.asarray(wanted).transpose(2, 0, 1))


@given(height=SIDES, width=SIDES, rows=SIDES, columns=SIDES)
def test_a_whole_picture_is_scaled(height: int, width: int, rows: int, columns: int) -> None:
    picture = photograph(height, width)
    wanted = picture.resize((columns, rows), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(prepared(np.asarray(picture), (rows, columns)), np.asarray(wanted).transpose(2, 0, 1))


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    picture = np.asarray(photograph(9, 12))
    for resize in (None, 9):
        np.testing.assert_array_equal(prepared(picture, (9, 12), resize), picture.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "P"), ("PNG", "RGBA")]
)
def test_a_file_of_any_kind_has_three_channels(form: str, mode: str) -> None:
    stream = io.BytesIO()
    photograph(20, 30, mode).save(stream, form)
    wanted = np.asarray(Image.open(stream).convert("RGB"))
    pixels = prepared(stream.getvalue(), (20, 30))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 20, 30))
    np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))


# --- many --------------------------------------------------------------------------------------------------------------------


class Loader(SimpleNamespace):
    """A dataset whose images are of one colour each, which counts how far it was read."""

    def records(self, files: dict[str, Path]) -> pd.DataFrame:
        return pd.DataFrame({"image_id": [f"grey-{row:02d}" for row in range(60)], "label": np.arange(60) % 2, "own": "column"})

    def pictures(self, files: dict[str, Path], chosen: pd.DataFrame) -> Iterator[Any]:
        assert set(chosen["own"]) == {"column"}
        for self.read, row in enumerate(chosen.index, start=1):
            yield b"no picture" if self.read == self.broken else np.full((5, 5), 4 * row, dtype=np.uint8)


SETTINGS = {
    "loader": "grey",
    "classes": 2,
    "image_size": [3, 3],
    "resize": None,
    "split_sizes": {"train": 30, "calibration": 6, "test": 10},
    "split_seed": 0,
}
FILES = {"grey.bin": Path("data/grey.bin")}


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    grey = Loader(read=0, broken=None)
    monkeypatch.setattr(plugins, "load", lambda package, name: grey)
    return grey


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_images_are_written_in_the_order_of_the_index(loader: Loader, tmp_path: Path, threads: int) -> None:
    table = prepare(SETTINGS, FILES, tmp_path / "index.parquet", tmp_path / "pixels.npy", threads)
    assert list(table.columns) == ["image_id", "label", "object_size", "split", "row"]
    used = table.index[table["split"] != "unused"]
    pixels = np.load(tmp_path / "pixels.npy")
    assert pixels.shape == (46, 3, 3, 3)
    assert pixels[:, 0, 0, 0].tolist() == (4 * used).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.parquet", "pixels.npy"]


def test_few_pictures_are_read_ahead(loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, done = [], threading.Semaphore(0)

    def slow(picture: np.ndarray, image_size: tuple[int, int], resize: int | None) -> np.ndarray:
        done.acquire(timeout=0.01)  # never given: each picture takes a while
        ahead.append(loader.read)
        return prepared(picture, image_size, resize)

    monkeypatch.setattr("patchcert.datasets.prepare.prepared", slow)
    prepare(SETTINGS, FILES, tmp_path / "index.parquet", tmp_path / "pixels.npy", 2)
    assert len(ahead) == 46
    assert max(read - number for number, read in enumerate(ahead)) <= (AHEAD + 1) * 2 + 1


@pytest.mark.parametrize("broken", [1, 20, 46])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_picture_that_cannot_be_decoded_is_named_and_nothing_is_left(
    loader: Loader, tmp_path: Path, broken: int, threads: int
) -> None:
    loader.broken = broken
    with pytest.raises(InputError, match=r"^data/grey\.bin: the image grey-\d\d cannot be decoded \(.*\); fetch it anew$"):
        prepare(SETTINGS, FILES, tmp_path / "index.parquet", tmp_path / "pixels.npy", threads)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_behind_is_removed(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / ".pixels.npy.a1b2c3.npy").write_bytes(b"half")
    (tmp_path / ".other.npy").write_bytes(b"kept")
    prepare(SETTINGS, FILES, tmp_path / "index.parquet", tmp_path / "pixels.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.npy", "index.parquet", "pixels.npy"]
