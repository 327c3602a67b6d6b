"""Ray Tune over experiment configs: a question asked of many runs."""
