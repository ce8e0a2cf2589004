"""Localisation by joint voting on label maps made by hand, and the label maps themselves with an inpainting that is known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from patchcert import InputError, inpainting
from patchcert.inpainting import restored, restored_blocks
from patchcert.label_maps import label_maps
from patchcert.localisation import Outcome, covered, cross, locate
from patchcert.masks import patch_positions
from patchcert.models.registry import Normalisation

torch.set_num_threads(1)

# --- voting ------------------------------------------------------------------------------------------------------------------


def votes(*rows: str) -> np.ndarray:
    """A label map: 7 where there is a dot, and else the digit."""
    return np.array([[7 if each == "." else int(each) for each in row] for row in rows])[None]


CROSS = votes(
    "........",
    "...1....",
    "..111...",
    "...2....",
    "........",
    "........",
)


def test_the_middle_of_a_cross_of_votes_is_found() -> None:
    found = locate(CROSS, (2, 2), overlap=2, threshold=3, tolerance=0)
    # the template of a 2x2 block with arms of one position: itself and its four neighbours
    assert found.scores.tolist() == [
        [
            [0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 2, 2, 2, 0, 0, 0],
            [0, 1, 2, 5, 2, 1, 0, 0],
            [0, 0, 2, 2, 2, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ]
    ]
    assert found.boxes.tolist() == [[2, 4, 3, 5]]
    assert (found.outcomes.tolist(), found.attacked.tolist()) == ([Outcome.LOCATED], [7])
    assert all(part.dtype == np.int64 for part in found)


def test_templates_by_hand() -> None:
    assert cross((2, 2), 2).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert cross((3, 3), 1).tolist() == [[1] * 5] * 5
    assert cross((3, 3), 2).tolist() == [[0, 1, 1, 1, 0], [1] * 5, [1] * 5, [1] * 5, [0, 1, 1, 1, 0]]
    assert cross((3, 3), 3).tolist() == [[0, 0, 1, 0, 0]] * 2 + [[1] * 5] + [[0, 0, 1, 0, 0]] * 2


@pytest.mark.parametrize(("tolerance", "box"), [(0, [2, 4, 3, 5]), (1, [1, 5, 2, 6]), (3, [0, 7, 0, 8]), (9, [0, 7, 0, 9])])
def test_the_tolerance_enlarges_the_box_within_the_image(tolerance: int, box: list[int]) -> None:
    assert locate(CROSS, (2, 2), overlap=2, threshold=3, tolerance=tolerance).boxes.tolist() == [box]


def test_three_pixels_are_the_papers_tolerance() -> None:
    assert locate(CROSS, (2, 2), overlap=2, threshold=3).boxes.tolist() == [[0, 7, 0, 8]]


APART = votes(
    "1.......",
    "11......",
    "1.......",
    "......11",
    "......1.",
    "........",
)


@pytest.mark.parametrize(
    ("maps", "threshold", "outcome", "box"),
    [
        pytest.param(APART, 4, Outcome.LOCATED, [1, 3, 0, 2], id="no-second-place-above-the-threshold"),
        pytest.param(APART, 3, Outcome.LOCATED, [1, 3, 0, 2], id="equal-to-the-threshold-is-not-above"),
        pytest.param(APART, 2, Outcome.AMBIGUOUS, [0, 0, 0, 0], id="two-places-apart"),
        pytest.param(np.full((1, 4, 4), 7), 0, Outcome.UNDISTURBED, [0, 0, 0, 0], id="no-votes"),
        pytest.param(votes("1....", ".1...", "....."), 0, Outcome.LOCATED, [0, 2, 1, 3], id="hanging-together"),
        pytest.param(votes("1....", ".....", ".....", "...1."), 0, Outcome.AMBIGUOUS, [0, 0, 0, 0], id="not-hanging-together"),
        pytest.param(votes("1....", ".....", "..1.."), 0, Outcome.LOCATED, [1, 3, 2, 4], id="corner-to-corner"),
        pytest.param(votes(".....", "..1..", "....."), 0, Outcome.LOCATED, [1, 3, 2, 4], id="a-tie-to-the-middle"),
    ],
)
def test_outcomes_by_hand(maps: np.ndarray, threshold: int, outcome: Outcome, box: list[int]) -> None:
    found = locate(maps, (2, 2), overlap=2, threshold=threshold, tolerance=0)
    assert (found.outcomes.tolist(), found.boxes.tolist()) == ([outcome], [box])


def test_the_attacked_label_is_the_most_frequent_and_the_smallest_of_tied_ones() -> None:
    maps = np.array([[[3, 3], [9, 1]], [[9, 2], [2, 9]]])
    assert locate(maps, (2, 2), overlap=1, threshold=9).attacked.tolist() == [3, 2]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int], int]:
    block = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    maps = draw(arrays.arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
                              elements=st.integers(0, 2)))  # fmt: skip
    return maps, block, draw(st.integers(1, min(block)))


@given(worlds())
def test_scores_count_the_blocks_that_share_rows_or_columns(world: tuple[np.ndarray, tuple[int, int], int]) -> None:
    maps, block, overlap = world
    found = locate(maps, block, overlap=overlap, threshold=0)
    size = maps.shape[1] + block[0] - 1, maps.shape[2] + block[1] - 1
    positions = patch_positions(size, block).tolist()
    for labels, scores, attacked in zip(maps.reshape(len(maps), -1), found.scores, found.attacked, strict=True):
        assert attacked == np.bincount(labels).argmax()
        wanted = []
        for top, bottom, left, right in positions:
            count = 0
            for label, (above, below, before, behind) in zip(labels, positions, strict=True):
                rows = len(set(range(top, bottom)) & set(range(above, below)))
                columns = len(set(range(left, right)) & set(range(before, behind)))
                count += label != attacked and min(rows, columns) > 0 and max(rows, columns) >= overlap
            wanted.append(count)
        assert scores.ravel().tolist() == wanted


@pytest.mark.parametrize(("patch", "block", "needed"), [((5, 5), (5, 5), 16), ((4, 4), (5, 5), 8), ((3, 5), (5, 5), 15)])
def test_a_patch_that_needs_much_of_itself_is_covered_wherever_it_is(
    patch: tuple[int, int], block: tuple[int, int], needed: int
) -> None:
    """The attack succeeds while ``needed`` pixels of the patch are seen, and else the answer is right."""
    size = (20, 18)
    positions, places = patch_positions(size, block), patch_positions(size, patch)
    top, bottom, left, right = (each[:, None] for each in places.T)
    rows = (np.minimum(bottom, positions[:, 1]) - np.maximum(top, positions[:, 0])).clip(0)
    columns = (np.minimum(right, positions[:, 3]) - np.maximum(left, positions[:, 2])).clip(0)
    attacked = patch[0] * patch[1] - rows * columns >= needed
    maps = np.where(attacked, 4, 1).reshape(len(places), size[0] - block[0] + 1, -1)
    found = locate(maps, block, overlap=block[0], threshold=10)
    assert (found.outcomes == Outcome.LOCATED).all()
    assert (found.attacked == 4).all()
    assert covered(found.boxes, places).all()


@pytest.mark.parametrize(
    ("box", "inside"),
    [([2, 5, 3, 7], True), ([0, 9, 0, 9], True), ([3, 5, 3, 7], False), ([2, 4, 3, 7], False), ([2, 5, 4, 7], False),
     ([2, 5, 3, 6], False), ([0, 0, 0, 0], False)],
)  # fmt: skip
def test_a_box_covers_a_patch_with_all_its_sides(box: list[int], inside: bool) -> None:
    assert covered([box], [[2, 5, 3, 7]]).tolist() == [inside]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": CROSS[0]}, r"^labels: int64 of shape \(6, 8\); write whole numbers, \[images, rows, columns\]$"),
        ({"labels": CROSS * 1.0}, "^labels: float64 "),
        ({"labels": CROSS[:, :0]}, "^labels: "),
        ({"overlap": 0}, "^overlap: 0; write rows or columns of a block of 2x2, 1 to 2$"),
        ({"overlap": 3}, "^overlap: 3; "),
        ({"threshold": -1}, "^threshold: -1, tolerance: 3; write whole numbers from 0 up$"),
        ({"tolerance": -1}, "^threshold: 3, tolerance: -1; "),
    ],
)
def test_what_cannot_be_voted_on(changes: dict[str, Any], message: str) -> None:
    settings = {"labels": CROSS, "block": (2, 2), "overlap": 2, "threshold": 3} | changes
    with pytest.raises(InputError, match=message):
        locate(settings.pop("labels"), settings.pop("block"), **settings)


def test_boxes_and_patches_must_be_of_the_same_images() -> None:
    with pytest.raises(InputError, match=r"^patches: shape \(1, 4\), boxes: \(2, 4\); "):
        covered(np.zeros((2, 4)), np.zeros((1, 4)))


# --- label maps --------------------------------------------------------------------------------------------------------------

PICTURES = np.random.default_rng(3).integers(0, 256, (3, 3, 9, 8), dtype=np.uint8)
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Painter:
    """In place of OpenCV: missing pixels get the largest value of each channel within the radius; it counts its calls."""

    INPAINT_TELEA, __version__ = 1, "of tests"

    def __init__(self) -> None:
        self.calls = 0

    def inpaint(self, image: np.ndarray, missing: np.ndarray, radius: int, method: int) -> np.ndarray:
        assert (image.dtype, missing.dtype, method) == (np.uint8, np.uint8, self.INPAINT_TELEA)
        self.calls += 1
        painted = image.copy()
        for row, column in np.argwhere(missing):
            around = slice(max(0, row - radius), row + radius + 1), slice(max(0, column - radius), column + radius + 1)
            painted[row, column] = (image[around] * (missing[around] == 0)[..., None]).max(axis=(0, 1))
        return painted


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    found = Painter()
    monkeypatch.setattr(inpainting, "_opencv", lambda: found)
    return found


def whole(paint: Callable[..., np.ndarray], block: tuple[int, int], image: np.ndarray) -> np.ndarray:
    """Every copy of an image [3, H, W] that is inpainted at one position, uint8 [P, 3, H, W], by painting whole images."""
    copies = []
    for top, bottom, left, right in patch_positions(image.shape[1:], block).tolist():
        missing = np.zeros(image.shape[1:], dtype=np.uint8)
        missing[top:bottom, left:right] = 1
        copies.append(paint(np.ascontiguousarray(image.transpose(1, 2, 0)), missing, inpainting.RADIUS, 1).transpose(2, 0, 1))
    return np.stack(copies)


class Brightest(torch.nn.Module):
    """The row that has the brightest red pixel; the classes are rows, and tied ones are left to the rule of ties."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return images[:, 0].amax(dim=2)


@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.parametrize("block", [(3, 3), (2, 4)])
def test_label_maps_are_the_answers_to_every_restored_copy(
    painter: Painter, tmp_path: Path, block: tuple[int, int], batch_size: int | None
) -> None:
    found = label_maps(Brightest(), PICTURES, block, tmp_path, normalisation=PLAIN, batch_size=batch_size)
    assert (found.dtype, found.shape) == (np.int64, (3, 10 - block[0], 9 - block[1]))
    for image, labels in zip(PICTURES, found, strict=True):
        wanted = whole(painter.inpaint, block, image)[:, 0].max(axis=2).argmax(axis=1)
        assert labels.ravel().tolist() == wanted.tolist()
    assert len(np.unique(found)) > 1


def test_restored_blocks_are_made_once_an_image_and_block(painter: Painter, tmp_path: Path) -> None:
    first = [np.array(each) for each in restored(PICTURES, (3, 3), tmp_path)]
    assert painter.calls == 3 * 7 * 6
    again = list(restored(PICTURES[::-1].copy(), (3, 3), tmp_path))
    assert painter.calls == 3 * 7 * 6
    assert all(np.array_equal(*pair) for pair in zip(first, again[::-1], strict=True))
    changed = PICTURES[:1].copy()
    changed[0, 2, 8, 7] ^= 1
    (_,) = restored(changed, (3, 3), tmp_path)
    assert painter.calls == 4 * 7 * 6
    assert len(list(restored(PICTURES[:1], (2, 3), tmp_path))) == 1
    assert painter.calls == 4 * 7 * 6 + 8 * 6
    assert len(list(tmp_path.iterdir())) == 5
    painter.__version__ = "another"  # type: ignore[misc]
    list(restored(PICTURES[:1], (3, 3), tmp_path))
    assert len(list(tmp_path.iterdir())) == 6


def test_a_damaged_file_is_named(painter: Painter, tmp_path: Path) -> None:
    list(restored(PICTURES[:1], (3, 3), tmp_path))
    (file,) = tmp_path.iterdir()
    for content in (b"nothing", file.read_bytes()[:-7]):
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{file}: it is damaged \(.*\); delete it, and it is made anew$"):
            list(restored(PICTURES[:1], (3, 3), tmp_path))
    np.save(file, np.zeros(3, dtype=np.uint8))
    with pytest.raises(InputError, match=rf"^{file}: shape \(3,\) in place of \(42, 3, 3, 3\); delete it, "):
        list(restored(PICTURES[:1], (3, 3), tmp_path))


@pytest.mark.parametrize(
    ("images", "block", "workers", "message"),
    [
        (PICTURES[0], (3, 3), 1, r"^images: uint8 of shape \(3, 9, 8\); give uint8 \[N, 3, H, W\]$"),
        (PICTURES / 255, (3, 3), 1, "^images: float64 "),
        (PICTURES[:0], (3, 3), 1, "^images: there is none; give one or more$"),
        (PICTURES, (10, 3), 1, "^patch_size 10x3 has more rows than image_size 9x8; "),
        (PICTURES, (3, 3), 0, "^workers: 0; write a whole number from 1 up$"),
    ],
)
def test_what_cannot_be_restored(
    painter: Painter, tmp_path: Path, images: np.ndarray, block: tuple[int, int], workers: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        label_maps(Brightest(), images, block, tmp_path, normalisation=PLAIN, workers=workers)


def test_a_logit_that_is_not_finite_is_refused(painter: Painter, tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0].amax(dim=2).log() * torch.inf

    with pytest.raises(InputError, match=r"^the classifier gave a logit that is not finite; "):
        label_maps(Broken(), PICTURES, (3, 3), tmp_path, normalisation=PLAIN)


def test_without_opencv_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(name: str) -> SimpleNamespace:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(inpainting, "import_module", fail)
    with pytest.raises(InputError, match=r"^inpainting: OpenCV is not installed; install opencv-python-headless$"):
        restored(PICTURES, (3, 3), tmp_path)


# --- with OpenCV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "block"), [((32, 32), (5, 5)), ((20, 40), (11, 3)), ((9, 8), (3, 3))])
def test_what_is_far_from_a_block_does_not_matter_to_telea(size: tuple[int, int], block: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (3, *size), dtype=np.uint8)
    copies = whole(cv2.inpaint, block, image)
    found = restored_blocks(image.transpose(1, 2, 0), block)
    for blocks, copy, (top, bottom, left, right) in zip(found, copies, patch_positions(size, block).tolist(), strict=True):
        assert np.array_equal(blocks, copy[:, top:bottom, left:right].transpose(1, 2, 0))


def test_several_threads_restore_what_one_does(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 12, 12), dtype=np.uint8)
    alone, shared = (
        [np.array(each) for each in restored(images, (4, 4), tmp_path / str(workers), workers)] for workers in (1, 2)
    )
    assert all(np.array_equal(*pair) for pair in zip(alone, shared, strict=True))


def test_several_threads_restore_in_a_script_that_nobody_may_run_twice(tmp_path: Path) -> None:
    """An adapter is such a script; processes of a pool would begin with running it."""
    pytest.importorskip("cv2")
    once = tmp_path / "once"
    script = tmp_path / "adapter.py"
    script.write_text(
        "import numpy as np\nfrom pathlib import Path\nfrom patchcert.inpainting import restored\n"
        f"Path({str(once)!r}).mkdir()\nimages = np.zeros((3, 3, 8, 8), dtype=np.uint8)\n"
        f"assert len(list(restored(images, (4, 4), Path({str(tmp_path)!r}), 2))) == 3\n"
    )
    subprocess.run([sys.executable, script], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
