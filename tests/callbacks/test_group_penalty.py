"""GroupPenalty and PathDepth against the released regulariser and the closed forms."""

from functools import partial

import pytest
import torch

from lnas.callbacks import GroupPenalty, PathDepth
from lnas.callbacks.group_penalty import group_columns, group_mean
from lnas.callbacks.path_depth import path_probability
from lnas.errors import InputError
from lnas.relaxations import Concrete, GateSample, HardConcrete, Softmax
from lnas.schedules import Linear
from lnas.search import SearchModule, SearchStep
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet

TYPES = ("normal", "reduce")
PATH = [row for row, edge in enumerate(DartsSpace().edges) if edge.source == edge.target - 1]


def opened(stored, temperature):
    part = HardConcrete(temperature)
    logits = [stored[f"beta_{name}"].clone().requires_grad_() for name in TYPES]
    return logits, [part.probability_open(values) for values in logits]


def columns(golden):
    operations = tuple(golden("pr_darts").setting["operations"])
    groups = {"skip": ["skip_connect"], "pool": ["avg_pool_3x3", "max_pool_3x3"]}
    return operations, group_columns(operations, groups, ["skip", "pool", "nonskip"])


POOLS = ["avg_pool_3x3", "max_pool_3x3"]


def search_at(relaxation, logits=0.0):
    """Return a search with all logits at one number."""
    supernet = partial(ConvolutionalSupernet, channels=2, layers=3)
    module = SearchModule(DartsSpace(), supernet, relaxation).double()
    for values in module.architecture.logits.values():
        values.data.fill_(logits)
    return module


def released():
    """Return both penalties in the released form."""
    weights = {"skip": 0.01, "pool": 0.005, "nonskip": 0.005}
    groups = {"skip": ["skip_connect"], "pool": POOLS}
    return GroupPenalty(weights, groups, hinge=0.2, sampled=True), PathDepth(0.005, sampled=True)


def penalty(module, parts, progress=0.0, active=None):
    """Return the sum of the parts' terms; by default the sample runs everything."""
    everything = {name: torch.ones(14, 8, dtype=torch.bool) for name in TYPES}
    sample = GateSample({}, everything if active is None else active)
    step = SearchStep(0, 0, progress, "architecture", True, sample)
    for part in parts:
        part.setup(None, module, "fit")
    return sum(part.architecture_loss(module, step) for part in parts)


def test_path_edges_join_neighbouring_nodes():
    assert PATH == [1, 4, 8, 13]


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("index", range(2))
def test_released_regularizer_and_its_gradient(golden, index, case):
    stored = golden("pr_darts").data
    operations, found = columns(golden)
    logits, q = opened(stored, float(stored["regularizer_temperatures"][index]))
    masks = stored["given_masks"][case] > 0
    convolutions = [i for i, name in enumerate(operations) if "conv_" in name]
    skip, nonskip, path = stored["lambdas"].tolist()
    threshold = float(stored["threshold"])
    total = torch.zeros((), dtype=torch.float64)
    for group, weight in [("skip", skip), ("pool", nonskip), ("nonskip", nonskip)]:
        pairs = zip(q, masks, strict=True)
        means = torch.stack([group_mean(each, mask, found[group]) for each, mask in pairs])
        total = total + weight * (means.mean() - threshold).clamp(min=0)
    paths = [
        path_probability(each[PATH][:, convolutions], mask[PATH][:, convolutions], "mean")
        for each, mask in zip(q, masks, strict=True)
    ]
    total = total - path * torch.stack(paths).mean()
    expected = stored["given_mask_regularizer"][index, case]
    torch.testing.assert_close(total, expected, rtol=1e-9, atol=1e-12)
    for axis, gradient in enumerate(torch.autograd.grad(total, logits)):
        expected = stored["given_mask_regularizer_grad"][index, case, axis]
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("index", range(2))
def test_closed_forms(golden, index):
    stored = golden("pr_darts").data
    operations, _ = columns(golden)
    found = group_columns(operations, {"skip": ["skip_connect"]}, ["skip", "nonskip"])
    convolutions = [i for i, name in enumerate(operations) if "conv_" in name]
    _, q = opened(stored, float(stored["regularizer_temperatures"][index]))
    everything = torch.ones(14, 8, dtype=torch.bool)
    for axis, each in enumerate(q):
        for group in ("skip", "nonskip"):
            expected = stored[f"closed_form/{group}"][index, axis]
            torch.testing.assert_close(group_mean(each, everything, found[group]), expected)
        for reduce in ("sum", "mean"):
            value = path_probability(each[PATH][:, convolutions], None, reduce)
            torch.testing.assert_close(value, stored[f"closed_form/path_{reduce}"][index, axis])


def test_groups_are_given_by_name_and_checked():
    operations = DartsSpace().operations
    with pytest.raises(InputError, match="names"):
        group_columns(operations, {"skip": ["skip"]}, ["skip"])
    with pytest.raises(InputError, match="at most once"):
        group_columns(operations, {"a": ["none"], "b": ["none"]}, ["a", "b"])


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.010803000), (0.1, 0.006702698)])
def test_the_released_penalty_at_equal_logits_has_its_published_value(temperature, expected):
    module = search_at(HardConcrete(temperature, sampler="top2"))
    value = penalty(module, released())
    assert value.item() == pytest.approx(expected, abs=1e-9)
    q = 1 / (1 + 11**-temperature)
    by_hand = 0.01 * (q - 0.2) + 0.005 * 2 * (q - 0.2) - 0.005 * q**4
    assert value.item() == pytest.approx(by_hand, rel=1e-12)


def test_skips_never_lower_the_penalty_and_convolutions_on_the_path_do():
    module = search_at(HardConcrete(1.0, sampler="top2"))
    skip, convolution = (
        module.space.operation_column(name) for name in ("skip_connect", "sep_conv_3x3")
    )
    group, path = released()
    slopes = {}
    for name, part in (("group", group), ("path", path)):
        logits = list(module.architecture.logits.values())
        slopes[name] = torch.autograd.grad(penalty(module, [part]), logits)
    for axis in range(2):
        assert (slopes["group"][axis][:, skip] > 0).all()
        assert not slopes["path"][axis][:, skip].any()
        assert (slopes["path"][axis][PATH, convolution] < 0).all()
        others = [row for row in range(14) if row not in PATH]
        assert not slopes["path"][axis][others].any()
    stronger = penalty(module, [PathDepth(0.05, sampled=True)])
    assert stronger < penalty(module, [PathDepth(0.005, sampled=True)]) < 0


def test_below_the_hinge_a_group_costs_nothing():
    module = search_at(HardConcrete(1.0, sampler="top2"), logits=-9.0)
    group, _ = released()
    assert penalty(module, [group]).item() == 0
    group.hinge = 0.0
    assert penalty(module, [group]).item() > 0


def test_the_sampled_form_counts_only_what_ran():
    module = search_at(HardConcrete(1.0, sampler="top2"))
    column = module.space.operation_column("sep_conv_3x3")
    active = {name: torch.zeros(14, 8, dtype=torch.bool) for name in TYPES}
    active["normal"][PATH[0], column] = True
    group, path = released()
    q = 11 / 12
    # The skip group and the pools ran nowhere; the path is the one edge that ran, in one cell type.
    value = penalty(module, [group], active=active)
    assert value.item() == pytest.approx(0.005 * (q / 2 - 0.2))
    assert penalty(module, [path], active=active).item() == pytest.approx(-0.005 * q / 2)


@pytest.mark.parametrize("make", [GroupPenalty, PathDepth])
def test_the_weights_follow_their_ramp(make):
    module = search_at(HardConcrete())
    constant = penalty(module, [make()])
    ramped = [penalty(module, [make(ramp=Linear(0.0, 2.0))], p).item() for p in (0.0, 0.5, 1.0)]
    assert ramped == pytest.approx([0.0, constant.item(), 2 * constant.item()])
    assert constant.item() != 0


@pytest.mark.parametrize("make", [GroupPenalty, PathDepth])
def test_gates_that_do_not_open_by_chance_are_refused(make):
    for relaxation in (Softmax(), HardConcrete(clip=False)):
        with pytest.raises(InputError, match="not 0 by chance; use HardConcrete"):
            make().setup(None, search_at(relaxation), "fit")
    for relaxation in (Concrete(), HardConcrete()):
        make().setup(None, search_at(relaxation), "fit")
        with pytest.raises(InputError, match=r"runs them all; use HardConcrete\(sampler='top2'"):
            make(sampled=True).setup(None, search_at(relaxation), "fit")
