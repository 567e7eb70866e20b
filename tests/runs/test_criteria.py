"""Criteria by name: options, rules, and what is refused in one line."""

import pytest
import torch

from lnas.derivation import Magnitude, OperationStrength, RandomChoice, SelectionContext
from lnas.errors import InputError
from lnas.relaxations import Softmax
from lnas.runs.criteria import parse_criterion
from lnas.spaces import DartsSpace, EveryEdge, RecurrentSpace
from lnas.supernet import Architecture


def test_names_and_options_become_criteria():
    found = parse_criterion("mask:criterion=accuracy,edge_order=random,batches=4").criterion
    assert isinstance(found, OperationStrength)
    assert (found.mode, found.criterion, found.edge_order, found.batches) == (
        "mask", "accuracy", "random", 4,
    )  # fmt: skip
    assert parse_criterion("select").criterion.mode == "select"
    assert parse_criterion("random:seed=5").criterion.seed == 5
    assert isinstance(parse_criterion("random").criterion, RandomChoice)
    plain = parse_criterion("magnitude")
    assert isinstance(plain.criterion, Magnitude)
    assert plain.rule is None


def test_a_rule_that_makes_no_cell_of_the_space_is_refused():
    recurrent, images = RecurrentSpace(nodes=2), DartsSpace()
    scores = {
        space: {name: torch.zeros(len(space.edges), len(space.operations)) for name in kinds}
        for space, kinds in ((recurrent, ("recurrent",)), (images, ("normal", "reduce")))
    }
    for text in ("argmax", "select:inputs=2"):
        parse_criterion(text).check(images, scores[images])
        with pytest.raises(
            InputError, match=rf"--criterion {text} makes no cell of the space recurrent"
        ):
            parse_criterion(text).check(recurrent, scores[recurrent])
    parse_criterion("mask").check(recurrent, scores[recurrent])


def test_a_rule_holds_for_one_criterion_and_leaves_the_search_alone():
    space = DartsSpace()
    architecture = Architecture(space, Softmax())
    with torch.no_grad():
        architecture.logits["normal"][0, 0] = 9.0  # none
    context = SelectionContext(architecture)
    argmax, three = parse_criterion("argmax"), parse_criterion("magnitude:inputs=3")
    assert isinstance(argmax.context(context).architecture.space.rule, EveryEdge)
    assert context.architecture.space.rule is space.rule
    scores = argmax.criterion.scores(argmax.context(context))
    assert len(argmax.space(space).derive(scores).edges("normal")) <= 13  # none is no edge
    found = three.space(space).derive(three.criterion.scores(three.context(context)))
    assert [len(node) for node in found.cells["normal"]] == [2, 3, 3, 3]
    assert [len(node) for node in space.derive(scores).cells["normal"]] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strenth", "There is no criterion 'strenth'; use"),
        ("maks", "use mask"),
        ("mask:accuracy", "'accuracy' is no option; write name=value"),
        ("mask:criterium=loss", "mask has no option 'criterium'; use batches, criterion"),
        ("mask:criterion=lost", "choose one of loss, accuracy"),
        ("mask:batches=few", "batches='few' is none; give int or null"),
        ("select:batches=1.5", "batches=1.5 is none; give int or null"),
        ("select:seed=1.5", "seed=1.5 is none; give int"),
        ("random:seed=abc", "seed='abc' is none; give int"),
        ("random_search:architectures=2.5", "architectures=2.5 is none; give int"),
        ("magnitude:threshold=abc", "threshold='abc' is none; give float"),
        ("magnitude:inputs=1.5", "inputs=1.5 is none; give int"),
        ("magnitude:rule=best", "use one of strongest, every_edge, threshold"),
        ("argmax:inputs=2", "the rule every_edge has no inputs"),
        ("magnitude:inputs=0", "use 1 or more"),
    ],
)
def test_what_cannot_be_used_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        parse_criterion(text)
