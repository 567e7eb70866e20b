"""What a search left behind, read from its folder and drawn by a command."""

import json

import pytest

from lnas.cli.genotypes import genotype_command
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.runs.trail import read_trail

LIVELY = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|"


@pytest.fixture
def run(tmp_path):
    """A folder with the files of a search of four epochs that collapses in the third."""
    edges, operations = ["1_0", "2_0", "2_1", "3_0", "3_1", "3_2"], ["none", "skip_connect"]
    operations += ["nor_conv_1x1", "nor_conv_3x3"]
    folder = tmp_path / "darts"
    folder.mkdir()
    scores = {"space": "nasbench201", "edges": edges, "operations": operations, "scores": {}}
    (folder / "scores.json").write_text(json.dumps(scores))
    gates = [{"epoch": n, "step": n, "gates": {"cell": [[0.25] * 4] * 6}} for n in range(4)]
    (folder / "gates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gates))
    lines = [
        {"epoch": n, "genotype": json.loads(Genotype.from_text(text).to_json())}
        for n, text in enumerate([SKIPS, LIVELY, SKIPS, SKIPS])
    ]
    (folder / "genotypes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_trail_has_the_gates_and_the_genotype_of_each_epoch(run):
    trail = read_trail(f"DARTS={run}")
    assert trail.name == "DARTS"
    assert trail.gates["cell"].shape == (4, 6, 4)
    assert trail.genotypes[1] == Genotype.from_text(LIVELY)
    assert read_trail(str(run)).name == "darts"


def test_the_command_draws_and_says_when_a_cell_collapsed_for_good(run, tmp_path, capsys):
    picture = tmp_path / "trail.png"
    assert genotype_command(["trail", f"DARTS={run}", "--picture", str(picture)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "DARTS: 5 of 5 operations of the cell are skip connections after 4 epochs, "
        "collapsed since epoch 3",
        f"picture: {picture}",
    ]
    assert picture.is_file()


def test_a_search_that_is_not_finished_is_refused(run):
    (run / "scores.json").unlink()
    with pytest.raises(InputError, match=r"darts has no scores\.json; give the folder of a finish"):
        read_trail(str(run))
