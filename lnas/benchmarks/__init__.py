"""Tabular benchmarks: what every cell of a space reaches when it is trained, looked up in a table.

The table is the truth that searches are judged by, so nothing that chooses may read it: neither a
criterion nor a search imports this package (a test reads the imports).
"""

from lnas.benchmarks.nasbench201 import BenchmarkRecord, NasBench201Benchmark, SpaceStatistics

__all__ = ["BenchmarkRecord", "NasBench201Benchmark", "SpaceStatistics"]
