"""Training a language model from scratch against a plain loop, and on two ranks."""

import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional

from lnas.callbacks import AveragedWeights
from lnas.data import FakeText
from lnas.evaluation import EvaluationModule
from lnas.loggers import MetricsCsv, read_rows
from lnas.networks import RecurrentNetwork
from lnas.schedules import Constant
from lnas.supernet import Dropouts
from lnas.tasks import LanguageModeling

SILENT = (".*LeafSpec", ".*does not have many workers", ".*number of training batches")
NOTHING = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)


def data():
    return FakeText(
        words=8, train=240, other=60, batch_size=4, bptt=10, evaluation=True, measured_size=4,
        test_size=2,
    )  # fmt: skip


def module(**options):
    made = {
        "genotype": "darts_rnn_v2",
        "network": partial(RecurrentNetwork, units=4, dropouts=NOTHING),
        "examples": data().examples,
        "task": partial(LanguageModeling, activation=0.1, temporal=0.2),
        "optimizer": partial(torch.optim.SGD, lr=2.0, weight_decay=1e-3),
        "learning_rate": Constant(2.0),
        "drop_path": 0.0,
        "gradient_clip": 0.25,
    }
    return EvaluationModule(**made | options)


def trainer(folder, callbacks=(), **options):
    for message in SILENT:
        warnings.filterwarnings("ignore", message)
    return Trainer(
        accelerator="cpu", max_epochs=3, logger=MetricsCsv(), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
        default_root_dir=str(folder), use_distributed_sampler=False, precision="64-true",
        callbacks=list(callbacks), **options,
    )  # fmt: skip


def perplexity(network, loader):
    """Return the perplexity of all words of a loader, its state carried along."""
    total, words, state = 0.0, 0, None
    with torch.no_grad():
        for batch in loader:
            output = network.eval()(batch.inputs, state)
            state = output.state
            flat = output.logits.flatten(0, 1), batch.targets.flatten()
            total += functional.cross_entropy(*flat, reduction="sum").item()
            words += batch.targets.numel()
    return torch.tensor(total / words).exp().item()


def test_a_training_is_the_plain_loop(tmp_path):
    own, made, plain = module(), trainer(tmp_path), module().network.double()
    made.fit(own, datamodule=data())
    made.test(own, datamodule=data(), verbose=False)
    rows = read_rows(tmp_path / "metrics.csv")

    plain.path = "reference"
    optimizer = torch.optim.SGD(plain.parameters(), lr=2.0, weight_decay=1e-3)
    loader, lengths = data().train_dataloader(), set()
    for epoch in range(3):
        state, plain = None, plain.train()
        plain.set_draw(0)
        for batch in loader:
            output = plain(batch.inputs, state)
            hidden, state = output.activations[0], output.state
            loss = functional.cross_entropy(output.logits.flatten(0, 1), batch.targets.flatten())
            loss = loss + 0.1 * hidden.square().mean()
            loss = loss + 0.2 * (hidden[1:] - hidden[:-1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.25)
            optimizer.param_groups[0]["lr"] = 2.0 * len(batch.inputs) / 10
            optimizer.step()
            lengths.add(len(batch.inputs))
        found = rows[epoch]["eval/val_perplexity"]
        assert found == pytest.approx(perplexity(plain, data().held_out_loader()), rel=1e-6)
    for found, weight in zip(own.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, weight, rtol=1e-9, atol=1e-10)
    found = rows[-1]["eval/test_perplexity"]
    assert found == pytest.approx(perplexity(plain, data().test_dataloader()), rel=1e-6)
    assert rows[-1]["eval/parameters"] == sum(p.numel() for p in plain.parameters())
    assert len(lengths) > 3


def train(folder, devices):
    own = module()
    options = {"devices": devices} | ({"strategy": "ddp"} if devices > 1 else {})
    made = trainer(folder, [AveragedWeights(patience=0)], **options)
    made.fit(own, datamodule=data())
    made.test(own, datamodule=data(), verbose=False)
    return {name: value.clone() for name, value in own.network.state_dict().items()}


def test_two_ranks_train_as_one_process_does(run_two_ranks, tmp_path):
    alone = train(str(tmp_path / "one"), 1)
    ranks = run_two_ranks(train, str(tmp_path / "two"), 2)
    for name, value in alone.items():
        torch.testing.assert_close(ranks[0][name], value, rtol=1e-9, atol=1e-10)
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    one, two = (read_rows(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    for row, expected in zip(two, one, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
