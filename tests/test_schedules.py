import math

import pytest

from lnas.errors import InputError
from lnas.schedules import (
    Constant,
    Cosine,
    Exponential,
    InTurn,
    Linear,
    Piecewise,
    check_rates,
    rate_of,
)


def test_cosine_gives_the_published_search_rates():  # DARTS, 50 epochs, 0.025 -> 0.001
    rate = Cosine(0.025, 0.001)
    for epoch, value in [(0, 0.025), (1, 0.0249763), (25, 0.013), (49, 0.00102368)]:
        assert rate(epoch / 50) == pytest.approx(value, rel=1e-5)


def test_cosine_gives_the_published_evaluation_rates():  # 600 epochs, 0.025 -> 0
    assert Cosine(0.025)(300 / 600) == pytest.approx(0.0125)
    assert Cosine(0.025)(599 / 600) == pytest.approx(1.713e-7, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [(Constant(2.0), 2.0), (Linear(1.0, 0.0), 0.5), (Exponential(1.0, 0.01), 0.1)],
)
def test_schedule_has_its_closed_form_in_the_middle(schedule, middle):
    assert schedule(0.5) == pytest.approx(middle)


def test_progress_is_clamped():
    assert Linear(0.0, 1.0)(1.5) == 1.0
    assert Linear(0.0, 1.0)(-0.5) == 0.0


def test_piecewise_interpolates_and_stays_constant_outside():
    schedule = Piecewise([(0.2, 1.0), (0.6, 3.0)])
    assert [schedule(p) for p in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([1, 1, 2, 3, 3])


@pytest.mark.parametrize(
    "points", [[], [(0.5, 1.0), (0.4, 2.0)], [(-0.1, 0.0)], [(0.0, 1.0), (1.1, 0.0)]]
)
def test_piecewise_refuses_points_that_are_no_path(points):
    with pytest.raises(InputError, match="increasing numbers"):
        Piecewise(points)


def test_exponential_refuses_zero():
    with pytest.raises(InputError, match="positive"):
        Exponential(1.0, 0.0)
    assert math.isclose(Exponential(2.0, 8.0)(1.0), 8.0)


def test_in_turn_gives_the_released_dropout_of_p_darts():  # r = 0.4, 25 epochs; e.g. 0.4 * 19 / 25
    falling = Linear(0.4 * 24 / 25, 0.4 * 14 / 25)
    rate = InTurn([falling, Exponential(0.4, 0.4 * math.exp(-3))], [10 / 25])
    golden = {0: 0.384, 5: 0.304, 9: 0.24, 10: 0.4, 15: 0.147, 24: 0.024}
    for epoch, value in golden.items():
        assert rate(epoch / 25) == pytest.approx(value, abs=5e-4)
    assert rate(1.0) == pytest.approx(0.4 * math.exp(-3))


@pytest.mark.parametrize("ends", [[], [0.5, 0.6], [0.0], [1.0]])
def test_in_turn_refuses_ends_that_leave_a_part_no_time(ends):
    with pytest.raises(InputError, match="one end for each but the last"):
        InTurn([Constant(1.0), Constant(2.0)], ends)


def test_learning_rates_are_not_negative():
    assert rate_of(Linear(1.0, 0.0), 1.0) == 0.0
    with pytest.raises(InputError, match=r"Linear has the learning rate -0\.5 at progress 0.75"):
        rate_of(Linear(1.0, -1.0), 0.75)
    check_rates(None)
    with pytest.raises(InputError, match="-1 at progress 1"):
        check_rates(Linear(1.0, -1.0))
