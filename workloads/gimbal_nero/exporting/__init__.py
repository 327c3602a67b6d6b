"""A learnt material and light as files that other programs read."""
