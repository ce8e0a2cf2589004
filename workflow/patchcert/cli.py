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
from patchcert.masks import mask_set
from patchcert.metrics import share
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
    for name, what in (("image", "image, pixels"), ("patch", "patch, pixels"), ("budget", "mask set")):
        masks.add_argument(
            f"--{name}", type=int, nargs=2, required=True, metavar=("ROWS", "COLUMNS"), help=f"size of the {what}"
        )
    masks.set_defaults(command=_masks)

    certify = commands.add_parser(
        "certify",
        help="certify images from labels that you predicted anywhere",
        description="Double masking on stored predictions: the defended label of every image, and whether it is certified "
        "against every patch that your mask set covers.",
    )
    certify.add_argument(
        "predictions",
        type=Path,
        help=".npy of whole numbers, [images, masks, masks] or [images, pairs] in the order (0,0) (0,1) ... (1,1) ...; or an "
        ".npz with that array as pair_labels and the true labels as labels",
    )
    certify.add_argument("labels", type=Path, nargs="?", help=".npy of true labels, [images]; not with an .npz")
    certify.add_argument("--output", type=Path, help="CSV file to write, one row an image")
    certify.add_argument("--confidence", type=float, default=0.95, help="level of the intervals (default: %(default)s)")
    certify.set_defaults(command=_certify)
    return parser


def _masks(options: argparse.Namespace) -> None:
    masks = mask_set(tuple(options.image), tuple(options.patch), tuple(options.budget))
    table = pd.DataFrame(masks.boxes, columns=["top", "bottom", "left", "right"])
    table.to_csv(sys.stdout, index_label="mask", lineterminator="\n")
    rows, columns = masks.mask_size
    print(f"{len(masks)} masks of {rows}x{columns} pixels, {len(masks.pairs)} unordered pairs an image", file=sys.stderr)


def _certify(options: argparse.Namespace) -> None:
    pair_labels, labels = _read(options.predictions, options.labels)
    if not 0 < options.confidence < 1:
        raise InputError(f"--confidence: {options.confidence}; write a number between 0 and 1, such as 0.95")
    if pair_labels.ndim == 2:
        pair_labels = expand_pairs(pair_labels, masks_of_pairs(pair_labels.shape[1]))
    decision = double_masking.decide(pair_labels)
    certified = double_masking.certify(pair_labels, labels)
    if options.output:
        columns = {"label": labels, "defended": decision.labels, "case": decision.cases, "certified": certified}
        with whole_file(options.output) as temporary:
            pd.DataFrame(columns).to_csv(temporary, index_label="image", lineterminator="\n")
    for name, hits in (("clean accuracy of the defense", decision.labels == labels), ("certified accuracy", certified)):
        found = share(hits, options.confidence)
        print(f"{name}: {found.percent:.1f} % [{found.low:.1f}, {found.high:.1f}], {found.hits} of {found.total} images")


def _read(predictions: Path, labels: Path | None) -> tuple[NDArray[Any], NDArray[Any]]:
    if predictions.suffix == ".npz":
        if labels is not None:
            raise InputError(f"{labels}: the .npz holds the true labels already; leave this file out")
        stored = _load(predictions)
        missing = {"pair_labels", "labels"} - set(stored)
        if missing:
            raise InputError(
                f"{predictions}: no array named {', '.join(sorted(missing))}; it has {', '.join(stored) or 'none'}"
            )
        return stored["pair_labels"], stored["labels"]
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
