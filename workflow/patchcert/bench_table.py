"""What the benchmarks of certificates have in common: whole numbers as options, and a table as the outcome."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from patchcert import InputError
from patchcert.provenance import whole_file


def run(
    parser: argparse.ArgumentParser,
    numbers: Mapping[str, tuple[int, str]],
    measure: Callable[[argparse.Namespace], pd.DataFrame],
    arguments: Sequence[str] | None,
) -> int:
    """Measure, print a table, and write it if asked to; returns the exit status: 0, or 1 for a fault in the input.

    Args:
        parser: with the options that are no whole numbers.
        numbers: options that are whole numbers from 1 up, by name: what they are unless given, and what they mean.
        measure: the options to a table.
        arguments: in place of those of the process.
    """
    for name, (usual, meaning) in numbers.items():
        text = f"{meaning} (default: %(default)s)"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", default=usual, help=text)
    parser.add_argument("--output", type=Path, help="CSV file to write")
    options = parser.parse_args(arguments)
    try:
        for name in numbers:
            if getattr(options, name) < 1:
                raise InputError(f"--{name.replace('_', '-')}: {getattr(options, name)}; write a whole number from 1 up")
        table = measure(options)
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    if options.output:
        with whole_file(options.output) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False, float_format="%.4g"))
    return 0
