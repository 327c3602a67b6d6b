"""How well poses, ranges and points are predicted, beside baselines that see nothing."""
