"""Walks find what torch's own find, in the same order."""

from torch import nn

from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.walking import modules_of, parameters_of


def assert_as_torch(root):
    assert all(a is b for a, b in zip(modules_of(root), root.modules(), strict=True))
    assert all(a is b for a, b in zip(parameters_of(root), root.parameters(), strict=True))


def test_a_supernet_is_walked_through_as_by_torch():
    assert_as_torch(ConvolutionalSupernet(DartsSpace(), channels=4, layers=3))


def test_what_is_shared_or_missing_is_found_once_or_not():
    shared = nn.Linear(2, 2)
    root = nn.Sequential(nn.Sequential(nn.ReLU(), shared), shared, nn.Linear(2, 2, bias=False))
    root[2].weight = shared.weight
    root.add_module("none", None)
    assert_as_torch(root)
    assert len(parameters_of(root)) == 2
