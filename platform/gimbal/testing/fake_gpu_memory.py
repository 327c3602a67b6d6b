"""Made-up memory of a made-up card that runs out in the real words of torch and CUDA.

The words matter: a job that dies of them is classified by them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.words import GIB, MIB
from gimbal.scheduling.model import GpuUuid
from gimbal.testing.fake_lab_state import FakeLabState

CONTEXT_BYTES = 384 * MIB
"""What a CUDA context takes on the cards people have."""
WORKSPACE_BYTES = 256 * MIB
"""What libraries want beside the budget."""
_ECC_ERROR = 214
_LAUNCH_FAILURE = 719


class FakeGpuMemory:
    """A process's own card; see `gimbal.gpus.ports.GpuMemory`."""

    def __init__(
        self,
        uuid: GpuUuid,
        state: FakeLabState,
        look: Callable[[], NodeSample],
        now: Callable[[], float],
    ) -> None:
        self.uuid = uuid
        self._state = state
        self._look = look
        self._now = now
        self._cap_bytes: int | None = None

    def room(self) -> tuple[int, int]:
        """Return free and total bytes of the card."""
        card = self._card()
        return _free(card), card.total_bytes or 0

    def reserve(self, size_bytes: int) -> None:
        """Hold at least this much from now on.

        Raises:
            RuntimeError: Others hold too much; `torch.OutOfMemoryError` where there is torch.
        """
        with self._state.locked():
            card = self._card()
            held = self._held()
            if self._cap_bytes is not None and size_bytes > self._cap_bytes:
                raise _out_of_memory(card, size_bytes, held, self._cap_bytes)
            if size_bytes - held > _free(card):
                raise _out_of_memory(card, size_bytes, held)
            self._state.hold(self.uuid, max(held, size_bytes), self._now())

    def cap(self, size_bytes: int) -> None:
        """Refuse this process more than that from now on."""
        self._cap_bytes = size_bytes

    def touch(self) -> None:
        """Do what every step does outside the budget.

        Raises:
            RuntimeError: No room for a context or a workspace, in the words of cuBLAS.
        """
        with self._state.locked():
            card = self._card()
            held = self._held()
            wanted = max(held, CONTEXT_BYTES)
            if wanted - held + WORKSPACE_BYTES > _free(card):
                raise RuntimeError(
                    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
                )
            if wanted > held:
                self._state.hold(self.uuid, wanted, self._now())

    def peak_bytes(self) -> int:
        """Return the most memory this process has held on the card."""
        entry = self._state.own_entry(os.getpid())
        return entry.peak.get(self.uuid, 0) if entry and entry.identity.lives() else 0

    def release(self) -> None:
        """Give back all this process holds, as its end would; for tests."""
        with self._state.locked():
            self._state.hold(self.uuid, 0, self._now())

    def _held(self) -> int:
        entry = self._state.own_entry(os.getpid())
        return entry.held.get(self.uuid, 0) if entry and entry.identity.lives() else 0

    def _card(self) -> GpuSample:
        card = next((gpu for gpu in self._look().gpus if gpu.uuid == self.uuid), None)
        if card is None:
            raise RuntimeError("CUDA error: no CUDA-capable device is detected")
        if card.fault:
            raise _hardware_error(card.fault)
        return card


def _free(card: GpuSample) -> int:
    return max(0, (card.total_bytes or 0) - (card.used_bytes or 0) - card.reserved_bytes)


def _out_of_memory(
    card: GpuSample, wanted: int, held: int, cap_bytes: int | None = None
) -> RuntimeError:
    others = [use for use in card.processes or () if use.pid != os.getpid()]
    allowed = f"{_gib(cap_bytes)} allowed; " if cap_bytes is not None else ""
    text = (
        f"CUDA out of memory. Tried to allocate {_gib(wanted)}. GPU 0 has a total capacity of "
        f"{_gib(card.total_bytes or 0)} of which {_gib(_free(card))} is free. "
        + "".join(_in_use(other) for other in others)
        + f"Including non-PyTorch memory, this process has {_gib(held)} memory in use. {allowed}"
        f"Of the allocated memory {_gib(held)} is allocated by PyTorch, and 0 bytes is reserved by "
        "PyTorch but unallocated. If reserved but unallocated memory is large try setting "
        "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation "
        "for Memory Management"
    )
    error: RuntimeError = _torch_class("OutOfMemoryError")(text)
    return error


def _in_use(other: ProcessUse) -> str:
    return f"Process {other.pid} has {_gib(other.used_bytes or 0)} memory in use. "


def _hardware_error(fault: str) -> RuntimeError:
    ecc = "ecc" in fault.lower() or "xid 48" in fault.lower()
    text = "uncorrectable ECC error encountered" if ecc else "unspecified launch failure"
    error: RuntimeError = _torch_class("AcceleratorError")(
        f"CUDA error: {text}\nCUDA kernel errors might be asynchronously reported at some other "
        "API call, so the stacktrace below might be incorrect."
    )
    error.error_code = _ECC_ERROR if ecc else _LAUNCH_FAILURE  # type: ignore[attr-defined]
    return error


def _torch_class(name: str) -> type[RuntimeError]:
    """Return torch's own class of an error, so that handlers written for it meet it here too."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return RuntimeError
    found: type[RuntimeError] = getattr(torch, name, RuntimeError)
    return found


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB"
