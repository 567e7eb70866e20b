"""Proximal and RandomCell: discrete cells of the space as gates."""

import itertools
import math
from collections import Counter

import pytest
import torch

from lnas.relaxations import Draw, Proximal, RandomCell
from lnas.spaces import DartsSpace, NasBench201Space, StrongestInputs
from lnas.supernet import Architecture

SPACES = [DartsSpace(), NasBench201Space(), DartsSpace(edge_operations="s1")]


def architecture_at(space, relaxation, seed=0):
    """Return an architecture with logits of [0, 1]."""
    architecture = Architecture(space, relaxation)
    draw = torch.Generator().manual_seed(seed)
    for values in architecture.logits.values():
        values.data.copy_(torch.rand(values.shape, generator=draw))
    architecture.hold()
    return architecture


@pytest.mark.parametrize("space", SPACES, ids=["darts", "nasbench201", "s1"])
def test_gates_are_the_derived_cell_and_their_gradient_goes_to_the_logits(space):
    architecture = architecture_at(space, Proximal())
    derived = space.derive({n: v.detach() for n, v in architecture.logits.items()})
    sample = architecture.sample()
    assert sample.active is None  # all operations run where a gradient is asked for
    for name, gates in sample.gates.items():
        assert set(gates.unique().tolist()) == {0.0, 1.0}
        offered = space.candidates(name)
        towards = torch.randn(gates.shape)
        (gradient,) = torch.autograd.grad((gates * towards).sum(), architecture.logits[name])
        torch.testing.assert_close(gradient, towards.masked_fill(~offered, 0.0), rtol=0, atol=0)
    assert space.derive(architecture.probabilities()) == derived
    if "none" not in space.operations:
        torch.testing.assert_close(architecture.probabilities(), space.one_hot(derived))


def test_two_edges_enter_each_node_and_never_by_none():  # NASP: two per node
    gates = architecture_at(DartsSpace(), Proximal()).probabilities()["normal"]
    rows = [DartsSpace().incoming(node) for node in range(2, 6)]
    assert [int(gates[row].sum()) for row in rows] == [2, 2, 2, 2]
    assert not gates[:, 0].any()


def test_a_pass_without_gradients_runs_only_the_derived_cell():
    architecture = architecture_at(NasBench201Space(), Proximal())
    with torch.no_grad():
        sample = architecture.sample()
    assert torch.equal(sample.active["cell"], sample.gates["cell"] > 0)
    assert sample.active["cell"].sum() == 6


def test_logits_start_at_one_half_and_stay_in_the_unit_interval():
    architecture = Architecture(DartsSpace(), Proximal())
    assert architecture.logits["normal"].unique().tolist() == [0.5]
    optimizer = torch.optim.SGD(architecture.parameters(), lr=1.0)
    towards = torch.randn(14, 8, generator=torch.Generator().manual_seed(1))
    (architecture.sample().gates["normal"] * towards).sum().backward()
    optimizer.step()
    architecture.hold()
    expected = (0.5 - towards).clamp(0, 1)
    torch.testing.assert_close(architecture.logits["normal"].detach(), expected)


@pytest.mark.parametrize("relaxation", [Proximal, RandomCell])
def test_decisions_hold_and_fixed_edges_run(relaxation):
    architecture = architecture_at(DartsSpace(), relaxation())
    for row in range(9, 14):  # more fixed edges than the node would keep
        architecture.fix("normal", row, "skip_connect")
    architecture.close("normal", 0, "sep_conv_3x3")
    for step in range(20):
        with torch.no_grad():
            sample = architecture.sample(Draw(step=step))
        gates, active = sample.gates["normal"], sample.active["normal"]
        assert gates[9:14].tolist() == [[0, 0, 0, 1, 0, 0, 0, 0]] * 5
        assert torch.equal(active, gates > 0)
        assert gates[0, 4] == 0


def test_random_cells_are_uniform_over_the_space():
    space = DartsSpace(operations=("none", "skip_connect", "sep_conv_3x3"), nodes=2)
    relaxation, logits = RandomCell(), {}
    relaxation.bind(space)
    logits = relaxation.initial_logits(space, torch.Generator())
    mask = {name: space.candidates(name) for name in logits}
    count, cells = 3000, Counter()
    for step in range(count):
        sample = relaxation(logits, mask, Draw(seed=1, step=step))
        assert torch.equal(sample.active["normal"], sample.gates["normal"] > 0)
        cells[space.derive(sample.gates).cells["normal"][1]] += 1
    pairs = list(itertools.combinations(range(3), 2))
    names = list(itertools.product(("skip_connect", "sep_conv_3x3"), repeat=2))
    outcomes = {frozenset(zip(ops, pair, strict=True)) for pair in pairs for ops in names}
    found = Counter({frozenset(cell): n for cell, n in cells.items()})
    assert set(found) == outcomes
    expected = count / len(outcomes)
    chi = sum((found[outcome] - expected) ** 2 / expected for outcome in outcomes)
    free = len(outcomes) - 1
    assert abs(chi - free) < 4 * math.sqrt(2 * free)


def test_ranks_draw_the_same_cell_and_other_steps_another():
    space = DartsSpace(rule=StrongestInputs(2))
    architecture = Architecture(space, RandomCell())
    first, same, other = (
        architecture.sample(draw).gates["normal"]
        for draw in (Draw(rank=0), Draw(rank=1), Draw(step=1))
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not first.requires_grad
