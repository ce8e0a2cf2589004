"""Configuration, paths and the functions that rules take their inputs and parameters from."""

from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from patchcert import InputError
from patchcert.datasets.sources import read_sources
from patchcert.models.names import split
from patchcert.provenance import code_digest, file_sha256, settings_sha256
from patchcert.report.settings import SAME, is_counterpart, matched_by, told
from patchcert.report.terms import ONE_PLACE_NOTE
from patchcert.study import facts as of_certificates
from patchcert.study.config import complete, configuration, products, settings_of
from patchcert.study.facts import (
    ANALYSED_BY,
    CLAIMS,
    GRID,
    MASKED,
    MASKING_NOTHING,
    METRICS,
    NO_MASKS,
    REGION_TIMES,
    RUN,
    TIMES,
    TRAINING_TIMES,
    in_order,
    once,
    runs_of,
)
from patchcert.study.weights import check_weights, weights_source

try:
    completed = complete(config)
    config.clear()  # an update alone would keep the order of the file's keys, which is to rerun nothing
    config.update(completed)
    SOURCES = read_sources("config/sources.csv")
    for block in config["datasets"].values():
        if block["source"] not in SOURCES:
            raise InputError(f"config/sources.csv: no row named {block['source']!r}; it has {', '.join(SOURCES)}")
    check_weights(config, SOURCES)
except InputError as error:
    raise WorkflowError(str(error)) from None

NAME = r"[a-z0-9][a-z0-9_]*"
DATA, CHECKPOINTS, RESULTS, REPORTS = (config["directories"][name] for name in ("data", "checkpoints", "results", "reports"))
METRICS_FILE = f"{RESULTS}/{METRICS}"
TIMED = ("times", "region_times", "training_times")
LOGS, BENCHMARKS = f"{RESULTS}/logs", f"{RESULTS}/benchmarks"
SCRATCH, CACHE = f"{RESULTS}/.scratch", f"{RESULTS}/.cache"

GPU_SLOTS = 1 if config["device"] == "cuda" else 0


# the facts of certificates of this configuration
parts_of, grid_facts, analysis_facts, facts_of, region_facts = (
    partial(getattr(of_certificates, name), config)
    for name in ("parts_of", "grid_facts", "analysis_facts", "facts_of", "region_facts")
)


def configured_runs(target=None):
    """The facts of every run of the grid and of the analyses that a target makes."""
    blocks = [
        block for part in parts_of(target) for block in (config["runs"] if part == GRID else products(config["analyses"][part]))
    ]
    return in_order([run for block in blocks for run in runs_of(block)])


def certified_facts():
    """The facts of every certificate of the bare snakemake, each once: run, patch, budget and defense."""
    return once([fact for analysis in parts_of(None) for fact in facts_of(analysis)])


def masked_facts():
    """Those of them whose defense masks images."""
    return [facts for facts in certified_facts() if facts["budget"] != NO_MASKS]


def asked_of_classifier(wildcards):
    """What a run is asked under one mask set: every pair of masks if one analysis wants that, else what certificates need.

    Of a multi-label classifier the extrema of its scores under all pairs are asked.
    """
    asked = run_of(wildcards) | {"patch": wildcards.patch, "budget": wildcards.budget}
    analyses = [name for name in config["analyses"] if any(asked.items() <= facts.items() for facts in analysis_facts(name))]
    modes = [config["analyses"][name]["mode"] for name in analyses]
    numbers = [config["analyses"][name]["images"] for name in analyses]
    whole = None in numbers or any(asked.items() <= facts.items() for facts in grid_facts())
    drawn = {} if whole or not numbers else {"images": max(numbers)}
    answering = {defense for name in analyses for defense in ANALYSED_BY.get(name, [])}
    if "multilabel" in answering:
        return {"mode": "extrema", "algorithms": []}
    return {
        "mode": "matrix" if "matrix" in modes else "certificate",
        "algorithms": ["double_masking", *(["challenger"] if "challenger" in answering else [])],
        **drawn,
    }


def artifacts(facts, by_defense, otherwise):
    """The files that each certificate's defense makes of it: those of ``by_defense`` where it has some of its own."""
    named = [(pattern, fact) for fact in facts for pattern in by_defense.get(fact["defense"], otherwise)]
    return list(dict.fromkeys(pattern.format(**fact) for pattern, fact in named))


def gathered_of(facts):
    """The joined predictions behind certificates."""
    own = {
        "multilabel": rules.gather_scores.output,
        "bagcert": rules.predict_regions.output,
        "mask_smoothing": rules.sample_noise.output,
        "localisation": rules.restore_images.output,
    }
    return artifacts(facts, own, rules.gather_predictions.output)


def certificates_of(facts):
    own = {
        "multilabel": rules.certify_multilabel.output,
        "bagcert": rules.certify_regions.output,
        "mask_smoothing": rules.certify_smoothing.output,
        "localisation": rules.locate.output,
    }
    return artifacts(facts, own, rules.certify.output)


def every(pattern, facts):
    """A path for each of the facts, without repetition."""
    return list(dict.fromkeys(pattern.format(**fact) for fact in facts))


def source_path(entry):
    return f"{DATA}/{entry.name}/{entry.version}/{entry.file}"


def dataset_of(wildcards):
    return config["datasets"][wildcards.dataset]


def source_entry(wildcards):
    entries = [
        entry
        for entry in SOURCES.get(wildcards.source, [])
        if (entry.version, entry.file) == (wildcards.version, wildcards.file)
    ]
    if not entries:
        raise WorkflowError(f"config/sources.csv has no row for {wildcards.source}/{wildcards.version}/{wildcards.file}")
    return vars(entries[0])


def source_files(wildcards):
    return [source_path(entry) for entry in SOURCES[dataset_of(wildcards)["source"]]]


def source_digests(wildcards):
    """Digests of a dataset's raw files by their names, as verified by the fetch."""
    return {entry.file: entry.digest for entry in SOURCES[dataset_of(wildcards)["source"]]}


def loader_module(wildcards):
    return f"patchcert.datasets.loaders.{dataset_of(wildcards)['loader']}"


def architecture_modules(wildcards):
    """The module of a small architecture; timm's own models have none here."""
    return [] if "." in wildcards.model else [f"patchcert.models.architectures.{split(wildcards.model)[0]}"]


def decoding_threads(wildcards):
    """All cores for what takes long, and one for the rest, since a job that wants all has to wait until all are free."""
    large = sum(entry.bytes or 0 for entry in SOURCES[dataset_of(wildcards)["source"]]) > 10**9
    return workflow.cores if large else 1


def data_identity(wildcards):
    """Digest of what the images, labels and splits of a dataset depend on.

    It goes into the record of every checkpoint and prediction, so that weights that were restored from elsewhere are recognised
    if they belong to other data.
    """
    code = adapter_code("prepare.py", loader_module(wildcards))
    return settings_sha256([dataset_of(wildcards), source_digests(wildcards), code])


def training_settings(wildcards):
    """A training's block, as it is for a run, without the name of the training that it starts from, whose weights are an input."""
    block = settings_of(config["trainings"][wildcards.training], wildcards.model, wildcards.dataset)
    return {key: value for key, value in block.items() if key != "start_from"}


def starting_weights(wildcards):
    """The weights of another training, or published ones, which are fetched."""
    training = config["trainings"][wildcards.training]
    if start := training["start_from"]:
        return rules.train.output.weights.format(**(dict(wildcards) | {"training": start}))
    published = weights_source(training, wildcards.model, wildcards.dataset)
    return source_path(*SOURCES[published]) if published else []


def adapter_code(script, *modules):
    """Digest of what a rule's adapter runs, with the modules that it chooses by name.

    Snakemake's own trigger goes by the file time of the adapter, which a checkout changes; this one goes by content.
    """
    return code_digest(str(Path(workflow.basedir, "workflow", "scripts", script)), *modules)


def training_code(wildcards):
    strategy = config["trainings"][wildcards.training]["strategy"]
    return adapter_code("train.py", f"patchcert.training.strategies.{strategy}", *architecture_modules(wildcards))


def run_of(wildcards):
    return {fact: getattr(wildcards, fact) for fact in ("dataset", "model", "training")} | {"seed": int(wildcards.seed)}


def timed_masks(wildcards):
    """Patch and budget of every mask set under which a run's answers are timed."""
    run = run_of(wildcards)
    facts = [*analysis_facts("mask_budgets"), *analysis_facts("defenses")]
    return list(dict.fromkeys((fact["patch"], fact["budget"]) for fact in facts if run.items() <= fact.items()))


def timed_trainings(wildcards):
    """Settings of every training whose step is timed, by its name; a step takes as long from any weights."""
    run = {"dataset": wildcards.dataset, "model": wildcards.model}
    facts = [fact for fact in analysis_facts("strategies") if run.items() <= fact.items()]
    return {fact["training"]: training_settings(SimpleNamespace(**fact)) | {"pretrained": False} for fact in facts}


def timed_code(script, run):
    """Digest of what an adapter runs that asks the strategy of every timed training."""
    strategies = [f"patchcert.training.strategies.{settings['strategy']}" for settings in timed_trainings(run).values()]
    return adapter_code(script, *dict.fromkeys(strategies), *architecture_modules(run))


def training_timing_code(wildcards):
    return timed_code("time_training.py", wildcards)


def attack_example_facts():
    """The run of which one attack is drawn: that of the receptive field and margin that the paper singles out, or the first."""
    facts = region_facts("bagcert_attacks")
    singled_out = [fact for fact in facts if fact["model"].endswith("_rf7") and fact["margin"] == 0.5]
    return next(iter([*singled_out, *facts]), None)


def attack_example_inputs(wildcards):
    facts = attack_example_facts()
    return prepared_of(facts) | {"weights": rules.train.output.weights.format(**facts)}


def attack_example_code(wildcards):
    modules = architecture_modules(SimpleNamespace(**attack_example_facts()))
    return adapter_code("figure_bagcert_attack_example.py", *modules)


def masked_images_facts():
    """The run whose weights the figure of masked images asks: without masks, if the analysis has such a training."""
    facts = analysis_facts("strategies")
    plain = [fact for fact in facts if config["trainings"][fact["training"]]["strategy"] == "plain"]
    return next(iter([*plain, *facts]), None)


def prepared_of(facts):
    """The prepared images of a run, as inputs."""
    return {name: rules.prepare.output[name].format(**facts) for name in ("index", "pixels")}


def masked_images_inputs(wildcards):
    facts = masked_images_facts()
    return prepared_of(facts) | {"weights": rules.train.output.weights.format(**facts)}


def masked_images_code(wildcards):
    return timed_code("figure_masked_images.py", SimpleNamespace(**masked_images_facts()))


def defense_settings(wildcards):
    """What a defense's certificates depend on beside the predictions: its block without what the paths say."""
    block = config["defenses"][wildcards.defense]
    return {key: value for key, value in block.items() if key not in ("patch_sizes", "mask_budgets")}


def defense_code(wildcards):
    return adapter_code("certify.py", f"patchcert.evaluation.{wildcards.defense}")


def multilabel_facts(wildcards):
    """The facts of the multi-label certificates of an analysis, whose two files are read one after the other."""
    return facts_of(wildcards.analysis, "multilabel")


def region_patches(wildcards):
    """Every patch that an analysis asks a region scorer about."""
    run = run_of(wildcards)
    facts = [fact for analysis in config["analyses"] for fact in region_facts(analysis)]
    return list(dict.fromkeys(fact["patch"] for fact in facts if run.items() <= fact.items()))


def smoothing_settings(*names):
    """Some settings of mask smoothing, by name."""
    return {name: config["defenses"]["mask_smoothing"][name] for name in names}


VOTING = smoothing_settings("overlap", "threshold", "tolerance")


def attacked_images(facts, steps):
    """The attacked images of a run, of an attack of so many steps."""
    return rules.attack_images.output[0].format(**(facts | {"steps": steps}))


def shown_images(wildcards):
    """The attacked images that are asked about; none where clean ones are."""
    steps = wildcards.shown.removeprefix("steps-")
    return [] if wildcards.shown == "clean" else attacked_images(dict(wildcards), steps)


def smoothed_seed(wildcards):
    """Seed of the draw of the test images that mask smoothing takes; none where it takes the first."""
    return dataset_of(wildcards)["split_seed"] if config["defenses"]["mask_smoothing"]["choice"] == "random" else None


def located_inputs(wildcards):
    return located_files(dict(wildcards))


def located_files(facts):
    """What the place of a mask depends on beside the classifier: where a patch is located, what the localisation was told."""
    if facts["place"] not in ("clean", "attacked"):
        return {}
    steps, attacked = config["defenses"]["mask_smoothing"]["attack_steps"], facts["place"] == "attacked"
    shown = f"steps-{steps}" if attacked else "clean"
    restored = {"restored": rules.restore_images.output[0].format(**(facts | {"shown": shown}))}
    return restored | ({"attacked": attacked_images(facts, steps)} if attacked else {})


def restoring_threads(wildcards):
    """All cores for large images, whose inpainting takes long; see ``decoding_threads``."""
    return workflow.cores if max(dataset_of(wildcards)["image_size"]) > 64 else 1


def run_code(script):
    """Digest of an adapter that loads the classifier of a run, as a parameter."""
    return lambda wildcards: adapter_code(script, *architecture_modules(wildcards))


def timed_regions(wildcards):
    """A region scorer's run as its times name it, and the patches that its certificates are timed against."""
    run = run_of(wildcards)
    timed = [*region_facts("bagcert_times"), *region_facts("defenses")]
    facts = [fact for fact in timed if run.items() <= fact.items()]
    return {"run": run | {"margin": facts[0]["margin"]}, "patches": list(dict.fromkeys(fact["patch"] for fact in facts))}


def evaluation_code(wildcards):
    return adapter_code("evaluate.py", f"patchcert.evaluation.{wildcards.defense}")


def evaluated_runs(wildcards):
    return facts_of(wildcards.analysis, wildcards.defense)


def evaluated_subset(wildcards):
    """How many test images of each dataset an analysis is evaluated on, and the seeds by which they are drawn."""
    number = config["analyses"].get(wildcards.analysis, {}).get("images")
    seeds = {facts["dataset"]: config["datasets"][facts["dataset"]]["split_seed"] for facts in evaluated_runs(wildcards)}
    return {"images": number, "seeds": seeds if number else {}}


def metrics_of(analysis):
    """The metrics files of an analysis, or of the grid of runs, by defense."""
    defenses = dict.fromkeys(facts["defense"] for facts in facts_of(analysis))
    return {defense: METRICS_FILE.format(analysis=analysis, defense=defense) for defense in defenses}


def evaluations():
    return [path for analysis in parts_of(None) for path in metrics_of(analysis).values()]


def evaluated_certificates(wildcards):
    return certificates_of(evaluated_runs(wildcards))


# What the report shows, each table and figure a module of its name: its caption, the frames that it is made from, and the
# analysis that it shows; it is left out where that analysis is not configured. Without one it shows the grid of runs.
TABLES = {
    "accuracy": {
        "caption": "Clean accuracy of the defended classifier and certified accuracy, by model and training strategy. Published values, where there are any, are those of {accuracies}; PC is the PatchCleanser paper, GC the Greedy Cutout paper.",
        "reads": ["results", "ledger"],
    },
    "vanilla": {
        "caption": "Clean accuracy of the undefended classifiers, without any mask, beside that of {classifiers} (PC, the PatchCleanser paper).",
        "reads": ["results", "ledger"],
    },
    "patch_sizes": {
        "caption": "Clean and certified accuracy of our models by the size of the patch, with Table 2 of the PatchCleanser paper beside the sizes that it has for {images}: the same defense on {models}, and earlier certified defenses.",
        "reads": ["results", "ledger"],
        "analysis": "patch_sizes",
    },
    "patch_shapes": {
        "caption": "Double masking against patches of any rectangular shape, and against two patches at once, each beside a square patch of about as many pixels; published values are those of Table 4 of the PatchCleanser paper, {shapes}.",
        "reads": ["results", "ledger"],
        "analysis": "patch_shapes",
    },
    "forward_passes": {
        "caption": "What certificate mode costs: masked copies that the classifier sees for an image, and their share of the pairs of masks that matrix mode classifies. An image whose certificate fails is asked no more, so that the share stays near the share of images that are certified.",
        "reads": ["results"],
    },
    "inference_times": {
        "caption": "Time and forward passes of one answer, one image and one masked copy at a time, on clean test images.",
        "reads": ["times"],
        "analysis": "mask_budgets",
    },
    "strategies": {
        "caption": "Every training strategy on one model: passes of its search for masks for each image and epoch (a search whose masks are kept for several epochs counts for each of them in part), time of a training step with its search, and certified accuracy; published values are those of {full_size} (GC, the Greedy Cutout paper, Tables 1 and 3; its Table A1 for ViT).",
        "reads": ["results", "ledger", "trainings", "training_times"],
        "analysis": "strategies",
    },
    "training_seeds": {
        "caption": "The main training strategies on all models: mean and standard deviation over seeds of training, with the published values of {full_size} (GC, the Greedy Cutout paper).",
        "reads": ["results", "ledger"],
        "analysis": "training_seeds",
    },
    "multilabel_overall": {
        "caption": "Multi-label precision and recall at one threshold, over all labels and averaged over the classes that occur (Table I of the Multi-Label PatchCleanser paper, ML: MSCOCO 2014, a patch of 2 %; its four numbers are in the order of our columns).",
        "reads": ["points", "ledger"],
        "analysis": "multilabel",
    },
    "multilabel_areas": {
        "caption": "Area under the precision-recall curve over all labels, as a fraction of the ideal one: of the curve over every threshold, of that over the paper's 100 thresholds, and over recall from 25 to 100 % alone (Table II of the Multi-Label PatchCleanser paper, ML).",
        "reads": ["areas", "ledger"],
        "analysis": "multilabel",
    },
    "multilabel_attackers": {
        "caption": "Certified precision and recall over all labels by what the attacker may do, at one threshold (Table III of the Multi-Label PatchCleanser paper, ML). Each label by itself is the paper's old procedure, a place for each kind of error its worst case. An attacker at one place makes precision, recall and F1 as small as it can, each by itself. Patches smaller than the masks were made for are hidden by several masks at some places and can do less.",
        "reads": ["points", "attackers", "ledger"],
        "analysis": "multilabel",
    },
    "multilabel_classes": {
        "caption": "Area under the precision-recall curve of the best and of the worst class by the certified area (Table IV of the Multi-Label PatchCleanser paper, ML, which chose a good and a bad one).",
        "reads": ["classes", "ledger"],
        "analysis": "multilabel",
    },
    "defenses": {
        "caption": "Defenses on the same test images against the same patch: accuracy on clean images, certified accuracy (of BagCert by condition 3.2), and what one answer and one certificate take, one image at a time for double masking and in batches for BagCert. A certificate of double masking takes forward passes, of which there is the mean of the images, one of BagCert no more than the sums of region scores.",
        "reads": ["results", "times", "conditions", "region_times"],
        "analysis": "defenses",
    },
    "bagcert_conditions": {
        "caption": "Clean accuracy, what both of BagCert's conditions certify, and the points that condition 3.2 gains: the share of images that it alone certifies, with the interval of a share (Figure 2 of the BagCert paper, BC; published values are those of {network}).",
        "reads": ["conditions", "ledger"],
        "analysis": "bagcert_conditions",
    },
    "bagcert_times": {
        "caption": "Seconds for 10,000 certificates, forward passes and the rest, and sizes of the networks. Published values are those of full-size networks on a Tesla V100 (Table 1 of the BagCert paper, BC) and are to be compared with ours in their order, not in seconds.",
        "reads": ["region_times", "ledger"],
        "analysis": "bagcert_times",
    },
    "training_throughput": {
        "caption": "What a training step costs: time for each image, split into the search for masks and the step on the masked copies, and their sum as a ratio to what the step and as many forward passes alone would take. Published are the passes of Tables 3 and A1 of the Greedy Cutout paper, GC.",
        "reads": ["training_times", "ledger"],
        "analysis": "strategies",
    },
    "mask_smoothing": {
        "caption": f"Mask smoothing that finds the patch itself, beside other defenses as published (Table 1 of the mask-guided randomized smoothing paper, MRS; full-size networks). Clean: the smoothed answer is right on images without a patch. Certified, of mask smoothing: right on attacked images, whatever the mask shows, and the mask covers the patch; of the others, every patch at every place. These are not the same claim. {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "ledger"],
        "analysis": "smoothing_attacked",
    },
    "smoothing_places": {
        "caption": f"Mask smoothing with the mask at a given place: right answers without noise and under noise, and the certified R-accuracy at radius 0 and at the norm from which any content of the mask is certified; where the largest radius that the samples allow is below this norm, the latter is 0 (Figure 2 of the mask-guided randomized smoothing paper). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing"],
        "analysis": "smoothing_places",
    },
    "localisation": {
        "caption": "Where mask smoothing finds the patch of an attack of so many gradient steps at each of its random places, of which the one with the greatest loss is kept. The attack succeeds where it turns a right answer, and the share is of the images with one. The four outcomes of localisation are shares of all images. Empirical: other attacks may do better.",
        "reads": ["localisation"],
        "analysis": "smoothing_localisation",
    },
}
FIGURES = {
    "mask_set": {
        "caption": "A mask set over a test image, and the two rounds of double masking with the labels that the classifier gave.",
        "reads": [],
        "analysis": "mask_set",
    },
    "strategies": {
        "caption": "Certified accuracy by training strategy; diamonds, where there are any, are the published values of {diamonds}.",
        "reads": ["results", "ledger"],
    },
    "strategy_costs": {
        "caption": "What a training strategy costs and gains: certified accuracy against the passes of its search and against the time of a training step (Greedy Cutout, Tables 3 and A1).",
        "reads": ["results", "ledger", "trainings", "training_times"],
        "analysis": "strategies",
    },
    "masked_images": {
        "caption": "Training images as each strategy shows them to the classifier, here one that was trained without masks: grey is masked, frames are the masks. Strategies with two copies train on both.",
        "reads": [],
        "analysis": "strategies",
    },
    "strategy_budgets": {
        "caption": "Certified accuracy by the number of masks of the certificate, for classifiers that were trained by different strategies (Figure 5 of the Greedy Cutout paper).",
        "reads": ["results"],
        "analysis": "strategy_budgets",
    },
    "training_curves": {
        "caption": "Calibration accuracy under each strategy's own masks, or mean average precision where images have several labels, epoch by epoch; a dot marks the epoch that was chosen.",
        "reads": [],
    },
    "prior_defenses": {
        "caption": "Clean against certified accuracy. Left: PatchCleanser and earlier certified defenses on {prior}, as published (Figure 2 and Table 2 of the PatchCleanser paper). Right: double masking on our models.",
        "reads": ["results", "ledger"],
        "analysis": "patch_sizes",
    },
    "mask_budgets": {
        "caption": "The number of masks against accuracy and against the cost of one answer (Figure 4 of the PatchCleanser paper).",
        "reads": ["results", "times", "ledger"],
        "analysis": "mask_budgets",
    },
    "overhead": {
        "caption": "What accuracy costs in time: clean and certified accuracy against the time of one answer, ours by number of masks and the published defenses on ImageNet (Figure 5 of the PatchCleanser paper).",
        "reads": ["results", "times", "ledger"],
        "analysis": "mask_budgets",
    },
    "overestimated_patch": {
        "caption": "Mask sets made for a larger patch than the actual one (Figure 6 of the PatchCleanser paper).",
        "reads": ["results", "image_sizes"],
        "analysis": "overestimated_patch",
    },
    "large_patches": {
        "caption": "Clean and certified accuracy against ever larger patches, with the number of masks fixed (Figures 7 and 8 of the PatchCleanser paper).",
        "reads": ["results", "ledger", "image_sizes"],
        "analysis": "large_patches",
    },
    "minority_reports": {
        "caption": "Minority Reports, which detects an attack and may always raise an alert, against double masking, which always answers (Figure 9 of the PatchCleanser paper).",
        "reads": ["reports", "results", "ledger"],
        "analysis": "minority_reports",
    },
    "inference_algorithms": {
        "caption": "Double masking and challenger masking: clean accuracy, time and forward passes of one answer; their certificates are the same (Figure 10 of the PatchCleanser paper).",
        "reads": ["results", "times"],
        "analysis": "mask_budgets",
    },
    "object_sizes": {
        "caption": "Certified accuracy by the size of the object: the bounding box of a digit's ink, or ImageNet's boxes together (Figure 11 of the PatchCleanser paper).",
        "reads": ["images"],
        "analysis": "objects",
    },
    "classes": {
        "caption": "Certified accuracy and mean object size by class (Figure 13 of the PatchCleanser paper).",
        "reads": ["images"],
        "analysis": "objects",
    },
    "certification_histograms": {
        "caption": "Certification histograms: the masks under which, with some second mask, a class of the image is no longer found, and how many classes each mask can make fail. One patch is at one place only, so that no more of them fail at once than the largest number (Figure 2 of the Multi-Label PatchCleanser paper).",
        "reads": [],
        "analysis": "multilabel",
    },
    "precision_recall": {
        "caption": "Precision against recall over all labels as the threshold goes from 0.00 to 0.99: without masks, defended, certified for each label by itself, and certified with one place of the patch an image (Figure 3 of the Multi-Label PatchCleanser paper; its values are those of Table I).",
        "reads": ["points", "ledger"],
        "analysis": "multilabel",
    },
    "bagcert_conditions": {
        "caption": "Clean accuracy against what BagCert certifies by condition 3.2 (stars) and by condition 3.3 (circles), the same run joined; colours are receptive fields, numbers the training margin M, squares and crosses derandomized smoothing by blocks and by columns (hollow: condition 3.3). Intervals stand in the table (Figure 2 of the BagCert paper; the diamond is {diamond}).",
        "reads": ["conditions", "ledger"],
        "analysis": "bagcert_conditions",
    },
    "bagcert_patch_sizes": {
        "caption": "Accuracy certified by BagCert's condition 3.2 against ever larger square patches, by receptive field and by margin; no network is trained again (Figure 3 of the BagCert paper; diamonds are published values for {images}, that of 2x2 from the PatchCleanser paper).",
        "reads": ["conditions", "ledger"],
        "analysis": "bagcert_patch_sizes",
    },
    "bagcert_aspect_ratios": {
        "caption": "Accuracy certified by BagCert's condition 3.2 against every rectangle of 24 pixels, from the widest to the highest, beside derandomized smoothing by blocks and by columns (Figure 4 of the BagCert paper).",
        "reads": ["conditions", "ledger"],
        "analysis": "bagcert_aspect_ratios",
    },
    "bagcert_attacks": {
        "caption": "Accuracy on clean images, under a patch attack at the place where the certificate is weakest, and certified, on the same images; what no certificate covers and no attack broke is shaded (Figures 6 and 7 of the BagCert paper).",
        "reads": ["attacks"],
        "analysis": "bagcert_attacks",
    },
    "bagcert_attack_example": {
        "caption": "A patch attack and what it does to the region scores of the true class and of the target; light is a vote. The rectangles are the patch and the places that it can reach (Figure 6 of the BagCert paper).",
        "reads": [],
        "analysis": "bagcert_attacks",
    },
    "bagcert_outputs": {
        "caption": "Clean and certified accuracy with a Heaviside step, a sigmoid and a softmax as output of the region scorer: a point a seed, lines are means (Figure 8 of the BagCert paper).",
        "reads": ["conditions"],
        "analysis": "bagcert_outputs",
    },
    "class_curves": {
        "caption": "Precision against recall of the class whose certified area is largest, and of the class where it is smallest (Figure 4 of the Multi-Label PatchCleanser paper).",
        "reads": ["class_points"],
        "analysis": "multilabel",
    },
    "smoothing_places": {
        "caption": f"Certified R-accuracy † of mask smoothing with the mask at the image centre, and at the place with the highest Grad-CAM activation, by the noise's standard deviation. From the solid line on any content of the mask is certified (points, with intervals); the dotted line is the paper's R, the number of pixels (Figures 2b, 2c, 2e and 2f of the mask-guided randomized smoothing paper; diamonds are its values{{small_images}}). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "radii", "ledger"],
        "analysis": "smoothing_places",
    },
    "smoothing_attacked": {
        "caption": f"Certified R-accuracy † of mask smoothing on the images of one attack, which count where the answer is right and the mask that was found covers the patch. Dashed: the smoothed answer is right, without a certificate; dotted: the classifier without the defense on the same images (Figures 2a and 2d of the mask-guided randomized smoothing paper). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "radii", "ledger"],
        "analysis": "smoothing_attacked",
    },
    "smoothing_mask_sizes": {
        "caption": f"Certified R-accuracy † of mask smoothing with ever larger masks at the image centre. A larger mask also takes a larger radius to certify any content; a point stands where the samples allow one (Figure 3 of the mask-guided randomized smoothing paper). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "radii", "ledger"],
        "analysis": "smoothing_mask_sizes",
    },
    "smoothing_trainings": {
        "caption": f"Certified R-accuracy † of networks that were trained on noise in squares of different sizes, a panel a mask size (Figure 4 of the mask-guided randomized smoothing paper). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "radii"],
        "analysis": "smoothing_trainings",
    },
    "smoothing_noise": {
        "caption": f"Certified R-accuracy † under noise up to many times as strong as in training. Left: the radii that it reaches, on a logarithmic axis; right: the same curves over radius / sigma, where all end at one place, so that their heights tell what strong noise costs (Figure 5 of the mask-guided randomized smoothing paper). {ONE_PLACE_NOTE}.",
        "reads": ["smoothing", "radii", "ledger"],
        "analysis": "smoothing_noise",
    },
    "localisation": {
        "caption": "What localisation makes of attacked images, by the strength of the attack: only where the mask covers the patch can anything be certified. The line is how often the attack turns a right answer, of the images with one.",
        "reads": ["localisation"],
        "analysis": "smoothing_localisation",
    },
}

# what captions say of the published values beside ours, for which the images of the papers are either there or not
PUBLISHED = {
    name: told(is_counterpart({"dataset": "cifar10"}, config), *words)
    for name, words in {
        "accuracies": (
            "the ledger's counterparts: full-size models on CIFAR-10, a patch of the same share of the image",
            f"the {SAME}",
        ),
        "diamonds": ("the ledger's counterparts, full-size models on CIFAR-10", f"the {SAME}"),
        "full_size": ("full-size models on CIFAR-10", f"the {SAME}"),
        "classifiers": ("the full-size models on CIFAR-10", f"the {SAME}"),
        "models": ("full-size models", "the same models"),
        "images": ("CIFAR-10", "the same images"),
        "shapes": ("CIFAR-10", SAME),
        "network": ("its full-size network for receptive field 7 and margin M 0.5 on CIFAR-10", f"the {SAME}"),
        "diamond": ("its full-size network on CIFAR-10", f"of the {SAME}"),
        "prior": (
            "ImageNet against a patch of 2 % of the pixels",
            "the same images against a patch of about 2 % of the pixels",
        ),
        "small_images": (", those for CIFAR-10 beside other small images", ""),
    }.items()
}
for item in (*TABLES.values(), *FIGURES.values()):
    item["caption"] = item["caption"].format(**PUBLISHED)

MULTILABEL_FRAMES = ["points", "areas", "attackers", "classes", "class_points"]

# What the page of results asks of each analysis, with the frames that answer it.
FINDINGS = {
    name: {"reads": reads, "analysis": name}
    for name, reads in {
        "patch_sizes": ["results"],
        "patch_shapes": ["results"],
        "mask_budgets": ["results", "times"],
        "overestimated_patch": ["results"],
        "large_patches": ["results"],
        "minority_reports": ["reports", "results"],
        "objects": ["images"],
        "multilabel": ["points", "attackers", "areas"],
        "bagcert_conditions": ["conditions"],
        "bagcert_patch_sizes": ["conditions"],
        "bagcert_aspect_ratios": ["conditions"],
        "bagcert_attacks": ["attacks"],
        "bagcert_outputs": ["conditions"],
        "bagcert_times": ["region_times"],
        "smoothing_places": ["smoothing", "radii"],
        "smoothing_attacked": ["smoothing"],
        "smoothing_mask_sizes": ["smoothing"],
        "smoothing_trainings": ["radii"],
        "smoothing_noise": ["smoothing"],
        "smoothing_localisation": ["localisation"],
        "strategies": ["results", "trainings"],
        "training_seeds": ["results"],
        "strategy_budgets": ["results"],
    }.items()
}


def made(items, target=None):
    """Names of the tables, figures or findings that show what a target makes, or the bare snakemake."""
    return [name for name, item in items.items() if item.get("analysis", GRID) in parts_of(target)]


def facts_shown(item):
    """The facts of the certificates that a table, figure or finding is about."""
    return facts_of(item.get("analysis", GRID))


def report_inputs(item):
    """The files behind a table, figure or finding, by the frame that is read from them."""
    facts, metrics = facts_shown(item), metrics_of(item.get("analysis", GRID))
    files = {
        "results": [
            path for defense, path in metrics.items() if defense not in ("minority_reports", "multilabel", *MASKING_NOTHING)
        ],
        "reports": [path for defense, path in metrics.items() if defense == "minority_reports"],
        **{frame: [path for defense, path in metrics.items() if defense == "multilabel"] for frame in MULTILABEL_FRAMES},
        "conditions": [path for defense, path in metrics.items() if defense == "bagcert"],
        "region_times": every(rules.time_regions.output[0], [fact for fact in facts if fact["budget"] == NO_MASKS]),
        **{name: [path for defense, path in metrics.items() if defense == "mask_smoothing"] for name in ("smoothing", "radii")},
        "localisation": [path for defense, path in metrics.items() if defense == "localisation"],
        "attacks": [METRICS_FILE.format(analysis=item.get("analysis", GRID), defense="attacks")],
        "times": every(rules.time_inference.output[0], [fact for fact in facts if fact["budget"] != NO_MASKS]),
        "trainings": every(rules.train.output.record, facts),
        "training_times": every(rules.time_training.output[0], facts),
        "images": certificates_of(facts) + every(rules.prepare.output.index, facts),
        "ledger": [PUBLISHED_NUMBERS],
    }
    return {name: files[name] for name in item["reads"] if name in files}


def analyses_shown(target):
    """For each analysis of a target, the files and the facts that its findings come from."""
    names = made(FINDINGS, target)
    return {name: {"files": report_inputs(FINDINGS[name]), "facts": facts_shown(FINDINGS[name])} for name in names}


def page_target(wildcards):
    """The named target that a page shows; none for the page of the bare snakemake."""
    return None if wildcards.page == "README" else wildcards.page


def page_inputs(wildcards):
    target = page_target(wildcards)
    shown, tables, figures = analyses_shown(target), made(TABLES, target), made(FIGURES, target)
    return {
        "metrics": list(metrics_of(GRID).values()) if target is None else [],
        "analyses": [path for each in shown.values() for paths in each["files"].values() for path in paths],
        "tables": expand(rules.table.output.markdown, table=tables),
        "figures": expand(rules.figure.output.png, figure=figures),
        "vectors": expand(rules.figure.output.svg, figure=figures),
        "records": every(rules.prepare.output.record, configured_runs(target)),
    }


def page_settings(wildcards):
    """What a page says, without what is read from files."""
    target = page_target(wildcards)
    kept = {key: value for key, value in config.items() if key not in ("mirror", "directories")}
    return {
        "target": target,
        "config": kept | {"analyses": {name: products(config["analyses"][name]) for name in parts_of(target) if name != GRID}},
        "facts": grid_facts() if target is None else [],
        "analyses": analyses_shown(target),
        "tables": {name: TABLES[name]["caption"] for name in made(TABLES, target)},
        "figures": {name: FIGURES[name]["caption"] for name in made(FIGURES, target)},
    }


def table_inputs(wildcards):
    return report_inputs(TABLES[wildcards.table])


def table_facts(wildcards):
    return facts_shown(TABLES[wildcards.table])


def study_of(item):
    """What tells which published numbers belong beside the results of this configuration, where a table or figure has any."""
    return matched_by(config, {fact["training"] for fact in facts_shown(item)}) if "ledger" in item["reads"] else {}


def table_study(wildcards):
    return study_of(TABLES[wildcards.table])


def table_caption(wildcards):
    return TABLES[wildcards.table]["caption"]


def table_code(wildcards):
    return adapter_code("table.py", f"patchcert.report.tables.{wildcards.table}")


def figure_inputs(wildcards):
    return report_inputs(FIGURES[wildcards.figure])


def figure_facts(wildcards):
    return facts_shown(FIGURES[wildcards.figure])


def figure_study(wildcards):
    return study_of(FIGURES[wildcards.figure])


def figure_image_sizes(wildcards):
    """Rows and columns of each dataset's images, for the figures that show sizes in pixels."""
    wanted = "image_sizes" in FIGURES[wildcards.figure]["reads"]
    return {name: block["image_size"] for name, block in config["datasets"].items()} if wanted else {}


def figure_caption(wildcards):
    return FIGURES[wildcards.figure]["caption"]


def figure_code(wildcards):
    return adapter_code("figure.py", f"patchcert.report.figures.{wildcards.figure}")


def example_dataset():
    """The dataset's block of the run that the mask figure shows."""
    return config["datasets"][config["analyses"]["mask_set"]["dataset"]] if "mask_set" in config["analyses"] else {}


def example_inputs(wildcards):
    """The files behind the mask figure."""
    facts = analysis_facts("mask_set")[0]
    return prepared_of(facts) | {"predictions": rules.gather_predictions.output[0].format(**facts)}


def histograms_facts():
    return analysis_facts("multilabel", "multilabel")[0]


def histograms_inputs(wildcards):
    """The files behind the figure of certification histograms."""
    facts = histograms_facts()
    return {
        "index": rules.prepare.output.index.format(**facts),
        "pixels": rules.prepare.output.pixels.format(**facts),
        "values": rules.gather_scores.output.values.format(**facts),
        "record": rules.gather_scores.output.record.format(**facts),
    }


def recorded_runs():
    """Every configured run and every run that one of them starts from."""
    runs = configured_runs()
    for run in runs:  # grows while it is read
        start = config["trainings"][run["training"]]["start_from"]
        if start and run | {"training": start} not in runs:
            runs.append(run | {"training": start})
    return runs


def expected_identity(run):
    """What a run's record says where its weights are those that the configuration asks for."""
    facts = SimpleNamespace(**run)
    return {
        "settings": training_settings(facts),
        "data": data_identity(facts),
        "code": training_code(facts),
        "device": config["device"],
    }


def configured_sources():
    """Files that datasets are made of."""
    return [entry for block in config["datasets"].values() for entry in SOURCES[block["source"]]]


@cache
def claim_of(identity):
    """A row of the ledger, and the certificates that give its number; what finds them is imported when a number is asked for."""
    from patchcert.claims.measured import row_of
    from patchcert.claims.record import target_of

    try:
        row = row_of(published_numbers(), identity)
        return row, target_of(row, config)
    except InputError as error:
        raise WorkflowError(str(error)) from None


@cache
def published_numbers():
    from patchcert.report.ledger import read_ledger

    return read_ledger(PUBLISHED_NUMBERS)


def claim_row(wildcards):
    return claim_of(wildcards.claim)[0]


def claim_target(wildcards):
    return claim_of(wildcards.claim)[1]


def claim_files(wildcards):
    """The files of each certificate of a number, or of the times of its run or its training."""
    of_kind = {
        "certificates": lambda facts: certificates_of([facts]),
        "times": lambda facts: every(rules.time_inference.output[0], [facts]),
        "region_times": lambda facts: every(rules.time_regions.output[0], [facts]),
        "training_times": lambda facts: every(rules.time_training.output[0], [facts]),
    }
    found = claim_target(wildcards)
    return [of_kind[found.kind](facts) for facts in found.facts]


def claim_upstream(wildcards):
    """What the certificates of a number were made from: one file may be for several of them."""
    found = claim_target(wildcards)
    located = [located_files(facts) for facts in found.facts if facts.get("place")]
    trained = [] if found.kind == "training_times" else found.facts
    return {
        "predictions": gathered_of(found.facts) if found.kind == "certificates" else [],
        "located": list(dict.fromkeys(path for paths in located for path in paths.values())),
        "weights": every(rules.train.output.weights, trained),
        "records": every(rules.train.output.record, trained),
        "indexes": every(rules.prepare.output.index, found.facts),
    }


def claim_inputs(wildcards):
    files = dict.fromkeys(path for paths in claim_files(wildcards) for path in paths)
    return {"measured": list(files), **claim_upstream(wildcards)}


def claim_settings(wildcards):
    """Digest of the parts of the configuration that a number depends on."""
    from patchcert.claims.record import configuration_of

    return settings_sha256(configuration_of(claim_target(wildcards), config))


def claim_code(wildcards):
    return adapter_code("claim.py", *(f"patchcert.evaluation.{facts['defense']}" for facts in claim_target(wildcards).facts))


def shown_items(target=None):
    """Entries of the tables and figures that show what a target makes, or the bare snakemake."""
    return [items[name] for items in (TABLES, FIGURES) for name in made(items, target)]


def timed_files(target=None):
    """Files of the times that the tables and figures of a target show, or of the bare snakemake."""
    inputs = [report_inputs(item) for item in shown_items(target)]
    return list(dict.fromkeys(path for files in inputs for kind in TIMED for path in files.get(kind, [])))


@cache
def ledger_page_inputs():
    """What the bare snakemake measures and shows, and the study that is held beside this one."""
    return {
        "published": PUBLISHED_NUMBERS,
        "costs": "reports/costs.csv",
        "template": "workflow/patchcert/claims/page.html",
        "other": f"config/{'study' if config['study'] == 'paper' else 'paper'}.yaml",
        "metrics": evaluations(),
        "times": timed_files(),
        "tables": expand(rules.table.output.csv, table=made(TABLES)),
    }


def ledger_page_beside(wildcards):
    """Digests of what the page reads where it is there, but the bare snakemake does not make.

    These are metrics, times and tables of named targets, records of numbers that were regenerated alone, and all of the other
    study.
    """
    asked = {path for paths in ledger_page_inputs().values() for path in ([paths] if isinstance(paths, str) else paths)}
    targets = list(config["targets"])
    analyses = [analysis for target in targets for analysis in parts_of(target)]
    own = [path for analysis in analyses for path in metrics_of(analysis).values()]
    own += [path for target in targets for path in timed_files(target)]
    own += expand(rules.table.output.csv, table=[name for target in targets for name in made(TABLES, target)])
    own += map(str, Path(RESULTS, "claims").glob("*.json"))
    folders = configuration_beside()["directories"]
    kinds = ("metrics/**", *(f"{kind}/**" for kind in TIMED), "claims")
    others = [path for kind in kinds for path in Path(folders["results"]).glob(f"{kind}/*.json")]
    others += Path(folders["reports"]).glob("tables/*.csv")
    there = sorted({*own, *map(str, others)} - asked)
    return {path: file_sha256(path) for path in there if Path(path).is_file()}


@cache
def configuration_beside():
    """The study that is held beside this one on the page of the ledger."""
    try:
        return configuration(ledger_page_inputs()["other"])
    except InputError as error:
        raise WorkflowError(str(error)) from None


def ledger_page_settings(wildcards):
    """Digest of the parts of the configuration by which a number is found."""
    parts = ("study", "directories", "datasets", "trainings", "runs", "defenses", "analyses")
    return settings_sha256({name: config[name] for name in parts})
