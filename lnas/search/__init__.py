"""Search: the bilevel loop, its strategies and the seam for callbacks."""

from lnas.search.callback import SearchCallback
from lnas.search.module import SearchModule
from lnas.search.second_order import SecondOrder
from lnas.search.step import SearchStep
from lnas.search.strategies import FirstOrder, Joint, SearchStrategy, WeightsOnly

__all__ = [
    "FirstOrder",
    "Joint",
    "SearchCallback",
    "SearchModule",
    "SearchStep",
    "SearchStrategy",
    "SecondOrder",
    "WeightsOnly",
]
