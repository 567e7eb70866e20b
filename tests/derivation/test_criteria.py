"""Scores of the criteria, and what the spaces' rules make of them."""

import itertools
import math
from collections import Counter

import pytest
import torch

from lnas.derivation import Magnitude, RandomChoice, SelectionContext
from lnas.genotype import Genotype
from lnas.relaxations import ClippedReLU, HardConcrete, Softmax
from lnas.spaces import DartsSpace, NasBench201Space, StrongestInputs
from lnas.supernet import Architecture

THREE = ("none", "skip_connect", "sep_conv_3x3")


def random_genotypes(architecture, count):
    context = SelectionContext(architecture)
    space = architecture.space
    return [space.derive(RandomChoice(seed).scores(context)) for seed in range(count)]


def assert_uniform(counts: Counter, outcomes: list) -> None:
    """Chi-square within four standard deviations of its mean (degrees of freedom)."""
    total, free = sum(counts.values()), len(outcomes) - 1
    assert set(counts) <= set(outcomes)
    expected = total / len(outcomes)
    chi = sum((counts[outcome] - expected) ** 2 / expected for outcome in outcomes)
    assert abs(chi - free) < 4 * math.sqrt(2 * free)


def test_magnitude_is_the_softmax_of_the_logits_without_graph():
    architecture = Architecture(DartsSpace(), Softmax())
    scores = Magnitude().scores(SelectionContext(architecture))
    for name in ("normal", "reduce"):
        torch.testing.assert_close(scores[name], architecture.logits[name].detach().softmax(-1))
        assert not scores[name].requires_grad


def test_magnitude_never_chooses_what_is_closed_and_always_what_is_fixed():
    space = DartsSpace(operations=[n for n in DartsSpace().operations if n != "none"])
    architecture = Architecture(space, ClippedReLU())
    with torch.no_grad():
        for logits in architecture.logits.values():
            logits.fill_(-1.0)  # all gates are 0: a closed one would win by its place
    shut = torch.zeros(14, 7, dtype=torch.bool)
    shut[:, 0] = True
    shut[:2] = True
    architecture.close_all({"normal": shut})
    architecture.fix("normal", "3_2", "dil_conv_3x3")
    cell = space.derive(Magnitude().scores(SelectionContext(architecture))).cells["normal"]
    assert cell[0] == ()
    assert ("dil_conv_3x3", 2) in cell[1]
    assert {operation for node in cell[1:] for operation, _ in node} == {
        "avg_pool_3x3",
        "dil_conv_3x3",
    }


def test_pr_darts_derives_the_released_genotype_by_the_softmax_of_its_logits(golden):
    stored, setting = golden("pr_darts").data, golden("pr_darts").setting
    rule = StrongestInputs(unique_sources=False)
    space = DartsSpace(operations=setting["operations"], rule=rule)
    architecture = Architecture(space, HardConcrete()).double()
    expected = {}
    for name in ("normal", "reduce"):
        architecture.logits[name].data.copy_(stored[f"beta_{name}"])
        pairs = [str(text).split("~") for text in stored[f"genotype_{name}"]]
        picks = [(operation, int(source)) for operation, source in pairs]
        expected[name] = [picks[start : start + 2] for start in range(0, 8, 2)]
    assert any(a[1] == b[1] for nodes in expected.values() for a, b in nodes)  # the quirk is there
    context = SelectionContext(architecture)
    found = space.derive(Magnitude().scores(context))
    assert found == Genotype("darts", expected)
    space.validate(found)
    assert all(table.sum() == 8 for table in space.one_hot(found).values())
    # The gates themselves are not normalised over the operations of an edge, and give another cell.
    assert space.derive(architecture.probabilities()) != found


def test_random_choice_is_uniform_over_pairs_of_inputs_and_their_operations():
    architecture = Architecture(DartsSpace(operations=THREE, nodes=2), Softmax())
    genotypes = random_genotypes(architecture, 2000)
    pairs = [("sep_conv_3x3", "skip_connect")] * 2
    for node, sources in ((0, (0, 1)), (1, (0, 1, 2))):
        outcomes = [
            tuple(zip(operations, chosen, strict=True))
            for chosen in itertools.combinations(sources, 2)
            for operations in itertools.product(*pairs)
        ]
        for cell_type in ("normal", "reduce"):
            assert_uniform(Counter(g.cells[cell_type][node] for g in genotypes), outcomes)


def test_random_choice_prefers_no_edge_for_offering_more_operations():
    space = DartsSpace(nodes=2)
    architecture = Architecture(space, Softmax())
    # Edge 3_0 keeps three operations, 3_1 and 3_2 all seven and none.
    for operation in ("max_pool_3x3", "avg_pool_3x3", "sep_conv_5x5", "dil_conv_5x5"):
        architecture.close("normal", "3_0", operation)
    genotypes = random_genotypes(architecture, 1500)
    chosen = Counter(tuple(s for _, s in g.cells["normal"][1]) for g in genotypes)
    assert_uniform(chosen, [(0, 1), (0, 2), (1, 2)])
    kept = Counter(op for g in genotypes for op, s in g.cells["normal"][1] if s == 0)
    assert_uniform(kept, ["skip_connect", "sep_conv_3x3", "dil_conv_3x3"])


def test_random_choice_is_uniform_over_all_operations_of_nasbench201_none_included():
    architecture = Architecture(NasBench201Space(), Softmax())
    genotypes = random_genotypes(architecture, 1500)
    for node, source in ((1, 0), (2, 0), (2, 1), (3, 2)):
        found = Counter(
            next((op for op, s in g.cells["cell"][node - 1] if s == source), "none")
            for g in genotypes
        )
        assert_uniform(found, list(NasBench201Space().operations))


def test_cell_types_and_edges_are_drawn_independently():
    architecture = Architecture(DartsSpace(operations=THREE, nodes=1), Softmax())
    genotypes = random_genotypes(architecture, 1500)
    names = ("sep_conv_3x3", "skip_connect")
    outcomes = list(itertools.product(names, names))
    found = Counter((g.cells["normal"][0][0][0], g.cells["reduce"][0][0][0]) for g in genotypes)
    assert_uniform(found, outcomes)


@pytest.mark.parametrize("criterion", [Magnitude(), RandomChoice(3)], ids=["magnitude", "random"])
def test_fixed_edges_and_closed_operations_are_honoured(criterion):
    space = DartsSpace()
    architecture = Architecture(space, Softmax())
    architecture.fix("normal", "5_3", "dil_conv_5x5")
    architecture.fix("reduce", "2_0", "none")
    for operation in space.operations:
        architecture.close("normal", "2_1", operation)
    for seed in range(20):
        context = SelectionContext(architecture, seed=seed)
        scores = criterion.scores(context)
        genotype = space.derive(scores)
        assert ("dil_conv_5x5", 3) in genotype.cells["normal"][3]
        # Node 2 has no third edge to fall back on.
        assert [source for _, source in genotype.cells["normal"][0]] == [0]
        assert [source for _, source in genotype.cells["reduce"][0]] == [1]
        assert [len(node) for node in genotype.cells["normal"][1:]] == [2, 2, 2]


def test_random_choice_is_a_function_of_both_seeds_and_leaves_global_generators_alone():
    architecture = Architecture(DartsSpace(), Softmax())
    before = torch.get_rng_state()

    def drawn(seed, run_seed):
        scores = RandomChoice(seed).scores(SelectionContext(architecture, seed=run_seed))
        return architecture.space.derive(scores)

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(1, 2), drawn(2, 2), drawn(1, 3)}) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_criteria_change_nothing():
    architecture = Architecture(DartsSpace(), Softmax())
    before = {key: value.clone() for key, value in architecture.state_dict().items()}
    for criterion in (Magnitude(), RandomChoice()):
        criterion.scores(SelectionContext(architecture))
    after = architecture.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in architecture.parameters())
