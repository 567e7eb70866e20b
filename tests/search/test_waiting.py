"""A search step waits for its device where a method must know what it has drawn, and nowhere else.

The searches run on torch's `meta` device, whose tensors have no numbers: whoever reads one fails.
"""

from contextlib import ExitStack
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lnas import waiting
from lnas.callbacks import (
    ADMM,
    Anneal,
    GroupPenalty,
    PathDepth,
    Proximity,
    ResourceCost,
    ZeroOneLoss,
)
from lnas.relaxations import ClippedReLU, Concrete, HardConcrete, OneHot, Proximal, Sigmoid
from lnas.schedules import Linear
from lnas.search import FirstOrder, Joint, SecondOrder
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

META = torch.device("meta")


class OnMeta(SingleDeviceStrategy):
    """Searches on the meta device; Lightning's own preparations stay on the CPU."""

    def model_to_device(self):
        self.model.to(META)

    def batch_to_device(self, batch, device=None, dataloader_idx=0):
        return super().batch_to_device(batch, META, dataloader_idx)

    def teardown(self):
        """Leave the module where it is: its numbers could not come back."""


class Enough(Exception):
    pass


class Transfers(TorchDispatchMode):
    """Refuses what makes a host wait although it reads nothing: blocking or hidden transfers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        here = [x for x in tensors if x.device.type == "cpu" and x.dim()]
        target = kwargs.get("device")
        leaves = target is not None and torch.device(target).type == "meta"
        if here and (leaves or any(x.device.type == "meta" for x in tensors)):
            name = func.overloadpacket.__name__
            flags = {"_to_copy": kwargs.get("non_blocking"), "copy_": args[2:] == (True,)}
            assert flags.get(name), f"{name} waits for the device"
        return func(*args, **kwargs)


class Lists(TorchFunctionMode):
    """Refuses lists that would have to become tensors of the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and args[0].is_meta:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(part, list) for part in index), "a list waits for the device"
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            assert not result.is_meta, "a number waits for the device"
        return result


class Steps(Callback):
    """Watches two steps and ends the fit in the middle of an epoch: nothing else is the subject."""

    def __init__(self):
        self.watched = ExitStack()

    def on_train_batch_start(self, *_):
        self.watched.enter_context(Transfers())
        self.watched.enter_context(Lists())

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.watched.close()
        if batch_idx == 1:
            raise Enough

    def on_exception(self, *_):
        self.watched.close()


@pytest.fixture
def reads(monkeypatch):
    """Stand in for the numbers of the device, and count how often they are asked for."""
    found = []

    def on_host(tables):
        if all(table.device.type == "cpu" for table in tables.values()):
            return dict(tables)
        found.append("tables")
        made = {}
        for name, table in tables.items():
            made[name] = torch.zeros(table.shape, dtype=table.dtype)
            made[name][..., 3] = True
        return made

    for place in ("one_hot", "hard_concrete", "proximal"):
        monkeypatch.setattr(f"lnas.relaxations.{place}.on_host", on_host)
    monkeypatch.setattr("lnas.spaces.base.on_host", on_host)
    monkeypatch.setattr(waiting.Verdict, "read", lambda self: True)
    return found


def test_waiting_would_be_noticed():
    device, host = torch.ones(3, device=META), torch.arange(3)
    with Transfers(), Lists():
        device + host.to(META, non_blocking=True) + 1.0 + torch.tensor(1.0)
        for waits in (
            lambda: host.to(META),
            lambda: device.copy_(host),
            lambda: device[host],
            lambda: device[[0, 1]],
            lambda: device.new_tensor(1.0),
            lambda: torch.tensor(1.0, device=META),
        ):
            with pytest.raises(AssertionError, match="waits for the device"):
                waits()
        for reads in (device.tolist, device.cpu, device.any().item, lambda: device[device > 0]):
            with pytest.raises((RuntimeError, NotImplementedError)):
                reads()


def search(tiny, folder, callbacks=(), **options):
    flags = {"strategy": OnMeta("cpu"), "log_every_n_steps": 0}
    module = tiny.module(**options)
    trainer = tiny.trainer(folder, [*callbacks, Steps()], **flags)
    with pytest.raises(Enough):
        trainer.fit(module, datamodule=tiny.data())
    assert {p.device for p in module.parameters()} == {META}
    assert module.steps == 2


DARTS = {
    "space": DartsSpace(nodes=2),
    "supernet": partial(ConvolutionalSupernet, channels=4, layers=3),
}
NO_NONE = {
    "space": NasBench201Space(["skip_connect", "nor_conv_1x1", "nor_conv_3x3"]),
    "supernet": partial(NasBench201Supernet, channels=4, cells=1, node_norm=True),
}
WEIGHTS_FIRST = FirstOrder("weights_first")
ANNEAL = Anneal("temperature", Linear(1.0, 0.1))


@pytest.mark.parametrize(
    ("options", "callbacks"),
    [
        (DARTS, []),
        (DARTS | {"strategy": SecondOrder(clipped=True)}, []),
        (DARTS | {"edge_normalization": True}, []),
        ({"relaxation": Concrete(), "strategy": Joint()}, [ANNEAL, ResourceCost(weight=1e-2)]),
        (
            {"relaxation": HardConcrete(), "strategy": WEIGHTS_FIRST},
            [ANNEAL, GroupPenalty(), PathDepth()],
        ),
        (NO_NONE | {"relaxation": ClippedReLU()}, [ADMM()]),
        ({"relaxation": Sigmoid()}, [ZeroOneLoss()]),
    ],
    ids=["darts", "second order", "edges", "snas", "pr-darts", "crb", "fair"],
)
def test_a_step_waits_for_nothing(tiny, tmp_path, reads, options, callbacks):
    search(tiny, tmp_path, callbacks, **options)
    assert not reads


@pytest.mark.parametrize(
    ("options", "callbacks", "passes"),
    [
        ({"relaxation": OneHot(), "strategy": WEIGHTS_FIRST}, [ANNEAL], 2),
        ({"relaxation": OneHot(estimator="dsnas"), "strategy": Joint()}, [], 1),
        (
            DARTS | {"relaxation": HardConcrete(sampler="top2"), "strategy": WEIGHTS_FIRST},
            [ANNEAL, GroupPenalty(sampled=True), PathDepth(sampled=True)],
            2,
        ),
        ({"relaxation": Proximal()}, [], 2),
        ({}, [Proximity()], 1),  # its projection is the space's rule, which the host applies
    ],
    ids=["gdas", "dsnas", "pr-darts", "nasp", "proximity"],
)
def test_a_step_that_draws_what_runs_waits_once_a_pass(
    tiny, tmp_path, reads, options, callbacks, passes
):
    search(tiny, tmp_path, callbacks, **options)
    assert len(reads) == 2 * passes
