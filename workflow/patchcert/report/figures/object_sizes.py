"""The figure of certified accuracy against the size of the object."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.report.marks import CERTIFIED, averaged, certified_shares, legend, lines, percent_axis, with_intervals
from patchcert.report.style import WIDTH, styled

BINS = 6


def draw(images: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified accuracy in bins of object size that hold equally many images.

    Counterpart of PatchCleanser, Figure 11. An image whose object size is unknown is left out, and counted below the figure.

    Args:
        images: one row an image and run, with ``image_id``, ``object_size`` in per cent of the image's pixels (NaN where it is
            unknown) and ``certified`` (true or false).
        style: the ``report`` block of the configuration.

    Raises:
        InputError: no image has an object size.
    """
    known = images.dropna(subset="object_size")
    if known.empty:
        raise InputError("object_size: no image has one; write the share of its pixels inside its object boxes, in per cent")
    each = ["dataset", "image_id"]
    edges = bin_edges(known.drop_duplicates(each)["object_size"].to_numpy(dtype=np.float64))
    known = known.assign(bin=np.searchsorted(edges[1:-1], known["object_size"], side="left"))
    left_out = len(images.drop_duplicates(each)) - len(known.drop_duplicates(each))
    held = known.drop_duplicates(each)["bin"].value_counts()
    with styled(style) as colours:
        figure, panel = plt.subplots(figsize=(WIDTH, 3.8))
        runs = lines(images, (), colours)
        for run in runs:
            rows = averaged(certified_shares(run.of(known), "bin"), "bin", "certified").sort_values("bin")
            with_intervals(panel, rows["bin"], rows, run)
        names = [f"{low:.1f} to {high:.1f}" for low, high in pairwise(edges)]
        panel.set_xticks(sorted(held.index), [f"{names[number]}\n{held[number]} images" for number in sorted(held.index)])
        panel.set_xlabel(f"object size (% of the image's pixels); images of unknown size, left out: {left_out}")
        percent_axis(panel, "y", CERTIFIED)
        legend(figure, [run.handle() for run in runs])
    return figure


def bin_edges(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of at most ``BINS`` bins that hold about equally many of the sizes.

    A bin holds its upper edge but not its lower one, the first bin both. Where many sizes are equal there are fewer bins.

    Args:
        sizes: float64 [N], at least one.

    Returns:
        float64 [B + 1], rising; twice the same edge where all sizes are equal.
    """
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, BINS + 1), method="inverted_cdf"))
    return edges if len(edges) > 1 else np.repeat(edges, 2)
