"""Moments at which several cars can be put together, each car one view."""

from gimbal_multicar.cooperation.dataset import CoopPanoramas
from gimbal_multicar.cooperation.moments import CoopMoment, coop_moments
from gimbal_multicar.cooperation.views import View, car_view

__all__ = ["CoopMoment", "CoopPanoramas", "View", "car_view", "coop_moments"]
