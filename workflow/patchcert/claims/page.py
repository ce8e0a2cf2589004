"""The page of the ledger: every table of every paper redrawn in one HTML file that needs no network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from patchcert.claims.status import COUNTERPART, NOT_REPRODUCIBLE, NOT_RUN, OF_OTHERS, ORDER_ONLY, OUTSIDE, STATUSES, WITHIN
from patchcert.report.results import spoken
from patchcert.report.terms import ONE_PLACE, ONE_PLACE_NOTE

TITLES = {
    "patchcleanser": "PatchCleanser",
    "greedy_cutout": "Revisiting Image Classifier Training (Greedy Cutout)",
    "multilabel_patchcleanser": "Multi-Label PatchCleanser",
    "bagcert": "BagCert",
    "mask_guided_randomized_smoothing": "Mask-guided randomized smoothing",
}
MARKS = {
    WITHIN: ("✓", "within"),
    OUTSIDE: ("✗", "out"),
    ORDER_ONLY: ("≈", "order-only"),
    COUNTERPART: ("◇", "counterpart"),
    NOT_RUN: ("○", "not-run"),
    OF_OTHERS: ("❝", "quoted"),
    NOT_REPRODUCIBLE: ("∅", "not-reproducible"),
}
"""The mark and the style of each status."""
MEANINGS = {
    WITHIN: "measured, as near as its tolerance asks",
    OUTSIDE: "measured, and too far away",
    ORDER_ONLY: "a time of other hardware, not judged",
    COUNTERPART: "measured on other images",
    NOT_RUN: "with the passes that it takes from nothing; its commands and other costs are in its details",
    OF_OTHERS: "repeated by the paper from a source that it names",
    NOT_REPRODUCIBLE: "a defense, hardware or number of others",
}
Entry = Mapping[str, Any]


def page(entries: Sequence[Entry], studies: Sequence[Mapping[str, str]], template: str) -> str:
    """The page as HTML.

    Args:
        entries: as :func:`patchcert.claims.entries.entries` gives them.
        studies: that of the published settings and that of the counterparts, as :func:`patchcert.claims.entries.commands`
            gives them.
        template: the text of ``page.html``, with a ``$name`` for each part that is filled in.
    """
    counts = Counter(each["status"] for each in entries)
    paper_study, other_study = (spoken(study["study"]) for study in studies)
    held = {"studies": studies, "numbers": entries}
    models = sorted({each["model"] for each in entries} - {""})
    return Template(template).substitute(
        paper_study=escape(paper_study),
        other_study=escape(other_study),
        legend="\n".join(
            f'<li class="{MARKS[name][1]}">{MARKS[name][0]} {name}: {counts[name]} ({MEANINGS[name]})</li>'
            for name in STATUSES
            if counts[name]
        ),
        dagger=f'<span id="dagger">{escape(ONE_PLACE_NOTE)}.</span> Certified numbers without it are those against every patch '
        "of the named size at every place of the image.",
        papers=_options((name, _title(name)) for name in dict.fromkeys(each["paper"] for each in entries)),
        models=_options((name, name) for name in models),
        statuses=_options((name.replace(" ", "-"), name) for name in STATUSES if counts[name]),
        count=len(entries),
        sections="\n".join(_paper(name, of_paper, other_study) for name, of_paper in _by(entries, "paper").items()),
        # no tag can end the element that holds it
        numbers=json.dumps(held, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _options(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f'<option value="{escape(value)}">{escape(shown)}</option>' for value, shown in pairs)


def _title(paper: str) -> str:
    return TITLES.get(paper, spoken(paper))


def _by(entries: Iterable[Entry], name: str) -> dict[str, list[Entry]]:
    """Entries by one of their facts, in the order of its first occurrence."""
    parts: dict[str, list[Entry]] = {}
    for each in entries:
        parts.setdefault(each[name], []).append(each)
    return parts


def _paper(name: str, entries: Sequence[Entry], study: str) -> str:
    tables = "\n".join(_table(name, table, of_table, study) for table, of_table in _by(entries, "table").items())
    return f'<section data-paper="{escape(name)}">\n<h2>{escape(_title(name))}</h2>\n{tables}\n</section>'


def _table(paper: str, table: str, entries: Sequence[Entry], study: str) -> str:
    # the fullest row has the columns in their order
    fullest = sorted(_by(entries, "row").values(), key=len, reverse=True)
    columns = list(dict.fromkeys(each["column"] for of_row in fullest for each in of_row))
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    rows = []
    for row, of_row in _by(entries, "row").items():
        cells = {each["column"]: _cell(each, study) for each in of_row}
        rows.append(
            f'<tr><th scope="row">{escape(row)}</th>{"".join(cells.get(column, "<td></td>") for column in columns)}</tr>'
        )
    label = f"{escape(_title(paper))}, {escape(table)}"
    return "\n".join(
        (
            f"<section>\n<h3>{escape(table)}</h3>",
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">',
            f'<table>\n<caption class="heard">{label}</caption>',
            f"<thead><tr><td></td>{heads}</tr></thead>\n<tbody>",
            *rows,
            "</tbody>\n</table>\n</div>\n</section>",
        )
    )


def _cell(each: Entry, study: str) -> str:
    """A published number, marked by what became of it, and what was measured; its counterpart under the study's name."""
    (mark, style), status = MARKS[each["status"]], each["status"]
    identity, published = escape(each["id"]), escape(each["published"]) + (f" {ONE_PLACE}" if each["dagger"] else "")
    difference = f" ({each['difference']})" if each["difference"] else ""
    measured = f"ours {each['measured']}{difference}" if each["measured"] else ""
    told = measured or ": ".join(filter(None, (status, each["quoted"] or each["passes"])))
    beside = f'<small class="muted">{escape(study)} {escape(each["counterpart"])}</small>' if each["counterpart"] else ""
    return (
        f'<td id="{identity}"><div class="{style}"><a href="#number={identity}">{published}</a> <span title="{status}">'
        f'<span aria-hidden="true">{mark}</span><span class="heard">{status}</span></span>'
        f"<small>{escape(told)}</small></div>{beside}</td>"
    )
