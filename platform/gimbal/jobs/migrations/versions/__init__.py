"""One module for each released schema, oldest first."""
