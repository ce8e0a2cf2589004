"""A page of results: every table and figure of the study, or of one of its named targets, with the settings that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patchcert.report.results import spoken
from patchcert.report.terms import ONE_PLACE, ONE_PLACE_NOTE
from patchcert.report.verdicts import Finding


def page(
    config: Mapping[str, Any],
    found: Mapping[str, Sequence[Finding]],
    tables: Mapping[str, tuple[str, str]],
    figures: Mapping[str, tuple[str, str]],
    versions: Mapping[str, str],
    images: Mapping[str, Mapping[str, int]],
    *,
    target: str | None = None,
    near_flips: int = 0,
) -> str:
    """The page as Markdown.

    Args:
        config: the completed configuration, with the analyses that the page shows, each a list of blocks.
        found: findings with their verdicts, by what was asked: ``grid`` or an analysis.
        tables: caption and Markdown text of each table, by its name.
        figures: caption and path of the PNG relative to the page, by name.
        versions: versions of what the study was run with.
        images: images in each split, by dataset; a dataset that no run uses is left out.
        target: the named target whose page it is; none for the page of the bare ``snakemake``, which shows the grid of runs.
        near_flips: images, over all runs of the grid, that lost their certificate to the numerical margin.
    """
    title = f"# Results of the {spoken(config['study'])} study"
    lines = [f"{title}: {spoken(target)}" if target else title, ""]
    if target:
        lines += [
            f"Written by `snakemake {target}`, which takes {config['targets'][target]['cost']}; do not edit. What the bare "
            "`snakemake` makes is on [the main page](README.md).",
            "",
        ]
    else:
        lines += [
            "Written by `snakemake`; do not edit. Every number is made again by the command in the README of the project.",
            "",
        ]
    lines += _settings(config, images, target)
    shown = [finding.statement for statements in found.values() for finding in statements]
    shown += [text for pair in tables.values() for text in pair] + [caption for caption, _ in figures.values()]
    if any(ONE_PLACE in text for text in shown):
        lines.append(
            "* Two kinds of claim: certified accuracies without a mark are those against every patch of the named size at "
            f"every place of the image, and those with it are {ONE_PLACE_NOTE}."
        )
    if target is None:
        lines += [
            "* Near flips, certified but for a label decided by too small a margin, and counted as not certified: "
            f"{near_flips} over all runs of the grid.",
            "* Every published number in the tables of its paper, beside what was measured of it: [claims.html](claims.html), "
            "one file to open in a browser; as a table: [claims.csv](claims.csv).",
            *(
                f"* Further results, which `snakemake {name}` makes in {block['cost']}: [{spoken(name)}]({name}.md)."
                for name, block in config["targets"].items()
            ),
        ]
    lines += [
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


def _settings(config: Mapping[str, Any], images: Mapping[str, Mapping[str, int]], target: str | None) -> list[str]:
    lines = []
    for name, counted in images.items():
        size = "x".join(map(str, config["datasets"][name]["image_size"]))
        counts = ", ".join(f"{count} {split}" for split, count in counted.items())
        lines.append(f"* Dataset `{name}`: {counts} images of {size} pixels.")
    analyses = [(name, block) for name, blocks in config["analyses"].items() for block in blocks]
    seeds = {seed for _, block in analyses for seed in block["seeds"]}
    if target is None:
        grid = config["defenses"]["double_masking"]
        lines.append(
            f"* Grid of runs: double masking against patches of {_sizes(grid['patch_sizes'])} pixels anywhere on the image, "
            f"mask sets of {_sizes(grid['mask_budgets'])}."
        )
        seeds = {seed for run in config["runs"] for seed in run["seeds"]}
    for name, block in analyses:
        runs = ", ".join(map(spoken, [*block["models"], *block["trainings"]]))
        place = f" on {spoken(block['dataset'])}" if len(images) > 1 else ""
        masks = f"; mask sets of {_sizes(block['budgets'])}" if "budgets" in block else ""
        noise = f"; noise of sigma {', '.join(f'{sigma:g}' for sigma in block['sigmas'])}" if "sigmas" in block else ""
        lines.append(f"* Analysis `{name}`{place}: {runs}; patches {_sizes(block['patches'])}{masks}{noise}.")
    percent = f"{100 * config['evaluate']['confidence']:g}"
    lines.append(f"* Brackets and error bars: {percent} % Wilson intervals over the test images.")
    lines.append(f"* Device: {config['device']}; seeds: {', '.join(map(str, sorted(seeds)))}.")
    return lines


def _sizes(sizes: Sequence[Sequence[int] | str]) -> str:
    return ", ".join(size if isinstance(size, str) else "x".join(map(str, size)) for size in sizes)
