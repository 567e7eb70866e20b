"""One architecture step in every k batches."""

from types import SimpleNamespace

import pytest

from lnas.callbacks import ConstantSchedule
from lnas.errors import InputError
from lnas.search import SearchStep


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("steps", [0, 9, 10, 29, 30])
def test_after_n_weight_steps_exactly_n_over_k_were_allowed(every, steps):
    part, step = ConstantSchedule(every), SearchStep(0, 0, 0.0)
    allowed = sum(
        part.should_step_architecture(SimpleNamespace(steps=done), step) for done in range(steps)
    )
    assert allowed == steps // every


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_what_is_no_number_of_steps_is_refused(every):
    with pytest.raises(InputError, match="give 1 or more"):
        ConstantSchedule(every)
