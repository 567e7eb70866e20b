"""How fast a search steps on this machine: all ways through the supernet, in one process.

The clocks themselves are no strategies to search with, and have no public names.
"""

from lnas.speed.clock import Timing, Work
from lnas.speed.command import measured, measured_overhead, speed_command, table

__all__ = [
    "Timing",
    "Work",
    "measured",
    "measured_overhead",
    "speed_command",
    "table",
]
