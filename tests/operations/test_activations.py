"""The activations of recurrent cells, and their curves against torch's own."""

import pytest
import torch
from torch import nn

from lnas.errors import InputError
from lnas.genotype import known_operations
from lnas.operations import activations
from lnas.operations.activations import Curves, build_activation, curve_of, register_activation

NAMES = ("tanh", "relu", "sigmoid", "identity")


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_are_those_of_torch(name):
    draw = torch.Generator().manual_seed(0)
    spread = 4 * torch.randn(500, generator=draw, dtype=torch.float64)
    ends = torch.tensor([0.0, -0.0, 1e-8, -1e-8, 40.0, -40.0, 800.0, -800.0], dtype=torch.float64)
    x = torch.cat([spread, ends]).requires_grad_()
    expected = build_activation(name)(x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    curves = Curves(x.detach())
    torch.testing.assert_close(curves.value(name), expected.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(curves.slope(name), slope, rtol=1e-10, atol=1e-14)


def test_curves_in_single_precision_are_as_good_as_it():
    x = torch.linspace(-12, 12, 4001)
    for name in NAMES:
        exact = Curves(x.double())
        torch.testing.assert_close(
            Curves(x).value(name).double(), exact.value(name), atol=2e-7, rtol=1e-6
        )


def test_only_what_is_known_exactly_has_a_curve():
    class Mine(nn.Tanh):
        pass

    assert [curve_of(build_activation(name)) for name in NAMES] == list(NAMES)
    assert curve_of(Mine()) is None
    watched = nn.Tanh()
    watched.register_forward_hook(lambda *_: None)
    assert curve_of(watched) is None


def test_an_activation_of_ones_own_is_built_by_name(monkeypatch):
    monkeypatch.setattr(activations, "_TABLE", dict(activations._TABLE))
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    register_activation("gelu", nn.GELU)
    assert isinstance(build_activation("gelu"), nn.GELU)
    assert "gelu" in known_operations("recurrent")


def test_an_unknown_activation_is_refused_with_the_near_name():
    with pytest.raises(InputError, match="did you mean 'sigmoid'"):
        build_activation("sigmoit")
