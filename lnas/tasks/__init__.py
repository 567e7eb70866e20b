"""Tasks: losses and measures, shared by search and evaluation."""

from lnas.tasks.base import Batch, NetworkCall, Output, Role, State, Task
from lnas.tasks.classification import ImageClassification
from lnas.tasks.examples import Examples, ImageExamples
from lnas.tasks.measures import ACCURACY, PERPLEXITY, Measure
from lnas.tasks.metrics import EpochMetrics

__all__ = [
    "ACCURACY",
    "PERPLEXITY",
    "Batch",
    "EpochMetrics",
    "Examples",
    "ImageClassification",
    "ImageExamples",
    "Measure",
    "NetworkCall",
    "Output",
    "Role",
    "State",
    "Task",
]
