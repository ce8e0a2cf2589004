"""``reports/README.md``: every table and figure of a study on one page, with the settings that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patchcert.report.findings import Finding
from patchcert.report.results import spoken


def page(
    config: Mapping[str, Any],
    found: Sequence[Finding],
    tables: Mapping[str, tuple[str, str]],
    figures: Mapping[str, tuple[str, str]],
    versions: Mapping[str, str],
    images: Mapping[str, Mapping[str, int]],
    near_flips: int,
) -> str:
    """The page as Markdown.

    Args:
        config: the completed configuration.
        found: findings with their verdicts.
        tables: caption and Markdown text of each table, by its name.
        figures: caption and path of the PNG relative to the page, by name.
        versions: versions of what the study was run with.
        images: images in each split, by dataset; a dataset that no run uses is left out.
        near_flips: images, over all runs, that lost their certificate to the numerical margin.
    """
    lines = [
        f"# Results of the {spoken(config['study'])} study",
        "",
        "Written by `snakemake`; do not edit. Every number is made again by the command in the README of the project.",
        "",
        *_settings(config, images),
        f"* Near flips, certified but for a label decided by too small a margin, and counted as not certified: {near_flips} "
        "over all runs.",
        "",
        "## Findings",
        "",
        "What the papers found, asked of this run.",
        "",
        "| finding | verdict | in per cent |",
        "|:--|:--|:--|",
        *(f"| {finding.statement} | {finding.verdict} | {finding.evidence} |" for finding in found),
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
    for name, settings in config["defenses"].items():
        patches = ", ".join("x".join(map(str, patch)) for patch in settings["patch_sizes"])
        budgets = ", ".join("x".join(map(str, budget)) for budget in settings["mask_budgets"])
        lines.append(f"* Defense `{name}`: patches of {patches} pixels anywhere on the image, mask sets of {budgets}.")
    percent = f"{100 * config['evaluate']['confidence']:g}"
    lines.append(f"* Brackets and error bars: {percent} % Wilson intervals over the test images.")
    lines.append(
        f"* Device: {config['device']}; seeds: {', '.join(map(str, sorted({s for r in config['runs'] for s in r['seeds']})))}."
    )
    return lines
