"""What the report's figures share: a line a run with its intervals, published values as diamonds, labels and legends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from patchcert.metrics import share
from patchcert.report.results import spoken
from patchcert.report.style import WIDTH
from patchcert.report.terms import ACCURACIES, masks_in

RUN = ("dataset", "model", "training", "patch", "budget")
"""Facts of a run that a figure tells apart; seeds are averaged."""

CLEAN, CERTIFIED = (f"{name} accuracy (%)" for name in ACCURACIES.values())

DASHES = {"defended_clean": "--", "certified": "-"}
"""Line styles of the metrics where they share a panel."""

MARKERS = "os^vPX<>"
_SAID = {"patch": "{} px patch", "budget": "{} masks"}
_DIAMOND: dict[str, Any] = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5, "zorder": 4}
_MARKER_ROOM = 3.5
"""Half the side of the square that a text leaves free around a point, in points of 1/72 inch."""
_SIDES = [
    ((6, 0), "left", "center"),
    ((-6, 0), "right", "center"),
    ((5, -4), "left", "top"),
    ((-5, 4), "right", "bottom"),
    ((0, -6), "center", "top"),
    ((0, 6), "center", "bottom"),
    ((5, 4), "left", "bottom"),
    ((-5, -4), "right", "top"),
]


@dataclass(frozen=True)
class Line:
    """A run, or runs that differ along a figure's axis only, with the look that it keeps in every panel."""

    facts: dict[str, Any]
    name: str
    colour: Any
    marker: str

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame that belong to this line."""
        return frame[(frame[list(self.facts)] == pd.Series(self.facts)).all(axis=1)]

    def handle(self, **look: Any) -> Line2D:
        """What stands for the line in a legend."""
        usual = {"color": self.colour, "marker": self.marker, "markersize": 4, "linewidth": 1.2}
        return Line2D([], [], label=self.name, **usual | look)


def lines(frame: pd.DataFrame, along: Iterable[str], colours: Sequence[Any]) -> list[Line]:
    """A line for each run of the frame, in order.

    A line is named by model and training, and by those other facts that vary.

    Args:
        frame: one row a measurement, with the columns ``RUN``.
        along: facts that vary along a line, the horizontal axis for instance.
        colours: colours of the palette.
    """
    facts = [fact for fact in RUN if fact not in along]
    runs = frame[facts].drop_duplicates()
    told = [fact for fact in facts if fact in ("model", "training") or runs[fact].nunique() > 1]
    return [
        Line(
            run,
            ", ".join(_SAID.get(fact, "{}").format(spoken(run[fact])) for fact in told),
            colours[number % len(colours)],
            MARKERS[number % len(MARKERS)],
        )
        for number, run in enumerate(runs.to_dict("records"))
    ]


def double_masked(results: pd.DataFrame) -> pd.DataFrame:
    """The results of double masking, without those of an algorithm that is shown beside it."""
    return results[results["defense"] == "double_masking"]


def averaged(shares: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """Means over the seeds of one metric's ``percent``, ``low`` and ``high``, a row for each value of ``by``, in order."""
    chosen = shares[shares["metric"] == metric]
    return chosen.groupby(by, sort=False, as_index=False)[["percent", "low", "high"]].mean()


def certified_shares(images: pd.DataFrame, by: str) -> pd.DataFrame:
    """The share of certified images with its Wilson interval, a row for each seed and value of ``by``."""
    shares = images.groupby(["seed", by], sort=False)["certified"].apply(lambda hits: share(hits.to_numpy(dtype=bool)))
    rows = [{"seed": seed, by: value, "metric": "certified"} | found._asdict() for (seed, value), found in shares.items()]
    return pd.DataFrame(rows)


def by_masks(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column ``masks``, the number of masks of each budget, in rising order of it."""
    return frame.assign(masks=frame["budget"].map(masks_in).astype(int)).sort_values("masks", kind="stable")


def errors(rows: pd.DataFrame) -> np.ndarray:
    """Lengths of error bars below and above ``percent``, float64 [2, N]; an end that rounding put past its value is at it."""
    return np.array([rows["percent"] - rows["low"], rows["high"] - rows["percent"]]).clip(min=0)


def with_intervals(axes: Axes, across: Any, rows: pd.DataFrame, line: Line, **look: Any) -> None:
    """Draw shares with their intervals as error bars, joined by a line."""
    usual = {"color": line.colour, "marker": line.marker, "markersize": 4, "linewidth": 1.2, "elinewidth": 0.8, "capsize": 2}
    axes.errorbar(across, rows["percent"], yerr=errors(rows), **usual | look)


def diamonds(axes: Axes, across: Any, up: Any, linestyle: str = "none") -> None:
    """Draw published values, as white diamonds with a black edge."""
    axes.plot(across, up, color="black", linestyle=linestyle, linewidth=0.8, **_DIAMOND)


def diamond_handle(label: str) -> Line2D:
    """What stands for published values in a legend."""
    return Line2D([], [], linestyle="none", label=label, **_DIAMOND)


def grey_handle(label: str, **look: Any) -> Line2D:
    """What stands in a legend for a line style or a marker that every run may have."""
    usual: dict[str, Any] = {"color": "0.25", "linewidth": 1.2, "markersize": 4}
    return Line2D([], [], label=label, **usual | look)


def metric_handles() -> list[Line2D]:
    """What stands for clean and certified accuracy in the legend of a panel that they share."""
    return [grey_handle(f"{name} accuracy", linestyle=DASHES[metric]) for metric, name in ACCURACIES.items()]


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend above the panels, in as many columns as its longest label allows."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = 3 if longest <= 30 else 2 if longest <= 50 else 1
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, frameon=False)


def percent_axis(axes: Axes, which: str, label: str) -> None:
    """Let an axis go from 0 to 100 per cent, with room for a marker at either end."""
    axes.set(**{f"{which}lim": (-3, 103), f"{which}ticks": range(0, 101, 20), f"{which}label": label})


def mask_axis(axes: Axes, budgets: pd.Series) -> None:
    """Let the horizontal axis be the number of masks, with a tick at the number of each of the budgets."""
    axes.set_xticks(sorted(set(budgets.map(masks_in))))
    axes.set_xlabel("number of masks")


def time_axis(axes: Axes, label: str) -> None:
    """Let the horizontal axis be a time on a logarithmic scale, with round numbers at its ticks."""
    axes.set(xscale="log", xlabel=label)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def accuracy_over_costs() -> tuple[Figure, Axes, Axes, Axes]:
    """A figure with a panel for accuracies, and below it one for times and one for forward passes."""
    layout: Any = [["accuracy", "accuracy"], ["time", "passes"]]
    figure, panels = plt.subplot_mosaic(layout, figsize=(WIDTH, 6), height_ratios=(3, 2))
    return figure, panels["accuracy"], panels["time"], panels["passes"]


def draw_costs(time: Axes, passes: Axes, times: pd.DataFrame, line: Line, **look: Any) -> None:
    """Draw one algorithm's time and forward passes an image against the number of masks, means over the seeds."""
    rows = by_masks(line.of(times)).groupby("masks", as_index=False)[["milliseconds", "calls"]].mean()
    usual = {"color": line.colour, "marker": line.marker, "markersize": 4, "linewidth": 1.2}
    for panel, column in ((time, "milliseconds"), (passes, "calls")):
        panel.plot(rows["masks"], rows[column], **usual | look)


def cost_axes(time: Axes, passes: Axes, times: pd.DataFrame) -> None:
    """Label the panels of times and forward passes; the device stands at the times."""
    for panel in (time, passes):
        mask_axis(panel, times["budget"])
        panel.set_ylim(bottom=0)
    time.set_ylabel("time an image (ms)")
    time.set_title(on_devices(times), loc="left", fontsize="medium")
    passes.set_ylabel("forward passes an image")


def on_devices(times: pd.DataFrame) -> str:
    """Where times were taken, in lines of a panel's width."""
    return textwrap.fill(f"on {' and '.join(times['device'].unique())}", 48)


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    size: float,
    others: Sequence[tuple[float, float]] = (),
    colours: Sequence[Any] | None = None,
) -> None:
    """Write a text beside each point, on the side where it hides least: first other points and texts, then lines.

    The limits of the axes have to be final.

    Args:
        axes: where the points are.
        points: both coordinates of each point and its text.
        size: of the text, points of 1/72 inch.
        others: coordinates of points without a text.
        colours: of the texts, where they are not all black.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    # where things are on paper is known only once the figure is laid out
    figure.draw_without_rendering()
    room, half = axes.get_window_extent(), _MARKER_ROOM * figure.dpi / 72
    places = [axes.transData.transform(point[:2]) for point in points]
    rest: Any = axes.transData.transform(others) if len(others) else []
    taken = [Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half) for x, y in [*places, *rest]]
    drawn = [_on_paper(line) for line in axes.get_lines() if line.get_linestyle() != "None"]
    for (x, y, text), colour in zip(points, colours or ["black"] * len(points), strict=True):
        tried: list[tuple[tuple[int, int, int], Annotation, Bbox]] = []
        for shift, horizontal, vertical in _SIDES:
            look: dict[str, Any] = {"ha": horizontal, "va": vertical, "fontsize": size, "color": colour}
            label = axes.annotate(text, (x, y), xytext=shift, textcoords="offset points", **look)
            box = label.get_window_extent()
            outside = not (room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1)
            hidden = outside + sum(box.overlaps(other) for other in taken)
            crossed = sum(bool(box.count_contains(path)) for path in drawn)
            tried.append(((hidden, crossed, len(tried)), label, box))
        _, best, box = min(tried, key=lambda attempt: attempt[0])
        for _, label, _ in tried:
            if label is not best:
                label.remove()
        taken.append(box)


def _on_paper(line: Line2D) -> np.ndarray:
    """Points close to each other along a line, float64 [N, 2], in pixels of the figure."""
    corners = line.get_transform().transform(line.get_xydata())
    if len(corners) < 2:
        return np.asarray(corners)
    steps = np.linspace(0, len(corners) - 1, 40 * len(corners))
    return np.column_stack([np.interp(steps, range(len(corners)), corners[:, axis]) for axis in (0, 1)])
