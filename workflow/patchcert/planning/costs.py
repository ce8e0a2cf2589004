"""What one planned job costs: downloads, passes of a classifier and disk, all from its rule's parameters alone.

Counts are those of the code that does the work, and where that stops early, as certificate mode does, what it does at most.
Timings, and what an image is asked without masks or noise beside thousands of passes with them, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from patchcert.datasets.fetch import GENERATED
from patchcert.datasets.packaged import PREFIX
from patchcert.datasets.parts import split_sizes
from patchcert.datasets.sources import TIMM, Source
from patchcert.masks import MaskSet, Size, masks_from_text, size_from_text
from patchcert.planning.jobs import PlannedJob

BACKWARD = 2
"""Forward passes that a backward pass takes as long as: gradients of what goes in and of the weights, a product each."""
CLASSIFYING = ("train", "predict", "attack")
"""Stages whose jobs run a classifier."""


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes:
        downloaded: bytes that come from elsewhere, over the network or from a mirror.
        forward: forward passes, counted in images and masked copies; with the passes of a strategy's search as it counts them.
        work: the same with backward passes, each as :data:`BACKWARD` forward ones.
        written: bytes of its results before compression.
        at_most: whether the passes may be fewer.
        precision: ``float32`` or ``bfloat16``.
        unknown: what is missing in these numbers, in words.
    """

    downloaded: int = 0
    forward: int = 0
    work: int = 0
    written: int = 0
    at_most: bool = False
    precision: str = "float32"
    unknown: tuple[str, ...] = ()


class Costs:
    """Costs of the jobs of one plan."""

    def __init__(self, jobs: Sequence[PlannedJob], sources: Mapping[str, Sequence[Source]]) -> None:
        """Take all jobs of the plan, since an index that one of them makes anew counts no more, and the registry."""
        self._sources = sources
        self._anew = {path for job in jobs for path in job.outputs}
        self._images: dict[str, dict[str, int | None]] = {}
        self._of_rule: dict[str, Callable[[PlannedJob], Cost]] = {
            "fetch": self._fetch,
            "prepare": self._prepare,
            "train": self._train,
            "predict": self._predict,
            "gather_predictions": self._nothing,
            "gather_scores": self._nothing,
            "predict_regions": self._regions,
            "restore_images": self._restore,
            "sample_noise": self._sample,
            "attack_images": self._attack_images,
            "attack_regions": self._attack_regions,
        }

    def of(self, job: PlannedJob) -> Cost:
        """The cost of a job; of a rule that runs a classifier and that nobody has described here, that it is unknown."""
        if job.rule in self._of_rule:
            return self._of_rule[job.rule](job)
        return Cost(unknown=(f"passes of the jobs {job.rule}",)) if job.stage in CLASSIFYING else Cost()

    def _nothing(self, job: PlannedJob) -> Cost:
        return Cost()

    def _fetch(self, job: PlannedJob) -> Cost:
        entry = job.params["entry"]
        size = entry["bytes"]
        if size is None and entry["version"] == TIMM:
            from patchcert.planning.classifiers import published_bytes

            size = published_bytes(entry["name"])
        if size is None:
            return Cost(unknown=(f"size of {entry['name']} {entry['version']}, {entry['file']}",))
        elsewhere = not entry["origin"].startswith((PREFIX, GENERATED))
        return Cost(downloaded=size if elsewhere else 0, written=size)

    def _prepare(self, job: PlannedJob) -> Cost:
        sizes = [self._count(job, split) for split in ("train", "calibration", "test")]
        pixels = 3 * math.prod(_image_size(job))
        return Cost(written=pixels * sum(size or 0 for size in sizes), unknown=self._uncounted(job))

    def _train(self, job: PlannedJob) -> Cost:
        from patchcert.planning.classifiers import asked, shown, weights_bytes  # torch is imported only where it is needed

        settings = job.params["settings"]
        strategy, epochs = shown(settings, _image_size(job)), settings["epochs"]
        images, calibration = self._count(job, "train") or 0, self._count(job, "calibration") or 0
        learnt = epochs * images * strategy.copies
        searched = math.ceil(epochs / settings["refresh_every"]) * images * strategy.search
        compared = max(1, epochs) * calibration * (1 + strategy.draws) * asked(*_classifier(job)).answer
        return Cost(
            forward=learnt + searched + compared,
            work=(1 + BACKWARD) * learnt + searched + compared,
            written=weights_bytes(*_classifier(job)),
            precision=settings["precision"],
            unknown=self._uncounted(job),
        )

    def _predict(self, job: PlannedJob) -> Cost:
        number, shards = (int(part) for part in job.wildcards["scatteritem"].split("-of-"))
        tests = self._count(job, "test") or 0
        tests = min(tests, job.params["asked"].get("images", tests))
        images = tests * number // shards - tests * (number - 1) // shards
        masks, mode = _masks(_image_size(job), job.wildcards["patch"], job.wildcards["budget"]), job.params["asked"]["mode"]
        passes = images * (len(masks.areas.boxes) + 1)  # and the image as it is
        # three float32 a mask and class, and one a class; or a uint16 a pair, a float32 a mask, and 10 bytes more
        scores, labels = 4 * (3 * len(masks) + 1) * job.params["dataset"]["classes"], 2 * len(masks.pairs) + 4 * len(masks) + 10
        return Cost(
            forward=passes,
            work=passes,
            written=2 * images * (scores if mode == "extrema" else labels),  # in the shard, and where all are joined
            at_most=mode == "certificate",
            precision=job.params["engine"]["dtype"],
        )

    def _regions(self, job: PlannedJob) -> Cost:
        from patchcert.planning.classifiers import asked

        images, each = self._count(job, "test") or 0, asked(*_classifier(job))
        return Cost(forward=images * each.scores, work=images * each.scores, written=images * each.stored)

    def _restore(self, job: PlannedJob) -> Cost:
        passes = self._chosen(job) * _places(job)
        return Cost(forward=passes, work=passes, written=8 * passes)

    def _sample(self, job: PlannedJob) -> Cost:
        images, sampling = self._chosen(job), job.params["sampling"]
        passes = images * (sampling["selection"] + sampling["estimation"])
        located = job.wildcards["place"] in ("clean", "attacked")  # an image in which nothing is found is asked nothing
        return Cost(forward=passes, work=passes, written=images * 2 * 8 * job.params["dataset"]["classes"], at_most=located)

    def _attack_images(self, job: PlannedJob) -> Cost:
        images, steps = self._chosen(job), int(job.wildcards["steps"])
        passes = images * min(job.params["places"], _places(job)) * (steps + 1)
        return Cost(forward=passes, work=(1 + BACKWARD) * passes, written=images * 3 * math.prod(_image_size(job)))

    def _attack_regions(self, job: PlannedJob) -> Cost:
        from patchcert.planning.classifiers import asked

        passes = self._chosen(job) * (job.params["steps"] + 1) * asked(*_classifier(job)).answer
        return Cost(forward=passes, work=(1 + BACKWARD) * passes, at_most=True)  # an image that has fallen is left alone

    def _chosen(self, job: PlannedJob) -> int:
        """The first test images, of which a job takes some."""
        chosen: int = job.params["images"]
        return min(chosen, self._count(job, "test") or 0)

    def _count(self, job: PlannedJob, split: str) -> int | None:
        name = job.wildcards["dataset"]
        if name not in self._images:
            made = [path for path in (*job.inputs, *job.outputs) if path.endswith("/index.parquet")]
            index = next((path for path in made if path not in self._anew), None)
            self._images[name] = split_sizes(job.params["dataset"], self._sources, index)
        return self._images[name][split]

    def _uncounted(self, job: PlannedJob) -> tuple[str, ...]:
        if self._count(job, "train") is not None:
            return ()
        name = job.wildcards["dataset"]
        return (f"training images of {name}: write datasets.{name}.split_sizes.train, or run snakemake prepared first",)


def _image_size(job: PlannedJob) -> Size:
    rows, columns = job.params["dataset"]["image_size"]
    return rows, columns


def _classifier(job: PlannedJob) -> tuple[str, int, Size]:
    return job.wildcards["model"], job.params["dataset"]["classes"], _image_size(job)


def _places(job: PlannedJob) -> int:
    """Places that a patch can have."""
    patch = size_from_text(job.wildcards["patch"])
    return math.prod(image - side + 1 for image, side in zip(_image_size(job), patch, strict=True))


@cache
def _masks(image_size: Size, patch: str, budget: str) -> MaskSet:
    return masks_from_text(image_size, patch, budget)
