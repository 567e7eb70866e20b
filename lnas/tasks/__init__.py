"""Tasks: losses and measures, shared by search and evaluation."""

from lnas.tasks.base import Batch, NetworkCall, Output, Role, State, Task
from lnas.tasks.classification import ImageClassification
from lnas.tasks.examples import Examples, ImageExamples, TextExamples
from lnas.tasks.language_modeling import LanguageModeling, TextBatch
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
    "LanguageModeling",
    "Measure",
    "NetworkCall",
    "Output",
    "Role",
    "State",
    "Task",
    "TextBatch",
    "TextExamples",
]
