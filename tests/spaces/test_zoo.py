"""The published genotypes: their parameter counts are those of the papers and released codes."""

import pytest
import torch

from lnas.errors import InputError
from lnas.networks import CifarNetwork
from lnas.spaces import zoo


def test_zoo_names_what_was_published():
    assert zoo.names() == [
        "amoebanet_a", "darts_rnn_v1", "darts_rnn_v2", "darts_v1", "darts_v2", "gdas", "nasnet_a",
        "p_darts", "pc_darts_cifar", "pc_darts_imagenet", "pr_darts", "snas_aggressive",
        "snas_mild", "snas_moderate",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("darts_v2", 36, 3_349_342),
        ("darts_v1", 36, 3_169_414),  # training log of the released code
        ("nasnet_a", 33, 3_245_989),
        ("amoebanet_a", 36, 3_145_078),
        ("pr_darts", 36, 3_444_814),
    ],
)
def test_parameters_are_those_of_the_released_networks(name, channels, parameters):
    with torch.device("meta"):
        network = CifarNetwork(zoo.load(name), channels=channels, layers=20, num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "millions"),  # printed in the papers' tables
    [("p_darts", 3.4), ("pc_darts_cifar", 3.6), ("gdas", 3.4), ("snas_moderate", 2.8)],
)
def test_parameters_are_those_printed_in_the_papers(name, millions):
    with torch.device("meta"):
        network = CifarNetwork(zoo.load(name), channels=36, layers=20, num_classes=10)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 1) == millions


def test_snas_aggressive_keeps_two_edges_of_its_reduction_cell():  # arXiv:1812.09926, figure 3
    assert zoo.load("snas_aggressive").edges("reduce") == [
        (2, 0, "sep_conv_5x5"),
        (3, 0, "sep_conv_5x5"),
    ]


def test_recurrent_cells_are_those_of_the_darts_paper():
    first = [name for _, _, name in zoo.load("darts_rnn_v1").edges("recurrent")]
    assert first == ["relu", "relu", "tanh", "relu", "relu", "identity", "relu", "relu"]
    sources = [source for _, source, _ in zoo.load("darts_rnn_v2").edges("recurrent")]
    assert sources == [0, 1, 1, 1, 2, 5, 3, 5]


def test_find_takes_files_and_names(tmp_path, monkeypatch):
    zoo.load("gdas").save(tmp_path / "mine.json")
    zoo.load("gdas").save(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert zoo.find("darts_v2") == zoo.load("darts_v2")
    assert zoo.find("mine") == zoo.find("mine.json") == zoo.find(tmp_path / "mine.json")
    assert zoo.find("mine") == zoo.load("gdas")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("darts_v3", "did you mean darts_v2"),
        ("SNAS_mild", "did you mean snas_mild"),
        ("zzz", "genotype 'zzz'; give a file or one of amoebanet_a"),
        ("absent.json", "absent.json: No such file"),
        ("../schema", "No such file"),
        ("", "genotype ''; give"),
        ("x" * 5000, r"xxx\.\.\.'; give a file"),
    ],
)
def test_find_refuses_what_is_neither(what, message):
    with pytest.raises(InputError, match=message):
        zoo.find(what)
