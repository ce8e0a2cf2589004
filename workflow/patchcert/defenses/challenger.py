"""Challenger masking: an inference that asks for at most 2 K - 1 labels of K masks, and has double masking's certificate.

Source: PatchCleanser, Appendix C. The certificate is two-mask correctness, :func:`patchcert.defenses.double_masking.certify`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert.defenses.asking import Ask, checked_pairs, first_round, stored


class Decision(NamedTuple):
    """Answers of challenger masking: labels, int64 [N], and the number of games that each took, int64 [N], at most K - 1."""

    labels: NDArray[np.int64]
    games: NDArray[np.int64]


def infer(pair_labels: ArrayLike) -> NDArray[np.int64]:
    """Labels that the defended classifier answers, int64 [N]; see :func:`infer_online`."""
    return decide(pair_labels).labels


def decide(pair_labels: ArrayLike) -> Decision:
    """Play the games of :func:`infer_online` on stored predictions, for all images at once.

    Args:
        pair_labels: as :func:`patchcert.defenses.asking.checked_pairs` takes them, [N, K, K].

    Raises:
        InputError: labels that are none, or an unpredicted pair that a game looks at.
    """
    labels = checked_pairs(pair_labels)
    return infer_online(stored(labels), *labels.shape[:2])


def infer_online(ask: Ask, images: int, masks: int) -> Decision:
    """Run challenger masking on labels asked for as they are needed: K one-mask labels, then one label a game.

    If all one-mask labels agree, that is the answer. Otherwise mask 0 is the first champion. The challenger is the first mask
    that has not lost yet and whose one-mask label differs from the champion's. The game is won by the challenger if the label
    under both masks is the challenger's, and by the champion if it is the champion's or a third one; the winner is the
    champion of the next game. Once every mask that has not lost agrees with the champion, the champion's label is the answer.

    Two-mask correctness on a mask set that covers the patch certifies the answer. For the mask that hides the patch has the
    true label, alone and with any second mask, so that it wins every game, as champion and as challenger. It has not lost
    when the games end, and the champion agrees with it.

    The first call of ``ask`` takes all one-mask predictions, each later one a game of every image that is still undecided.

    Args:
        ask: the asking function.
        images: number of images N.
        masks: number of masks K.
    """
    one_mask = first_round(ask, images, masks)
    champion = np.zeros(images, dtype=np.int64)
    lost = np.zeros((images, masks), dtype=np.bool_)
    games = np.zeros(images, dtype=np.int64)
    playing = np.arange(images)
    while True:
        rivals = ~lost[playing] & (one_mask[playing] != one_mask[playing, champion[playing]][:, None])
        undecided = rivals.any(axis=1)
        playing, rivals = playing[undecided], rivals[undecided]
        if not len(playing):
            return Decision(one_mask[np.arange(images), champion], games)
        challenger = rivals.argmax(axis=1)
        won = ask(playing, champion[playing], challenger) == one_mask[playing, challenger]
        lost[playing, np.where(won, champion[playing], challenger)] = True
        champion[playing[won]] = challenger[won]
        games[playing] += 1
