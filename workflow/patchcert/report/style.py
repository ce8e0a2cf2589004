"""How figures look, in one place, and how they are written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert.provenance import whole_file

COLOURS = 24
"""Colours that a figure can ask for; a palette with fewer begins again."""

WIDTH = 7.2
"""Width of a figure, inches."""

CHARACTERS = 84
"""How many fit into that width above panels."""


@contextmanager
def styled(style: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Draw with the ``report`` block of the configuration (``palette``, ``font_size``, ...); gives the palette's colours."""
    settings: Any = {
        "font.size": style["font_size"],
        "axes.labelsize": style["font_size"],
        "axes.titlesize": style["font_size"] + 1,
        "xtick.labelsize": style["font_size"],
        "ytick.labelsize": style["font_size"],
        "legend.fontsize": style["font_size"],
        "figure.dpi": style["resolution"],
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(), sns.axes_style("whitegrid"), mpl.rc_context(settings):
        mpl.use("agg")
        yield sns.color_palette(style["palette"], n_colors=COLOURS)


def entitle(panel: Axes, *parts: str) -> None:
    """Give a panel a title of some parts, each on lines of its own, which are no longer than the panel is wide."""
    grid = panel.get_gridspec()
    width = CHARACTERS // (grid.ncols if grid else 1)
    lines = [line for part in parts for line in textwrap.wrap(part, width, break_on_hyphens=False)]
    panel.set_title("\n".join(lines), loc="left")


def save(figure: Figure, svg: str | Path, png: str | Path) -> None:
    """Write a figure as SVG and PNG; the same figure gives the same bytes."""
    # axes of a fixed aspect move their titles when they shrink, which only a second pass of the layout sees; its last bits
    # differ from run to run, and the ids inside an SVG are made of them
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(tuple(round(side, 6) for side in axes.get_position(original=True).bounds))
    # the salt makes the ids inside an SVG the same each time; matplotlib reads it when it writes, not when it draws
    with whole_file(svg) as temporary, mpl.rc_context({"svg.hashsalt": "patchcert", "svg.fonttype": "none"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)
