"""Getting a run back: would this environment repeat it, and does it?"""
