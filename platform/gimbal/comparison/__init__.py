"""Runs side by side: what differs, how they learned, and whether a difference is one."""
