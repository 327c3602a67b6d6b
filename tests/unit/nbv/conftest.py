"""A small protocol and one small object, measured once for all tests of this folder."""

from __future__ import annotations

import pytest

from gimbal_nbv.building import build_oracle
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape

SMALL = SphereProtocol(views=16, image_size=32, samples=300, reference_views=24, grid=16)


@pytest.fixture(scope="session")
def small_protocol() -> SphereProtocol:
    return SMALL


@pytest.fixture(scope="session")
def mug_oracle() -> OracleMap:
    return build_oracle(make_shape("mug", 3), SMALL)
