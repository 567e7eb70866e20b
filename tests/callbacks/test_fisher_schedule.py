"""The adaptive schedule against the released one and its closed forms."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from lnas.callbacks import FisherSchedule
from lnas.errors import InputError
from lnas.search import SearchStep


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


@pytest.mark.parametrize(("trace", "first"), [(25.0, 66), (1.0, 1), (0.01, 1)])
def test_the_first_step_waits_until_the_threshold_has_grown(trace, first):
    flags, *_ = run(FisherSchedule(), [trace] * 100)
    assert flags.index(True) == first


def test_a_vetoed_step_leaves_the_threshold_as_if_not_taken():
    vetoed, plain = FisherSchedule(), FisherSchedule()
    run(vetoed, [1.0, 1.0], veto={1})
    assert vetoed.threshold == pytest.approx(1.05**2)
    run(plain, [1.0, 1.0])
    assert plain.threshold == pytest.approx(1.05 * 1.05**-9)


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
