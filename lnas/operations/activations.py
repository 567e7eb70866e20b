"""Candidate operations of recurrent cells: activations, element by element.

Section 2.1 of Zoph and Le's search space as DARTS uses it (Liu et al., arXiv:1806.09055): tanh,
ReLU, sigmoid and identity. A name registered here can stand in recurrent spaces and genotypes.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cached_property

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.genotype import add_operation

_TABLE: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
_CURVES: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.Identity: "identity",
}


def register_activation(name: str, builder: Callable[[], nn.Module]) -> None:
    """Add an activation, or replace one; genotypes may name it from then on.

    Args:
        name: Name in spaces and genotypes: letters, digits and underscores.
        builder: Makes a module that maps each number by itself, whatever the shape.

    Raises:
        InputError: The name cannot name an operation.
    """
    add_operation(name)
    _TABLE[name] = builder


def build_activation(name: str) -> nn.Module:
    """Build one activation.

    Raises:
        InputError: The name is unknown.
    """
    if name not in _TABLE:
        near = get_close_matches(name, _TABLE, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; register it with register_activation"
        raise InputError(f"unknown activation {name!r}; known are {', '.join(_TABLE)}{hint}")
    return _TABLE[name]()


def curve_of(activation: nn.Module) -> str | None:
    """Return the name of the curve that an activation follows; None if it is not known exactly."""
    hooked = activation._forward_hooks or activation._forward_pre_hooks
    return None if hooked else _CURVES.get(type(activation))


class Curves:
    """Values and slopes of the four activations at the same points, what they share computed once.

    With s = sigmoid(x) and r = s (1 - s), the slope of the sigmoid: tanh(x) is
    (2 s - 1) / (1 - 2 r). One sigmoid costs a fraction of a tanh on CPUs.

    Args:
        points: Any shape.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points

    def value(self, curve: str) -> Tensor:
        """Return the values of a curve."""
        if curve == "identity":
            return self.points
        found: Tensor = getattr(self, f"_{curve}")
        return found

    def slope(self, curve: str) -> Tensor:
        """Return the derivatives of a curve; of the ReLU at 0 it is 0, as torch's."""
        if curve == "identity":
            return torch.ones_like(self.points)
        if curve == "relu":
            return self._relu.sign()
        if curve == "sigmoid":
            return self._sigmoid_slope
        return torch.addcmul(self._one, self._tanh, self._tanh, value=-1)

    @cached_property
    def _relu(self) -> Tensor:
        return self.points.clamp(min=0)

    @cached_property
    def _sigmoid(self) -> Tensor:
        return self.points.sigmoid()

    @cached_property
    def _sigmoid_slope(self) -> Tensor:
        return self._sigmoid.addcmul(self._sigmoid, self._sigmoid, value=-1)

    @cached_property
    def _tanh(self) -> Tensor:
        below = torch.rsub(self._sigmoid_slope, -1, alpha=-2)
        return torch.rsub(self._sigmoid, 1, alpha=2).div_(below)

    @cached_property
    def _one(self) -> Tensor:
        return self.points.new_ones(())
