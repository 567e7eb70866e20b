"""How fast a search steps on this machine: all ways through the supernet, in one process.

The clock itself is no strategy to search with, and has no public name.
"""

from lnas.speed.clock import Timing, Work
from lnas.speed.command import measured, speed_command, table

__all__ = ["Timing", "Work", "measured", "speed_command", "table"]
