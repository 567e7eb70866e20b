"""The rules against hand-made scores: ties, exclusions, what is not offered."""

import pytest

from lnas.errors import InputError
from lnas.spaces import EveryEdge, StrongestInputs

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
