"""The controller: a loop that makes what is stored come true, whatever dies in between."""

from gimbal.jobs.controller.controller import Controller, TickReport
from gimbal.jobs.controller.stats import ControllerStats, Histogram

__all__ = ["Controller", "ControllerStats", "Histogram", "TickReport"]
