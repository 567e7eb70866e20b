"""Genotypes: which operations and connections a search found."""

from lnas.genotype.changes import Change, changes
from lnas.genotype.model import Genotype
from lnas.genotype.vocabulary import add_operation, known_operations

__all__ = ["Change", "Genotype", "add_operation", "changes", "known_operations"]
