"""What the papers found, asked of this run's numbers: statements with their verdicts, whichever way they fall."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from patchcert.masks import size_from_text
from patchcert.report import smoothing_findings
from patchcert.report.bagcert import ATTACKED, CLEAN, STRONG, USUAL, WEAK, scorers, smoothing
from patchcert.report.results import FACTS, in_order, spoken
from patchcert.report.tables import forward_passes
from patchcert.report.terms import masks_in, patch_area, spoken_patch
from patchcert.report.verdicts import (
    SIMILAR,
    Answer,
    Finding,
    Run,
    answers_of,
    asked,
    ends_lower,
    falls,
    finding,
    never_rises,
    of_metric,
    runs_of,
    values_along,
)

COST = 2
"""Points of clean accuracy that a training costs at most, and by which an over-estimated patch changes it at most, per cent."""

APART = 10
"""Points of certified accuracy that lie at least between classes that are said to differ, per cent."""

ABOUT = 0.25
"""What share of the pixels of several patches a single patch of about as many pixels may have more or fewer."""

NOTHING = 5
"""Certified accuracy that is called nearly nothing at most, per cent."""

ANY_SHAPE = 40
"""What BagCert certifies at least against a patch of any aspect ratio, as its paper says, per cent."""

WIDE = 6
"""How many times as wide as high a patch is at least that is called short but wide."""

MANY = 10
"""How many times as long as BagCert block smoothing takes at least."""


def findings(
    results: pd.DataFrame | None, strategies: Mapping[str, str], analyses: Mapping[str, Mapping[str, pd.DataFrame]]
) -> dict[str, list[Finding]]:
    """The papers' findings with their verdicts, asked of the grid of runs and of each analysis.

    A run counts where all that a statement compares was measured; a statement with no such run is left out. Several seeds
    count by their mean.

    Args:
        results: of the grid, as :func:`patchcert.report.results.read_results` gives them, if it is asked.
        strategies: the strategy of each training.
        analyses: what :func:`patchcert.report.results.frames` gives for each analysis.

    Returns:
        Findings by what was asked, ``grid`` first, without what has none.
    """
    found = {} if results is None else {"grid": [*_trainings(results, strategies), *_certificate_mode(results)]}
    found |= {name: _ANALYSES[name](**frames) for name, frames in analyses.items()}
    return {name: statements for name, statements in found.items() if statements}


# --- the grid of runs --------------------------------------------------------------------------------------------------------


def _trainings(results: pd.DataFrame, strategies: Mapping[str, str]) -> list[Finding]:
    """What trainings on masked images gain and cost, for every dataset, patch and mask budget."""
    plain, random, greedy = (
        [name for name in in_order(results["training"]) if strategies[name] == strategy]
        for strategy in ("plain", "random_cutout", "greedy_cutout")
    )
    found = []
    for (dataset, patch), part in results.groupby(["dataset", "patch"], sort=False):
        place = f" on {spoken(dataset)}" if results["dataset"].nunique() > 1 else ""
        place += f" against {patch} patches" if results["patch"].nunique() > 1 else ""
        for budget, rows in part.groupby("budget", sort=False):
            where = f"with {budget} masks{place}"
            if plain and random:
                found += _order(rows, [plain[0], random[0]], where, "PatchCleanser, Table 5")
                for name in greedy:
                    found += _order(rows, [plain[0], random[0], name], where, "Greedy Cutout, Tables 1 and 3")
        if plain:
            found += _clean_cost(part[part["budget"] == in_order(part["budget"])[-1]], plain[0], place)
    return found


def _order(results: pd.DataFrame, rising: list[str], where: str, source: str) -> list[Finding]:
    answers = [
        Answer(run, [(f"{value:.1f}", rises) for value, rises in zip(values, ~(values.diff() <= 0), strict=True)])
        for run, values in values_along(of_metric(results, "certified"), "training", rising).items()
    ]
    return finding(f"Certified accuracy {where} rises: {' < '.join(map(spoken, rising))} ({source})", answers)


def _clean_cost(results: pd.DataFrame, plain: str, place: str) -> list[Finding]:
    answers = []
    for run, rows in runs_of(of_metric(results, "defended_clean"), "training").items():
        means = rows.groupby("training", sort=False)["percent"].mean()
        if plain in means and len(means) > 1:
            costs = (means[plain] - means.drop(plain)).round(6)
            answers.append(Answer(run, [(f"{_points(costs.max())} ({spoken(costs.idxmax())})", costs.max() <= COST)]))
    return finding(f"Training on masked images costs at most {COST} points of defended clean accuracy{place}", answers)


def _points(cost: float) -> str:
    return f"loses {cost:.1f} points at most" if cost > 0 else f"gains {-cost + 0:.1f} points at least"


def _certificate_mode(results: pd.DataFrame) -> list[Finding]:
    """What certificate mode costs; matrix mode, which classifies every pair of masks, is not asked."""
    table, _ = forward_passes.make(results)
    answers = []
    for run, rows in runs_of(table[table["passes"] < table["pairs"]]).items():
        share, bound = rows[["share", "bound"]].mean()
        answers.append(Answer(run, [(f"{share:.1f} of at most {bound:.1f}", share <= bound)]))
    statement = (
        "With the most masks, certificate mode classifies at most the certified share of the pairs of masks and "
        f"{forward_passes.ALLOWANCE} points more (engine)"
    )
    return finding(statement, answers)


# --- PatchCleanser's analyses ------------------------------------------------------------------------------------------------


def _patch_sizes(results: pd.DataFrame) -> list[Finding]:
    patches = _by_area(results)
    certified = values_along(of_metric(results, "certified"), "patch", patches)
    return asked("A smaller patch is certified at least as often (PatchCleanser, Table 2)", certified, never_rises)


def _patch_shapes(results: pd.DataFrame) -> list[Finding]:
    patches, certified = in_order(results["patch"]), of_metric(results, "certified")
    squares = [patch for patch in patches if re.fullmatch(r"(\d+)x\1", patch)]
    found = []
    for mark, statement in (
        ("area-", "Any rectangle of an area is harder than one square of at most that area"),
        ("-of-", "Several patches at once are harder than one square of about as many pixels"),
    ):
        answers = []
        for patch in patches:
            if mark in patch and (square := _square_beside(patch, squares)):
                pairs = values_along(certified, "patch", [square, patch])
                answers += answers_of({run: values.rename(spoken_patch) for run, values in pairs.items()}, falls)
        found += finding(f"{statement} (PatchCleanser, Table 4)", answers)
    return found


def _square_beside(patch: str, squares: Sequence[str]) -> str | None:
    """The square patch that a set of patches is compared with, the nearest to its pixels of those that may be."""
    if patch.startswith("area-"):
        pixels = int(patch.removeprefix("area-"))
        eligible = [square for square in squares if patch_area(square) <= pixels]
    else:
        count, _, size = patch.partition("-of-")
        pixels = int(count) * patch_area(size)
        eligible = [square for square in squares if abs(patch_area(square) - pixels) <= ABOUT * pixels]
    return min(eligible, key=lambda square: abs(patch_area(square) - pixels), default=None)


def _mask_budgets(results: pd.DataFrame, times: pd.DataFrame) -> list[Finding]:
    budgets = sorted(in_order(results["budget"]), key=masks_in)
    clean, certified = (of_metric(results, metric) for metric in ("defended_clean", "certified"))
    doubly = values_along(certified[certified["defense"] == "double_masking"], "budget", budgets)
    statement = "Certified accuracy rises from the fewest masks to the most, and falls at no step (PatchCleanser, Figure 4)"
    found = asked(statement, doubly, lambda values: falls(-values))
    gains = {run: values.diff().iloc[1:].rename("to {}".format) for run, values in doubly.items()}
    statement = "The rise saturates: the last step gains less than the first (PatchCleanser, Figure 4)"
    found += asked(statement, gains, ends_lower)
    statement = "takes at most as many forward passes an image as double masking (PatchCleanser, Figure 10)"
    passes = times.rename(columns={"algorithm": "defense"})
    found += _challenger(statement, passes, budgets, operator.le, "calls")
    statement = "is at most as accurate on clean images as double masking (PatchCleanser, Figure 10)"
    found += _challenger(statement, clean, budgets, operator.le)
    statement = "is certified for as many images as double masking (PatchCleanser, Appendix C)"
    return found + _challenger(statement, certified, budgets, operator.eq)


def _challenger(
    says: str, rows: pd.DataFrame, budgets: Sequence[str], holds: Callable[[float, float], bool], column: str = "percent"
) -> list[Finding]:
    """What is said of challenger masking beside double masking, asked at every mask budget."""
    challenger, double = (
        values_along(rows[rows["defense"] == name], "budget", budgets, column) for name in ("challenger", "double_masking")
    )
    answers = [
        Answer(
            run,
            [
                (f"{number:.1f} against {other:.1f} ({budget})", holds(number, other))
                for budget, number, other in zip(budgets, numbers, double[run], strict=True)
            ],
        )
        for run, numbers in challenger.items()
    ]
    return finding(f"Challenger masking {says}", answers)


def _overestimated_patch(results: pd.DataFrame) -> list[Finding]:
    estimates = _by_area(results)
    clean, certified = (
        values_along(of_metric(results, metric), "patch", estimates) for metric in ("defended_clean", "certified")
    )
    factor = patch_area(estimates[-1]) / patch_area(estimates[0])
    when = f"as the patch is over-estimated, up to {factor:.3g} times its area (PatchCleanser, Figure 6)"
    return [
        *asked(f"Certified accuracy falls, and rises at no step, {when}", certified, falls),
        *asked(f"Clean accuracy changes by at most {COST} points {when}", clean, _stays),
    ]


def _large_patches(results: pd.DataFrame) -> list[Finding]:
    patches = _by_area(results)
    clean, certified = (
        values_along(of_metric(results, metric), "patch", patches) for metric in ("defended_clean", "certified")
    )
    says = "accuracy falls from the smallest patch to the largest, and rises at no step"
    return [
        *asked(f"Clean {says} (PatchCleanser, Figure 7)", clean, falls),
        *asked(f"Certified {says} (PatchCleanser, Figure 8)", certified, falls),
    ]


def _minority_reports(reports: pd.DataFrame, results: pd.DataFrame) -> list[Finding]:
    """Minority Reports, of which a right answer or an alert is certified, beside double masking, of which a right answer is."""
    both = _beside_double_masking(reports, results)
    robust, similar = [], []
    for run, (certified, ours, *_) in _first(both, "threshold").items():
        robust.append(Answer(run, [(f"{certified:.1f} against {ours:.1f}", certified >= ours)]))
    for run, (certified, ours, clean, our_clean) in _first(both, "apart", "threshold").items():
        text = f"{certified:.1f} against {ours:.1f} where clean accuracy is {clean:.1f} against {our_clean:.1f}"
        similar.append(Answer(run, [(text, abs(certified - ours) <= SIMILAR)]))
    place = "(PatchCleanser, Figure 9)"
    return [
        *finding(f"At threshold 0, Minority Reports certifies at least as many images as double masking {place}", robust),
        *finding(
            "Where its clean accuracy is nearest to double masking's, Minority Reports' certified accuracy is within "
            f"{SIMILAR} points of double masking's {place}",
            similar,
        ),
    ]


def _beside_double_masking(reports: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Accuracies at every threshold in per cent, those of double masking, and how far apart the clean ones are."""
    percent = 100 * reports[["clean", "certified"]].div(reports["total"], axis=0)
    ours = results.pivot(index=FACTS, columns="metric", values="percent").reset_index()
    ours = ours.rename(columns={"defended_clean": "our_clean", "certified": "our_certified"})
    both = reports[[*FACTS, "threshold"]].join(percent).merge(ours, on=FACTS)
    return both.assign(apart=(both["clean"] - both["our_clean"]).abs().round(6))


def _first(both: pd.DataFrame, *by: str) -> dict[Run, list[float]]:
    """Certified and clean accuracies, each of both defenses, at the threshold that comes first; means over the seeds."""
    chosen = both.sort_values(list(by)).drop_duplicates(FACTS).sort_index()
    columns = ["certified", "our_certified", "clean", "our_clean"]
    return {run: rows[columns].mean().round(6).tolist() for run, rows in runs_of(chosen).items()}


def _objects(images: pd.DataFrame) -> list[Finding]:
    halves, classes = [], []
    for run, rows in runs_of(images).items():
        hits, size = 100 * rows["certified"], rows["object_size"]
        if (size > size.median()).any():
            larger, smaller = hits[size > size.median()].mean(), hits[size <= size.median()].mean()
            halves.append(Answer(run, [(f"{larger:.1f} against {smaller:.1f}", larger >= smaller)]))
        by_class = hits.groupby(rows["label"]).mean().sort_values(kind="stable")
        if len(by_class) > 1:
            (worst, low), *_, (best, high) = by_class.items()
            text = f"from {low:.1f} (class {worst}) to {high:.1f} (class {best})"
            classes.append(Answer(run, [(text, round(high - low, 6) >= APART)]))
    return [
        *finding(
            "The larger half of the objects is certified at least as often as the smaller half (PatchCleanser, Figure 11)",
            halves,
        ),
        *finding(f"Certified accuracy differs by at least {APART} points between classes (PatchCleanser, Figure 13)", classes),
    ]


# --- Greedy Cutout's analyses ------------------------------------------------------------------------------------------------

RIVALS = (
    "random_cutout",
    "random_masks_3x3",
    "random_masks_6x6",
    "random_masks_both",
    "gutout_3x3",
    "gutout_6x6",
    "gutout_both",
)
"""Trainings that search for no worst mask."""
SINGLE_SIZE = {"3x3": "greedy_cutout_3x3", "6x6": "greedy_cutout_6x6"}
MULTI_SIZE = "greedy_cutout_multisize"


def _strategies(results: pd.DataFrame, trainings: pd.DataFrame) -> list[Finding]:
    certified = of_metric(results, "certified")
    found = []
    for budget, rows in certified.groupby("budget", sort=False):
        means = {run: part.groupby("training")["percent"].mean() for run, part in runs_of(rows, "training").items()}
        place = "(Greedy Cutout, Table 3)"
        for greedy in [*SINGLE_SIZE.values(), MULTI_SIZE]:
            answers = []
            for run, values in means.items():
                rivals = values[values.index.isin(RIVALS)]
                if greedy in values and len(rivals):
                    text = f"{values[greedy]:.1f} against {rivals.max():.1f} ({spoken(str(rivals.idxmax()))})"
                    answers.append(Answer(run, [(text, values[greedy] > rivals.max())]))
            says = "certifies more than Random Cutout, random masks of the certificate and Gutout"
            found += finding(f"With {budget} masks, {spoken(greedy)} {says} {place}", answers)
        single, grid = SINGLE_SIZE.get(str(budget), ""), f"grid_cutout_{budget}"
        answers = [
            Answer(run, [(f"{values[single]:.1f} against {values[grid]:.1f}", abs(values[single] - values[grid]) <= SIMILAR)])
            for run, values in means.items()
            if single in values and grid in values
        ]
        says = f"is within {SIMILAR} points of the exhaustive search over the same masks"
        found += finding(f"With {budget} masks, {spoken(single)} {says} {place}", answers)
    costs = trainings.groupby("training")["extra_passes"].mean()
    names = [name for name in [*SINGLE_SIZE.values(), MULTI_SIZE] if name in costs]
    if MULTI_SIZE in names and "greedy_cutout_6x6" in names:
        text = ", ".join(f"{costs[name]:g} ({spoken(name)})" for name in names)
        fewer = costs[MULTI_SIZE] < costs["greedy_cutout_6x6"]
        found += finding(
            "The search of multi-size greedy takes fewer passes an image than that of single-size greedy 6x6",
            [Answer(("passes",), [(text, bool(fewer))])],
        )
    return found


def _training_seeds(results: pd.DataFrame) -> list[Finding]:
    """Multi-size against single-size greedy and Random Cutout, over the seeds of training."""
    found = []
    for budget, rows in of_metric(results, "certified").groupby("budget", sort=False):
        order = ["plain", "random_cutout", MULTI_SIZE]
        found += _order(rows, order, f"with {budget} masks, by its mean over seeds,", "Greedy Cutout, Table 1")
        answers = []
        for run, part in runs_of(rows, "training").items():
            by_training = {name: values["percent"] for name, values in part.groupby("training")}
            single = [by_training[name] for name in SINGLE_SIZE.values() if name in by_training]
            if single and MULTI_SIZE in by_training:
                better = max(single, key=lambda values: values.mean())
                mean = by_training[MULTI_SIZE].mean()
                text = f"{mean:.1f} against {better.min():.1f} to {better.max():.1f}"
                answers.append(Answer(run, [(text, bool(round(mean - better.min(), 6) >= 0))]))
        says = "lies within or above the spread of single-size greedy over seeds"
        found += finding(f"With {budget} masks, the mean of multi-size greedy {says} (Greedy Cutout, Table 3)", answers)
    return found


def _strategy_budgets(results: pd.DataFrame) -> list[Finding]:
    budgets = sorted(in_order(results["budget"]), key=masks_in)
    certified = of_metric(results, "certified")
    ends = values_along(certified, "budget", [budgets[0], budgets[-1]])
    return asked(
        f"Certified accuracy rises from {budgets[0]} to {budgets[-1]} masks of the certificate (Greedy Cutout, Figure 5)",
        ends,
        lambda values: ~(values.diff() <= 0),
    )


# --- Multi-Label PatchCleanser -----------------------------------------------------------------------------------------------


def _multilabel(points: pd.DataFrame, attackers: pd.DataFrame, areas: pd.DataFrame) -> list[Finding]:
    """What masking costs, what certification costs, and what it gains that the patch is at one place."""
    chosen = points[points["threshold"] == points["at"]]
    place = "(Multi-Label PatchCleanser, Table {})".format
    moves = {"precision": ("raises", operator.ge), "recall": ("lowers", operator.le)}
    found = []
    for metric, (says, holds) in moves.items():
        pairs = values_along(chosen, "setting", ["undefended", "defended"], metric)
        answers = [
            Answer(run, [(f"{100 * without:.1f} to {100 * with_masks:.1f}", holds(with_masks, without))])
            for run, (without, with_masks) in pairs.items()
        ]
        found += finding(f"The defense {says} the {metric} of clean images, or leaves it {place('I')}", answers)
    order = ["undefended", "defended", "located", "certified"]
    by_setting = {run: 100 * values for run, values in values_along(areas, "setting", order, "exact").items()}
    statement = f"The area under the curve falls: {' > '.join(order[:2])} > certified at one place > certified {place('II')}"
    found += asked(statement, by_setting, lambda values: ~(values.diff() >= 0))
    found += _one_place(chosen, attackers[attackers["threshold"] == attackers["at"]], place("III"))
    trainings = in_order(areas["training"])
    certified = values_along(areas[areas["setting"] == "certified"], "training", trainings, "exact")
    rising = " < ".join(map(spoken, trainings))
    statement = f"Training on masked images raises the certified area: {rising}"
    return found + asked(
        statement, {run: 100 * values for run, values in certified.items()}, lambda values: ~(values.diff() <= 0)
    )


def _one_place(points: pd.DataFrame, attackers: pd.DataFrame, place: str) -> list[Finding]:
    """What is certified beyond the sum of the labels, for the patch that the masks were made for."""
    own = attackers[(attackers["actual_patch"] == attackers["patch"]) & (attackers["attacker"] == "worst_case")]
    answers = []
    labels = runs_of(points[points["setting"] == "certified"])
    for run, rows in runs_of(own).items():
        numbers = []
        for metric in ("precision", "recall"):
            alone, together = (100 * each[metric].mean() for each in (labels[run], rows))
            numbers.append((f"{metric} {together:.1f} against {alone:.1f}", round(together - alone, 6) >= 0))
        answers.append(Answer(run, numbers))
    return finding(
        f"Knowing that the patch is at one place certifies at least as much as each label by itself {place}", answers
    )


# --- BagCert -----------------------------------------------------------------------------------------------------------------


def _bagcert_conditions(conditions: pd.DataFrame) -> list[Finding]:
    """What condition 3.2 gains, over all trainings and seeds, and what the training margin does."""
    place = "(BagCert, Figure 2)"
    gains = []
    for run, percent in _by_seed(conditions).items():
        gain = (percent[STRONG] - percent[WEAK]).round(6)
        ends = dict.fromkeys(f"{end:.1f}" for end in (gain.min(), gain.max()))
        gains.append(Answer(run, [(f"{' to '.join(ends)} points more", bool(gain.min() >= 0))]))
    found = finding(f"Condition 3.2 certifies at least as many images as condition 3.3 {place}", gains)
    moves = {CLEAN: ("lower clean", ends_lower), STRONG: ("higher certified", lambda values: ends_lower(-values))}
    for metric, (says, holds) in moves.items():
        margins = {
            run: rows.groupby("margin")["percent"].mean().round(6).rename("M {:g}".format)
            for run, rows in runs_of(of_metric(scorers(conditions), metric), "training").items()
        }
        found += asked(f"The largest training margin gives {says} accuracy than the smallest {place}", margins, holds)
    return found


def _bagcert_patch_sizes(conditions: pd.DataFrame) -> list[Finding]:
    """How far the paper's one configuration is from the best of all runs on the same dataset, at each size."""
    certified = scorers(of_metric(conditions, STRONG))
    squares = [patch for patch in in_order(certified["patch"]) if len(set(size_from_text(patch))) == 1]
    usual = (certified[list(USUAL)] == pd.Series(USUAL)).all(axis=1)
    answers = []
    for run, own in runs_of(certified[usual], "patch").items():
        rivals = certified[certified["dataset"].isin(own["dataset"])].groupby(["model", "training", "patch"])["percent"].mean()
        numbers = []
        for patch in squares:
            ours, best = own.loc[own["patch"] == patch, "percent"].mean(), rivals.xs(patch, level="patch").max()
            numbers.append((f"{ours:.1f} against {best:.1f} ({patch})", bool(round(best - ours, 6) <= SIMILAR)))
        answers.append(Answer(run, numbers))
    statement = f"One configuration is within {SIMILAR} points of the best against squares of every size (BagCert, Figure 3)"
    return finding(statement, answers)


def _bagcert_aspect_ratios(conditions: pd.DataFrame) -> list[Finding]:
    certified, place = of_metric(conditions, STRONG), "(BagCert, Figure 4)"
    sizes = {patch: size_from_text(patch) for patch in in_order(certified["patch"])}
    wide = [patch for patch, (rows, columns) in sizes.items() if columns >= WIDE * rows]
    bands = certified[(certified["model"].map(smoothing) == "column") & certified["patch"].isin(wide)]
    statement = f"Against short but wide patches, smoothing by columns certifies at most {NOTHING} % {place}"
    found = finding(
        statement,
        [
            Answer(run, [(f"{value:.1f} ({patch})", round(value, 6) <= NOTHING) for patch, value in values.items()])
            for run, values in _means(bands, "patch").items()
        ],
    )
    lowest = [
        Answer(run, [(f"{values.min():.1f} ({values.idxmin()})", round(values.min(), 6) >= ANY_SHAPE)])
        for run, values in _means(scorers(certified), "patch").items()
    ]
    return found + finding(f"BagCert certifies at least {ANY_SHAPE} % against a patch of any aspect ratio {place}", lowest)


def _bagcert_attacks(attacks: pd.DataFrame) -> list[Finding]:
    """Whether both bounds are on their sides of the truth, for every training and seed by itself."""
    answers = []
    for run, percent in _by_seed(attacks).items():
        least = {
            "certified to attacked": (percent[ATTACKED] - percent[STRONG]).min(),
            "attacked to clean": (percent[CLEAN] - percent[ATTACKED]).min(),
        }
        answers.append(Answer(run, [(f"{step:.1f} ({name})", round(step, 6) >= 0) for name, step in least.items()]))
    statement = "Certified accuracy <= accuracy under attack <= clean accuracy, by these points at least (BagCert, Figure 7)"
    return finding(statement, answers)


def _bagcert_outputs(conditions: pd.DataFrame) -> list[Finding]:
    """Heaviside against the other outputs, where all else is the same; means over the seeds."""
    answers = []
    for _, rows in scorers(conditions).groupby(["dataset", "receptive_field", "margin", "patch"], sort=False):
        means = rows.pivot_table(index="output", columns="metric", values="percent", sort=False).round(6)
        others = means.drop(index="heaviside", errors="ignore")
        if 0 < len(others) < len(means):
            numbers = [
                (f"{ours:.1f} against {others.loc[name, metric]:.1f} ({name}, {says})", ours >= others.loc[name, metric])
                for metric, says in ((CLEAN, "clean"), (STRONG, "certified"))
                for ours in [means.loc["heaviside", metric]]
                for name in others.index
            ]
            answers.append(Answer((spoken(in_order(rows.loc[rows["output"] == "heaviside", "model"])[0]),), numbers))
    statement = "Heaviside scores reach at least the accuracies of the other outputs, by means over seeds (BagCert, Figure 8)"
    return finding(statement, answers)


def _bagcert_times(region_times: pd.DataFrame) -> list[Finding]:
    """Forward passes and certificates together; a model that was timed several times counts by its mean."""
    totals = region_times.groupby([*FACTS, "defense"], sort=False)["milliseconds"].sum().reset_index()
    blocks = totals[totals["model"].map(smoothing) == "block"].groupby("dataset")["milliseconds"].mean()
    answers = []
    for (dataset, model), own in scorers(totals).groupby(["dataset", "model"], sort=False)["milliseconds"]:
        if dataset in blocks.index:
            times = blocks[dataset] / own.mean()
            answers.append(Answer((spoken(model),), [(f"{times:.1f} times", times >= MANY)]))
    return finding(f"Smoothing by blocks takes at least {MANY} times as long as BagCert (BagCert, Table 1)", answers)


def _by_seed(frame: pd.DataFrame) -> dict[Run, pd.DataFrame]:
    """Accuracies of each model, a row a training and seed and a column a metric."""
    return {
        run: rows.pivot_table(index=["training", "seed"], columns="metric", values="percent")
        for run, rows in runs_of(frame, "training").items()
    }


def _means(frame: pd.DataFrame, along: str) -> dict[Run, pd.Series]:
    """Means over the seeds along a fact, in its order, for each run."""
    return {run: rows.groupby(along, sort=False)["percent"].mean() for run, rows in runs_of(frame, along).items()}


_ANALYSES: Mapping[str, Callable[..., list[Finding]]] = {
    "patch_sizes": _patch_sizes,
    "patch_shapes": _patch_shapes,
    "mask_budgets": _mask_budgets,
    "overestimated_patch": _overestimated_patch,
    "large_patches": _large_patches,
    "minority_reports": _minority_reports,
    "objects": _objects,
    "multilabel": _multilabel,
    "strategies": _strategies,
    "training_seeds": _training_seeds,
    "strategy_budgets": _strategy_budgets,
    "bagcert_conditions": _bagcert_conditions,
    "bagcert_patch_sizes": _bagcert_patch_sizes,
    "bagcert_aspect_ratios": _bagcert_aspect_ratios,
    "bagcert_attacks": _bagcert_attacks,
    "bagcert_outputs": _bagcert_outputs,
    "bagcert_times": _bagcert_times,
    **smoothing_findings.ANALYSES,
}


# --- numbers -----------------------------------------------------------------------------------------------------------------


def _by_area(results: pd.DataFrame) -> list[str]:
    return sorted(in_order(results["patch"]), key=patch_area)


def _stays(values: pd.Series) -> pd.Series:
    return (values - values.iloc[0]).abs().round(6) <= COST
