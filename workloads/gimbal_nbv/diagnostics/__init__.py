"""Diagnostics: questions about a run whose answers are PASS, FAIL or NOT CHECKABLE."""
