"""Appendices B and D of SNAS (arXiv:1812.09926) on the three-node unit cell, by enumeration.

A cell of one input x_0, nodes x_1 and x_2, and three edges. The oracle lists all architectures with
their probabilities, or the points of a quadrature over the noise of an edge; the losses, and the
gradients that become credits, are those of the supernet's own edges.
"""

import itertools

import numpy as np
import pytest
import torch

from lnas.relaxations import CellGates
from lnas.relaxations.concrete import concrete_log_density, concrete_log_gates
from lnas.relaxations.noise import gumbel
from lnas.spaces import EveryEdge, SearchSpace
from lnas.supernet.edges import SearchEdges
from lnas.supernet.extras import Extras

LINEAR = ("none", "skip_connect", "avg_pool_3x3")
HOMOGENEOUS = ("none", "skip_connect", "max_pool_3x3")  # twice the input, twice the output
CURVED = ("none", "skip_connect", "dil_conv_3x3")  # with its ReLU and normalisation
TEMPERATURE = torch.tensor(0.6, dtype=torch.float64)


class UnitCell:
    """The edges 1_0, 2_0 and 2_1, and a loss of x_2.

    Args:
        operations: Candidates of every edge.
        target: The loss is half the squared distance to a target; else it is linear in x_2.
        path: Way through the edges.
    """

    def __init__(self, operations, target=False, path="reference"):
        class Unit(SearchSpace):
            pass

        space = Unit("darts", ("cell",), 1, 2, operations, EveryEdge())
        self.operations, self.target, self.path = operations, target, path
        torch.manual_seed(1)
        edges = SearchEdges(space, "cell", 2, lambda edge: 1, search=False, extras=Extras())
        self.edges = edges.double()
        draw = torch.Generator().manual_seed(1)
        self.x, self.direction, self.goal = torch.randn(
            3, 1, 2, 4, 4, generator=draw, dtype=torch.float64
        )
        self.logits = torch.randn(3, len(operations), generator=draw, dtype=torch.float64)
        self.logits.requires_grad_()

    def states(self, gates):
        x = self.x.clone().requires_grad_()
        return self.edges([x], CellGates(gates), self.path)

    def loss_of(self, state):
        if self.target:
            return (state - self.goal).square().sum() / 2
        return (self.direction * state).sum()

    def loss(self, gates):
        return self.loss_of(self.states(gates)[-1])

    def credits(self, gates):
        """Return R_e = sum_k Z_e^k dL/dZ_e^k = dL/dx_j O~_e(x_i) of each edge, constants (3,)."""
        gates = gates.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(gates), gates)
        return (gates * gradient).sum(-1).detach()

    def architectures(self):
        """Yield each architecture's one-hot gates (3, ops) and its probability, a scalar."""
        count = len(self.operations)
        probabilities = self.logits.softmax(-1)
        for choice in itertools.product(range(count), repeat=3):
            columns = torch.tensor(choice)
            chosen = torch.nn.functional.one_hot(columns, count).double()
            yield chosen, probabilities[torch.arange(3), columns].prod()

    def expected_loss(self):
        return sum(p * self.loss(chosen).detach() for chosen, p in self.architectures())

    def policy_gradient(self, reward):
        """Return E[grad log p(Z) * reward(Z)], (3, ops), by listing all Z; rewards are (3,)."""
        total = torch.zeros_like(self.logits)
        for chosen, probability in self.architectures():
            score = chosen - self.logits.softmax(-1)
            total += (probability * reward(chosen)[:, None] * score).detach()
        return total


@pytest.mark.parametrize("path", ["reference", "fused"])
def test_the_relaxed_loss_is_the_expected_one_only_where_all_is_linear(path):
    # Appendix B: a relaxation minimises the loss of the mean network, not the mean loss.
    def gap(cell):
        relaxed = cell.loss(cell.logits.softmax(-1)).item()
        expected = cell.expected_loss().item()
        return (relaxed - expected) / abs(expected)

    assert gap(UnitCell(LINEAR, path=path)) == pytest.approx(0, abs=1e-12)
    for cell in (UnitCell(CURVED, path=path), UnitCell(LINEAR, target=True, path=path)):
        assert abs(gap(cell)) > 0.05
        # As the probabilities become certain, the two become one.
        with torch.no_grad():
            cell.logits *= 1e4
        assert gap(cell) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("path", ["reference", "fused"])
@pytest.mark.parametrize(("operations", "target"), [(LINEAR, False), (CURVED, True)])
def test_the_gradient_of_a_sample_is_equation_6(operations, target, path):
    cell = UnitCell(operations, target, path)
    draw = torch.Generator().manual_seed(1)
    noise = gumbel(torch.rand(3, 3, generator=draw, dtype=torch.float64))
    mask = torch.ones(3, 3, dtype=torch.bool)
    z = concrete_log_gates(cell.logits, noise, TEMPERATURE, mask).exp()
    (found,) = torch.autograd.grad(cell.loss(z), cell.logits)

    z = z.detach()
    x0 = cell.x

    def outputs(edge, x):
        modules = cell.edges[edge]
        return torch.stack([modules[o](x) if o in modules else 0 * x for o in cell.operations])

    x1 = torch.einsum("k,k...->...", z[0], outputs("1_0", x0)).requires_grad_()
    through = torch.einsum("k,k...->...", z[2], outputs("2_1", x1))
    x2 = torch.einsum("k,k...->...", z[1], outputs("2_0", x0)) + through.detach()
    slope2 = x2 - cell.goal if target else cell.direction  # dL/dx_2
    (slope1,) = torch.autograd.grad(through, x1, slope2)  # dL/dx_1 = dL/dx_2 Z_12^T dO_12/dx_1
    inner = [
        (outputs("1_0", x0) * slope1).sum((1, 2, 3, 4)),
        (outputs("2_0", x0) * slope2).sum((1, 2, 3, 4)),
        (outputs("2_1", x1.detach()) * slope2).sum((1, 2, 3, 4)),
    ]
    for edge, slopes in enumerate(inner):
        jacobian = (torch.eye(3) - z[edge]) * z[edge][:, None] / TEMPERATURE  # dZ_l / d log alpha_k
        torch.testing.assert_close(found[edge], jacobian @ slopes, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("path", ["reference", "fused"])
@pytest.mark.parametrize(("operations", "target"), [(LINEAR, False), (CURVED, True)])
def test_the_policy_gradient_of_the_loss_is_the_gradient_of_the_expected_loss(
    operations, target, path
):
    cell = UnitCell(operations, target, path)
    (expected,) = torch.autograd.grad(cell.expected_loss(), cell.logits)
    found = cell.policy_gradient(lambda chosen: cell.loss(chosen).detach().expand(3))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("path", ["reference", "fused"])
def test_credits_may_stand_for_the_loss_where_the_loss_is_linear_in_the_edge(path):
    # Equation 8. Into x_2 any operation will do: a linear loss has a constant slope there. Further
    # back the operations that follow must not bend, but for pieces that meet in 0 (Euler's theorem:
    # slope times input is the output). Otherwise the credit is a Taylor term only.
    for operations, exact in [(LINEAR, [0, 1, 2]), (HOMOGENEOUS, [0, 1, 2]), (CURVED, [1, 2])]:
        cell = UnitCell(operations, path=path)
        (expected,) = torch.autograd.grad(cell.expected_loss(), cell.logits)
        found = cell.policy_gradient(cell.credits)
        torch.testing.assert_close(found[exact], expected[exact], rtol=1e-10, atol=1e-11)
    assert (found[0] - expected[0]).abs().max() > 0.01


@pytest.mark.parametrize("path", ["reference", "fused"])
@pytest.mark.parametrize(
    ("operations", "edges"),
    [(("skip_connect", "avg_pool_3x3"), [0, 1, 2]), (("skip_connect", "dil_conv_3x3"), [1, 2])],
)
def test_snas_searches_by_the_policy_gradient_of_its_credits(operations, edges, path):
    """Equations 7 and 8, for relaxed samples: the mean of the search gradient, edge by edge.

    With two operations the sample of an edge depends on one number, the difference of its Gumbel
    numbers, so that its mean is an integral over u in (0, 1); the other edges keep their samples.
    """
    cell = UnitCell(operations, path=path)
    mask = torch.ones(3, 2, dtype=torch.bool)
    fixed = gumbel(torch.rand(3, 2, generator=torch.Generator().manual_seed(2)).double())
    points, weights = np.polynomial.legendre.leggauss(80)
    for edge in edges:
        search, policy = torch.zeros(2, 2, dtype=torch.float64)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            noise = fixed.clone()
            noise[edge] = torch.tensor([np.log(point / (1 - point)), 0.0])
            log_gates = concrete_log_gates(cell.logits, noise, TEMPERATURE, mask)
            density = concrete_log_density(cell.logits, log_gates.detach(), TEMPERATURE, mask)
            loss = cell.loss(log_gates.exp())
            score = density[edge] * cell.credits(log_gates.exp())[edge]
            search += weight * torch.autograd.grad(loss, cell.logits, retain_graph=True)[0][edge]
            policy += weight * torch.autograd.grad(score, cell.logits)[0][edge]
        torch.testing.assert_close(search, policy, rtol=2e-4, atol=1e-6)
        assert search.abs().max() > 0.01
