"""Runs the stages of an experiment: skip, lock, execute, gate, track, remember."""
