"""The static parts of the comparison page."""
