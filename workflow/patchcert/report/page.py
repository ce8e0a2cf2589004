"""``reports/README.md``: every table and figure of a study on one page, with the settings that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patchcert.report.findings import Finding
from patchcert.report.results import spoken


def page(
    config: Mapping[str, Any],
    found: Mapping[str, Sequence[Finding]],
    tables: Mapping[str, tuple[str, str]],
    figures: Mapping[str, tuple[str, str]],
    versions: Mapping[str, str],
    images: Mapping[str, Mapping[str, int]],
    near_flips: int,
) -> str:
    """The page as Markdown.

    Args:
        config: the completed configuration.
        found: findings with their verdicts, by what was asked: ``grid`` or an analysis.
        tables: caption and Markdown text of each table, by its name.
        figures: caption and path of the PNG relative to the page, by name.
        versions: versions of what the study was run with.
        images: images in each split, by dataset; a dataset that no run uses is left out.
        near_flips: images, over all runs of the grid, that lost their certificate to the numerical margin.
    """
    lines = [
        f"# Results of the {spoken(config['study'])} study",
        "",
        "Written by `snakemake`; do not edit. Every number is made again by the command in the README of the project.",
        "",
        *_settings(config, images),
        f"* Near flips, certified but for a label decided by too small a margin, and counted as not certified: {near_flips} "
        "over all runs of the grid.",
        "",
        "## Findings",
        "",
        "What the papers found, asked of this run. Evidence is in per cent where the finding names no other unit.",
        "",
    ]
    for name, statements in found.items():
        lines += [
            "### Grid of runs" if name == "grid" else f"### Analysis: {spoken(name)}",
            "",
            "| finding | verdict | evidence |",
            "|:--|:--|:--|",
            *(f"| {finding.statement} | {finding.verdict} | {finding.evidence} |" for finding in statements),
            "",
        ]
    for name, (caption, text) in tables.items():
        lines += [
            f"## Table: {spoken(name)}",
            "",
            caption,
            "",
            text.rstrip(),
            "",
            f"All columns: [`{name}.csv`](tables/{name}.csv)",
            "",
        ]
    for name, (caption, path) in figures.items():
        vector = Path(path).with_suffix(".svg").as_posix()
        lines += [
            f"## Figure: {spoken(name)}",
            "",
            caption,
            "",
            f"![{spoken(name)}]({path})",
            "",
            f"[As vector graphics]({vector})",
            "",
        ]
    lines += ["## Made with", "", ", ".join(f"{name} {number}" for name, number in versions.items()), ""]
    return "\n".join(lines)


def _settings(config: Mapping[str, Any], images: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = []
    for name, counted in images.items():
        size = "x".join(map(str, config["datasets"][name]["image_size"]))
        counts = ", ".join(f"{count} {split}" for split, count in counted.items())
        lines.append(f"* Dataset `{name}`: {counts} images of {size} pixels.")
    grid = config["defenses"]["double_masking"]
    lines.append(
        f"* Grid of runs: double masking against patches of {_sizes(grid['patch_sizes'])} pixels anywhere on the image, "
        f"mask sets of {_sizes(grid['mask_budgets'])}."
    )
    for name, block in config["analyses"].items():
        runs = ", ".join(map(spoken, [*block["models"], *block["trainings"]]))
        lines.append(
            f"* Analysis `{name}`: {runs}; patches {_sizes(block['patches'])}; mask sets of {_sizes(block['budgets'])}."
        )
    percent = f"{100 * config['evaluate']['confidence']:g}"
    lines.append(f"* Brackets and error bars: {percent} % Wilson intervals over the test images.")
    lines.append(
        f"* Device: {config['device']}; seeds: {', '.join(map(str, sorted({s for r in config['runs'] for s in r['seeds']})))}."
    )
    return lines


def _sizes(sizes: Sequence[Sequence[int] | str]) -> str:
    return ", ".join(size if isinstance(size, str) else "x".join(map(str, size)) for size in sizes)
