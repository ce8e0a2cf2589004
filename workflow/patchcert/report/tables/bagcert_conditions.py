"""The table of what BagCert's two conditions certify."""

from __future__ import annotations

import numpy as np
import pandas as pd

from patchcert.metrics import share
from patchcert.report.bagcert import CLEAN, STRONG, WEAK, published
from patchcert.report.cells import cell, named
from patchcert.report.published import quoted
from patchcert.report.results import FACTS

NAMES = {CLEAN: "clean", WEAK: "condition 3.3", STRONG: "condition 3.2"}
PUBLISHED = {CLEAN: "defended_clean", WEAK: "condition_3_3", STRONG: "certified"}
"""The ledger's names of the accuracies."""
GAIN = "gain"


def make(conditions: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean accuracy, what each condition certifies, and the points that 3.2 gains, for each run.

    Whatever condition 3.3 certifies, 3.2 does too, so that the gain is the share of images that 3.2 alone certifies, and has
    the interval of a share. Counterpart of BagCert, Figure 2.

    Args:
        conditions: shares by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.

    Returns:
        The long table, with the metric ``gain`` of each run, and the compact one with ``percent [low, high]`` cells.
    """
    rows, compact = [], []
    for facts, part in conditions.groupby(FACTS, sort=False):
        run = dict(zip(FACTS, facts, strict=True))
        by_metric = part.set_index("metric", drop=False).loc[list(NAMES)]
        strong, weak = by_metric.loc[STRONG], by_metric.loc[WEAK]
        alone = strong["hits"] - weak["hits"]
        gained = share(np.arange(strong["total"]) < alone)._asdict()
        gained |= {"percent": strong["percent"] - weak["percent"], "hits": alone}
        rows.append(pd.concat([by_metric, pd.DataFrame([dict(strong) | {"metric": GAIN} | gained])]))
        stated = {
            name: "; ".join(quoted(published(ledger, "Section 4", PUBLISHED[metric], run))) for metric, name in NAMES.items()
        }
        compact.append(
            named({fact: value for fact, value in run.items() if fact != "budget"}, conditions)
            | {f"{name}, %": cell(by_metric.loc[metric]) for metric, name in NAMES.items()}
            | {"gain of 3.2, points": cell(gained)}
            | {f"published {name}, %": text for name, text in stated.items()}
        )
    shown = pd.DataFrame(compact)
    weak = f"published {NAMES[WEAK]}, %"  # which the paper has of one network alone
    return pd.concat(rows, ignore_index=True), shown if shown[weak].any() else shown.drop(columns=weak)
