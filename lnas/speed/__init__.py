"""How fast a search steps on this machine: all ways through the supernet, in one process.

The clock itself is no strategy to search with, and has no public name.
"""

from lnas.speed.clock import Timing, Work
from lnas.speed.command import measured, measured_overhead, speed_command, table
from lnas.speed.overhead import Overhead

__all__ = [
    "Overhead",
    "Timing",
    "Work",
    "measured",
    "measured_overhead",
    "speed_command",
    "table",
]
