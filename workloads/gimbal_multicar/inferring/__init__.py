"""Asks the trained model of a run: about moments of its own rows, or of any folder."""
