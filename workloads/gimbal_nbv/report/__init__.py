"""The report of a next-best-view run: one HTML file that opens anywhere, offline.

Python decides what is said (verdict, tables, figures as plain dictionaries); the browser only
draws and lets the reader play. Colours live in `style.css` alone: figures name them as
`var(--c-…)`, so light, dark and paper share one palette.
"""

from .build import write_report

__all__ = ["write_report"]
