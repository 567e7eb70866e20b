"""RestrictedSkips against the released procedure, written out here once more."""

import pytest
import torch

from lnas.derivation import RestrictedSkips, SelectionContext
from lnas.errors import InputError
from lnas.relaxations import Softmax
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture

SKIP = 3  # its column in the space of DARTS


def architecture(seed, skips=2.0):
    made = Architecture(DartsSpace(), Softmax(), seed)
    draw = torch.Generator().manual_seed(seed)
    for logits in made.logits.values():
        logits.data = torch.randn(logits.shape, generator=draw)
        logits.data[:, SKIP] += skips
    return made


def released(probabilities, limit):
    """Return the chosen (edge, operation) pairs of a cell, as P-DARTS's code finds them."""
    probabilities = probabilities.clone()
    probabilities[:, 0] = 0  # none
    while True:
        best, chosen, start = probabilities.max(-1), [], 0
        for inputs in (2, 3, 4, 5):
            order = sorted(range(inputs), key=lambda i: best.values[start + i].item())
            chosen += [start + order[-1], start + order[-2]]
            start += inputs
        pairs = {(edge, int(best.indices[edge])) for edge in chosen}
        skips = [edge for edge, operation in pairs if operation == SKIP]
        if len(skips) <= limit:
            return pairs
        probabilities[min(skips, key=lambda edge: probabilities[edge, SKIP].item()), SKIP] = 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("limit", [0, 2, 8])
def test_the_weakest_skips_give_way_until_few_enough_are_left(seed, limit):
    made = architecture(seed)
    scores = RestrictedSkips(limit).scores(SelectionContext(made))
    found = {tuple(pair) for pair in made.space.project(scores)["normal"].nonzero().tolist()}
    assert found == released(made.probabilities()["normal"].detach(), limit)
    assert sum(operation == SKIP for _, operation in found) <= limit
    # The other cell keeps its skips, and nothing else changes.
    torch.testing.assert_close(scores["reduce"], made.probabilities()["reduce"].detach())


def test_a_cell_with_few_skips_stays_as_it_is():
    made = architecture(0, skips=-9.0)
    scores = RestrictedSkips().scores(SelectionContext(made))
    torch.testing.assert_close(scores["normal"], made.probabilities()["normal"].detach())


def test_what_cannot_be_restricted_is_refused():
    with pytest.raises(InputError, match="limit=-1"):
        RestrictedSkips(-1)
    made = Architecture(NasBench201Space(), Softmax())
    with pytest.raises(InputError, match="has cell"):
        RestrictedSkips().scores(SelectionContext(made))
    scores = RestrictedSkips(0, "cell").scores(SelectionContext(made))
    assert "skip_connect" not in str(made.space.derive(scores))
