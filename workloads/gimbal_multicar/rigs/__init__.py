"""Any rig of cameras, described by a small file, through the same panorama builder."""

from gimbal_multicar.rigs.file import RigFile, load_rig

__all__ = ["RigFile", "load_rig"]
