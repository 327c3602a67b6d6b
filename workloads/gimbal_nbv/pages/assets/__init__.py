"""The sphere: its markup and scripts."""
