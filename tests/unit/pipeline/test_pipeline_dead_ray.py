"""A configured Ray that is not there is named within seconds, not after Ray's own long patience."""

from __future__ import annotations

import socket

import pytest

from gimbal.errors import StageFailed
from gimbal.pipeline import ray_session


def test_an_address_nobody_listens_on_is_refused_and_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StageFailed, match=f"no Ray answers at {address}") as caught:
            ray_session.require_answer(address, patience_s=0.0)
    assert "RAY_ADDRESS" in caught.value.remedy


@pytest.mark.parametrize("address", ["127.0.0.1:99999999", "no.such.host.invalid:6379"])
def test_an_address_that_cannot_be_is_refused_at_once(address: str) -> None:
    with pytest.raises(StageFailed, match="no Ray answers"):
        ray_session.require_answer(address)


def test_a_listening_address_and_names_of_rays_own_are_let_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ray_session.require_answer(f"127.0.0.1:{server.getsockname()[1]}")
        ray_session.require_answer(f"ray://127.0.0.1:{server.getsockname()[1]}")
    ray_session.require_answer("auto")
    ray_session.require_answer("anyscale://cluster")
