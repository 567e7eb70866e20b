"""The rules against hand-made scores: ties, exclusions, what is not offered."""

import pytest
import torch

from lnas.errors import InputError
from lnas.spaces import AboveThreshold, DartsSpace, EveryEdge, StrongestInputs

OPERATIONS = ("none", "a", "b")
NOWHERE = -float("inf")


def test_strongest_inputs_come_in_order_of_strength():
    scores = [[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.3, 0.5, 0.2]]
    assert StrongestInputs().choose(scores, OPERATIONS) == [(1, 2), (2, 1)]


def test_none_counts_only_where_it_may_be_chosen():
    scores = [[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.3, 0.5, 0.2]]
    assert StrongestInputs(exclude=()).choose(scores, OPERATIONS) == [(0, 0), (1, 2)]
    assert StrongestInputs(1, ("none", "b")).choose(scores, OPERATIONS) == [(2, 1)]


def test_ties_go_to_the_lower_source_and_the_lower_operation():  # released code of DARTS
    assert StrongestInputs().choose([[0.5] * 3] * 4, OPERATIONS) == [(0, 1), (1, 1)]
    assert EveryEdge().choose([[0.5] * 3] * 2, OPERATIONS) == [(0, 0), (1, 0)]


def test_what_is_not_offered_is_not_chosen():
    scores = [[0.1, NOWHERE, NOWHERE], [0.1, NOWHERE, 0.2]]
    assert StrongestInputs().choose(scores, OPERATIONS) == [(1, 2)]
    assert EveryEdge(exclude=("none",)).choose(scores, OPERATIONS) == [(1, 2)]


def test_only_operations_above_the_threshold_are_kept_and_a_node_may_have_none():
    logit = torch.tensor(1.734601, dtype=torch.float64).sigmoid().item()  # 0.85
    scores = [[0.99, 0.1, logit + 1e-6], [0.0, 0.84, 0.8], [0.3, 0.97, 0.9], [0.2, 0.86, 0.1]]
    assert AboveThreshold().choose(scores, OPERATIONS) == [(2, 1), (3, 1)]
    assert AboveThreshold(inputs=3).choose(scores, OPERATIONS) == [(2, 1), (3, 1), (0, 2)]
    assert AboveThreshold().choose(scores[:2], OPERATIONS) == [(0, 2)]
    assert AboveThreshold(0.98).choose(scores, OPERATIONS) == []
    assert AboveThreshold(0.98, exclude=()).choose(scores, OPERATIONS) == [(0, 0)]


def test_a_cell_without_inputs_is_a_genotype_of_the_space():
    space = DartsSpace(rule=AboveThreshold())
    empty = space.derive({name: torch.full((14, 8), 0.5) for name in space.cell_types})
    assert [len(node) for node in empty.cells["normal"]] == [0, 0, 0, 0]
    space.validate(empty)
    assert not any(table.any() for table in space.one_hot(empty).values())


def test_every_edge_takes_its_best_operation_none_included():
    scores = [[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]
    assert EveryEdge().choose(scores, OPERATIONS) == [(0, 0), (1, 2)]


def test_operations_of_one_edge_may_win_together_if_sources_need_not_differ():
    scores = [[0.9, 0.1, 0.0], [0.0, 0.7, 0.8], [0.3, 0.5, 0.7]]
    rule = StrongestInputs(unique_sources=False)
    assert rule.choose(scores, OPERATIONS) == [(1, 2), (1, 1)]  # the lower source wins the tie
    assert StrongestInputs().choose(scores, OPERATIONS) == [(1, 2), (2, 2)]
    assert rule.parallel
    assert not StrongestInputs().parallel


def test_rule_that_keeps_nothing_is_refused():
    with pytest.raises(InputError, match="inputs=0"):
        StrongestInputs(0)
