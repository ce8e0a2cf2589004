"""The table of areas under the curves of the best and the worst class."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import named
from patchcert.report.multilabel import NAMES, ROWS, fraction
from patchcert.report.published import beside

SHOWN = {'Class 0/"person"': "best", 'Class 70/"toaster"': "worst"}
"""The paper's two classes, which it chose as such."""


def make(classes: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Area under the precision-recall curve of the class whose certified area is largest, and of that where it is smallest.

    Counterpart of Multi-Label PatchCleanser, Table IV. The areas of the two classes that the paper chose stand beside theirs
    where a run has its images.

    Returns:
        The long table, of all classes, and the compact one.
    """
    table = classes.drop(columns="at")
    compact = []
    for _, run in table.groupby(["dataset", "model", "training", "seed"], sort=False):
        certified = run[run["setting"] == "certified"].dropna(subset="area").sort_values("area", ascending=False)
        chosen = {"best": certified["class"].iloc[0], "worst": certified["class"].iloc[-1]} if len(certified) else {}
        for setting, row_name in ROWS.items():
            row = named(run.iloc[0][["dataset", "model", "training", "seed"]].to_dict(), classes) | {"setting": NAMES[setting]}
            for column, which in SHOWN.items():
                number = chosen.get(which)
                found = run[(run["class"] == number) & (run["setting"] == setting)]["area"]
                row[f"{which} class"] = f"{fraction(found.iloc[0])} (class {number})" if len(found) else fraction(None)
                said = ledger[(ledger["table"] == "Table IV") & (ledger["row"] == row_name) & (ledger["column"] == column)]
                said = beside(said, run.iloc[0])
                if not all(each.counterpart for each in said["here"]):
                    theirs = run[(run["class"] == int(column.split("/")[0].split()[1])) & (run["setting"] == setting)]
                    row[column] = fraction(theirs["area"].iloc[0] if len(theirs) else None)
                row[f"published: {column}"] = "".join(f"{value:.3f} (ML Table IV)" for value in said["published"])
            compact.append(row)
    return table, pd.DataFrame(compact)
