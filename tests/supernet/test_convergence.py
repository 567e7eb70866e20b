"""The theory behind PR-DARTS on a cell of ours: skips and shallow cells converge faster.

Theorem 1 of Zhou et al., NeurIPS 2020, arXiv:2006.16537: gradient descent converges at a rate that
grows with the weights of skip connections, in a product over the depth. A chain of smooth
operations shows it by the smallest eigenvalue of its tangent kernel, and by the descent itself.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lnas.relaxations import CellGates
from lnas.spaces import DartsSpace
from lnas.supernet.edges import SearchEdges
from lnas.supernet.extras import Extras

WIDTH, IMAGES, INPUTS = 64, 12, 8


class Smooth(nn.Module):
    """sigma(W x) / sqrt(width) with sigma = softplus - ln 2."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, dtype=torch.float64))

    def forward(self, x):
        hidden = functional.conv2d(x, self.weight[:, :, None, None])
        return (functional.softplus(hidden) - math.log(2)) / len(self.weight) ** 0.5


class Chain:
    """A cell whose nodes read only the node before, by a skip and a smooth operation."""

    def __init__(self, depth, skip, seed):
        torch.manual_seed(seed)
        space = DartsSpace(("none", "skip_connect", "dil_conv_3x3"), nodes=depth)
        self.edges = SearchEdges(space, "normal", WIDTH, lambda edge: 1, True, Extras())
        for operations in self.edges.values():
            operations["dil_conv_3x3"] = Smooth(WIDTH)
        gates = torch.zeros(len(space.edges), 3, dtype=torch.float64)
        for row, edge in enumerate(space.edges):
            if edge.source == edge.target - 1:
                gates[row] = torch.tensor([0.0, skip, 0.5])
        self.gates = CellGates(gates, gates > 0)
        images = functional.normalize(torch.randn(IMAGES, INPUTS, dtype=torch.float64), dim=1)
        embedding = torch.randn(INPUTS, WIDTH, dtype=torch.float64)
        start = (functional.softplus(images @ embedding) - math.log(2))[:, :, None, None]
        self.inputs = [torch.zeros_like(start), start / WIDTH**0.5]
        self.readout = torch.randn(WIDTH, dtype=torch.float64)
        self.labels = torch.randn(IMAGES, dtype=torch.float64)
        chosen = [row for row in range(len(space.edges)) if gates[row].any()]
        self.weights = [self.edges.operations(row)["dil_conv_3x3"].weight for row in chosen]

    def outputs(self):
        return self.edges(self.inputs, self.gates, "reference")[-1].flatten(1) @ self.readout

    def smallest_eigenvalue(self):
        """Of the tangent kernel J J^T, (images, images)."""
        outputs = self.outputs()
        rows = [
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(o, self.weights, retain_graph=True)]
            )
            for o in outputs
        ]
        jacobian = torch.stack(rows)
        return torch.linalg.eigvalsh(jacobian @ jacobian.T)[0].item()

    def remaining_loss(self, steps=100, rate=0.1):
        """Share of the squared loss that gradient descent leaves."""
        losses = []
        for _ in range(steps + 1):
            loss = (self.outputs() - self.labels).square().sum() / 2
            losses.append(loss.item())
            for weight, slope in zip(
                self.weights, torch.autograd.grad(loss, self.weights), strict=True
            ):
                weight.data -= rate * slope
        return losses[-1] / losses[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_tangent_kernel_grows_with_skips_and_falls_with_depth(seed):
    found = {
        (depth, skip): Chain(depth, skip, seed).smallest_eigenvalue()
        for depth in (2, 4, 8)
        for skip in (0.0, 0.5, 1.0)
    }
    for depth in (2, 4, 8):
        without, half, whole = (found[depth, skip] for skip in (0.0, 0.5, 1.0))
        assert 0 < 3 * without < half
        assert 3 * half < whole
    for skip in (0.0, 0.5):
        shallow, middle, deep = (found[depth, skip] for depth in (2, 4, 8))
        assert shallow > middle > deep
        assert shallow > 10 * deep


def test_descent_is_faster_with_skips_and_in_shallow_cells():
    left = {(d, s): Chain(d, s, 0).remaining_loss() for d in (2, 4) for s in (0.0, 0.5, 1.0)}
    for depth in (2, 4):
        assert left[depth, 0.0] > left[depth, 0.5] > left[depth, 1.0]
    for skip in (0.0, 0.5):
        assert left[4, skip] > left[2, skip]
