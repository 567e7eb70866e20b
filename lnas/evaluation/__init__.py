"""Evaluation: training a derived network from scratch and testing it once."""

from lnas.evaluation.module import EvaluationModule

__all__ = ["EvaluationModule"]
