"""What operations cost in one pass, and what a pass says of its examples.

Xie et al., "Understanding the wiring evolution in differentiable neural architecture search",
AISTATS 2021, arXiv:2009.01272: differentiable searches of all kinds descend the accumulated cost

    C(z) = z dL/dz = <dL/dx, z O(x_source)>

of the gate z of an operation O into a state x, a first-order account of what the operation adds to
the loss. Euler's theorem gives the costs of a cell that a classifier without bias reads behind the
mean over the image: together they are <dL/dlogits, logits> = L - H, cross entropy minus entropy of
the prediction; and nothing behind a convolution with batch normalisation, which does not feel the
scale of its input, is passed on to the edges before it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lnas.relaxations import GateSample
from lnas.spaces import SearchSpace

GROUPS = ("right", "wrong")
SUMS = ("loss", "entropy", "examples")


def gate_costs(sample: GateSample, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return gate * dL/dgate of each cell, in nats, (cells, edges, ops) per cell type.

    Args:
        sample: The gates of a pass.
        gradients: d loss / d gates, (cells, edges, ops) per cell type.
    """
    return {name: sample.gates[name].detach() * values for name, values in gradients.items()}


def last_cell_cost(space: SearchSpace, costs: Tensor) -> Tensor:
    """Return what the edges of a cell that the classifier reads cost together, in nats.

    A skip connection between nodes hands the cost of its target on, which is left out: it would
    count twice. Without a bias in the classifier this is L - H, see above.

    Args:
        space: The space of the cell, whose output has all nodes or, in NAS-Bench-201, the last one.
        costs: (edges, ops).
    """
    ends = {space.inputs + space.nodes - 1}
    if space.name != "nasbench201":
        ends |= set(range(space.inputs, max(ends)))
    read = [edge.target in ends for edge in space.edges]
    total = costs[torch.tensor(read)].sum()
    if "skip_connect" in space.operations:
        handed = torch.tensor([edge.source in ends for edge in space.edges])
        total = total - costs[handed, space.operations.index("skip_connect")].sum()
    return total


def sampled(gates: Tensor) -> Tensor:
    """Return which operations took part in a pass, in some cell at least: bool (edges, ops).

    Args:
        gates: (edges, ops) or (cells, edges, ops).
    """
    return gates != 0 if gates.dim() == 2 else (gates != 0).any(0)


def answers(scores: Tensor, targets: Tensor) -> Tensor:
    """Return how right and wrong answers come about, (right and wrong, loss and entropy and count).

    Each is the sum over the group's examples, divided by the number of all examples; the sum of the
    groups is the mean cross entropy L and the mean entropy H of the predictions, in nats.

    Args:
        scores: Unnormalised class scores, (examples, classes).
        targets: Right classes, (examples,).
    """
    logarithms = scores.log_softmax(-1)
    loss = -logarithms.gather(-1, targets[:, None]).squeeze(-1)
    entropy = -(logarithms.exp() * logarithms).sum(-1)
    right = (scores.argmax(-1) == targets).to(scores.dtype)
    values = torch.stack([loss, entropy, torch.ones_like(loss)], -1)
    return torch.stack([right, 1 - right]) @ values / len(targets)


class CostSums:
    """Sums over the passes on one stream in an epoch, on the device, the same on all ranks.

    Attributes:
        values: Sum, sum of squares and number of passes of the costs, (edges, ops) per cell type,
            the sums over the last cell, and those of `answers`.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}

    def add(
        self, costs: Mapping[str, Tensor], counted: Mapping[str, Tensor], **others: Tensor
    ) -> None:
        """Count one pass.

        Args:
            costs: Cost over all cells of a type, (edges, ops) per cell type.
            counted: Where it counts, bool (edges, ops) per cell type.
            others: Whatever else is summed up.
        """
        found = {**others, "passes": torch.ones(())}
        for name, cost in costs.items():
            found |= {f"cost {name}": cost, f"square {name}": cost.square()}
            found[f"count {name}"] = counted[name].to(cost)
        for name, value in found.items():
            before = self.values.get(name)
            self.values[name] = value.clone() if before is None else before + value

    def mean(self, name: str) -> Tensor:
        """Return the mean of one of the others over the passes."""
        return self.values[name] / self.values["passes"].to(self.values[name])

    def costs(self, cell_type: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and number of passes of the costs, each (edges, ops).

        Where an operation never ran, mean and variance are 0.
        """
        count = self.values[f"count {cell_type}"]
        mean = self.values[f"cost {cell_type}"] / count.clamp(min=1)
        square = self.values[f"square {cell_type}"] / count.clamp(min=1)
        return mean, (square - mean.square()).clamp(min=0), count
