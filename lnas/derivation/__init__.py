"""Derivation: from a finished search to the scores that the space's rule makes a genotype of."""

from lnas.derivation.criteria import (
    Decision,
    Magnitude,
    RandomChoice,
    SelectionContext,
    SelectionCriterion,
    magnitudes,
)
from lnas.derivation.random_search import RandomSearch
from lnas.derivation.restricted_skips import RestrictedSkips
from lnas.derivation.scores import best_operations, save_decisions, save_scores
from lnas.derivation.strength import OperationStrength

__all__ = [
    "Decision",
    "Magnitude",
    "OperationStrength",
    "RandomChoice",
    "RandomSearch",
    "RestrictedSkips",
    "SelectionContext",
    "SelectionCriterion",
    "best_operations",
    "magnitudes",
    "save_decisions",
    "save_scores",
]
