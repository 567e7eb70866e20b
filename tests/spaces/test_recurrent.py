"""The recurrent space: 36 edges, the strongest one into each node."""

import pytest
import torch

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import RecurrentSpace, zoo

SPACE = RecurrentSpace()
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")


def test_the_cell_is_that_of_the_paper():
    assert len(SPACE.edges) == 36
    assert [edge.name for edge in SPACE.edges[:4]] == ["1_0", "2_0", "2_1", "3_0"]
    assert SPACE.edges[-1].name == "8_7"
    assert SPACE.operations == ("none", *ACTIVATIONS)
    assert SPACE.cell_types == ("recurrent",)


def test_ties_go_to_the_first_state_and_the_first_activation():  # fact D17
    genotype = SPACE.derive({"recurrent": torch.full((36, 5), 0.2)})
    assert genotype.cells["recurrent"] == ((("tanh", 0),),) * 8


def test_the_released_rule_is_followed(golden):
    stored = golden("rnn_supernet").data
    genotype = SPACE.derive({"recurrent": stored["alpha"].softmax(-1)})
    found = [f"{name}~{source}" for ((name, source),) in genotype.cells["recurrent"]]
    assert found == stored["genotype"].tolist()
    assert genotype.concat["recurrent"] == tuple(range(1, 9))


def test_none_is_never_derived_and_weakens_its_edge():
    scores = torch.zeros(36, 5)
    scores[:, 0] = 0.9  # none everywhere
    scores[SPACE.edge_row("2_1"), 3] = 0.1
    cell = SPACE.derive({"recurrent": scores}).cells["recurrent"]
    assert cell[1] == (("sigmoid", 1),)
    assert {name for ((name, _),) in cell} == {"tanh", "sigmoid"}


def test_distances_to_the_nearest_cell_are_the_published_ones():  # facts R5, R6, R10
    for space, distance in ((SPACE, 3.4641016), (RecurrentSpace(ACTIVATIONS), 3.6055513)):
        operations = len(space.operations)
        gates = {"recurrent": torch.full((36, operations), 1 / operations)}
        nearest = space.project(gates)
        assert nearest["recurrent"].sum() == 8
        norm = torch.linalg.vector_norm(gates["recurrent"] - nearest["recurrent"])
        torch.testing.assert_close(norm, torch.tensor(distance), atol=1e-6, rtol=0)
        assert torch.equal(space.project(nearest)["recurrent"], nearest["recurrent"])


def test_published_cells_belong_to_the_space():
    for name in ("darts_rnn_v1", "darts_rnn_v2"):
        genotype = zoo.load(name)
        gates = SPACE.one_hot(genotype)
        assert gates["recurrent"].sum() == 8
        assert SPACE.derive(gates) == genotype


def test_a_cell_of_another_size_is_refused():
    small = RecurrentSpace(nodes=2)
    with pytest.raises(InputError, match="8 nodes; the space has 2"):
        small.validate(zoo.load("darts_rnn_v2"))
    small.validate(Genotype("recurrent", {"recurrent": [[("tanh", 0)], [("relu", 1)]]}))
