"""Passes that remember the last one give the numbers of passes that do not, with less work."""

import copy
from collections import Counter

import pytest
import torch

from lnas.operations import statistics
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.supernet.recall import stale_rows

FEW = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3", "dil_conv_3x3", "noise")
CASES = [
    ("darts", "fused", {"node_norm": True, "partial_channels": 2}),
    ("darts", "fused", {"auxiliary_skip": 0.3}),
    ("darts", "fused", {"drop_path": 0.2}),
    ("darts", "reference", {}),
    ("nasbench201", "fused", {}),
    ("nasbench201", "fused", {"partial_channels": 2}),
    ("nasbench201", "reference", {"node_norm": True}),
]


def made(kind, **options):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    if kind == "nasbench201":
        return NasBench201Supernet(NasBench201Space(), channels=4, cells=1, **options)
    space = DartsSpace(FEW, nodes=2)
    return ConvolutionalSupernet(space, channels=4, layers=3, stem_multiplier=1, **options)


def walk(space, steps, edges=False, seed=0):
    """Return samples, each of which has the gates of one edge changed against the one before."""
    numbers = torch.Generator().manual_seed(seed)
    shape = len(space.edges), len(space.operations)
    gates = {name: torch.rand(shape, generator=numbers) for name in space.cell_types}
    active = {name: torch.ones(shape, dtype=torch.bool) for name in space.cell_types}
    weights = {name: torch.rand(shape[:1], generator=numbers) for name in gates} if edges else None
    samples = []
    for step in range(steps):
        samples.append(GateSample(gates, active if step % 5 else None, weights))
        if step % 4 == 3:
            continue  # the very same again
        kind = space.cell_types[step % len(space.cell_types)]
        row = step // 2 % shape[0] if step % 7 else 0
        gates = gates | {kind: gates[kind].clone()}
        active = {name: mask.clone() for name, mask in active.items()}
        column = step % shape[1]
        if step % 3 == 0:
            gates[kind][row], active[kind][row] = 0.0, False
            gates[kind][row, column], active[kind][row, column] = 1.0, True
        elif step % 3 == 1:
            gates[kind][row, column], active[kind][row, column] = 0.0, False
        else:
            gates[kind][row], active[kind][row] = 0.0, False
    return samples


@pytest.mark.parametrize(("kind", "path", "options"), CASES, ids=str)
@torch.no_grad()
def test_remembering_changes_no_number(kind, path, options):
    net = made(kind, **options)
    net.set_draw(3, "held_out")
    images = [torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)]
    samples = walk(net.space, 9, edges="partial_channels" in options)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with statistics(net, "batch"):
        with net.using("reference"):
            expected = [net(batch, sample).logits for batch in images for sample in samples]
        with net.using(path), net.recalling():
            found = [net(batch, sample).logits for batch in images for sample in samples]
    assert not torch.equal(expected[0], expected[1])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(value, before[n]) for n, value in net.state_dict().items())
    assert net._recall is None


@torch.no_grad()
def test_only_what_depends_on_the_change_is_computed():
    net, ran = made("nasbench201"), Counter()
    space = net.space
    for index, cell in enumerate(cell for cell in net.cells if hasattr(cell, "edges")):
        for edge in space.edges:
            for operation in cell.edges[edge.name].values():
                operation.register_forward_hook(
                    lambda *_, place=(index, edge.name): ran.update([place])
                )
    gates = {"cell": torch.rand(6, 5)}
    images = torch.randn(2, 3, 8, 8)
    stems = []
    net.stem.register_forward_hook(lambda *_: stems.append(1))
    with statistics(net, "batch"), net.recalling():
        net(images, gates)
        assert set(ran.values()) == {4}  # all but none, which is nothing
        for attempt in range(3):
            ran.clear()
            changed = copy.deepcopy(gates)
            changed["cell"][space.edge_row("2_1"), attempt] = 0.0
            net(images, changed)
            first = {edge for index, edge in ran if index == 0}
            # Once for all changes of this edge, what goes around it.
            assert first == {"2_1", "3_2"} | (
                {"1_0", "2_0", "3_0", "3_1"} if not attempt else set()
            )
            assert {edge for index, edge in ran if index == 2} == {e.name for e in space.edges}
    assert len(stems) == 1


@torch.no_grad()
def test_a_change_of_the_reduction_cells_leaves_the_cells_before_them():
    net, calls = made("darts"), []
    for index, cell in enumerate(net.cells):
        cell.preprocess0.register_forward_hook(lambda *_, index=index: calls.append(index))
    first, second = walk(net.space, 2)
    second = GateSample({"normal": first.gates["normal"], "reduce": second.gates["reduce"] + 1})
    with statistics(net, "batch"), net.recalling():
        net.set_draw(0)
        net(images := torch.randn(2, 3, 8, 8), first)
        calls.clear()
        net(images, second)
    assert net.cell_types_of_cells == ["normal", "reduce", "reduce"]
    assert calls == [2]  # the inputs of cell 1 are as they were


def test_stale_edges_follow_the_changed_one():
    space = NasBench201Space()
    names = [edge.name for edge in space.edges]

    def stale(*changed):
        found = stale_rows(space, [names.index(name) for name in changed])
        return {names[row] for row in found}

    assert stale("3_1") == {"3_1"}
    assert stale("2_0") == {"2_0", "3_2"}
    assert stale("1_0") == {"1_0", "2_1", "3_1", "3_2"}
    assert stale("2_0", "3_0") == {"2_0", "3_2", "3_0"}
    assert stale() == set()
