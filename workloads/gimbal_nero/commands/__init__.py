"""The commands under `gimbal nero`."""
