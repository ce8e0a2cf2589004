"""The command line: masks and certificates without the workflow."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patchcert.cli import main
from patchcert.defenses import bagcert, double_masking
from patchcert.masks import covering_shapes, mask_set, multi_patch_set, shape_set, strided_mask_set
from patchcert.predictions import expand_pairs
from patchcert.receptive_field import ReceptiveField

LABELS = np.array([1, 0, 1])
PAIRS = np.array([[1, 1, 1], [0, 0, 2], [1, 1, 1]])


def test_masks_prints_the_boxes(capsys):
    assert main(["masks", "--image", "32", "24", "--patch", "5", "3", "--budget", "3", "2"]) == 0
    printed = capsys.readouterr()
    rows = [[int(part) for part in line.split(",")][1:] for line in printed.out.splitlines()[1:]]
    masks = mask_set((32, 24), (5, 3), (3, 2))
    assert rows == masks.boxes.tolist()
    assert f"{len(masks)} masks" in printed.err
    assert f"{len(masks.pairs)} unordered pairs" in printed.err


@pytest.mark.parametrize(
    ("arguments", "masks"),
    [
        (["--patch", "5", "3", "--stride", "4", "6"], strided_mask_set((32, 24), (5, 3), (4, 6))),
        (["--area", "10", "--budget", "2", "2"], shape_set((32, 24), covering_shapes((32, 24), 10), (2, 2))),
        (["--patch", "5", "3", "--budget", "2", "2", "--patches", "2"], multi_patch_set(mask_set((32, 24), (5, 3), (2, 2)), 2)),
    ],
    ids=["stride", "area", "patches"],
)
def test_masks_of_every_kind(capsys, arguments, masks):
    assert main(["masks", "--image", "32", "24", *arguments]) == 0
    printed = capsys.readouterr()
    rows = [[int(part) for part in line.split(",")] for line in printed.out.splitlines()[1:]]
    assert [row[0] for row in rows] == np.repeat(np.arange(len(masks)), masks.patches).tolist()
    assert [row[1:] for row in rows] == masks.boxes.reshape(-1, 4).tolist()
    assert f"{len(masks)} masks" in printed.err
    assert f"{len(masks.areas.boxes)} of them different images" in printed.err


@pytest.mark.parametrize("shape", ["pairs", "matrix", "npz"])
def test_certify_answers_as_the_package(tmp_path, capsys, shape):
    matrix = expand_pairs(PAIRS, 2)
    if shape == "npz":
        np.savez(tmp_path / "all.npz", pair_labels=matrix, labels=LABELS)
        files = [str(tmp_path / "all.npz")]
    else:
        np.save(tmp_path / "pairs.npy", PAIRS if shape == "pairs" else matrix)
        np.save(tmp_path / "labels.npy", LABELS)
        files = [str(tmp_path / "pairs.npy"), str(tmp_path / "labels.npy")]
    assert main(["certify", *files, "--output", str(tmp_path / "out.csv")]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["certified"].tolist() == double_masking.certify(matrix, LABELS).tolist() == [True, False, True]
    assert table["defended"].tolist() == double_masking.infer(matrix).tolist()
    assert "certified accuracy: 66.7 %" in capsys.readouterr().out


SCORES = np.random.default_rng(0).random((6, 3, 8, 8)) < np.array([0.9, 0.2, 0.2])[:, None, None]
LAYERS = ["--layers", "3,2,1", "1,1,0", "--image", "16", "16"]


@pytest.mark.parametrize(
    ("threat", "patch"), [(["--patch", "3", "5"], (3, 5)), (["--area", "4"], [(1, 4), (2, 2), (4, 1)])], ids=["patch", "area"]
)
@pytest.mark.parametrize("packed", [True, False])
def test_certify_takes_region_scores(tmp_path, capsys, packed, threat, patch):
    labels = np.array([0, 0, 0, 1, 0, 0])
    if packed:
        np.savez(tmp_path / "all.npz", scores=SCORES, labels=labels)
        files = [str(tmp_path / "all.npz")]
    else:
        np.save(tmp_path / "scores.npy", SCORES)
        np.save(tmp_path / "labels.npy", labels)
        files = [str(tmp_path / "scores.npy"), str(tmp_path / "labels.npy")]
    assert main(["certify", *files, *LAYERS, *threat, "--output", str(tmp_path / "out.csv")]) == 0
    table, printed = pd.read_csv(tmp_path / "out.csv"), capsys.readouterr().out
    affected = ReceptiveField([(3, 2, 1), (1, 1, 0)]).affected((16, 16), (8, 8), patch)
    for condition in ("3.2", "3.3"):
        certified = bagcert.certify(SCORES, labels, affected, condition)
        assert table[f"certified_{condition.replace('.', '_')}"].tolist() == certified.tolist()
        assert f"certified accuracy by condition {condition}: {100 * certified.mean():.1f} %" in printed
    assert table["answer"].tolist() == bagcert.infer(SCORES).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify", "scores.npy", "labels.npy", "--layers", "3,2", "--image", "16", "16", "--area", "4"], "--layers: '3,2'"),
        (["certify", "scores.npy", "labels.npy", *LAYERS], "--patch or --area: missing"),
        (["certify", "scores.npy", "labels.npy", "--layers", "3,1,1", "--patch", "3", "3"], "--image: missing"),
        (["certify", "pairs.npy", "labels.npy", "--area", "4"], "--patch or --area: is for region scores"),
        (
            ["certify", "scores.npy", "labels.npy", "--layers", "3,1,1", "--image", "16", "16", "--area", "4"],
            "output_size: (8, 8)",
        ),
        (["masks", "--image", "4", "4", "--patch", "5", "5", "--budget", "2", "2"], "patch_size 5x5"),
        (["masks", "--image", "4", "4", "--area", "4", "--stride", "2", "2"], "write --budget in its place"),
        (["masks", "--image", "4", "4", "--patch", "2", "2", "--stride", "2", "2", "--patches", "0"], "patches: 0"),
        (["certify", "pairs.npy"], "its true labels are missing; write patchcert certify"),
        (["certify", "all.npz", "labels.npy"], "leave this file out"),
        (["certify", "other.npz"], "no array named labels, pair_labels; it has something"),
        (["certify", "text.npy", "labels.npy"], "no .npy or .npz file of numbers"),
        (["certify", "pairs.npy", "labels.npy", "--confidence", "95"], "between 0 and 1"),
        (["certify", "absent.npy", "labels.npy"], "absent.npy"),
        (["certify", "four.npy", "labels.npy"], "4 pairs"),
        (["certify", "pairs.npy", "pairs.npy"], "write one whole number for each"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("pairs.npy", PAIRS)
    np.save("four.npy", np.zeros((3, 4), dtype=int))
    np.save("labels.npy", LABELS)
    np.save("scores.npy", SCORES[:3])
    np.savez("all.npz", pair_labels=expand_pairs(PAIRS, 2), labels=LABELS)
    np.savez("other.npz", something=LABELS)
    (tmp_path / "text.npy").write_text("no numbers")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("patchcert: ")
    assert len(error.splitlines()) == 1


def test_wrong_arguments_show_the_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["certify"])
    assert stopped.value.code == 2
    assert "usage: patchcert certify" in capsys.readouterr().err


# --- published numbers -------------------------------------------------------------------------------------------------------

ROBUST = "patchcleanser_table2_cifar10_resnet_2_4_percent_robust"


@pytest.fixture
def in_project(monkeypatch):
    """Commands run in the project's folder."""
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    ("filters", "count", "line"),
    [
        (
            ["--paper", "bagcert", "--table", "Table 1"],
            14,
            ["bagcert_table1_cifar10_rf7_parameters", "38 million", "-", "0.152746 million"],
        ),
        (["--paper", "bagcert", "--status", "quoted"], 10, ["bagcert_section1_cifar10_ibp_clean", "below 50 %", "-", "-"]),
        (
            ["--defense", "minority_reports"],
            3,
            ["patchcleanser_figure9_imagenet_minority_reports_most_robust_robust", "76.9 %"],
        ),
        (["--table", "Table 5", "--defense", "double_masking", "--status", "quoted"], 0, ["id", "published"]),
    ],
)
def test_claims_lists_what_is_asked_for(capsys, filters, count, line):
    assert main(["claims", *filters]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == count + 1
    assert last.startswith(f"{count} numbers")
    assert any(re.split(" {2,}", each)[: len(line)] == line for each in lines)


@pytest.mark.usefixtures("in_project")
def test_claims_shows_one_with_the_commands_that_regenerate_it(capsys):
    assert main(["claims", ROBUST]) == 0
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "published 78.8 % (certified)" in told
    assert "tolerance 2.4 %, training differs by seed" in told
    assert f"regenerate snakemake build/paper/results/claims/{ROBUST}.json --configfile config/paper.yaml" in told
    assert f"regenerate snakemake results/claims/{ROBUST}.json" in told
    assert f"verify patchcert claims verify {ROBUST} --config config/study.yaml" in told
    assert sum(line.startswith("certificate dataset") for line in told) == 2


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([f"{ROBUST}_accuracy"], f"no number has the id '{ROBUST}_accuracy'; did you mean {ROBUST} or"),
        (["verify", "nothing_like_it_at_all"], "no number has the id 'nothing_like_it_at_all'; `patchcert claims` lists them"),
        (["verify"], "claims: 'verify' is neither one ID nor `verify ID`"),
        ([ROBUST, ROBUST], "is neither one ID nor `verify ID`"),
        ([ROBUST, "--paper", "bagcert"], "--paper: is for the list; leave it out, or the ID"),
        (["--paper", "bag"], "--paper: no number has 'bag'; write one of patchcleanser, "),
        (["--status", "unknown"], "--status: no number has 'unknown'; write one of within tolerance, out of tolerance, "),
        (
            ["--config", "config/sources.csv"],
            "config/sources.csv: not a configuration; write for example --config config/paper.yaml",
        ),
        (["--config", "config/none.yaml"], "config/none.yaml"),
        (["verify", "greedy_cutout_table1_cifar10_cbn_robust"], "the study 'paper' cannot regenerate it: quoted from others"),
    ],
)
def test_claims_says_what_to_write_instead(capsys, arguments, message):
    assert main(["claims", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("patchcert: ")
    assert message in printed.err
