"""The command line: the defense without the workflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError, __version__
from patchcert.defenses import double_masking
from patchcert.masks import (
    covering_shapes,
    mask_set,
    multi_patch_set,
    patch_sizes_from_text,
    shape_set,
    strided_mask_set,
)
from patchcert.predictions import expand_pairs, masks_of_pairs
from patchcert.provenance import whole_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``patchcert COMMAND ...``; returns the exit status: 0, 1 for a fault in the input, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (InputError, FileNotFoundError) as error:
        print(f"patchcert: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="patchcert", description="Certified defenses against adversarial patches.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    masks = commands.add_parser(
        "masks",
        help="print the masks that cover a patch anywhere",
        description="Print one line a mask as CSV: its number and the masked-out rows and columns, half-open. Classify your "
        "images under every pair of masks, and give the labels to `patchcert certify`.",
    )
    size: dict[str, Any] = {"type": int, "nargs": 2, "metavar": ("ROWS", "COLUMNS")}
    masks.add_argument("--image", required=True, help="size of the image, pixels", **size)
    patch = masks.add_mutually_exclusive_group(required=True)
    patch.add_argument("--patch", help="size of the patch, or an over-estimate of it, pixels", **size)
    patch.add_argument(
        "--area", type=int, metavar="PIXELS", help="in place of one size: every rectangle of at most so many pixels"
    )
    apart = masks.add_mutually_exclusive_group(required=True)
    apart.add_argument("--budget", help="masks along each axis", **size)
    apart.add_argument("--stride", help="in place of a budget: pixels between neighbouring masks; not with --area", **size)
    masks.add_argument(
        "--patches", type=int, default=1, help="patches at once; a mask then has several boxes (default: %(default)s)"
    )
    masks.set_defaults(command=_masks)

    certify = commands.add_parser(
        "certify",
        help="certify images from labels that you predicted anywhere",
        description="Double masking on stored predictions: the defended label of every image, and whether it is certified "
        "against every patch that your mask set covers. With --layers BagCert on stored region scores: whether a patch can "
        "change the answer that the sums of the scores give.",
    )
    certify.add_argument(
        "predictions",
        type=Path,
        help=".npy of whole numbers, [images, masks, masks] or [images, pairs] in the order (0,0) (0,1) ... (1,1) ...; or an "
        ".npz with that array as pair_labels and the true labels as labels; with --layers region scores from 0 to 1, [images, "
        "classes, rows, columns], in a .npy, or in an .npz as scores",
    )
    certify.add_argument("labels", type=Path, nargs="?", help=".npy of true labels, [images]; not with an .npz")
    certify.add_argument(
        "--layers",
        nargs="+",
        metavar="KERNEL,STRIDE,PADDING",
        help="convolutions and poolings of your region scorer, from the image on, the same along both axes",
    )
    certify.add_argument("--image", help="with --layers: size of the image, pixels", **size)
    threat = certify.add_mutually_exclusive_group()
    threat.add_argument("--patch", help="with --layers: size of the patch, pixels", **size)
    threat.add_argument("--area", type=int, metavar="PIXELS", help="with --layers: every rectangle of at most so many pixels")
    certify.add_argument("--output", type=Path, help="CSV file to write, one row an image")
    certify.add_argument("--confidence", type=float, default=0.95, help="level of the intervals (default: %(default)s)")
    certify.set_defaults(command=_certify)

    claims = commands.add_parser(
        "claims",
        help="list the published numbers, show one, or verify one that you regenerated",
        description="Without an ID, list the numbers of the five papers, with what this clone has measured of each. With one, "
        "show what was published under which conditions, and the command that regenerates that number and nothing else. "
        "With `verify ID`, recompute it from its stored certificates, and fail if a file, the code or the configuration that "
        "it came from has changed. Run it in the project's folder.",
    )
    claims.add_argument("what", nargs="*", metavar="ID", help="a number's id, or `verify` and one")
    for name, example in (("paper", "bagcert"), ("table", "Table 2"), ("defense", "double_masking"), ("status", "not run")):
        claims.add_argument(f"--{name}", help=f"list only those of this {name}, such as {example!r}")
    claims.add_argument("--config", type=Path, default=Path("config/paper.yaml"), help="the study (default: %(default)s)")
    claims.set_defaults(command=_claims)

    bench = commands.add_parser(
        "bench",
        help="measure the engine on this machine",
        description="Forward passes a second of the engine, of a plain loop and of forward passes alone, in turns in one "
        "process, with random weights; and peak memory for few and many images and masks.",
    )
    bench.add_argument(
        "--models", nargs="+", default=["resnet18", "vit_tiny_patch16_224"], help="timm's names (default: %(default)s)"
    )
    bench.add_argument("--image", default=(224, 224), help="size of the image, pixels (default: 224 224)", **size)
    bench.add_argument("--patch", default=(32, 32), help="size of the patch, pixels (default: 32 32)", **size)
    bench.add_argument("--budget", default=(6, 6), help="masks along each axis (default: 6 6)", **size)
    bench.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    bench.add_argument("--compiled", action="store_true", help="measure torch.compile too: minutes more")
    bench.add_argument("--device", default="cpu", help="a torch device (default: %(default)s)")
    bench.add_argument("--rounds", type=int, default=3, help="turns of each contender that count (default: %(default)s)")
    bench.add_argument("--images", type=int, default=1, help="images a turn (default: %(default)s)")
    bench.add_argument("--memory", action="store_true", help="measure peak memory too: minutes")
    bench.add_argument(
        "--output", type=Path, default=Path("reports/benchmarks"), help="folder to write to (default: %(default)s)"
    )
    bench.set_defaults(command=_bench)

    plan = commands.add_parser(
        "plan",
        help="say what a target of the study will cost, without running it",
        description="Count what snakemake still has to do for some targets: jobs, downloads, forward passes, device hours "
        "where the classifier's rate was measured, and disk, stage by stage. Nothing is fetched or run.",
    )
    plan.add_argument("targets", nargs="*", metavar="TARGET", help="as snakemake takes it (default: the bare study)")
    plan.add_argument("--configfile", help="configuration of the study, such as config/paper.yaml (default: the Snakefile's)")
    plan.add_argument(
        "--rates",
        type=Path,
        help="CSV with the columns model, device and images_per_second (forward passes), used before reports/benchmarks",
    )
    plan.add_argument("--device", help="whose hours are counted, as the rates name it")
    plan.add_argument("--json", action="store_true", help="print JSON, in bytes, passes and hours")
    plan.set_defaults(command=_plan)
    return parser


def _masks(options: argparse.Namespace) -> None:
    image = tuple(options.image)
    if options.area is not None:
        if options.stride:
            raise InputError("--stride: the shapes of --area have masks of different sizes; write --budget in its place")
        made = shape_set(image, covering_shapes(image, options.area), tuple(options.budget))
    elif options.stride:
        made = strided_mask_set(image, tuple(options.patch), tuple(options.stride))
    else:
        made = mask_set(image, tuple(options.patch), tuple(options.budget))
    masks = multi_patch_set(made, options.patches)
    boxes = masks.base_boxes[masks.members].reshape(-1, 4)
    table = pd.DataFrame(boxes, columns=["top", "bottom", "left", "right"], index=np.arange(len(masks)).repeat(options.patches))
    table.to_csv(sys.stdout, index_label="mask", lineterminator="\n")
    sizes = ", ".join(dict.fromkeys("x".join(map(str, grid.mask_size)) for grid in masks.grids))
    print(
        f"{len(masks)} masks of {sizes} pixels, {len(masks.pairs)} unordered pairs an image, {len(masks.areas.boxes)} of them "
        "different images",
        file=sys.stderr,
    )


def _claims(options: argparse.Namespace) -> None:
    from patchcert.claims import command  # what reads configurations is imported only where it is needed

    filters = {name: getattr(options, name) for name in command.FILTERS}
    match options.what:
        case []:
            print(command.listing(options.config, filters))
            return
        case ["verify", identity]:
            told = command.verified
        case [identity] if identity != "verify":
            told = command.one
        case words:
            raise InputError(f"claims: {' '.join(words)!r} is neither one ID nor `verify ID`; `patchcert claims` lists the IDs")
    if given := [f"--{name}" for name, value in filters.items() if value is not None]:
        raise InputError(f"{given[0]}: is for the list; leave it out, or the ID")
    print(told(options.config, identity))


def _bench(options: argparse.Namespace) -> None:
    from patchcert import bench  # torch is imported only where it is needed

    for name in ("rounds", "images"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name}: {getattr(options, name)}; write a whole number from 1 up")
    masks = mask_set(tuple(options.image), tuple(options.patch), tuple(options.budget))
    tables = {
        "speed": bench.speed(
            options.models,
            masks,
            dtypes=options.dtypes,
            compiled=options.compiled,
            device=options.device,
            rounds=options.rounds,
            images=options.images,
        )
    }
    if options.memory:
        tables["memory"] = bench.memory(options.device)
    bench.write(options.output, tables, masks, options.device)
    for table in tables.values():
        print(table.to_string(index=False, float_format="%.4g"))
    print(f"written to {options.output}", file=sys.stderr)


def _plan(options: argparse.Namespace) -> None:
    from patchcert.study.plan import plan  # it and what it needs are imported only here

    made = plan(options.targets, options.configfile, options.rates, options.device)
    print(made.as_json() if options.json else made.as_text())


def _certify(options: argparse.Namespace) -> None:
    if not 0 < options.confidence < 1:
        raise InputError(f"--confidence: {options.confidence}; write a number between 0 and 1, such as 0.95")
    needed = {"--image": options.image, "--patch or --area": options.patch or options.area}
    for name, value in needed.items():
        if bool(value) != bool(options.layers):
            raise InputError(
                f"{name}: missing; region scores are certified against a patch in an image"
                if options.layers
                else f"{name}: is for region scores; write --layers too, or leave it out"
            )
    if options.layers:
        _certify_regions(options)
    else:
        _certify_pairs(options)


def _certify_regions(options: argparse.Namespace) -> None:
    from patchcert.defenses import bagcert  # torch is imported only where it is needed
    from patchcert.receptive_field import ReceptiveField

    scores, labels = _read(options.predictions, options.labels, "scores")
    image = tuple(options.image)
    field = ReceptiveField([_layer(text) for text in options.layers])
    patch = f"area-{options.area}" if options.area else "x".join(map(str, options.patch))
    affected = field.affected(image, scores.shape[2:], patch_sizes_from_text(image, patch))
    answer, margins = bagcert.infer(scores), bagcert.margins(scores, labels, affected)
    leads = {"lead_3_2": margins.condition_3_2, "lead_3_3": margins.condition_3_3}
    _tell(
        options,
        {"label": labels, "answer": answer} | leads | {f"certified_{name[-3:]}": lead > 0 for name, lead in leads.items()},
        {"clean accuracy": answer == labels}
        | {f"certified accuracy by condition {name[-3:].replace('_', '.')}": lead > 0 for name, lead in leads.items()},
    )


def _layer(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--layers: {text!r}; write kernel, stride and padding of each layer, such as 3,1,1 1,1,0")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _certify_pairs(options: argparse.Namespace) -> None:
    pair_labels, labels = _read(options.predictions, options.labels, "pair_labels")
    if pair_labels.ndim == 2:
        pair_labels = expand_pairs(pair_labels, masks_of_pairs(pair_labels.shape[1]))
    decision = double_masking.decide(pair_labels)
    certified = double_masking.certify(pair_labels, labels)
    _tell(
        options,
        {"label": labels, "defended": decision.labels, "case": decision.cases, "certified": certified},
        {"clean accuracy of the defense": decision.labels == labels, "certified accuracy": certified},
    )


def _tell(options: argparse.Namespace, columns: dict[str, NDArray[Any]], shares: dict[str, NDArray[np.bool_]]) -> None:
    """Write what was found of each image, if that is asked, and print shares with their intervals."""
    from patchcert.metrics import share  # SciPy is imported only where it is needed

    if options.output:
        with whole_file(options.output) as temporary:
            pd.DataFrame(columns).to_csv(temporary, index_label="image", lineterminator="\n")
    for name, hits in shares.items():
        found = share(hits, options.confidence)
        print(f"{name}: {found.percent:.1f} % [{found.low:.1f}, {found.high:.1f}], {found.hits} of {found.total} images")


def _read(predictions: Path, labels: Path | None, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if predictions.suffix == ".npz":
        if labels is not None:
            raise InputError(f"{labels}: the .npz holds the true labels already; leave this file out")
        stored = _load(predictions)
        missing = {name, "labels"} - set(stored)
        if missing:
            raise InputError(
                f"{predictions}: no array named {', '.join(sorted(missing))}; it has {', '.join(stored) or 'none'}"
            )
        return stored[name], stored["labels"]
    if labels is None:
        raise InputError(f"{predictions}: its true labels are missing; write patchcert certify {predictions} labels.npy")
    return _load(predictions), _load(labels)


def _load(path: Path) -> Any:
    try:
        stored = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: no .npy or .npz file of numbers ({error})") from error
    return stored


if __name__ == "__main__":
    raise SystemExit(main())
