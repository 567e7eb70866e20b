"""Paths are dropped per image and skips per element: how often, of what, and when not."""

from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations import statistics
from lnas.operations.dropout import SkipDropout, keep_factors
from lnas.relaxations import GateSample
from lnas.seeds import generator
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

PATHS = ["fused", "reference"]


def skip_cell(path, **options):
    """Return a cell that only adds up skips of stride 1, its gates and what it reads."""
    net = ConvolutionalSupernet(DartsSpace(nodes=1), channels=4, layers=3, **options)
    net.path = path
    net.set_draw(1, "weights", 0, 7)
    column = net.space.operations.index("skip_connect")
    gates, active = torch.zeros(2, 8), torch.zeros(2, 8, dtype=torch.bool)
    gates[0, column] = 3.0
    active[0, column] = True
    images = torch.randn(64, 3, 8, 8)
    sample = GateSample({"normal": gates}, {"normal": active})
    stem = net.stem(net._prepare(images))
    cell_gates = net._cell_gates(sample, "normal", 0, images)
    return net.cells[0](stem, stem, cell_gates, path), 3.0 * net.cells[0].preprocess0(stem)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("unit", ["operation", "edge"])
def test_an_operation_is_dropped_for_an_image_or_scaled_up(path, unit):
    output, plain = skip_cell(path, drop_path=0.4, drop_path_unit=unit)
    kept = output.abs().sum((1, 2, 3)) > 0
    assert 0.4 < kept.double().mean() < 0.8
    torch.testing.assert_close(output[kept], plain[kept] / 0.6)
    assert not output[~kept].any()


@pytest.mark.parametrize("path", PATHS)
def test_an_element_behind_a_skip_is_dropped_or_scaled_up(path):
    output, plain = skip_cell(path, skip_dropout=0.3)
    kept = output != 0
    assert kept.double().mean().item() == pytest.approx(0.7, abs=0.02)
    torch.testing.assert_close(output[kept], plain[kept] / 0.7)


def test_factors_keep_the_mean():
    rate = torch.tensor(0.25, dtype=torch.float64)
    factors = keep_factors((200, 200), generator(0), rate, torch.float64)
    assert set(factors.unique().tolist()) == {0.0, 1 / 0.75}
    assert factors.mean().item() == pytest.approx(1.0, abs=0.02)
    assert not keep_factors((20,), generator(0), torch.tensor(1.0), torch.float32).any()


def test_operations_of_an_edge_fall_by_themselves_or_together():
    net = NasBench201Supernet(NasBench201Space(), 4, cells=1, drop_path=0.5)
    net.set_draw(0)
    images = torch.zeros(40, 3, 8, 8)
    sample = GateSample({"cell": torch.rand(3, 6, 5)})
    one, other = (net._cell_gates(sample, "cell", index, images).factors for index in (0, 1))
    assert one.shape == (6, 5, 40)
    assert not torch.equal(one, other)
    assert not torch.equal(one, one[:, :1].expand(-1, 5, -1))
    net.drop_path_unit = "edge"
    together = net._cell_gates(sample, "cell", 0, images).factors
    assert torch.equal(together, together[:, :1].expand(-1, 5, -1))
    assert len(together[:, 0].unique(dim=0)) == 6


OPTIONS = {"drop_path": {"drop_path": 0.5}, "skip_dropout": {"skip_dropout": 0.5}}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_dropped_is_a_pure_function_of_the_draw_and_only_of_training(option, path):
    net = ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3, **OPTIONS[option])
    net.path = path
    images, gates = torch.randn(4, 3, 8, 8), {n: torch.rand(5, 8) for n in ("normal", "reduce")}

    def run(*draw, **options):
        net.set_draw(*draw, **options)
        with statistics(net, "batch"):
            return net(images, gates).logits

    dropped = run(0, 1)
    assert torch.equal(run(0, 1), dropped)
    assert not torch.equal(run(0, 2), dropped)
    measured = run(0, 1, dropout=False)
    assert torch.equal(run(0, 2, dropout=False), measured)
    assert not torch.equal(measured, dropped)
    net.eval()
    assert torch.equal(run(0, 1), measured)
    net.train()
    for name in net.annealable:
        getattr(net, name).fill_(0.0)
    torch.testing.assert_close(run(0, 1), measured)


@pytest.mark.parametrize("option", OPTIONS)
def test_dropping_without_a_draw_is_refused(option):
    net = NasBench201Supernet(NasBench201Space(), 4, cells=1, **OPTIONS[option])
    gates = {"cell": torch.rand(6, 5)}
    with pytest.raises(InputError, match=r"set_draw\(seed"):
        net(torch.randn(2, 3, 8, 8), gates)
    net.eval()
    net(torch.randn(2, 3, 8, 8), gates)


@pytest.mark.parametrize(
    "options",
    [{"drop_path": 1.0}, {"drop_path": -0.1}, {"skip_dropout": 1.5}, {"drop_path_unit": "node"}],
)
def test_rates_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="choose one"):
        NasBench201Supernet(NasBench201Space(), **options)


def test_only_skips_of_stride_1_drop_elements_and_only_used_options_have_keys():
    plain = ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3)
    net = ConvolutionalSupernet(DartsSpace(nodes=2), 4, 3, skip_dropout=0.0, drop_path=0.0)
    assert set(net.state_dict()) - set(plain.state_dict()) == {"drop_path", "skip_dropout"}
    found = {name for name, module in net.named_modules() if isinstance(module, SkipDropout)}
    edges = [edge.name for edge in net.space.edges]
    assert found == {
        f"cells.{cell}.edges.{edge}.skip_connect"
        for cell, kind in enumerate(net.cell_types_of_cells)
        for edge in edges
        if kind == "normal" or edge == "3_2"
    }


def test_a_search_drops_in_both_passes_and_measures_without(tmp_path):
    path = Path(__file__).parents[1] / "search" / "conftest.py"
    spec = util.spec_from_file_location("tiny", path)
    conftest = util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    tiny = conftest.TinySearch()
    options = {"channels": 4, "cells": 1, "drop_path": 0.5, "skip_dropout": 0.3}
    module = tiny.module(supernet=partial(NasBench201Supernet, **options))
    drops, seen = module.supernet._cell_gates, []

    def note(*arguments):
        gates = drops(*arguments)
        seen.append((module.supernet._draw[1], gates.factors is not None))
        return gates

    module.supernet._cell_gates = note
    trainer = tiny.trainer(tmp_path)
    trainer.fit(module, datamodule=tiny.data())
    assert set(seen) == {("weights", True), ("architecture", True), ("held_out", False)}
    images, labels = next(iter(module.trainer.datamodule.held_out_loader()))
    again = [
        module.run((images, labels), "held_out", module.architecture.noise_free())[0]
        for _ in range(2)
    ]
    with statistics(module.supernet, "batch"):
        module.supernet.set_draw(0, "held_out", dropout=False)
        logits = module.supernet(images, module.architecture.noise_free()).logits
    torch.testing.assert_close(again[0], functional.cross_entropy(logits, labels))
    assert torch.equal(*again)
