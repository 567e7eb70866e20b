"""Proposition 1 of DARTS-PT: gates that learn weigh by variance, not by what is worth keeping.

Wang et al., ICLR 2021, arXiv:2108.04392. A cell of a skip connection and a convolution, whose
outputs differ from the best map m* by errors with variances V_x and V_o and covariance c, has the
least variance of its error at beta_skip = (V_o - c) / (V_x + V_o - 2c).
"""

import math

import pytest
import torch

from lnas.derivation import Magnitude, OperationStrength, SelectionContext
from lnas.relaxations import Softmax
from lnas.spaces import RecurrentSpace
from lnas.supernet import Architecture


def searched(skip, convolution, covariance):
    """Let the gates of one edge descend the variance of its error; return the search's context."""
    torch.set_default_dtype(torch.float64)
    space = RecurrentSpace(["identity", "tanh"], nodes=1)
    architecture = Architecture(space, Softmax()).double()
    covariances = torch.tensor([[skip, covariance], [covariance, convolution]])

    def variance(sample):
        (gates,) = sample.gates["recurrent"]
        return gates @ covariances @ gates

    optimizer = torch.optim.LBFGS(
        [architecture.logits["recurrent"]], max_iter=200, tolerance_grad=1e-12,
        tolerance_change=1e-15, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = variance(architecture.sample())
        loss.backward()
        return loss

    optimizer.step(closure)

    def measures(samples, batch):
        return [{"loss": variance(s).detach(), "examples": torch.ones(())} for s in samples]

    return SelectionContext(architecture, batches=lambda: iter([None]), measures=measures)


@pytest.mark.parametrize(
    ("skip", "convolution", "covariance", "beta"),
    [(1.0, 3.0, 0.0, 0.75), (0.1, 3.0, 0.0, 3 / 3.1), (1.0, 3.0, 0.5, 2.5 / 3)],
)
def test_learned_gates_stand_at_the_closed_form(skip, convolution, covariance, beta):
    context = searched(skip, convolution, covariance)
    gates = context.architecture.probabilities()["recurrent"][0].detach()
    assert float(gates[0]) == pytest.approx(beta, abs=1e-6)
    logits = context.architecture.logits["recurrent"][0].detach()
    ratio = (convolution - covariance) / (skip - covariance)
    assert float(logits[0] - logits[1]) == pytest.approx(math.log(ratio), abs=1e-5)


def test_strength_is_the_variance_that_either_operation_leaves_alone():
    context = searched(1.0, 3.0, 0.0)
    scores = Magnitude().scores(context)["recurrent"][0]
    strengths = OperationStrength("select").scores(context)["recurrent"][0]
    torch.testing.assert_close(strengths, torch.tensor([0.75 - 1, 0.75 - 3]))
    assert int(scores.argmax()) == int(strengths.argmax()) == 0
