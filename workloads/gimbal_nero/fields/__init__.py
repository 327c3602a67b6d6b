"""The networks of a shape: functions of points and directions in the unit frame."""
