"""What a search asks its callbacks. All of them are asked, in the trainer's order."""

from collections import Counter
from typing import TYPE_CHECKING

from torch import Tensor

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
    """Return the sum of what they add to the loss of the architecture, and note its terms."""
    for part in asked(module):
        term = part.architecture_loss(module, step)
        if term is not None:
            step.terms[part.term] = step.terms.get(part.term, 0.0) + term
    module.records.note(step.terms)
    return sum(step.terms.values())


def gates_of(module: "SearchModule", step: SearchStep) -> GateSample:
    """Return the step's gates: such as tell their gradient if anyone wants to watch them."""
    assert step.sample is not None
    step.gate_gradients = {}
    if not any([part.watches_gates(module, step) for part in asked(module)]):
        return step.sample
    cells = Counter(module.supernet.cell_types_of_cells)
    return watched(step.sample, cells, step.gate_gradients)
