"""What mask smoothing and its localisation amount to: records of single images and their shares, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, norm

from patchcert.defenses.mask_smoothing import ABSTAIN, accuracy
from patchcert.evaluation import localisation, mask_smoothing
from patchcert.localisation import NOWHERE, Locations, Outcome
from patchcert.metrics import share

ALPHA, SAMPLES = 0.001, 1000
LARGEST = float(norm.ppf(ALPHA ** (1 / SAMPLES)))
"""The radius where all samples agree, for a deviation of 1; a patch of one pixel changes an image by sqrt(3), which is less."""
SMALL = float(norm.ppf(beta.ppf(ALPHA, 600, SAMPLES - 600 + 1)))

# label, undefended, counts of the first and second phase, outcome, covered; answer, radius, empirical, counted radius
CASES = {
    "certified": (0, 1, [9, 1], [1000, 0], "located", True, 0, LARGEST, 0, LARGEST),
    "barely certified": (1, 1, [4, 6], [400, 600], "located", True, 1, SMALL, 1, SMALL),
    "wrong": (1, 1, [9, 1], [1000, 0], "located", True, 0, LARGEST, 0, 0),
    "uncovered": (0, 0, [9, 1], [1000, 0], "located", False, 0, LARGEST, 0, 0),
    "even": (0, 0, [5, 5], [500, 500], "located", True, ABSTAIN, 0, 0, 0),
    "another candidate": (0, 0, [1, 9], [990, 10], "located", True, ABSTAIN, 0, 0, 0),
    "undisturbed": (1, 1, [0, 0], [0, 0], "undisturbed", False, ABSTAIN, 0, 1, 0),
    "ambiguous": (1, 1, [0, 0], [0, 0], "ambiguous", False, ABSTAIN, 0, ABSTAIN, 0),
}
COLUMNS = ["label", "undefended", "selection", "estimation", "outcome", "covered", "answer", "radius", "empirical", "counted"]
TABLE = pd.DataFrame.from_dict(CASES, orient="index", columns=COLUMNS)
OUTCOMES = TABLE["outcome"].map(mask_smoothing.OUTCOMES).to_numpy(dtype=np.int64)


def records(table: pd.DataFrame = TABLE, sigma: float = 1.0, side: int = 1, located: bool = True) -> pd.DataFrame:
    return mask_smoothing.records(
        table.index.to_numpy(dtype=str),
        table["label"].to_numpy(),
        table["undefended"].to_numpy(),
        np.array(table["selection"].tolist()),
        np.array(table["estimation"].tolist()),
        sigma=sigma,
        alpha=ALPHA,
        mask=(side, side),
        outcomes=OUTCOMES[: len(table)] if located else None,
        covered=table["covered"].to_numpy() if located else None,
    )


def hits(found: pd.DataFrame) -> dict[str, int]:
    return {name: each["hits"] for name, each in mask_smoothing.measures(found, 0.95).items() if isinstance(each, dict)}


@pytest.mark.parametrize("sigma", [1.0, 7.0])
def test_each_image_by_hand(sigma: float) -> None:
    found = records(sigma=sigma)
    assert found["image_id"].tolist() == list(CASES)
    for name in ("label", "undefended", "answer", "empirical", "covered"):
        assert found[name].tolist() == TABLE[name].tolist(), name
    assert found["outcome"].tolist() == OUTCOMES.tolist()
    np.testing.assert_allclose(found["radius"], sigma * TABLE["radius"].to_numpy(dtype=float), rtol=1e-6)
    np.testing.assert_allclose(found["counted_radius"], sigma * TABLE["counted"].to_numpy(dtype=float), rtol=1e-6)
    np.testing.assert_allclose(found["largest_radius"], sigma * LARGEST)
    np.testing.assert_allclose(found["largest_norm"], math.sqrt(3))


def test_where_the_place_is_given_every_image_is_sampled_and_no_patch_need_be_covered() -> None:
    found = records(TABLE[:6], located=False)
    assert found["outcome"].tolist() == [Outcome.LOCATED] * 6
    assert found["covered"].tolist() == [True] * 6
    assert (found["counted_radius"] > 0).tolist() == [True, True, False, True, False, False]


def test_nothing_is_certified_where_no_image_is_sampled() -> None:
    found = mask_smoothing.records(
        np.array(["a", "b"]),
        np.array([1, 1]),
        np.array([1, 1]),
        *np.zeros((2, 2, 3), dtype=np.int64),
        sigma=7,
        alpha=ALPHA,
        mask=(5, 5),
        outcomes=np.array([Outcome.AMBIGUOUS, Outcome.UNDISTURBED]),
    )
    assert found[["answer", "empirical"]].to_numpy().tolist() == [[ABSTAIN, ABSTAIN], [ABSTAIN, 1]]
    assert found["largest_radius"].tolist() == [0, 0]
    measured = mask_smoothing.measures(found, 0.95)
    assert measured["curve"] == [{"radius": 0, "percent": 0}]
    assert (measured["answered"]["hits"], measured["undefended"]["hits"]) == (0, 2)


def test_shares_by_hand() -> None:
    assert hits(records()) == {
        "undefended": 7,
        "empirical": 6,  # all but the wrong and the ambiguous one, the uncovered too
        "answered": 2,
        "unrestricted": 1,
        "rescued": 1,
        "covered": 5,
        "located": 6,
        "undisturbed": 1,
        "ambiguous": 1,
    }
    measured = mask_smoothing.measures(records(), 0.9)
    assert measured["answered"] == share([True, True, *[False] * 6], 0.9)._asdict()
    assert measured["rescued"] == share([True], 0.9)._asdict()
    assert (measured["largest_norm"], measured["alpha"]) == (math.sqrt(3), ALPHA)
    assert measured["largest_radius"] == pytest.approx(LARGEST)


@pytest.mark.parametrize(("sigma", "side", "unrestricted"), [(1, 1, 1), (1, 2, 0), (14, 1, 2), (7, 9, 1), (7, 10, 0)])
def test_any_content_is_certified_from_a_radius_above_its_norm(sigma: float, side: int, unrestricted: int) -> None:
    # sqrt(3) * side against sigma * 2.463 and sigma * 0.128
    assert hits(records(sigma=sigma, side=side))["unrestricted"] == unrestricted


def test_the_curve_is_the_accuracy_at_every_radius() -> None:
    found = records()
    curve = mask_smoothing.measures(found, 0.95)["curve"]
    assert curve == [
        {"radius": 0, "percent": 25},
        {"radius": pytest.approx(SMALL), "percent": 12.5},
        {"radius": pytest.approx(LARGEST), "percent": 0},
    ]
    for radius in (0, SMALL / 2, SMALL * 1.001, 1.5, LARGEST * 0.999, LARGEST * 1.001, 9):
        step = max(point["radius"] for point in curve if point["radius"] <= radius)
        (percent,) = [point["percent"] for point in curve if point["radius"] == step]
        assert percent == 100 * accuracy(found["counted_radius"], [radius]).item()


# --- localisation ------------------------------------------------------------------------------------------------------------

LOCATED, UNDISTURBED, AMBIGUOUS = Outcome
# label, answers to the clean and to the attacked image, outcome, box; right, succeeded, covered
IMAGES = [
    (1, 1, 0, LOCATED, (2, 9, 2, 9), True, True, True),
    (1, 1, 0, LOCATED, (3, 8, 3, 8), True, True, True),  # the patch to the pixel
    (1, 1, 0, LOCATED, (3, 8, 4, 20), True, True, False),
    (1, 1, 1, LOCATED, (0, 32, 0, 32), True, False, True),
    (1, 0, 0, LOCATED, (9, 12, 9, 12), False, False, False),
    (1, 0, 1, UNDISTURBED, NOWHERE, False, False, False),
    (1, 1, 0, AMBIGUOUS, NOWHERE, True, True, False),
    (1, 1, 1, AMBIGUOUS, (0, 32, 0, 32), True, False, False),  # no box counts where none is located
]


def found_patches(images: list[tuple[int, int, int, Outcome, tuple[int, ...], bool, bool, bool]]) -> pd.DataFrame:
    label, clean, undefended, outcomes, boxes, *_ = (np.array(each) for each in zip(*images, strict=True))
    places = Locations(boxes, outcomes.astype(np.int64), undefended, np.zeros((len(images), 1, 1), dtype=np.int64))
    ids = np.array([f"image-{number}" for number in range(len(images))])
    return localisation.records(ids, label, clean, undefended, np.tile([3, 8, 3, 8], (len(images), 1)), places)


def test_each_attacked_image_by_hand() -> None:
    table = found_patches(IMAGES)
    assert table.columns.tolist() == ["image_id", "right", "succeeded", "outcome", "covered"]
    assert table["image_id"].tolist()[::7] == ["image-0", "image-7"]
    for name, wanted in zip(("outcome", "right", "succeeded", "covered"), (3, 5, 6, 7), strict=True):
        assert table[name].tolist() == [image[wanted] for image in IMAGES], name


def test_how_often_the_patch_is_found_by_hand() -> None:
    measured = localisation.measures(found_patches(IMAGES), 0.9)
    assert {name: (each["hits"], each["total"]) for name, each in measured.items()} == {
        "succeeded": (4, 6),
        "covered": (3, 8),
        "elsewhere": (2, 8),
        "undisturbed": (1, 8),
        "ambiguous": (2, 8),
        "covered_if_succeeded": (2, 4),
    }
    assert measured["elsewhere"] == share([True, True, *[False] * 6], 0.9)._asdict()


@pytest.mark.parametrize(
    ("image", "counts", "nothing"),
    [(3, {"succeeded": (0, 1)}, ["covered_if_succeeded"]), (4, {"elsewhere": (1, 1)}, ["succeeded", "covered_if_succeeded"])],
)
def test_a_share_of_no_images_is_no_number(image: int, counts: dict[str, tuple[int, int]], nothing: list[str]) -> None:
    measured = localisation.measures(found_patches([IMAGES[image]]), 0.95)
    assert [name for name, each in measured.items() if each["total"] == 0] == nothing
    for name in nothing:
        *numbers, hits_, total = measured[name].values()
        assert (hits_, total) == (0, 0)
        assert all(math.isnan(number) for number in numbers)
    assert {name: (measured[name]["hits"], measured[name]["total"]) for name in counts} == counts
