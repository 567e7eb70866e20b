"""The weights train alone first."""

import pytest

from lnas.callbacks import Warmup
from lnas.errors import InputError
from lnas.search import SearchStep


def test_the_architecture_waits_for_the_first_epochs():
    answers = [Warmup(2).should_step_architecture(None, SearchStep(e, 7, 0.0)) for e in range(4)]
    assert answers == [False, False, True, True]
    assert Warmup(0).should_step_architecture(None, SearchStep(0, 0, 0.0))


@pytest.mark.parametrize("epochs", [-1, 1.5, True])
def test_what_is_no_number_of_epochs_is_refused(epochs):
    with pytest.raises(InputError, match="give 0 or more"):
        Warmup(epochs)
