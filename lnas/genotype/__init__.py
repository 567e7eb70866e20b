"""Genotypes: which operations and connections a search found."""

from lnas.genotype.model import Genotype
from lnas.genotype.vocabulary import add_operation, known_operations

__all__ = ["Genotype", "add_operation", "known_operations"]
