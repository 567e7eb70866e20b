"""The adaptive schedule against the released one and its closed forms."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from lnas.callbacks import FisherSchedule
from lnas.errors import InputError
from lnas.search import SearchCallback, SearchStep


def run(part, traces, veto=()):
    """Feed Fisher traces; return flags and thresholds before and after each batch."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    module = SimpleNamespace(weight_parameters=lambda: [weight, torch.nn.Parameter(weight.data)])
    flags, before, after = [], [], []
    for index, trace in enumerate(traces):
        step = SearchStep(0, index, 0.0)
        wanted = part.should_step_architecture(module, step)
        step.architecture_stepped = wanted and index not in veto
        before.append(part.threshold)
        weight.grad = torch.tensor([float(trace) ** 0.5], dtype=torch.float64)
        part.on_weight_gradients(module, step)
        flags.append(step.architecture_stepped)
        after.append(part.threshold)
    return flags, before, after


@pytest.mark.parametrize("rule", ["code", "paper"])
def test_steps_thresholds_and_averages_equal_the_released_ones(golden, rule):
    stored = golden("prime_trace").data
    part = FisherSchedule(
        ratio=float(stored["ratio"]),
        rule=rule,
        momentum=float(stored["zeta"]),
        increase=float(stored["increase"]),
        threshold=float(stored["threshold_initial"]),
    )
    flags, before, after = run(part, stored["fisher_trace"].tolist())
    assert flags == stored[f"{rule}/architecture_step"].tolist()
    assert sum(flags) > 5
    for name, values in [("threshold_before", before), ("threshold_after", after)]:
        got = torch.tensor(values, dtype=torch.float64)
        torch.testing.assert_close(got, stored[f"{rule}/{name}"], rtol=1e-9, atol=1e-10)
    assert part.average == pytest.approx(float(stored["moving_average"][-1]), rel=1e-9)


@pytest.mark.parametrize(("rule", "period"), [("paper", 10), ("code", 11)])
def test_a_constant_trace_gives_the_expected_ratio_exactly(rule, period):
    flags, *_ = run(FisherSchedule(rule=rule), [1.0] * 2000)
    steps = [index for index, flag in enumerate(flags) if flag]
    gaps = {b - a for a, b in pairwise(steps[100:])}
    assert gaps == {period}


@pytest.mark.parametrize(("rule", "factor"), [("code", 0.6139132535), ("paper", 0.6446089162)])
def test_the_threshold_falls_by_the_published_factor(rule, factor):
    assert FisherSchedule(rule=rule).decrease == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(("growth", "period"), [(-0.01, 9.129), (0.01, 13.836), (0.03, 28.56)])
def test_steps_become_rarer_when_the_trace_grows(growth, period):
    part, steps = FisherSchedule(rule="code", momentum=1.0), []
    for index in range(12_000):
        step = SearchStep(0, index, 0.0)
        step.architecture_stepped = part.should_step_architecture(None, step)
        if step.architecture_stepped:
            steps.append(index)
        part.threshold *= part.decrease if step.architecture_stepped else part.increase
        part.update(math.exp(growth * index))
    late = steps[len(steps) // 4 :]
    mean = (late[-1] - late[0]) / (len(late) - 1)
    assert mean == pytest.approx(11 / (1 - growth / math.log(1.05)), rel=2e-3)
    assert mean == pytest.approx(period, rel=2e-3)


def test_a_constant_trace_is_its_own_average():
    part = FisherSchedule()
    for _ in range(5):
        part.update(7.25)
        assert part.average == pytest.approx(7.25, rel=1e-15)


def test_the_trace_is_the_squared_norm_before_clipping(small_trainer, small_module, small_data):
    def traces(clip):
        seen = []

        class Norm(SearchCallback):
            def on_weight_gradients(self, module, step):
                found = [p.grad for p in module.weight_parameters() if p.grad is not None]
                flat = torch.cat([grad.flatten() for grad in found]).double()
                seen.append((schedule.trace, float(flat @ flat)))

        schedule, module = FisherSchedule(), small_module()
        module.gradient_clip = clip
        small_trainer(schedule, Norm()).fit(module, datamodule=small_data)
        return seen

    clipped, free = traces(1e-3), traces(0.0)
    assert clipped[0] == free[0]  # the first batch has no step behind it
    for trace, norm in [*clipped, *free]:
        assert trace == pytest.approx(norm, rel=1e-6)
        assert trace > 1


@pytest.mark.parametrize(("trace", "first"), [(25.0, 66), (1.0, 1), (0.01, 1)])
def test_the_first_step_waits_until_the_threshold_has_grown(trace, first):
    flags, *_ = run(FisherSchedule(), [trace] * 100)
    assert flags.index(True) == first


def test_a_withheld_step_leaves_the_threshold_where_it_is():
    vetoed, plain = FisherSchedule(), FisherSchedule()
    run(vetoed, [1.0, 1.0], veto={1})
    assert vetoed.threshold == pytest.approx(1.05)
    run(plain, [1.0, 1.0])
    assert plain.threshold == pytest.approx(1.05 * 1.05**-9)


def test_a_warm_up_is_not_made_up_for_in_one_go():
    flags, *_ = run(FisherSchedule(ratio=10), [2.0] * 500, veto=range(300))
    steps = [index for index, flag in enumerate(flags) if flag]
    assert steps[0] == 300
    assert {b - a for a, b in pairwise(steps)} == {10}


def test_the_next_decision_resumes_with_its_state():
    straight, first, second = FisherSchedule(), FisherSchedule(), FisherSchedule()
    traces = torch.rand(300, generator=torch.Generator().manual_seed(0)).tolist()
    flags, *_ = run(straight, traces)
    head, *_ = run(first, traces[:150])
    second.load_state_dict(first.state_dict())
    tail, *_ = run(second, traces[150:])
    assert head + tail == flags
    assert second.signals() == straight.signals()
    assert set(second.signals()) == {
        "fisher_trace",
        "fisher_average",
        "fisher_threshold",
        "fisher_votes",
    }


@pytest.mark.parametrize(
    "options", [{"ratio": 1}, {"increase": 1.0}, {"threshold": 0}, {"momentum": 0}, {"rule": "x"}]
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=r"needs|choose"):
        FisherSchedule(**options)
