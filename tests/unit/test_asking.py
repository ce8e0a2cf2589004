"""Asking for labels: stored ones, and the waves of many images against a model that deals requests out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses.asking import UNPREDICTED, Claims, first_round, refuted, stored

from .worlds import Recorder, stored_labels

Request = tuple[int, int, int]


def one_by_one(labels: np.ndarray, claims: Claims, wave: int) -> tuple[set[int], list[list[Request]]]:
    """Claims that are refuted, and the calls: each a list of requests dealt round the queues until the wave is full.

    A call takes no more of a claim than were asked of it before, or one.
    """
    masks, length = labels.shape[1], claims.requests.shape[1]
    queues: dict[int, list[tuple[int, int]]] = {int(image): [] for image in claims.images}
    for claim, image in enumerate(claims.images.tolist()):
        queues[image] += [(claim, place) for place in range(length)]
    found: set[int] = set()
    calls = []
    while any(queues.values()):
        taken: dict[int, list[tuple[int, int]]] = {image: [] for image in queues}
        places = {image: queue[0][1] for image, queue in queues.items() if queue}
        allowed = {image: min(length - place, max(1, place)) for image, place in places.items()}
        while sum(map(len, taken.values())) < wave and any(allowed.values()):
            for image in allowed:
                if allowed[image] and sum(map(len, taken.values())) < wave:
                    taken[image].append(queues[image].pop(0))
                    allowed[image] -= 1
        call = []
        for image, batch in taken.items():
            requests = [(image, *divmod(int(claims.requests[claim, place]), masks)) for claim, place in batch]
            call += requests
            found |= {claim for (claim, _), at in zip(batch, requests, strict=True) if labels[at] != claims.labels[claim]}
            complete = [claim for claim, place in batch if place == length - 1 and claim not in found]
            queues[image] = [] if complete else [each for each in queues[image] if each[0] not in found]
        calls.append(call)
    return found, calls


@st.composite
def worlds_of_claims(draw: st.DrawFn) -> tuple[np.ndarray, Claims]:
    """Labels [N, K, K] of few kinds, and claims of one length about some of the images, some images with several."""
    labels = draw(stored_labels(largest=1))
    images, masks = labels.shape[:2]
    about = sorted(draw(st.lists(st.integers(0, images - 1), max_size=8)))
    length = draw(st.integers(0, 5))
    claimed = draw(st.lists(st.integers(0, 1), min_size=len(about), max_size=len(about)))
    size = len(about) * length
    requests = draw(st.lists(st.integers(0, masks**2 - 1), min_size=size, max_size=size))
    return labels, Claims(
        np.array(about, dtype=np.int64),
        np.array(claimed, dtype=np.int64),
        np.array(requests, dtype=np.int64).reshape(len(about), length),
    )


@settings(max_examples=400, deadline=None)
@given(worlds_of_claims(), st.sampled_from([1, 2, 3, 5, 7, 64]))
def test_waves_are_those_of_dealing_out_one_by_one(given_world: tuple[np.ndarray, Claims], wave: int) -> None:
    labels, claims = given_world
    recorder = Recorder(labels)
    found = refuted(recorder, claims, masks=labels.shape[1], wave=wave)
    expected, calls = one_by_one(labels, claims, wave)
    assert set(np.flatnonzero(found).tolist()) == expected
    assert recorder.calls == calls


@settings(max_examples=200, deadline=None)
@given(worlds_of_claims(), st.sampled_from([1, 2, 5, 64]))
def test_the_first_claim_that_is_not_refuted_holds(given_world: tuple[np.ndarray, Claims], wave: int) -> None:
    labels, claims = given_world
    found = refuted(Recorder(labels), claims, masks=labels.shape[1], wave=wave)
    first, second = np.divmod(claims.requests, labels.shape[1])
    wrong = (labels[claims.images[:, None], first, second] != claims.labels[:, None]).any(axis=1)
    assert not (found & ~wrong).any()
    for image in set(claims.images.tolist()):
        own = claims.images == image
        holding, unrefuted = np.flatnonzero(own & ~wrong), np.flatnonzero(own & ~found)
        assert holding[:1].tolist() == unrefuted[:1].tolist()


def test_waves_by_hand() -> None:
    labels = np.ones((3, 3, 3), dtype=np.int64)
    labels[0, 1, 1] = 2
    # image 0 claims 1 for masks (0, 0), (1, 1), (0, 1), (1, 2), (2, 2) and then 2 for the same; image 2 claims 1 for them
    claims = Claims(np.array([0, 0, 2]), np.array([1, 2, 1]), np.array([[0, 4, 1, 5, 8]] * 3))
    recorder = Recorder(labels)
    assert refuted(recorder, claims, masks=3, wave=8).tolist() == [True, True, False]
    assert recorder.calls == [
        [(0, 0, 0), (2, 0, 0)],  # one of each claim, however large the wave
        [(0, 1, 1), (2, 1, 1)],  # one was asked of each before
        [(0, 0, 0), (2, 0, 1), (2, 1, 2)],  # the first claim has fallen: the second begins with one; the other goes on with two
        [(2, 2, 2)],
    ]
    recorder = Recorder(labels)
    assert refuted(recorder, claims, masks=3, wave=2).tolist() == [True, True, False]
    assert recorder.calls == [
        [(0, 0, 0), (2, 0, 0)],
        [(0, 1, 1), (2, 1, 1)],
        [(0, 0, 0), (2, 0, 1)],
        [(2, 1, 2), (2, 2, 2)],  # image 0 is settled, and its place goes to the other
    ]


def test_no_claim_and_claims_of_nothing() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    recorder = Recorder(np.ones((2, 2, 2), dtype=np.int64))
    assert refuted(recorder, Claims(nothing, nothing, np.zeros((0, 3), dtype=np.int64)), masks=2, wave=4).shape == (0,)
    both = np.array([0, 1])
    assert refuted(recorder, Claims(both, both, np.zeros((2, 0), dtype=np.int64)), masks=2).tolist() == [False, False]
    assert recorder.calls == []


@pytest.mark.parametrize("wave", [0, -3])
def test_a_wave_asks_something(wave: int) -> None:
    one = np.array([0])
    with pytest.raises(InputError, match=f"^wave: {wave}; write a whole number from 1 up, such as the batch size$"):
        refuted(Recorder(np.ones((1, 1, 1), dtype=np.int64)), Claims(one, one, one[:, None]), masks=1, wave=wave)


def test_the_first_round_is_one_call() -> None:
    recorder = Recorder(np.array([[[3, 0], [0, 4]], [[5, 0], [0, 6]], [[7, 0], [0, 8]]]))
    assert first_round(recorder, 3, 2).tolist() == [[3, 4], [5, 6], [7, 8]]
    assert recorder.calls == [[(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 1)]]


def test_stored_labels_answer_in_either_order_of_the_masks() -> None:
    ask = stored(np.array([[[1, 2], [2, 3]], [[4, UNPREDICTED], [UNPREDICTED, 5]]], dtype=np.int16))
    answers = ask(np.array([0, 0, 1, 0]), np.array([0, 1, 1, 1]), np.array([1, 0, 1, 1]))
    assert answers.tolist() == [2, 2, 5, 3]
    assert answers.dtype == np.int64
    with pytest.raises(InputError, match=r"^image 1: the label under masks 1 and 0 is missing, .*; predict in matrix mode$"):
        ask(np.array([0, 1]), np.array([0, 1]), np.array([1, 0]))
    with pytest.raises(InputError, match=r"^pair_labels: not symmetric"):
        stored([[[1, 2], [3, 1]]])
