import pytest

from lnas.costs.operations import operation_cost
from lnas.errors import InputError

ORDER = (
    "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
    "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip


def table(field: str, channels: int, side: int, stride: int) -> list[int]:
    return [getattr(operation_cost(o, channels, side**2, stride), field) for o in ORDER]


@pytest.mark.parametrize(
    ("field", "place", "expected"),
    [
        ("parameters", (16, 32, 1), [0, 0, 0, 0, 800, 1312, 400, 656]),
        ("multiply_adds", (16, 32, 1), [0, 147456, 147456, 0, 819200, 1343488, 409600, 671744]),
        ("memory_access", (16, 32, 1), [0, 32768, 32768, 32768, 131872, 132384, 65936, 66192]),
        ("parameters", (32, 16, 2), [0, 0, 0, 1024, 2624, 3648, 1312, 1824]),
        ("multiply_adds", (32, 16, 2), [0, 73728, 73728, 262144, 671744, 933888, 335872, 466944]),
        ("memory_access", (32, 16, 2), [0, 40960, 40960, 74752, 92736, 93760, 58656, 59168]),
        ("memory_access", (64, 8, 1), [0, 8192, 8192, 8192, 42112, 44160, 21056, 22080]),
    ],
)
def test_costs_are_those_of_the_released_code(field, place, expected):
    assert table(field, *place) == expected


def test_a_plain_convolution_follows_equation_37():  # H W (I + O) + k k I O
    cost = operation_cost("nor_conv_3x3", 8, 25)
    assert cost.parameters == 9 * 64
    assert cost.multiply_adds == 25 * 9 * 64
    assert cost.memory_access == 25 * 16 + 9 * 64


def test_unknown_operations_are_refused():
    with pytest.raises(InputError, match="No cost formula for operation 'magic'"):
        operation_cost("magic", 4, 16)
