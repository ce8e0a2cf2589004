"""How BagCert's figures draw its runs: colours by receptive field, shades by margin, greys for derandomized smoothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from patchcert.report.bagcert import LONG, STRONG, USUAL, smoothed, smoothing, spoken_smoothing
from patchcert.report.marks import MARKERS, Line, averaged, with_intervals
from patchcert.report.results import in_order, spoken

_SMOOTHED: dict[str, dict[str, Any]] = {
    "block": {"color": "0.1", "marker": "s", "linestyle": "--"},
    "column": {"color": "0.45", "marker": "P", "linestyle": ":"},
}


def coloured(frame: pd.DataFrame, colours: Sequence[Any]) -> dict[float, Any]:
    """A colour of the palette for each receptive field, in rising order."""
    fields = sorted(frame["receptive_field"].dropna().unique())
    return {field: colours[number % len(colours)] for number, field in enumerate(fields)}


def darker(colour: Any) -> Any:
    """A shade of a colour that texts are read in."""
    return sns.blend_palette([colour, "black"], 10)[4]


def look(model: str, fields: Mapping[float, Any], receptive_field: float = 0) -> dict[str, Any]:
    """How a model is drawn: the colour of its receptive field, or grey with a marker and dashes for smoothing."""
    kind = smoothing(model)
    return _SMOOTHED[kind] if kind else {"color": fields[receptive_field]}


def varied(frame: pd.DataFrame, along: str, fields: Mapping[float, Any]) -> tuple[list[Line], str]:
    """Lines of Heaviside runs that differ in ``receptive_field`` or ``margin`` and share the other, which is said in words.

    What they share is the value with most runs, of several such values the one nearest to the paper's. Margins have shades,
    from light to dark, of the colour of the receptive field that they share.
    """
    own = frame[frame["output"] == "heaviside"]
    (fixed,) = set(USUAL) - {along}
    counts = own.groupby(fixed)[along].nunique()
    held = min(counts.index, key=lambda value: (-counts[value], abs(value - USUAL[fixed])))
    values = sorted(own.loc[own[fixed] == held, along].unique())
    shades = [fields[value] for value in values] if along == "receptive_field" else _shades(fields[held], len(values))
    facts = {"output": "heaviside", fixed: held}
    found = [
        Line(facts | {along: value}, LONG[along].format(value), shade, MARKERS[number % len(MARKERS)])
        for number, (value, shade) in enumerate(zip(values, shades, strict=True))
    ]
    return found, LONG[fixed].format(held)


def _shades(colour: Any, count: int) -> list[Any]:
    if count == 1:
        return [colour]
    light, dark = (sns.blend_palette([colour, end], 10)[share] for end, share in (("white", 4), ("black", 6)))
    return list(sns.blend_palette([light, colour, dark], count))


def draw_varied(
    panels: NDArray[Any], conditions: pd.DataFrame, places: Mapping[str, float], colours: Sequence[Any]
) -> list[Line2D]:
    """Draw what condition 3.2 certifies against patches: receptive fields on the left, margins on the right, smoothing in both.

    Args:
        panels: axes [D, 2], the left and the right ones of each dataset; their titles say what is held fixed.
        conditions: with patches among ``places``.
        places: where each patch is on the horizontal axis.
        colours: of the palette.

    Returns:
        What stands for the lines in a legend.
    """
    fields, datasets = coloured(conditions, colours), in_order(conditions["dataset"])
    baselines = [
        Line({"model": model}, spoken_smoothing(model), *(look(model, fields)[key] for key in ("color", "marker")))
        for model in in_order(smoothed(conditions)["model"])
    ]
    handles: dict[str, Line2D] = {}
    for row, dataset in zip(panels, datasets, strict=True):
        shown = conditions[conditions["dataset"] == dataset]
        for panel, along in zip(row, USUAL, strict=True):
            lines, held = varied(shown, along, fields)
            for line in [*lines, *baselines]:
                rows = averaged(line.of(shown), "patch", STRONG)
                rows = rows.assign(place=rows["patch"].map(places)).sort_values("place", kind="stable")
                model = line.facts.get("model", "")
                with_intervals(panel, rows["place"], rows, line, linestyle=look(model, fields)["linestyle"] if model else "-")
            of_dataset = f"{spoken(dataset)}: " if len(datasets) > 1 else ""
            panel.set_title(f"{of_dataset}BagCert with {held}", loc="left")
            handles |= {line.name: line.handle() for line in lines if line.name not in handles}
    smoothing_handles = [line.handle(linestyle=look(line.facts["model"], fields)["linestyle"]) for line in baselines]
    return [*handles.values(), *smoothing_handles]
