"""Where the records of a run go: metrics.csv, Weights & Biases, or any Lightning logger."""

from lnas.loggers.base import FolderLogger
from lnas.loggers.json_lines import JsonLines
from lnas.loggers.media import log_file, log_histogram, log_picture, log_table
from lnas.loggers.metrics_csv import MetricsCsv, read_rows
from lnas.loggers.rows import log_row
from lnas.loggers.wandb_run import WandbRun

__all__ = [
    "FolderLogger",
    "JsonLines",
    "MetricsCsv",
    "WandbRun",
    "log_file",
    "log_histogram",
    "log_picture",
    "log_row",
    "log_table",
    "read_rows",
]
