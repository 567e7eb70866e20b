"""What changes between two genotypes says how to make the one of the other."""

from collections import Counter
from itertools import permutations

import pytest

from lnas.errors import InputError
from lnas.genotype import Change, Genotype, changes
from lnas.spaces import zoo

DARTS = [name for name in zoo.names() if zoo.load(name).space == "darts"]
PAIRS = [*permutations(DARTS[:6], 2), ("darts_rnn_v1", "darts_rnn_v2")]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids="-".join)
def test_changes_applied_to_the_first_give_the_second(first, second):
    a, b = zoo.load(first), zoo.load(second)
    for kind, found in changes(a, b).items():
        before = Counter((c.node, c.source, c.old) for c in found if c.old)
        after = Counter((c.node, c.source, c.new) for c in found if c.new)
        assert before == Counter(a.edges(kind))
        assert after == Counter(b.edges(kind))


def test_an_edge_that_changes_its_operation_is_one_change():
    a = Genotype.from_text("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    b = Genotype.from_text("|skip_connect~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert changes(a, b)["cell"] == [
        Change(1, 0, "nor_conv_3x3", "skip_connect"),
        Change(3, 0, "skip_connect", "skip_connect"),
    ]
    assert [change.kind for change in changes(a, b)["cell"]] == ["changed", "kept"]


def test_genotypes_of_different_spaces_are_refused():
    with pytest.raises(InputError, match="the space darts cannot be compared with one of recurr"):
        changes(zoo.load("darts_v2"), zoo.load("darts_rnn_v2"))
