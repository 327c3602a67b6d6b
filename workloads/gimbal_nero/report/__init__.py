"""The page of a run: what a shape is worth, and how it came about."""
