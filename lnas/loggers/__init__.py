"""Where the records of a run go: metrics.csv, Weights & Biases, or any Lightning logger."""

from lnas.loggers.metrics_csv import MetricsCsv, read_rows
from lnas.loggers.rows import log_row

__all__ = ["MetricsCsv", "log_row", "read_rows"]
