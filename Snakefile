"""The patchcert study: fetch -> prepare -> train -> predict -> certify -> evaluate -> report."""

from snakemake.utils import min_version

min_version("9.0")

# a configuration file given on the command line replaces the default study instead of being mixed with it
if "study" not in config:

    configfile: "config/study.yaml"


include: "rules/common.smk"


scattergather:
    shard=config["predict"]["shards"],


wildcard_constraints:
    source=rf"{NAME}(\.[a-z0-9_.]+)?",
    version=r"[^/]+",
    file=r"[^/]+",
    dataset=NAME,
    model=r"[a-z0-9_.]+",
    training=NAME,
    seed=r"\d+",
    patch=r"\d+x\d+|\d+-of-\d+x\d+|area-\d+",
    budget=r"\d+x\d+",
    analysis=NAME,
    defense=NAME,
    table=NAME,
    figure=NAME,
    page="README|" + NAME,
    place="center|grad_cam|clean|attacked",
    sigma=r"\d+(\.\d+)?",
    shown=r"clean|steps-\d+",
    steps=r"\d+",
    claim=NAME,


report: "workflow/captions/study.rst"


include: "rules/fetch.smk"
include: "rules/prepare.smk"
include: "rules/train.smk"
include: "rules/predict.smk"
include: "rules/certify.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/claims.smk"
include: "rules/versioning.smk"


rule all:
    default_target: True
    input:
        # every stage is named, and not the report alone: a result that was deleted is made again
        rules.prepared.input,
        rules.trained.input,
        rules.predicted.input,
        rules.certified.input,
        rules.evaluated.input,
        rules.reported.input,
