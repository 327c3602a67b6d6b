"""Moments at which several cars can be put together, each car one view."""

from gimbal_multicar.cooperation.consistency import SeenThrough, seen_through
from gimbal_multicar.cooperation.dataset import CoopPanoramas
from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.cooperation.views import View, car_view, main_from_cars

__all__ = [
    "CoopMoment",
    "CoopPanoramas",
    "CoopRule",
    "SeenThrough",
    "View",
    "car_view",
    "coop_moments",
    "main_from_cars",
    "seen_through",
]
