"""How decided a search was, from the files that it leaves."""

import json
import math
from statistics import stdev

import pytest
import torch

from lnas.callbacks import ArchitecturePictures
from lnas.derivation.scores import FILE, save_scores
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.studies.decided import gate_records


def test_a_folder_without_files_tells_nothing(tmp_path):
    space = NasBench201Space()
    assert gate_records(tmp_path, space.derive({"cell": torch.rand(6, 5)})) == {}


@pytest.mark.parametrize("space", [DartsSpace(), NasBench201Space()], ids=lambda space: space.name)
def test_scores_tell_best_spread_and_distance_from_the_projection(tmp_path, space):
    torch.manual_seed(0)
    shape = len(space.edges), len(space.operations)
    scores = {
        kind: torch.randn(shape, dtype=torch.float64).softmax(-1) for kind in space.cell_types
    }
    save_scores(tmp_path / FILE, space, scores)
    found = gate_records(tmp_path, space.derive(scores))
    every = torch.cat(list(scores.values()))
    nearest = torch.cat(list(space.project(scores).values()))
    assert found == {
        "gate_best": pytest.approx(every.max(-1).values.mean().item()),
        "gate_std": pytest.approx(every.std().item()),
        "gate_distance": pytest.approx((every - nearest).norm().item()),
    }


def test_what_is_closed_is_a_gate_of_zero_and_no_score(tmp_path):
    space = NasBench201Space(("skip_connect", "nor_conv_3x3"))
    scores = {"cell": torch.tensor([[0.75, 0.25]] * 5 + [[-math.inf, 0.5]], dtype=torch.float64)}
    save_scores(tmp_path / FILE, space, scores)
    assert gate_records(tmp_path, space.derive(scores)) == {
        "gate_best": pytest.approx((5 * 0.75 + 0.5) / 6),
        "gate_std": pytest.approx(stdev([0.75, 0.25] * 5 + [0.5])),
        "gate_distance": pytest.approx(math.sqrt(5 * 2 * 0.25**2 + 0.5**2)),
    }


def test_gates_tell_how_many_are_open_at_the_end(tmp_path):
    space = NasBench201Space(("skip_connect", "nor_conv_3x3"))
    lines = [{"gates": {"cell": [[0.5, 1.0]] * 6}}, {"gates": {"cell": [[0.25, 0.5]] * 6}}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / ArchitecturePictures.FILE).write_text(text)
    genotype = space.derive({"cell": torch.rand(6, 2)})
    assert gate_records(tmp_path, genotype) == {"gate_open": 0.75}
