"""Three-dimensional vision shared by all workloads: cameras, meshes, rendering, point clouds.

Stands alone: it imports nothing of `gimbal`, and its modules are imported by name. Frames and
units: OpenCV cameras, quaternions (x, y, z, w), world z up, lengths in the unit of the mesh.
"""
