"""Search spaces as data: edges, candidate operations and the rule that derives a genotype."""

from lnas.spaces.base import Edge, SearchSpace
from lnas.spaces.darts import DartsSpace
from lnas.spaces.nasbench201 import NasBench201Space
from lnas.spaces.recurrent import RecurrentSpace
from lnas.spaces.rules import AboveThreshold, DerivationRule, EveryEdge, StrongestInputs
from lnas.spaces.wiring import Wiring, active_edges, wiring_of

__all__ = [
    "AboveThreshold",
    "DartsSpace",
    "DerivationRule",
    "Edge",
    "EveryEdge",
    "NasBench201Space",
    "RecurrentSpace",
    "SearchSpace",
    "StrongestInputs",
    "Wiring",
    "active_edges",
    "wiring_of",
]
