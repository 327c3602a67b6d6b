"""From a signed distance to a triangle mesh."""
