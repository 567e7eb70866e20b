"""A report: runs or a study as one HTML file that needs no server and no network."""

from lnas.report.page import write_report
from lnas.report.places import Subject, subject_of

__all__ = ["Subject", "subject_of", "write_report"]
