"""Exchanged edges: the supernet with their modules really exchanged, and nothing changed by it."""

import copy
from itertools import repeat

import pytest
import torch

from lnas.search.measuring import measure
from lnas.search.shuffling import draw_pairs, measure_shuffled
from lnas.spaces import DartsSpace, NasBench201Space


def test_exchanging_is_exchanging_the_modules_and_the_gates(tiny, tmp_path):
    module = tiny.fit(tmp_path, trainer={"max_epochs": 1, "precision": "64-true"})
    architecture, pairs = module.architecture, {"cell": (1, 4)}
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = measure_shuffled(module, pairs)
    assert all(torch.equal(v, before[n]) for n, v in module.state_dict().items())
    assert found["loss"] != measure(module, repeat(architecture.noise_free()))["loss"]
    for cell in module.supernet.cells:
        if hasattr(cell, "edges"):
            first, second = (module.space.edges[row].name for row in (1, 4))
            kept = copy.deepcopy(cell.edges[first])
            cell.edges[first], cell.edges[second] = cell.edges[second], kept
    sample = copy.copy(architecture.noise_free())
    order = [0, 4, 2, 3, 1, 5]
    sample.gates = {"cell": sample.gates["cell"][order]}
    expected = measure(module, repeat(sample))
    assert found == pytest.approx(expected, rel=1e-5)


def test_pairs_see_images_of_one_size_and_follow_the_seed():
    space = DartsSpace()
    drawn = [draw_pairs(space, 3, index) for index in range(30)]
    assert drawn[0] == draw_pairs(space, 3, 0)
    assert len({str(pair) for pair in drawn}) > 20
    for pairs in drawn:
        for a, b in pairs.values():
            first, second = space.edges[a], space.edges[b]
            assert a < b
            assert (first.source < 2) == (second.source < 2)
    assert set(draw_pairs(NasBench201Space(), 0, 0)) == {"cell"}
    s1 = DartsSpace(edge_operations="s1")
    for index in range(10):
        for kind, (a, b) in draw_pairs(s1, 0, index).items():
            assert torch.equal(s1.candidates(kind)[a], s1.candidates(kind)[b])
