"""The zero-one loss of FairDARTS against its published values and its closed-form gradient."""

from types import SimpleNamespace

import pytest
import torch

from lnas.callbacks import ZeroOneLoss
from lnas.callbacks.zero_one_loss import zero_one_loss
from lnas.errors import InputError
from lnas.relaxations import Sigmoid
from lnas.search import SearchStep
from lnas.spaces import DartsSpace
from lnas.supernet import Architecture

STEP = SearchStep(0, 0, 0.0)


@pytest.mark.parametrize(("form", "expected"), [("l2", -0.132), ("l1", -0.28)])
def test_the_loss_has_its_published_value(form, expected):
    gates = torch.tensor([0.5, 0.5, 1.0, 0.0, 0.9, 0.7], dtype=torch.float64)
    mask = torch.tensor([True] * 5 + [False])
    assert zero_one_loss(gates, form, mask).item() == pytest.approx(expected)


def search_at(space, logits):
    architecture = Architecture(space, Sigmoid()).double()
    for name, values in architecture.logits.items():
        values.data.copy_(logits[name])
    architecture.hold()
    return SimpleNamespace(architecture=architecture)


def test_its_gradient_leads_every_gate_away_from_one_half():
    space = DartsSpace()
    draw = torch.Generator().manual_seed(0)
    logits = {n: torch.randn(14, 8, generator=draw).double() for n in space.cell_types}
    module = search_at(space, logits)
    loss = ZeroOneLoss(10.0).architecture_loss(module, STEP)
    assert -2.5 < loss.item() < 0
    for name, values in module.architecture.logits.items():
        (slope,) = torch.autograd.grad(loss, values, retain_graph=True)
        s = torch.sigmoid(logits[name])
        # n counts the gates of both cell types.
        torch.testing.assert_close(slope, -10 * 2 * (s - 0.5) * s * (1 - s) / (2 * 14 * 8))


def test_it_is_least_at_zero_and_one():
    space = DartsSpace()
    logits = {n: torch.randn(14, 8).sign().double() * 60 for n in space.cell_types}
    module = search_at(space, logits)
    assert ZeroOneLoss(10.0, "l2").architecture_loss(module, STEP).item() == pytest.approx(-2.5)
    assert ZeroOneLoss(10.0, "l1").architecture_loss(module, STEP).item() == pytest.approx(-5.0)


def test_what_an_edge_does_not_offer_is_not_counted():
    space = DartsSpace(edge_operations="s1")  # two operations an edge
    module = search_at(space, {n: torch.zeros(14, 6).double() for n in space.cell_types})
    loss = ZeroOneLoss(1.0).architecture_loss(module, STEP)
    assert loss.item() == 0  # a gate that is not offered would be at distance 1/2


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match="form='l3'"):
        ZeroOneLoss(form="l3")
