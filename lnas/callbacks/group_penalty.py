"""GroupPenalty: sparsity per group of operations (PR-DARTS).

Equations of section 4 of Zhou et al., "Theory-Inspired Path-Regularized Differential Network
Architecture Search", NeurIPS 2020, arXiv:2006.16537: the mean activation probability P(gate != 0)
of the skip connections, and that of all other operations, each with its own weight, averaged here
over the cell types. `sampled=True` with `hinge=0.2` is the released form: means over the operations
that the last sample ran, penalised only above the hinge, with the pools as a group of their own.
"""

from typing import final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.requirements import require_openings
from lnas.errors import InputError
from lnas.schedules import Constant, Schedule
from lnas.search import SearchCallback, SearchModule, SearchStep
from lnas.waiting import selected, sent


@final
class GroupPenalty(SearchCallback):
    """The weighted mean activation probability of each group of operations.

    Args:
        weights: Factor per group; the paper's lambda_1 and lambda_2 by default.
        groups: Operation names per group. A group that is left out of it holds every operation
            that no other group names; by default "skip" holds skip_connect, "nonskip" the rest.
        hinge: A group's mean counts only as far as it exceeds this probability.
        sampled: Average over the operations that the sample ran, not over all.
        ramp: Schedule of search progress that scales the weights; 1 throughout by default.

    Raises:
        InputError: Groups and weights do not fit each other, the space or the relaxation.
    """

    def __init__(
        self,
        weights: dict[str, float] | None = None,
        groups: dict[str, list[str]] | None = None,
        hinge: float = 0.0,
        sampled: bool = False,
        ramp: Schedule | None = None,
    ) -> None:
        self.weights = {"skip": 0.01, "nonskip": 0.005} if weights is None else weights
        self.groups = {"skip": ["skip_connect"]} if groups is None else groups
        rest = set(self.weights) - set(self.groups)
        if set(self.groups) - set(self.weights) or len(rest) > 1:
            raise InputError(
                f"GroupPenalty has groups {sorted(self.groups)} but weights for "
                f"{sorted(self.weights)}; give each group a weight, and leave at most one group "
                "without names: it gets all other operations."
            )
        self.hinge, self.sampled = hinge, sampled
        self.ramp = Constant(1.0) if ramp is None else ramp
        self.columns: dict[str, list[int]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the columns of the groups in the space."""
        assert isinstance(pl_module, SearchModule)
        require_openings(self, pl_module, self.sampled)
        self.columns = group_columns(pl_module.space.operations, self.groups, list(self.weights))

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return the sum over groups of weight * max(mean activation probability - hinge, 0)."""
        opened = module.architecture.probabilities()
        active = step.sample.active if self.sampled and step.sample is not None else None
        allowed = module.architecture.mask() if active is None else active
        total = torch.zeros((), device=next(iter(opened.values())).device)
        for group, columns in self.columns.items():
            means = [
                group_mean(values, sent(allowed[name], values.device), columns)
                for name, values in opened.items()
            ]
            excess = torch.stack(means).mean() - self.hinge
            total = total + self.weights[group] * (excess.clamp(min=0) if self.hinge else excess)
        return self.ramp(step.progress) * total


def group_columns(
    operations: tuple[str, ...], groups: dict[str, list[str]], names: list[str]
) -> dict[str, list[int]]:
    """Return the columns of each group; the one name without a group gets what is left.

    Raises:
        InputError: A group names an operation that the space does not offer, or two name the same.
    """
    taken = [operation for members in groups.values() for operation in members]
    unknown = sorted(set(taken) - set(operations))
    if unknown or len(taken) != len(set(taken)):
        raise InputError(
            f"GroupPenalty names {unknown or taken}; name each of the space's operations at most "
            f"once: {list(operations)}."
        )
    columns = {}
    for name in names:
        members = groups.get(name, [each for each in operations if each not in taken])
        columns[name] = [operations.index(operation) for operation in members]
    return columns


def group_mean(opened: Tensor, allowed: Tensor, columns: list[int]) -> Tensor:
    """Return the mean of the allowed entries in the given columns, scalar; 0 when there is none.

    Args:
        opened: Activation probabilities, (edges, ops).
        allowed: Entries to average, bool (edges, ops).
        columns: Operations of the group.
    """
    inside = selected(allowed, 1, columns).to(opened.dtype)
    return (selected(opened, 1, columns) * inside).sum() / inside.sum().clamp(min=1)
