"""Softmax against torch's own softmax of the allowed entries alone."""

from types import SimpleNamespace

import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import Draw, Softmax, masked_softmax
from lnas.seeds import generator

SPACE = SimpleNamespace(cell_types=("normal", "reduce"), edges=range(14), operations=range(8))


def logits_and_mask() -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.randn(5, 4, dtype=torch.float64, generator=generator(1, "logits"))
    mask = torch.tensor(
        [[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.bool
    )
    return values.requires_grad_(), mask


def test_allowed_entries_are_the_softmax_among_themselves():
    values, mask = logits_and_mask()
    gates = masked_softmax(values, mask)
    for row in (0, 1, 2, 4):
        torch.testing.assert_close(gates[row, mask[row]], values[row, mask[row]].softmax(-1))
    assert gates[2, 3] == 1


def test_forbidden_entries_are_exactly_zero_even_in_a_row_without_candidates():
    values, mask = logits_and_mask()
    gates = masked_softmax(values, mask)
    assert torch.all(gates[~mask] == 0)
    assert torch.all(gates[3] == 0)


def test_forbidden_entries_and_single_candidates_get_gradient_exactly_zero():
    values, mask = logits_and_mask()
    cotangent = torch.randn(5, 4, dtype=torch.float64, generator=generator(2))
    (gradient,) = torch.autograd.grad((masked_softmax(values, mask) * cotangent).sum(), values)
    assert torch.all(gradient[~mask] == 0)
    assert torch.all(gradient[2] == 0)
    row = values[1, mask[1]].detach().requires_grad_()
    (wanted,) = torch.autograd.grad((row.softmax(-1) * cotangent[1, mask[1]]).sum(), row)
    torch.testing.assert_close(gradient[1, mask[1]], wanted)
    assert torch.all(wanted != 0)


def test_a_broken_gradient_of_a_forbidden_entry_does_not_spread():
    values, mask = logits_and_mask()
    cotangent = torch.where(mask, 1.0, torch.nan).double()
    (gradient,) = torch.autograd.grad(masked_softmax(values, mask), values, cotangent)
    assert torch.isfinite(gradient).all()


def test_masked_softmax_has_right_first_and_second_derivatives():
    values, mask = logits_and_mask()
    assert torch.autograd.gradcheck(lambda v: masked_softmax(v, mask), values)
    assert torch.autograd.gradgradcheck(lambda v: masked_softmax(v, mask), values)


def test_softmax_treats_each_cell_type_with_its_own_mask():
    logits = {name: torch.zeros(14, 8) for name in ("normal", "reduce")}
    mask = {name: torch.ones(14, 8, dtype=torch.bool) for name in logits}
    mask["reduce"][:, 4:] = False
    relaxation = Softmax()
    sample = relaxation(logits, mask, Draw())
    assert torch.equal(sample.gates["normal"], torch.full((14, 8), 1 / 8))
    assert torch.equal(sample.gates["reduce"][:, :4], torch.full((14, 4), 1 / 4))
    assert torch.equal(sample.gates["reduce"][:, 4:], torch.zeros(14, 4))
    probabilities = relaxation.probabilities(logits, mask)
    assert all(torch.equal(sample.gates[name], probabilities[name]) for name in logits)


def test_softmax_draws_nothing_and_says_so():
    with pytest.raises(InputError, match="no log-probability"):
        Softmax()({}, {}, Draw()).log_prob()


def test_initial_logits_are_a_thousandth_of_standard_normal_numbers_of_the_generator():
    logits = Softmax().initial_logits(SPACE, generator(3))
    again = Softmax().initial_logits(SPACE, generator(3))
    expected = torch.randn(14, 8, generator=generator(3))
    torch.testing.assert_close(logits["normal"], 1e-3 * expected, rtol=0, atol=0)
    assert all(torch.equal(logits[name], again[name]) for name in ("normal", "reduce"))
    assert not torch.equal(logits["normal"], logits["reduce"])
