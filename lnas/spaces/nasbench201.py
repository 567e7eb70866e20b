"""The space of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv:2001.00326).

One cell type, input 0 and nodes 1 to 3, six edges, five operations: 15,625 cells. Each edge takes
its best operation, *none* included.
"""

from collections.abc import Sequence

from lnas.spaces.base import SearchSpace
from lnas.spaces.rules import DerivationRule, EveryEdge

NASBENCH201_OPERATIONS = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)


class NasBench201Space(SearchSpace):
    """The cell `cell` of 3 nodes and 6 edges.

    Args:
        operations: Candidate operations, in the order of the columns.
        rule: How scores become a genotype; by default the best operation of every edge.

    Raises:
        InputError: An operation is unknown or stands twice.
    """

    def __init__(
        self,
        operations: Sequence[str] = NASBENCH201_OPERATIONS,
        rule: DerivationRule | None = None,
    ) -> None:
        super().__init__("nasbench201", ("cell",), 1, 3, operations, rule or EveryEdge())
