"""Feed-forward multi-view reconstruction: images in; rays, ranges, poses, one metric scale out."""
