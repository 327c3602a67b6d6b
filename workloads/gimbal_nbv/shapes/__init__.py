"""Procedural objects: seeded, licence-free, split by family."""

from gimbal_nbv.shapes.catalogue import (
    TEST_FAMILIES,
    TRAIN_FAMILIES,
    ShapeRef,
    make_shape,
    shape_list,
)

__all__ = ["TEST_FAMILIES", "TRAIN_FAMILIES", "ShapeRef", "make_shape", "shape_list"]
