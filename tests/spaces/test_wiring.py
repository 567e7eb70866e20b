import pytest
import torch

from lnas.spaces import DartsSpace, NasBench201Space, active_edges, wiring_of

MINIMAL = DartsSpace(nodes=2)  # edges 2_0, 2_1, 3_0, 3_1, 3_2


@pytest.mark.parametrize(
    ("edges", "numbers"),  # active, from inputs, between nodes, width, depth
    [
        ([], (0, 0, 0, 0, 0)),
        (["2_0"], (1, 1, 0, 1, 1)),
        (["2_0", "2_1"], (2, 2, 0, 1, 1)),
        (["2_0", "3_1"], (2, 2, 0, 2, 1)),
        (["2_0", "3_2"], (2, 1, 1, 1, 2)),
        (["3_2"], (1, 0, 1, 0, 0)),  # reads a node that reads nothing
        (["2_0", "2_1", "3_0", "3_1", "3_2"], (5, 4, 1, 2, 2)),
    ],
)
def test_width_and_depth_of_a_minimal_cell(edges, numbers):
    active = [edge.name in edges for edge in MINIMAL.edges]
    assert tuple(wiring_of(MINIMAL, active)) == numbers


def test_a_chain_is_as_deep_as_its_nodes_and_a_star_as_wide():
    space = DartsSpace()
    chain = [edge.source == max(edge.target - 1, 1) for edge in space.edges]
    star = [edge.source == 0 for edge in space.edges]
    assert tuple(wiring_of(space, chain)) == (4, 1, 3, 1, 4)
    assert tuple(wiring_of(space, star)) == (4, 4, 0, 4, 1)


def test_an_edge_is_active_when_something_beats_none_and_is_open():
    space = NasBench201Space()
    gates = torch.zeros(6, 5)
    gates[0, 0] = 1.0
    gates[1, 3] = 0.6
    gates[2] = torch.tensor([0.3, 0.1, 0.1, 0.3, 0.2])  # the first of equals
    gates[3] = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2])  # row 4: all is closed
    gates[5, 1] = 1.0
    assert active_edges(space, gates) == [False, True, False, True, False, True]
    without = NasBench201Space(("skip_connect", "nor_conv_1x1"))
    assert active_edges(without, torch.full((6, 2), 0.5)) == [True] * 6
