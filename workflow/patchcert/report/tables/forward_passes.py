"""The table of what a certificate costs in forward passes."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.results import FACTS
from patchcert.report.terms import masks_in

ALLOWANCE = 10
"""Points by which the share of the matrix that is predicted may exceed certified accuracy, per cent."""


def make(results: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forward passes an image where certification stops at an image's first wrong label, for the largest mask budget.

    A certified image takes every pass of the matrix, so that certified accuracy is about what cannot be saved.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them, with the columns ``passes``, the mean number of
            forward passes under masks an image, and ``pairs``, how many pairs of masks the matrix has.

    Returns:
        The long table, with ``share``, the passes in per cent of the matrix, its ``bound`` and whether it ``holds``, and the
        compact one.
    """
    certified = results[results["metric"] == "certified"]
    masks = certified["budget"].map(masks_in)
    table = certified[masks == masks.max()].assign(
        share=lambda rows: 100 * rows["passes"] / rows["pairs"],
        bound=lambda rows: rows["percent"] + ALLOWANCE,
        holds=lambda rows: rows["share"] <= rows["bound"],
    )
    compact = [
        named({fact: row[fact] for fact in FACTS}, table)
        | {
            "certified, %": cell(row),
            "forward passes an image": f"{row['passes']:.1f}",
            "share of the matrix, %": f"{row['share']:.1f}",
            f"bound: certified + {ALLOWANCE}, %": f"{row['bound']:.1f}",
            "holds": "yes" if row["holds"] else "no",
        }
        for row in table.to_dict("records")
    ]
    return table, pd.DataFrame(compact)
