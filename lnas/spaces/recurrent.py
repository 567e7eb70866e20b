"""The recurrent space of DARTS (Liu, Simonyan and Yang, ICLR 2019, arXiv:1806.09055, section 2.1).

State 0 is made of the word and the hidden state before; nodes 1 to 8 each pass one state before
them through an activation behind a gate; the output is the mean of all nodes. 36 edges, five
operations, one input a node.
"""

from collections.abc import Sequence

from lnas.spaces.base import SearchSpace
from lnas.spaces.rules import DerivationRule, StrongestInputs

RECURRENT_OPERATIONS = ("none", "tanh", "relu", "sigmoid", "identity")


class RecurrentSpace(SearchSpace):
    """The cell `recurrent`.

    Args:
        operations: Candidate activations, in the order of the columns.
        nodes: Number of nodes of the cell.
        rule: How scores become a genotype; by default the strongest input of each node, never
            *none*.

    Raises:
        InputError: An operation is unknown or stands twice.
    """

    def __init__(
        self,
        operations: Sequence[str] = RECURRENT_OPERATIONS,
        nodes: int = 8,
        rule: DerivationRule | None = None,
    ) -> None:
        rule = rule or StrongestInputs(inputs=1)
        super().__init__("recurrent", ("recurrent",), 1, nodes, operations, rule)
