"""The table of what a certificate takes by BagCert and by derandomized smoothing."""

from __future__ import annotations

import pandas as pd

from patchcert.report.bagcert import published, smoothing
from patchcert.report.cells import named
from patchcert.report.published import quoted
from patchcert.report.results import FACTS

IMAGES = 10_000
"""Images of the paper's test set, for which it gives times."""


def make(region_times: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seconds for 10,000 certificates, the forward passes and the rest apart and together, and the parameters of each model.

    Counterpart of BagCert, Table 1.

    Args:
        region_times: a row a run and ``part``, ``forward`` or ``certificate``, with ``milliseconds`` an image, how many
            ``images`` were timed, the ``device``, and the network's ``parameters``.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.

    Returns:
        The long table, with ``seconds`` for 10,000 images, and the compact one.
    """
    table = region_times.assign(seconds=region_times["milliseconds"] * IMAGES / 1000)
    compact = []
    for facts, part in table.groupby(FACTS, sort=False):
        run, first = dict(zip(FACTS, facts, strict=True)), part.iloc[0]
        kind, seconds = smoothing(run["model"]), part.groupby("part")["seconds"].sum()
        compact.append(
            named({fact: value for fact, value in run.items() if fact != "budget"}, region_times)
            | {
                "an output sees": f"one {kind}" if kind else f"{first['receptive_field']:g}x{first['receptive_field']:g} px",
                "parameters, millions": f"{first['parameters'] / 1e6:.2f}",
                "forward passes, s": f"{seconds['forward']:.1f}",
                "certificates, s": f"{seconds['certificate']:.2f}",
                "together, s": f"{seconds.sum():.1f}",
                "published together, s": "; ".join(quoted(published(ledger, "Table 1", "certification_time", run))),
                "published parameters, millions": "; ".join(quoted(published(ledger, "Table 1", "parameters", run))),
                "images timed": first["images"],
                "device": first["device"],
            }
        )
    return table, pd.DataFrame(compact)
