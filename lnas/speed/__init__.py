"""How fast a search steps on this machine: both ways through the supernet, in one process."""

from lnas.speed.clock import Clock, Timing, Work
from lnas.speed.command import measured, speed_command, table

__all__ = ["Clock", "Timing", "Work", "measured", "speed_command", "table"]
