"""Parameter counts are facts D5 and D6 of the released DARTS code."""

import pytest
import torch

from lnas import operations
from lnas.errors import InputError
from lnas.genotype import known_operations

DARTS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


@pytest.mark.parametrize(
    ("channels", "stride", "counts"),
    [
        (16, 1, (0, 0, 0, 0, 800, 1312, 400, 656)),
        (32, 2, (0, 0, 0, 1024, 2624, 3648, 1312, 1824)),
    ],
)
def test_operations_have_the_released_parameter_counts(channels, stride, counts):
    for name, count in zip(DARTS, counts, strict=True):
        built = operations.build(name, channels, stride, affine=False, search=True)
        assert sum(weight.numel() for weight in built.parameters()) == count, name


@pytest.mark.parametrize("name", operations.names())
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("search", [True, False])
def test_every_operation_keeps_channels_and_divides_the_image(name, stride, search):
    built = operations.build(name, 4, stride, affine=not search, search=search)
    assert built(torch.randn(2, 4, 8, 12)).shape == (2, 4, 8 // stride, 12 // stride)


@pytest.mark.parametrize("name", [name for name in operations.names() if name != "none"])
def test_operations_leave_their_input_alone(name):
    x = torch.randn(2, 4, 8, 8)
    before = x.clone()
    operations.build(name, 4, 1, affine=True, search=True)(x)
    assert torch.equal(x, before)


def test_pools_are_normalised_in_the_search_net_only():
    x = torch.randn(8, 4, 8, 8)
    for name in ("max_pool_3x3", "avg_pool_3x3"):
        searched = operations.build(name, 4, 1, affine=False, search=True)
        plain = operations.build(name, 4, 1, affine=True, search=False)
        assert set(searched.state_dict()) == {"bn.running_mean", "bn.running_var"}
        assert not plain.state_dict()
        mean = searched(x).mean((0, 2, 3))
        torch.testing.assert_close(mean, torch.zeros(4), atol=1e-6, rtol=0)


def test_bias_stands_before_non_affine_normalisation_only():
    assert "conv1.bias" in operations.build("nor_conv_3x3", 4, 1, False, True).state_dict()
    assert "conv1.bias" not in operations.build("nor_conv_3x3", 4, 1, True, False).state_dict()


def test_unknown_operation_is_refused_with_the_near_name():
    with pytest.raises(InputError, match="did you mean 'sep_conv_3x3'"):
        operations.build("sep_conv3x3", 4, 1, False, True)


def test_registered_operation_is_built_by_name(monkeypatch):
    monkeypatch.setattr("lnas.operations.table._TABLE", {})
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    operations.register("mine", lambda channels, stride, affine, search: torch.nn.Identity())
    assert isinstance(operations.build("mine", 4, 1, False, True), torch.nn.Identity)
    assert "mine" in known_operations("darts")
    with pytest.raises(InputError, match="cannot name"):
        operations.register("my.own", lambda *_: torch.nn.Identity())


@pytest.mark.parametrize(("size", "halvings"), [((30, 32), 2), ((32, 31), 1), ((0, 4), 1)])
def test_odd_image_sizes_are_refused_with_a_size_that_works(size, halvings):
    with pytest.raises(InputError, match="multiples of"):
        operations.check_halvings(*size, halvings)


def test_even_image_sizes_are_accepted():
    operations.check_halvings(32, 36, 2)
    operations.check_halvings(7, 5, 0)
