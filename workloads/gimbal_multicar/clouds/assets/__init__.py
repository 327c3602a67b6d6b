"""The cloud's script and style."""
