from itertools import combinations

import pytest

from lnas.genotype import known_operations
from lnas.visualize.palette import OTHER, family, label, tint


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("sep_conv_3x3", "sep conv 3×3"), ("nor_conv_1x1", "conv 1×1"), ("skip_connect", "skip"),
     ("conv_7x1_1x7", "conv 7×1 1×7"), ("relu", "ReLU"), ("my_own", "my own")],
)  # fmt: skip
def test_labels_read_as_a_person_would_say_them(operation, expected):
    assert label(operation) == expected


def test_only_noise_of_the_known_operations_has_no_family():
    for space in ("darts", "nasbench201", "recurrent"):
        without = {name for name in known_operations(space) if family(name) is OTHER}
        assert without <= {"noise"}
    assert family("convolve") is OTHER


def test_colours_of_one_space_differ_in_lightness_or_hue():
    colours = {family(name).colour for name in known_operations("darts")}
    for a, b in combinations(colours, 2):
        assert sum(abs(x - y) for x, y in zip(tint(a, 1), tint(b, 1), strict=True)) > 0.3
