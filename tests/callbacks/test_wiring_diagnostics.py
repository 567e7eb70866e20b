"""What is watched is what the passes cost; nobody feels it; it resumes."""

import json
from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from lnas.callbacks import WiringDiagnostics
from lnas.errors import InputError
from lnas.relaxations import GateSample, HardConcrete, OneHot, Softmax
from lnas.search import FirstOrder, Joint, SearchCallback, SecondOrder
from lnas.spaces import NasBench201Space, active_edges, wiring_of

_path = Path(__file__).parents[1] / "search" / "conftest.py"
_spec = util.spec_from_file_location("tiny", _path)
_module = util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
tiny = _module.TinySearch()


def lines(folder):
    return [json.loads(line) for line in (folder / "wiring.jsonl").read_text().splitlines()]


class Oracle(SearchCallback):
    """Finds the costs of each pass by a pass of its own, with gates that all cells share."""

    def __init__(self):
        self.found = {"weights": [], "architecture": []}

    def on_weight_gradients(self, module, step):
        self.look(module, step)

    def on_architecture_step(self, module, step):
        if step.role == "architecture":
            self.look(module, step)

    def look(self, module, step):
        gates = step.sample.gates["cell"].detach().clone().requires_grad_()
        sample = GateSample({"cell": gates}, step.sample.active)
        with module.supernet.using("reference"):
            loss, output, _ = module.run(step.batch, step.role, sample)
        (slopes,) = torch.autograd.grad(loss, gates)
        assert torch.allclose(loss, step.loss)
        predicted = torch.distributions.Categorical(logits=output.logits.detach())
        margin = loss.detach() - predicted.entropy().mean()
        self.found[step.stream].append((gates.detach() * slopes, gates.detach() != 0, margin))


@pytest.mark.parametrize("path", ["fused", "reference"])
@pytest.mark.parametrize(
    ("relaxation", "strategy"),
    [
        (Softmax, FirstOrder()),
        (Softmax, Joint()),
        (lambda: OneHot(estimator="dsnas"), Joint()),
        (lambda: OneHot(estimator="proxyless"), FirstOrder("weights_first")),
        (lambda: HardConcrete(sampler="top2"), FirstOrder()),
    ],
)
def test_records_hold_the_costs_of_the_passes_of_both_streams(tmp_path, relaxation, strategy, path):
    oracle, module = Oracle(), tiny.module(relaxation=relaxation(), strategy=strategy)
    module.supernet.path = path
    parts = [WiringDiagnostics(every=1), oracle]
    trainer = tiny.trainer(tmp_path, parts, max_epochs=1, precision="64-true")
    trainer.fit(module, datamodule=tiny.data())
    (line,) = lines(tmp_path)
    joint = isinstance(strategy, Joint)
    assert set(line["streams"]) == ({"weights"} if joint else {"weights", "architecture"})
    (row,) = [row for row in trainer.logger.rows if "arch/cell/width" in row]
    for stream, found in line["streams"].items():
        costs, counted, margins = map(torch.stack, zip(*oracle.found[stream], strict=True))
        passes = counted.sum(0)
        mean = (costs * counted).sum(0) / passes.clamp(min=1)
        stored = {name: torch.tensor(value).double() for name, value in found["cell"].items()}
        torch.testing.assert_close(stored["passes"], passes.double())
        torch.testing.assert_close(stored["mean"], mean)
        assert not stored["mean"][:, 0].any()  # none
        assert stored["mean"].abs().max() > 1e-4
        if not isinstance(module.architecture.relaxation, HardConcrete):
            assert row[f"search/loss_minus_entropy_{stream}"] == pytest.approx(
                float(margins.mean())
            )
        reads = [edge.source == 0 for edge in module.space.edges]
        of_inputs = mean[reads, 1:][passes[reads, 1:] > 0].mean()
        assert row[f"search/input_edge_cost_{stream}"] == pytest.approx(float(of_inputs))


def test_rows_and_records_describe_the_wiring_of_the_gates(tmp_path):
    module = tiny.module(architecture_optimizer=partial(torch.optim.Adam, lr=0.3))
    trainer = tiny.trainer(tmp_path, [WiringDiagnostics()], max_epochs=2)
    trainer.fit(module, datamodule=tiny.data())
    line = lines(tmp_path)[-1]["cells"]["cell"]
    gates = module.architecture.probabilities()["cell"].detach()
    torch.testing.assert_close(torch.tensor(line["gates"]), gates)
    numbers = wiring_of(module.space, active_edges(module.space, gates))
    assert list(line["wiring"].values()) == list(numbers)
    best = [module.space.operations[column] for column in gates.argmax(-1).tolist()]
    assert line["chosen"] == best
    row = [row for row in trainer.logger.rows if "arch/cell/width" in row][-1]
    assert row["arch/cell/active_edges"] == 6 - best.count("none")
    for edge, share in zip(module.space.edges, gates[:, 0].tolist(), strict=True):
        assert row[f"arch/cell/none_{edge.name}"] == pytest.approx(share)


@pytest.mark.parametrize("strategy", [FirstOrder, SecondOrder, Joint])
@pytest.mark.parametrize("relaxation", [Softmax, lambda: OneHot(estimator="dsnas")])
def test_nobody_feels_that_gates_are_watched(tmp_path, strategy, relaxation):
    states, passes = [], []
    for parts in ([], [WiringDiagnostics(every=1)]):
        module, count = tiny.module(strategy=strategy(), relaxation=relaxation()), []
        module.supernet.register_forward_hook(lambda *_, count=count: count.append(1))
        tiny.trainer(tmp_path, parts).fit(module, datamodule=tiny.data())
        states.append(module.state_dict())
        passes.append(len(count))
    assert passes[0] == passes[1]
    assert [
        name for name, value in states[0].items() if not torch.equal(value, states[1][name])
    ] == []
    streams = {"weights"} if strategy is Joint else {"weights", "architecture"}
    assert set(lines(tmp_path)[-1]["streams"]) == streams


def test_gates_are_watched_in_every_nth_batch_only(tmp_path):
    class Count(SearchCallback):
        seen = ()

        def on_weight_gradients(self, module, step):
            self.seen = (*self.seen, bool(step.gate_gradients))

    count = Count()
    tiny.fit(tmp_path, [WiringDiagnostics(every=3), count])
    assert count.seen == (True, False, False, True, False, False, True, False)
    passes = [line["streams"]["weights"]["cell"]["passes"][0][0] for line in lines(tmp_path)]
    assert passes == [2, 1]


def test_a_resumed_search_writes_the_same_records(tmp_path):
    save, found = tiny.Save(tmp_path / "a.ckpt", 6), []
    for start in (None, tmp_path / "a.ckpt"):
        module = tiny.module()
        parts = [WiringDiagnostics(every=1), *([] if start else [save])]
        trainer = tiny.trainer(tmp_path, parts, max_epochs=3)
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=start, weights_only=True)
        found.append((trainer.logger.rows[0 if start else save.rows :], lines(tmp_path)))
    assert found[0] == found[1]
    assert len(found[0][1]) == 3


def test_a_search_without_none_has_costs_and_no_edge_is_dropped(tmp_path):
    space = NasBench201Space(("skip_connect", "nor_conv_1x1"))
    trainer = tiny.trainer(tmp_path, [WiringDiagnostics()], max_epochs=1)
    trainer.fit(tiny.module(space=space), datamodule=tiny.data())
    (row,) = [row for row in trainer.logger.rows if "arch/cell/width" in row]
    assert row["arch/cell/active_edges"] == 6
    assert not any("none_" in name for name in row)
    assert torch.tensor(lines(tmp_path)[0]["streams"]["weights"]["cell"]["mean"]).all()


def test_no_number_of_steps_is_refused():
    with pytest.raises(InputError, match="no number of steps"):
        WiringDiagnostics(every=0)


def test_losses_that_are_scaled_are_refused(tmp_path):
    scaler = torch.amp.GradScaler("cpu")
    plugins = [MixedPrecision("16-mixed", "cpu", scaler)]
    trainer = tiny.trainer(tmp_path, [WiringDiagnostics()], plugins=plugins)
    with pytest.raises(InputError, match="before Trainer"):
        trainer.fit(tiny.module(), datamodule=tiny.data())


def test_words_are_answers_and_a_recurrent_cell_is_wired(tmp_path):
    path = Path(__file__).parents[1] / "search" / "recurrent.py"
    spec = util.spec_from_file_location("recurrent", path)
    recurrent = util.module_from_spec(spec)
    spec.loader.exec_module(recurrent)
    trainer = tiny.trainer(tmp_path, [WiringDiagnostics(every=1)], max_epochs=1)
    trainer.fit(recurrent.module(), datamodule=recurrent.data())
    (line,) = lines(tmp_path)
    found = line["streams"]["architecture"]
    shares = [group["examples"] for group in found["answers"].values()]
    assert sum(shares) == pytest.approx(1.0)
    assert torch.tensor(found["recurrent"]["mean"]).abs().max() > 1e-6
