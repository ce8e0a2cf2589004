"""What BagCert's tables, figures and findings share: its frames in short form, looks and names of runs, published values.

The frames are long, one row a run and metric or part, with ``FACTS``, ``defense``, the ``receptive_field`` in pixels and the
training's ``margin``, each NaN where there is none, and the ``output`` of the region scorer, ``votes`` for smoothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from patchcert.report.marks import MARKERS, Line, averaged, with_intervals
from patchcert.report.results import in_order, spoken

PAPER = "bagcert"
CLEAN, ATTACKED, STRONG, WEAK = "clean", "attacked", "condition_3_2", "condition_3_3"
"""Metrics of the frames: accuracies on clean and on attacked images, and what each condition certifies."""
USUAL = {"receptive_field": 7.0, "margin": 0.5}
"""The paper's configuration; its figures vary one or the other."""
LONG = {"receptive_field": "receptive field {:g} px", "margin": "margin M = {:g}"}

_RUN = ["dataset", "model", "training", "patch"]
_SMOOTHED: dict[str, dict[str, Any]] = {
    "block": {"color": "0.1", "marker": "s", "linestyle": "--"},
    "column": {"color": "0.45", "marker": "P", "linestyle": ":"},
}


def scorers(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of BagCert itself, without those of derandomized smoothing."""
    return frame[frame["defense"] == "bagcert"]


def smoothed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of derandomized smoothing."""
    return frame[frame["defense"] == "derandomized_smoothing"]


def smoothing(model: str) -> str:
    """What derandomized smoothing keeps of an image, ``block`` or ``column``; empty for other models."""
    return next((kind for kind in _SMOOTHED if f"{kind}_smoothing" in model), "")


def spoken_smoothing(model: str) -> str:
    """A model of derandomized smoothing for readers."""
    return f"smoothing by {smoothing(model)}s"


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, a row a run in the frame's order: its facts, and a column for each metric."""
    wide = frame.pivot_table(index=_RUN, columns="metric", values="percent").reset_index()
    return frame[[*_RUN, "defense", "receptive_field", "margin"]].drop_duplicates(_RUN).merge(wide, on=_RUN)


def panel_name(frame: pd.DataFrame, dataset: str, patch: str) -> str:
    """The title of the panel of one patch, with the dataset where there are several."""
    return f"{patch} px patch" if frame["dataset"].nunique() == 1 else f"{spoken(dataset)}, {patch} px patch"


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
    panels: Sequence[Axes], conditions: pd.DataFrame, places: Mapping[str, float], colours: Sequence[Any]
) -> list[Line2D]:
    """Draw what condition 3.2 certifies against patches: receptive fields on the left, margins on the right, smoothing in both.

    Args:
        panels: the left and the right one; their titles say what is held fixed.
        conditions: with patches among ``places``.
        places: where each patch is on the horizontal axis.
        colours: of the palette.

    Returns:
        What stands for the lines in a legend.
    """
    fields = coloured(conditions, colours)
    baselines = [
        Line({"model": model}, spoken_smoothing(model), *(look(model, fields)[key] for key in ("color", "marker")))
        for model in in_order(smoothed(conditions)["model"])
    ]
    handles = []
    for panel, along in zip(panels, USUAL, strict=True):
        lines, held = varied(conditions, along, fields)
        for line in [*lines, *baselines]:
            rows = averaged(line.of(conditions), "patch", STRONG)
            rows = rows.assign(place=rows["patch"].map(places)).sort_values("place", kind="stable")
            model = line.facts.get("model", "")
            with_intervals(panel, rows["place"], rows, line, linestyle=look(model, fields)["linestyle"] if model else "-")
        panel.set_title(f"BagCert with {held}", loc="left")
        handles += [line.handle() for line in lines]
    return handles + [line.handle(linestyle=look(line.facts["model"], fields)["linestyle"]) for line in baselines]


def published(ledger: pd.DataFrame, table: str, metric: str, model: str, training: str = "", patch: str = "") -> pd.DataFrame:
    """The exact values of a table or section of the paper whose counterpart is this run.

    Args:
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        table: ``Table 1`` or ``Section 4``, for instance.
        metric: as the ledger names it.
        model: of the default study, as are ``training`` and ``patch``, which are empty for what is the same for all of them.
        training: as described.
        patch: as described.
    """
    wanted = {"paper": PAPER, "table": table, "metric": metric, "relation": "=", "default_model": model}
    wanted |= {"default_training": training, "default_patch": patch}
    return ledger[(ledger[list(wanted)] == pd.Series(wanted)).all(axis=1)]
