"""BagCert: three certificates for classifiers that sum up scores of small regions.

A region scorer gives each class a score at each of H x W outputs, 0 or 1; the answer is the class whose *aggregate*, by default
the sum over the outputs, is largest. A patch at place l changes no output outside R(l), whatever it shows. What is left of the
true class's lead in the worst case, all scores of R(l) turned against it, is certified if it is above 0.

Sums of scores of 0 and 1 are counted in integers. Other scores from 0 to 1 are rounded to multiples of 2^-24 first, for which
sums in float64 are exact as well: no certificate hangs on the order of a sum or on the device. What the rounding of a forward
pass does to scores is not covered by this; for that there is a numerical margin.

Functions take numpy arrays or torch tensors, work on the device where the scores are, and give back what they were given.
Source: Metzen and Yatsura, "Efficient Certified Defenses Against Patch Attacks on Image Classifiers", ICLR 2021, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses.asking import checked_truth
from patchcert.masking import box_pixels
from patchcert.receptive_field import checked_boxes

Array = TypeVar("Array", NDArray[Any], torch.Tensor)
Affected: TypeAlias = ArrayLike | torch.Tensor
"""R(l) of every place l: maps of the affected outputs, bool [P, H, W], or boxes of them, whole numbers [P, 4]: top, bottom,
left, right, half-open (:meth:`patchcert.receptive_field.ReceptiveField.affected`)."""

Condition = Literal["3.1", "3.2", "3.3"]
"""Any monotone aggregate, place by place; the sum, place by place; the sum, with the largest R(l) for all places."""

Aggregate = Callable[[torch.Tensor], torch.Tensor]
"""Scores float64 [..., C, H, W] to class scores [..., C], a class's never falling where one of its own region scores grows."""

RESOLUTION = 2.0**-24
"""What scores other than 0 and 1 are rounded to a multiple of: the spacing of float32 just below 1."""

NUMBERS = {"cpu": 2**18}
LARGE_NUMBERS = 2**26
"""Numbers in a temporary array, by kind of device: what a processor's cache takes, and what keeps another device busy. At least
those of one image."""


class Margins(NamedTuple, Generic[Array]):
    """How far each image is from losing its certificates; a certificate holds where its margin is above 0.

    Attributes:
        condition_3_2: the least lead of the true class over another one that a patch leaves it, [N]; int64, or float64 where
            any score is neither 0 nor 1.
        condition_3_3: the bound on it by the largest R(l), [N]; never larger.
        place: where the patch leaves the least lead, int64 [N], the number of the place; of equal ones the first.
        target: the class over which it does, int64 [N]; of equal ones the smallest.
    """

    condition_3_2: Array
    condition_3_3: Array
    place: Array
    target: Array


def infer(scores: Array, *, aggregate: Aggregate | None = None) -> Array:
    """The classifier's answers, int64 [N]: the class with the largest aggregate; of tied ones the smallest.

    Args:
        scores: region scores from 0 to 1, [N, C, H, W]: bool, whole or floating-point numbers.
        aggregate: in place of the sum.

    Raises:
        InputError: a wrong shape, type or range.
    """
    answers = torch.empty(len(scores), dtype=torch.int64, device=_device(scores))
    for images, values in _blocks(scores):
        answers[images] = _class_scores(values, aggregate).argmax(dim=1)
    return _like(scores, answers)


def certify(
    scores: Array,
    labels: ArrayLike | torch.Tensor,
    affected: Affected,
    condition: Condition,
    *,
    aggregate: Aggregate | None = None,
    numerical_margin: float = 0.0,
) -> Array:
    """Whether a condition of the paper certifies that no patch turns the answer from the label, bool [N].

    All conditions ask that the label be strictly ahead, so that no tie needs to be broken in its favour.

    Args:
        scores: region scores from 0 to 1 of the clean images, [N, C, H, W]: bool, whole or floating-point numbers.
        labels: true labels, whole numbers [N].
        affected: the outputs that a patch can affect, for each of its places, as maps or boxes.
        condition: "3.1", with the given aggregate or the sum; "3.2", the same for the sum, for all places at once; "3.3",
            weaker, which only needs to know the largest number of affected outputs.
        aggregate: in place of the sum, for condition 3.1. It must be monotone, which cannot be checked here.
        numerical_margin: the label's lead must be greater than this; in units of the aggregate.

    Raises:
        InputError: a wrong shape, type or range, no place, an unknown condition, or an aggregate with a condition for sums.
    """
    if condition not in get_args(Condition):
        raise InputError(f"condition: {condition!r}; write one of {', '.join(get_args(Condition))}")
    if aggregate is not None and condition != "3.1":
        raise InputError(f"aggregate: condition {condition} is for sums; write condition 3.1, or no aggregate")
    if not 0 <= numerical_margin < math.inf:
        raise InputError(f"numerical_margin: {numerical_margin!r}; write a number from 0 up")
    truth, regions = _truth(labels, scores), _regions(affected, scores)
    held = torch.empty(len(truth), dtype=torch.bool, device=truth.device)
    for images, values in _blocks(scores):
        if condition == "3.1":
            left = _left_of_aggregates(values, truth[images], regions, aggregate)
        elif condition == "3.2":
            left = _left_of_sums(_Gain(values, truth[images]), regions)[0].amin(dim=1)
        else:
            left = _Gain(values, truth[images]).lead.amin(dim=1) - 2 * regions.largest
        # a whole number is greater than the margin exactly if it is greater than the margin rounded down
        held[images] = left > (numerical_margin if left.dtype.is_floating_point else math.floor(numerical_margin))
    return _like(scores, held)


def margins(scores: Array, labels: ArrayLike | torch.Tensor, affected: Affected) -> Margins[Array]:
    """How far each image is from losing its certificates by conditions 3.2 and 3.3; arguments as for :func:`certify`."""
    return sweep(scores, labels, [affected])[0]


def weakest(scores: Array, labels: ArrayLike | torch.Tensor, affected: Affected) -> tuple[Array, Array]:
    """Place and class over which a patch leaves the true class the least lead by condition 3.2, int64 [N] each.

    A patch that could turn all of R(l) would do most harm there, so that an attack may well begin there. The place is a row of
    ``affected``; :class:`patchcert.receptive_field.Places` has a patch for it. Arguments as for :func:`certify`. Source:
    BagCert, appendix A.2.
    """
    found = margins(scores, labels, affected)
    return found.place, found.target


def sweep(scores: Array, labels: ArrayLike | torch.Tensor, threats: Sequence[Affected]) -> list[Margins[Array]]:
    """The margins against each of several threats, such as patches of several sizes, in one pass over the scores.

    Args:
        scores: as for :func:`certify`.
        labels: as for :func:`certify`.
        threats: the affected outputs of all places, as for :func:`certify`, for each threat.

    Raises:
        InputError: as :func:`certify`.
    """
    truth, regions = _truth(labels, scores), [_regions(affected, scores) for affected in threats]
    # filled block by block: results that are kept by themselves would lie between large temporary arrays and scatter the memory
    least = torch.empty(len(regions), 2, len(truth), dtype=torch.float64, device=truth.device)
    where = torch.empty(len(regions), 2, len(truth), dtype=torch.int64, device=truth.device)
    whole = True
    for images, values in _blocks(scores):
        whole &= not values.dtype.is_floating_point
        gain = _Gain(values, truth[images])
        for number, threat in enumerate(regions):
            left, places = _left_of_sums(gain, threat)
            least[number, 0, images], target = left.min(dim=1)
            least[number, 1, images] = gain.lead.amin(dim=1) - 2 * threat.largest
            where[number, 0, images], where[number, 1, images] = places.gather(1, target[:, None])[:, 0], target
    leads = least.to(torch.int64) if whole else least
    return [
        Margins(_like(scores, lead[0]), _like(scores, lead[1]), _like(scores, chosen[0]), _like(scores, chosen[1]))
        for lead, chosen in zip(leads, where, strict=True)
    ]


class _Gain:
    """What an attacker who turns one output takes off the lead of the true class over another one, 1 + Delta of the paper.

    It is never negative: the affected outputs of a place cost at most their sum, and a larger R(l) costs no less.

    Attributes:
        values: 1 + score of the true class - score of the class, [n, C, H, W].
        lead: sum of the differences, [n, C]; the largest number there is for the true class itself.
        truth: true labels, [n].
    """

    def __init__(self, values: torch.Tensor, truth: torch.Tensor) -> None:
        self.values = values[torch.arange(len(truth), device=truth.device), truth][:, None] - values + 1
        self.truth = truth
        self.lead = _over_others(self.values.sum(dim=(2, 3), dtype=values.dtype) - values.shape[2] * values.shape[3], truth)


def _left_of_sums(gain: _Gain, regions: _Boxes | _Maps) -> tuple[torch.Tensor, torch.Tensor]:
    """The least lead that a patch leaves the true class over each class, and the place where, [n, C] each."""
    images, classes = gain.lead.shape
    most, place = torch.full_like(gain.lead, -1), torch.zeros_like(gain.lead, dtype=torch.int64)
    summed = regions.sums(gain.values)
    step = max(1, _numbers(place.device) // max(1, images * classes))
    for begin in range(0, len(regions), step):
        most_here, here = summed(slice(begin, begin + step)).max(dim=0)
        more = most_here > most
        most, place = torch.where(more, most_here, most), torch.where(more, here + begin, place)
    return _over_others(gain.lead - most, gain.truth), place


def _left_of_aggregates(
    values: torch.Tensor, truth: torch.Tensor, regions: _Boxes | _Maps, aggregate: Aggregate | None
) -> torch.Tensor:
    """The least lead of the true class over any other in the aggregates of the worst-case scores of every place, [n]."""
    others = torch.ones(values.shape[:2], dtype=values.dtype, device=values.device).scatter_(1, truth[:, None], 0)
    step = max(1, _numbers(values.device) // max(1, values.numel()))
    least = []
    for begin in range(0, len(regions), step):
        affected = regions.pixels(slice(begin, begin + step))[:, None, None]
        found = _class_scores(torch.where(affected, others[..., None, None], values), aggregate)
        lead = found.gather(2, truth[None, :, None].expand(len(found), -1, 1)) - found
        least.append(_over_others(lead, truth).amin(dim=(0, 2)))
    return torch.stack(least).amin(dim=0)


def _over_others(lead: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The leads over each class, [..., n, C], with the largest number there is for the true class itself."""
    limits = torch.finfo(lead.dtype) if lead.dtype.is_floating_point else torch.iinfo(lead.dtype)
    return lead.scatter(-1, truth[:, None].expand(*lead.shape[:-1], 1), limits.max)


def _class_scores(values: torch.Tensor, aggregate: Aggregate | None) -> torch.Tensor:
    if aggregate is None:
        return values.sum(dim=(-2, -1), dtype=values.dtype)
    found: torch.Tensor = aggregate(values.double())
    if found.shape != values.shape[:-2]:
        raise InputError(f"aggregate: it makes {tuple(found.shape)} of {tuple(values.shape)}; write one that makes [..., C]")
    return found


class _Boxes:
    """Affected outputs as boxes [P, 4]: sums over all of them come from one summed-area table."""

    def __init__(self, boxes: NDArray[np.int64], size: tuple[int, int], device: torch.device) -> None:
        self._boxes, self._size, self._device = boxes, size, device
        top, bottom, left, right = boxes.T
        self.largest = int(((bottom - top) * (right - left)).max())
        corners = np.stack([bottom, top, bottom, top]) * (size[1] + 1) + np.stack([right, right, left, left])
        self._corners = torch.from_numpy(corners).to(device)

    def __len__(self) -> int:
        return len(self._boxes)

    def pixels(self, places: slice) -> torch.Tensor:
        """The boxes of some places as maps, bool [p, H, W]."""
        return box_pixels(self._boxes[places], self._size, self._device)

    def sums(self, values: torch.Tensor) -> Callable[[slice], torch.Tensor]:
        """A function of some places that sums values [n, C, H, W] over each of their boxes, [p, n, C]."""
        images, classes, rows, columns = values.shape
        table = values.new_zeros(rows + 1, columns + 1, images * classes)
        table[1:, 1:] = _places_first(values).cumsum(0, dtype=values.dtype).cumsum(1, dtype=values.dtype)
        table = table.flatten(0, 1)

        def summed(places: slice) -> torch.Tensor:
            below_right, right, below, corner = self._corners[:, places]
            found = table.index_select(0, below_right)
            found -= table.index_select(0, right)
            found -= table.index_select(0, below)
            found += table.index_select(0, corner)
            return found.reshape(len(found), images, classes)

        return summed


class _Maps:
    """Affected outputs as maps, bool [P, H, W]: sums over all of them are a matrix product."""

    def __init__(self, maps: torch.Tensor) -> None:
        self._maps = maps
        self.largest = int(maps.sum(dim=(1, 2)).max())

    def __len__(self) -> int:
        return len(self._maps)

    def pixels(self, places: slice) -> torch.Tensor:
        """The maps of some places, bool [p, H, W]."""
        return self._maps[places]

    def sums(self, values: torch.Tensor) -> Callable[[slice], torch.Tensor]:
        """A function of some places that sums values [n, C, H, W] over each of their maps, [p, n, C]."""
        # devices multiply no matrices of integers; float32, and what may stand in for it, keeps 0, 1, 2 and sums below 2^24
        small = not values.dtype.is_floating_point and 2 * values.shape[2] * values.shape[3] < 2**24
        flat = _places_first(values).flatten(0, 1).to(torch.float32 if small else torch.float64)

        def summed(places: slice) -> torch.Tensor:
            found = self._maps[places].flatten(1).to(flat.dtype) @ flat
            return found.to(values.dtype).reshape(len(found), *values.shape[:2])

        return summed


def _places_first(values: torch.Tensor) -> torch.Tensor:
    """Values [n, C, H, W] as [H, W, n C]: a place's numbers side by side are read far faster."""
    return values.permute(2, 3, 0, 1).flatten(2)


def _regions(affected: Affected, scores: Array) -> _Boxes | _Maps:
    size, device = (scores.shape[2], scores.shape[3]), _device(scores)
    found = _tensor(affected)
    if found.ndim not in (2, 3) or (found.ndim == 3 and (found.dtype != torch.bool or tuple(found.shape[1:]) != size)):
        raise InputError(
            f"affected: {found.dtype} of shape {tuple(found.shape)}; "
            f"write bool maps, [places, {size[0]}, {size[1]}], or boxes, [places, 4]"
        )
    if not len(found):
        raise InputError("affected: there is no place; write an empty map or box for a patch that affects nothing")
    if found.ndim == 3:
        return _Maps(found.to(device))
    return _Boxes(checked_boxes("affected", found.cpu().numpy(), size), size, device)


def _truth(labels: ArrayLike | torch.Tensor, scores: Array) -> torch.Tensor:
    _check_scores(scores)
    images, classes = scores.shape[:2]
    found = checked_truth(labels.cpu().numpy() if isinstance(labels, torch.Tensor) else labels, images)
    outside = found[(found < 0) | (found >= classes)]
    if len(outside):
        raise InputError(f"labels: {outside[0]}; write whole numbers from 0 to {classes - 1}")
    return torch.from_numpy(found.copy()).to(_device(scores))


def _check_scores(scores: Array) -> None:
    number = not scores.dtype.is_complex if isinstance(scores, torch.Tensor) else scores.dtype.kind in "biuf"
    if scores.ndim != 4 or scores.shape[1] < 2 or 0 in scores.shape[2:] or not number:
        raise InputError(
            f"scores: {scores.dtype} of shape {tuple(scores.shape)}; "
            "write numbers from 0 to 1, [images, classes, rows, columns], for two classes or more"
        )


def _blocks(scores: Array) -> Iterator[tuple[slice, torch.Tensor]]:
    """Some images at a time, with their scores in which sums are exact; one empty block where there are no images."""
    _check_scores(scores)
    step = max(1, _numbers(_device(scores)) // int(np.prod(scores.shape[1:])))
    for begin in range(0, max(1, len(scores)), step):
        images = slice(begin, begin + step)
        yield images, _exact(scores[images])


def _exact(scores: Array) -> torch.Tensor:
    """Scores as int32 where all are 0 or 1, and else as multiples of :data:`RESOLUTION` in float64."""
    found = _tensor(scores)
    if not found.numel() or found.dtype == torch.bool:
        return found.to(torch.int32)
    lowest, highest = found.aminmax()
    if not (lowest >= 0 and highest <= 1):  # so that NaN is refused
        raise InputError(
            f"scores: {lowest.item()} to {highest.item()}; write numbers from 0 to 1, after the scorer's last function"
        )
    if not found.dtype.is_floating_point or bool(((found == 0) | (found == 1)).all()):
        return found.to(torch.int32)
    return (found.double() / RESOLUTION).round() * RESOLUTION


def _tensor(given: Affected) -> torch.Tensor:
    # a copy, since torch wants to be able to write
    return given.detach() if isinstance(given, torch.Tensor) else torch.from_numpy(np.array(given))


def _numbers(device: torch.device) -> int:
    return NUMBERS.get(device.type, LARGE_NUMBERS)


def _device(scores: Array) -> torch.device:
    return scores.device if isinstance(scores, torch.Tensor) else torch.device("cpu")


def _like(given: Array, found: torch.Tensor) -> Array:
    return found if isinstance(given, torch.Tensor) else found.numpy()
