"""`lnas genotype show|convert|diff`."""

import pytest

from lnas.cli.genotypes import differences, genotype_command
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import zoo

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"


def test_show_prints_every_connection_and_the_hash(capsys):
    assert genotype_command(["show", "snas_aggressive"]) == 0
    printed = capsys.readouterr().out
    genotype = zoo.load("snas_aggressive")
    assert genotype.hash in printed
    for kind in genotype.cells:
        assert kind in printed
        for _, source, name in genotype.edges(kind):
            assert f"{name} <- {source}" in printed
    assert "(nothing)" in printed


def test_show_counts_the_network_on_demand(capsys):
    genotype_command(["show", CELL, "--cost"])
    # 73,306 for the empty cell and 243,040 for each 3x3 convolution (NAS-Bench-201)
    assert "316,346 parameters" in capsys.readouterr().out
    genotype_command(["show", "darts_rnn_v2", "--cost"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Words, 10,000 classes: 22,960,000 parameters" in printed
    # 2D * 2D for the word and the state before, D * 2D for each of 8 nodes, D * V for the scores
    assert f"{(4 + 16) * 850**2 + 850 * 10_000:,} multiply-adds" in printed


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_show_draws_a_picture(suffix, start, tmp_path):
    path = tmp_path / f"cell.{suffix}"
    genotype_command(["show", "darts_v2", "--picture", str(path)])
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("style", ["darts", "snas", "json"])
def test_convert_prints_a_text_that_reads_back(style, capsys):
    genotype_command(["convert", "p_darts", "--to", style])
    assert Genotype.from_text(capsys.readouterr().out) == zoo.load("p_darts")


def test_convert_takes_text_and_writes_files(tmp_path):
    path = tmp_path / "cell.json"
    genotype_command(["convert", CELL, "--output", str(path)])
    assert Genotype.load(path).to_text() == CELL
    genotype_command(
        ["convert", Genotype.load(path).to_json(), "--output", str(path), "--overwrite"]
    )
    assert Genotype.load(path).to_text() == CELL


def test_convert_overwrites_only_when_asked(tmp_path):
    path = tmp_path / "kept.json"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"exists; .* --overwrite"):
        genotype_command(["convert", "gdas", "--output", str(path)])
    assert path.read_text() == "mine"


def test_diff_names_what_was_added_removed_and_changed():
    cells = {"normal": [[("skip_connect", 0), ("sep_conv_3x3", 1)]], "reduce": [[]]}
    a = Genotype("darts", cells)
    b = Genotype(
        "darts",
        {
            "normal": [[("skip_connect", 0), ("sep_conv_5x5", 1)], [("max_pool_3x3", 2)]],
            "reduce": [[("skip_connect", 1)]],
        },
    )
    assert differences(a, b) == [
        "changed: normal, node 2 from state 1: sep_conv_3x3 -> sep_conv_5x5",
        "added:   normal, node 3 from state 2: max_pool_3x3",
        "changed: normal: 1 -> 2 nodes",
        "changed: normal, output from nodes: [2] -> [2, 3]",
        "added:   reduce, node 2 from state 1: skip_connect",
    ]
    assert "removed: reduce, node 2 from state 1: skip_connect" in differences(b, a)


def test_diff_of_parallel_operations_counts_each():
    once = Genotype("darts", {k: [[("avg_pool_3x3", 0)]] for k in ("normal", "reduce")})
    twice = Genotype("darts", {k: [[("avg_pool_3x3", 0)] * 2] for k in ("normal", "reduce")})
    assert differences(once, twice)[0] == "added:   normal, node 2 from state 0: avg_pool_3x3"


def test_diff_says_when_there_is_none_and_when_cells_are_isomorphic(capsys):
    assert genotype_command(["diff", "darts_v1", "darts_v1"]) == 0
    assert capsys.readouterr().out == "no difference\n"
    genotype_command(["diff", CELL, CELL.replace("none~0|skip_connect~1", "nor_conv_3x3~0|none~1")])
    assert "same function" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "show,convert,diff,trail"),
        (["draw"], "draw"),
        (["show"], "required: genotype; see `lnas genotype show --help`"),
        (["show", "darts_v2", "--pictures", "show.png"], "--pictures show.png; see"),
        (["show", "darts_v2", "--pictur", "x.png"], "--pictur"),
        (["show", "darts_v9"], "did you mean"),
        (["show", "darts_v2", "--picture", "cell.gif"], "gif"),
        (["convert", "darts_v2", "--to", "yaml"], "'yaml'"),
        (["convert", "darts_v2", "--to", "nasbench201"], "of darts; use darts, snas or json"),
        (["convert", "snas_aggressive", "--to", "darts"], "reduce, node 2"),
        (["diff", "darts_v1"], "second"),
        (["diff", "darts_v1", "darts_rnn_v1"], "give two of one space"),
        (["diff", "darts_v1", "Genotype(normal=["], "no end|cut off"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        genotype_command(arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_diff_draws_both_cells_in_one_picture(tmp_path, capsys):
    picture = tmp_path / "diff.svg"
    assert genotype_command(["diff", "darts_v1", "darts_v2", "--picture", str(picture)]) == 0
    *lines, where, states = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert where == f"picture: {picture}"
    assert "state 2 is the node that pictures call 0" in states
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
