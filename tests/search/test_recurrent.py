"""Searches of recurrent cells against a plain loop, resumed, and on two ranks."""

import itertools
from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lnas.callbacks import ChildValidation, DeriveGenotype, PruneClosed, derive_genotype
from lnas.operations import statistics
from lnas.relaxations import ClippedReLU
from lnas.search import FirstOrder, Joint, SearchCallback, SearchModule, SecondOrder
from lnas.spaces import RecurrentSpace

STRATEGIES = {
    "first": FirstOrder,
    "weights first": lambda: FirstOrder("weights_first"),
    "finite difference": lambda: SecondOrder(clipped=True),
    "exact": lambda: SecondOrder("exact", clipped=True),
    "joint": Joint,
}


def beside(name):
    """Import a file of this folder."""
    spec = util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recurrent = beside("recurrent")


class EverySecond(SearchCallback):
    def should_step_architecture(self, module, step):
        return module.steps % 2 == 0


def test_a_search_is_the_plain_loop(tiny, tmp_path):
    module, data = recurrent.module(), recurrent.data()
    trainer = tiny.trainer(tmp_path, [EverySecond()], precision="64-true")
    plain = recurrent.module().double()
    trainer.fit(module, datamodule=data)

    net, logits = plain.supernet, plain.architecture.logits["recurrent"]
    net.path = "reference"
    weights = torch.optim.SGD(net.parameters(), lr=2.0, weight_decay=1e-3)
    adam = torch.optim.Adam([logits], lr=0.05, weight_decay=1e-3)
    states, step, windows = {}, 0, data.train_dataloader()
    architecture = itertools.cycle(data.architecture_loader())

    def entropy(batch, stream):
        output = net(batch.inputs, {"recurrent": logits.softmax(-1)}, states.get(stream))
        states[stream] = output.state
        loss = functional.cross_entropy(output.logits.flatten(0, 1), batch.targets.flatten())
        return loss, output.activations[0]

    for _ in range(2):
        states.pop("weights", None)
        for batch in windows:
            if step % 2 == 0:
                other = next(architecture)
                if other.starts:
                    states.pop("architecture", None)
                (logits.grad,) = torch.autograd.grad(entropy(other, "architecture")[0], logits)
                adam.step()
            loss, hidden = entropy(batch, "weights")
            loss = loss + 0.1 * hidden.square().mean()  # nothing is dropped
            loss = loss + 0.2 * (hidden[1:] - hidden[:-1]).square().mean()
            weights.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.25)
            weights.param_groups[0]["lr"] = 2.0 * len(batch.inputs) / 10
            weights.step()
            step += 1
    assert step == module.steps
    expected = {"supernet." + name: value for name, value in net.state_dict().items()}
    expected["architecture.logits.recurrent"] = logits
    found = module.state_dict()
    for name, value in expected.items():
        if "running" not in name:  # the plain loop moves them in architecture steps too
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-10, msg=name)
    moved = found["architecture.logits.recurrent"].abs().max()
    assert moved > 0.1


def test_rows_have_perplexities_of_all_streams(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, log_every_n_steps=1)
    trainer.fit(recurrent.module(), datamodule=recurrent.data())
    rows = trainer.logger.rows
    for stream in ("weights", "architecture"):
        epochs = [row for row in rows if "arch/recurrent/entropy" in row]
        values = [row[f"search/perplexity_{stream}"] for row in epochs]
        assert len(set(values)) == 2
        assert all(1 < value < 40 for value in values)
    held_out = [row for row in rows if "search/held_out_perplexity" in row]
    for row in held_out:
        exact = torch.tensor(row["search/held_out_loss"], dtype=torch.float64).exp().item()
        assert row["search/held_out_perplexity"] == pytest.approx(exact, rel=1e-5)


def fit(tiny, folder, method, dropouts, path=None, resume=None, **options):
    save = tiny.Save(path, 8)
    module = recurrent.module(dropouts=dropouts, strategy=STRATEGIES[method]())
    trainer = tiny.trainer(folder, [save, EverySecond()], **options)
    trainer.fit(module, datamodule=recurrent.data(), ckpt_path=resume, weights_only=True)
    everything = {name: value.clone() for name, value in module.state_dict().items()}
    everything |= {f"state of {name}": value for name, value in module.states.items()}
    return everything, trainer.logger.rows[save.rows if path else 0 :]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_search_goes_on_with_masks_states_and_windows(tiny, tmp_path, strategy):
    path = tmp_path / "a.ckpt"
    whole, rows = fit(tiny, tmp_path, strategy, recurrent.ALL, path)
    resumed, again = fit(tiny, tmp_path, strategy, recurrent.ALL, resume=path)
    assert "state of weights" in whole
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert rows == again


class FixedStatistics(SearchModule):
    """Normalises with the running averages, which do not move: batches can be split."""

    def run(self, batch, role, sample, statistics_mode="batch", weights=None, state=None):
        return super().run(batch, role, sample, "running", weights, state)


def search(strategy, folder, devices):
    tiny = beside("conftest").TinySearch()
    module = recurrent.module(FixedStatistics, strategy=STRATEGIES[strategy]())
    options = {"precision": "64-true", "devices": devices}
    if devices > 1:
        options["strategy"] = "ddp"
    trainer = tiny.trainer(folder, [EverySecond()], **options)
    trainer.fit(module, datamodule=recurrent.data())
    return {n: v.clone() for n, v in module.state_dict().items()}, trainer.logger.rows


def search_all(folder, devices):
    return {name: search(name, folder, devices) for name in STRATEGIES}


def test_two_ranks_search_as_one_process_does(run_two_ranks, tmp_path):
    alone = search_all(tmp_path / "one", 1)
    ranks = run_two_ranks(search_all, tmp_path / "two", 2)
    for strategy, (state, rows) in alone.items():
        first, second = (rank[strategy] for rank in ranks)
        for name, value in state.items():
            torch.testing.assert_close(first[0][name], value, rtol=1e-9, atol=1e-10)
            assert torch.equal(first[0][name], second[0][name]), (strategy, name)
        for row, expected in zip(first[1], rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5), strategy


def stop_and_resume(folder):
    tiny, path = beside("conftest").TinySearch(), folder / "a.ckpt"
    options = {"devices": 2, "strategy": "ddp"}
    found = fit(tiny, folder, "first", recurrent.ALL, path, **options)
    return found, fit(tiny, folder, "first", recurrent.ALL, resume=path, **options)


def test_two_ranks_resume_bit_identical_each_with_its_own_state(run_two_ranks, tmp_path):
    ranks = run_two_ranks(stop_and_resume, tmp_path)
    for (state, rows), (resumed, again) in ranks:
        different = [name for name in state if not torch.equal(state[name], resumed[name])]
        assert [name for name in different if "running" not in name] == []
        assert rows == again
    own = [rank[0][0]["state of weights"] for rank in ranks]
    assert not torch.equal(*own)


def pruned(tiny, folder, path):
    module = recurrent.module(
        space=RecurrentSpace(("tanh", "relu", "sigmoid", "identity"), nodes=3),
        relaxation=ClippedReLU(),
        architecture_optimizer=partial(torch.optim.Adam, lr=0.1),
    )
    module.supernet.path = path
    trainer = tiny.trainer(folder, [PruneClosed(), DeriveGenotype()], precision="64-true")
    trainer.fit(module, datamodule=recurrent.data())
    return module, [row.get("search/open_operations") for row in trainer.logger.rows]


def test_clipped_gates_prune_a_recurrent_cell_on_both_paths(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(derive_genotype, "draw_genotype", lambda *things: None)
    (fused, counts), (plain, same) = (pruned(tiny, tmp_path / p, p) for p in ("fused", "reference"))
    counts = [count for count in counts if count is not None]
    assert counts == [count for count in same if count is not None]
    assert 0 < counts[-1] < 24
    expected = plain.state_dict()
    for name, value in fused.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-8, atol=1e-9, msg=name)


def test_the_child_of_a_recurrent_search_is_measured_as_a_plain_loop_measures_it(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(derive_genotype, "draw_genotype", lambda *things: None)
    module, data, derived = recurrent.module(), recurrent.data(), DeriveGenotype()
    trainer = tiny.trainer(tmp_path, [derived, ChildValidation()], precision="64-true")
    trainer.fit(module, datamodule=data)
    found = trainer.logger.rows[-1]
    module.double().eval()
    net = module.supernet
    net.path = "reference"
    one_hot = {name: t.double() for name, t in module.space.one_hot(derived.genotype).items()}
    for name, gates in {"supernet": module.architecture.probabilities(), "child": one_hot}.items():
        total, words, state = 0.0, 0, None
        with torch.no_grad(), statistics(net, "running"):
            for batch in data.held_out_loader():
                output = net(batch.inputs, gates, state)
                state, flat = output.state, output.logits.flatten(0, 1)
                total += functional.cross_entropy(flat, batch.targets.flatten(), reduction="sum")
                words += batch.targets.numel()
        perplexity = (total / words).exp().item()
        assert found[f"search/final_{name}_perplexity"] == pytest.approx(perplexity, rel=1e-6)
    assert found["search/final_recalibrated_perplexity"] != found["search/final_child_perplexity"]
