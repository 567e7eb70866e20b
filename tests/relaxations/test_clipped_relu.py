import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import ClippedReLU, Draw
from lnas.spaces import DartsSpace

SEVEN = [name for name in DartsSpace().operations if name != "none"]


@pytest.mark.parametrize("cell_type", ["normal", "reduce"])
def test_activation_equals_the_released_one(golden, cell_type):
    stored = golden("prime_trace").data
    logits = {cell_type: stored[f"crb_alpha_masked_{cell_type}"]}
    mask = {cell_type: stored[f"crb_mask_{cell_type}"] > 0}
    values = ClippedReLU().probabilities(logits, mask)[cell_type]
    torch.testing.assert_close(values, stored[f"crb_activation_{cell_type}"], rtol=0, atol=0)


def test_gradient_passes_at_zero_and_stops_at_one():
    logits = torch.tensor([[-0.5, 0.0, 0.5, 1.0, 1.5]], requires_grad=True)
    mask = {"cell": torch.ones(1, 5, dtype=torch.bool)}
    gates = ClippedReLU()({"cell": logits}, mask, Draw()).gates["cell"]
    gates.sum().backward()
    assert gates.tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]
    assert logits.grad.tolist() == [[0.0, 1.0, 1.0, 0.0, 0.0]]


def test_logits_start_at_equal_shares():
    space = DartsSpace(operations=SEVEN)
    start = ClippedReLU().initial_logits(space, torch.Generator().manual_seed(0))["reduce"]
    torch.testing.assert_close(start, torch.full((14, 7), 1 / 7), atol=1e-3, rtol=0)
    assert start.std() > 0


def test_a_space_with_none_is_refused():
    with pytest.raises(InputError, match="without 'none'"):
        ClippedReLU().initial_logits(DartsSpace(), torch.Generator())
