"""What a search asks its callbacks. All of them are asked, in the trainer's order."""

from collections import Counter
from typing import TYPE_CHECKING

from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations import GateSample
from lnas.search.callback import SearchCallback
from lnas.search.step import SearchStep
from lnas.search.trainer import callbacks_of
from lnas.search.watching import watched

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


def asked(module: "SearchModule") -> list[SearchCallback]:
    """Return the callbacks that answer questions."""
    return [part for part in callbacks_of(module.trainer) if isinstance(part, SearchCallback)]


def moves_architecture(module: "SearchModule", step: SearchStep) -> bool:
    """Return whether all agree that the batch moves the architecture."""
    return all([part.should_step_architecture(module, step) for part in asked(module)])


def penalty(module: "SearchModule", step: SearchStep) -> Tensor | float:
    """Return the sum of what they add to the loss of the architecture, and note its terms.

    Raises:
        InputError: A callback adds what is no number.
    """
    for part in asked(module):
        term = part.architecture_loss(module, step)
        if term is not None:
            _check_scalar(part, term)
            step.terms[part.term] = step.terms.get(part.term, 0.0) + term
    module.records.note(step.terms)
    return sum(step.terms.values())


def _check_scalar(part: SearchCallback, term: object) -> None:
    found = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else repr(term)
    scalar = term.dim() == 0 if isinstance(term, Tensor) else isinstance(term, int | float)
    if not scalar:
        raise InputError(
            f"{type(part).__name__}.architecture_loss has returned {found}; return a tensor "
            "without dimensions, a number, or None."
        )


def gates_of(module: "SearchModule", step: SearchStep) -> GateSample:
    """Return the step's gates: such as tell their gradient if anyone wants to watch them."""
    assert step.sample is not None
    step.gate_gradients = {}
    if not any([part.watches_gates(module, step) for part in asked(module)]):
        return step.sample
    cells = Counter(module.supernet.cell_types_of_cells)
    return watched(step.sample, cells, step.gate_gradients)
