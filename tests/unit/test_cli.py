"""The command line: masks and certificates without the workflow."""

from __future__ import annotations

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
