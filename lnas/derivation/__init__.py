"""Derivation: from a finished search to the scores that the space's rule makes a genotype of."""

from lnas.derivation.criteria import (
    Magnitude,
    RandomChoice,
    SelectionContext,
    SelectionCriterion,
    magnitudes,
)

__all__ = ["Magnitude", "RandomChoice", "SelectionContext", "SelectionCriterion", "magnitudes"]
