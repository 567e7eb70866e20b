"""What cells have beside the searched operations: both paths are equal with each and with all."""

from functools import partial

import pytest
import torch

from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

NETS = {
    "darts": partial(ConvolutionalSupernet, DartsSpace(nodes=2), channels=8, layers=3),
    "nasbench201": partial(NasBench201Supernet, NasBench201Space(), channels=8, cells=1),
}
OPTIONS = {
    "node_norm": {"node_norm": True},
    "partial_channels": {"partial_channels": 2},
    "auxiliary_skip": {"auxiliary_skip": 0.7},
    "drop_path": {"drop_path": 0.3},
    "drop_path_of_edges": {"drop_path": 0.3, "drop_path_unit": "edge"},
    "skip_dropout": {"skip_dropout": 0.4},
    "all": {
        "node_norm": True,
        "partial_channels": 4,
        "auxiliary_skip": 0.7,
        "drop_path": 0.3,
        "skip_dropout": 0.4,
    },
}
SAMPLES = {
    "plain": {},
    "masked": {"masked": True, "per_cell": True},
    "weighed": {"masked": True, "edge_weights": True},
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", NETS)
def test_paths_are_equal(name, option, kind, scramble, random_sample, assert_equal_paths):
    net = scramble(NETS[name](**OPTIONS[option]))
    net.set_draw(0, "test")
    sample = random_sample(net, 1, **SAMPLES[kind])
    assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("mode", ["batch", "running"])
@pytest.mark.parametrize("option", OPTIONS)
def test_paths_are_equal_with_other_statistics_and_in_evaluation(
    option, mode, scramble, random_sample, assert_equal_paths
):
    net = scramble(NETS["darts"](**OPTIONS[option]))
    net.set_draw(0, "test")
    net.train(mode == "batch")
    sample = random_sample(net, 2, masked=True)
    assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8), mode)
