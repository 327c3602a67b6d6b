"""Volume rendering of a signed distance field: where to look along a ray, and what is seen."""
