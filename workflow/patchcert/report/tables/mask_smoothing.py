"""The table of mask smoothing on attacked images, beside the defenses that its paper compares it with."""

from __future__ import annotations

import pandas as pd

from patchcert.report.cells import cell, named
from patchcert.report.published import PAPERS, dataset_beside, in_table, side_by_side
from patchcert.report.results import in_order
from patchcert.report.smoothing import (
    ATTACKED,
    CLEAN,
    EMPIRICAL,
    EVERYWHERE,
    ONE_ATTACK,
    PAPER,
    RESCUED,
    UNRESTRICTED,
)
from patchcert.report.terms import ONE_PLACE

TABLE = "Table 1"
RUN = ["dataset", "model", "training", "seed", "patch"]
TURNED = "certified of those that the attack turned, %"
SHOWN = {CLEAN: EMPIRICAL, ATTACKED: UNRESTRICTED}
"""The metric that counts where the mask is found in clean images, and where it is found in attacked ones."""


def make(smoothing: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy on clean images and what is certified, a row a defense, with what the certificate is about.

    Counterpart of Table 1 of the mask-guided randomized smoothing paper, whose rows stand below ours.

    Args:
        smoothing: shares by certificate and ``metric``, as :mod:`patchcert.report.smoothing` describes them; of the places,
            ``clean`` and ``attacked`` are shown.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.

    Returns:
        The long table, and the compact one with ``percent [low, high]`` cells.
    """
    rescued = (smoothing["metric"] == RESCUED) & (smoothing["place"] == ATTACKED)
    table = smoothing[(smoothing["metric"] == smoothing["place"].map(SHOWN)) | rescued]
    compact = []
    for facts, part in table.groupby([*RUN, "sigma"], sort=False):
        *run, sigma = facts
        turned = part[part["metric"] == RESCUED].iloc[0]
        by_place = part[part["metric"] != RESCUED].set_index("place")
        compact.append(
            {"defense": f"mask smoothing, sigma {sigma:g}", "source": "here"}
            | named(dict(zip(RUN, run, strict=True)), table)
            | {"clean, %": cell(by_place.loc[CLEAN]), "certified, %": f"{cell(by_place.loc[ATTACKED])} {ONE_PLACE}"}
            | {
                "certified of those that the attack turned, %": f"{cell(turned)} {ONE_PLACE}"
                if turned["total"]
                else "none turned"
            }
            | {"what is certified": ONE_ATTACK}
        )
    for dataset in dict.fromkeys(dataset_beside(ledger, name) for name in in_order(table["dataset"])):
        compact += _published(ledger, dataset)
    return table, pd.DataFrame(compact)


def _published(ledger: pd.DataFrame, dataset: str) -> list[dict[str, str]]:
    rows = in_table(ledger, TABLE, dataset, paper=PAPER)
    own = set(rows.loc[rows["defense"] == "mask_smoothing", "row"])
    found = []
    for row in side_by_side(rows, ["defended_clean", "certified", UNRESTRICTED]).itertuples():
        ours = row.row in own
        certified = f"{row.unrestricted:.1f} {ONE_PLACE}" if ours else f"{row.certified:.1f}"
        found.append(
            {"defense": "mask smoothing" if ours else row.name, "source": f"{PAPERS[PAPER]} {TABLE}, {dataset}"}
            | {"clean, %": f"{row.defended_clean:.1f}", "certified, %": certified}
            | {TURNED: ""}
            | {"what is certified": ONE_ATTACK if ours else EVERYWHERE}
        )
    return found
