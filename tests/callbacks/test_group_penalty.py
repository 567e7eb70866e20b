"""GroupPenalty and PathDepth against the released regulariser and the closed forms."""

import pytest
import torch

from lnas.callbacks.group_penalty import group_columns, group_mean
from lnas.callbacks.path_depth import path_probability
from lnas.errors import InputError
from lnas.relaxations import HardConcrete
from lnas.spaces import DartsSpace

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
