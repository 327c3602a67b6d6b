"""One moment of cooperating cars as one point cloud: a page, pictures, arrays, numbers."""
