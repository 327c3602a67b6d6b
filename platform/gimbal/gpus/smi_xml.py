"""Read what `nvidia-smi -q -x` printed, even if it is no XML at all or a hostile one.

Entities and external files are never resolved. Whatever the input, the answer is a sample: what
cannot be read becomes its `problem`. `accounted_processes` are ignored, they are not running.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gimbal.gpus.faults import MIG, memory_fault
from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.sanity import executable_name, plausible
from gimbal.gpus.words import MIB
from gimbal.scheduling.model import GpuUuid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 16 * MIB
"""A capture takes 30 KB a card."""
_BROKEN = ("lost", "err!", "unknown error", "fallen off", "requires reset")
_UNCORRECTED = (
    "ecc_errors/volatile/double_bit/total",
    "ecc_errors/volatile/sram_uncorrectable",
    "ecc_errors/volatile/sram_uncorrectable_parity",
    "ecc_errors/volatile/sram_uncorrectable_secded",
    "ecc_errors/volatile/dram_uncorrectable",
)


def read_capture(path: Path, *, at: float) -> NodeSample:
    """Return the sample in a file; see `parse_capture`."""
    try:
        with path.open("rb") as file:
            return parse_capture(file.read(MAX_BYTES + 1), at=at)
    except OSError as error:
        return NodeSample(at=at, problem=f"{path} cannot be read: {error.strerror}")


def parse_capture(data: bytes, *, at: float) -> NodeSample:
    """Return the sample that an output of `nvidia-smi -q -x` shows; never raises.

    Args:
        data: The output.
        at: When it was taken, Unix seconds.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    if len(data) > MAX_BYTES:
        return NodeSample(at=at, problem="the capture is too large to be nvidia-smi's")
    data = data.removeprefix(b"\xef\xbb\xbf").strip()
    if not data.startswith(b"<"):
        said = _printable(data.decode("utf-8", "replace"))
        return NodeSample(at=at, problem=f"nvidia-smi says: {said}" if said else "it is empty")
    try:
        root = ElementTree.fromstring(data)
    except DefusedXmlException:
        return NodeSample(
            at=at, problem="the capture defines entities, which nvidia-smi never does"
        )
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        return NodeSample(at=at, problem=f"the capture is damaged: {error}")
    if root.tag != "nvidia_smi_log":
        return NodeSample(at=at, problem="the capture is not one of nvidia-smi -q -x")
    cards = [_card(gpu, index) for index, gpu in enumerate(root.findall("gpu"))]
    problem = "" if cards else "nvidia-smi shows no card"
    return NodeSample(at=at, gpus=tuple(cards), problem=problem)


def _card(gpu: Element, index: int) -> GpuSample:
    total = _size(gpu, "fb_memory_usage/total")
    used = _size(gpu, "fb_memory_usage/used")
    uuid = _text(gpu, "uuid")
    return GpuSample(
        uuid=GpuUuid(uuid or f"unnamed-{_printable(gpu.get('id', str(index)))}"),
        index=index,
        name=_text(gpu, "product_name"),
        total_bytes=total,
        used_bytes=used,
        reserved_bytes=_size(gpu, "fb_memory_usage/reserved") or 0,
        processes=_processes(gpu, total, used),
        fault=_fault(gpu),
        problem=_problem(gpu, uuid),
    )


def _processes(gpu: Element, total: int | None, used: int | None) -> tuple[ProcessUse, ...] | None:
    """Return the processes of a card; None where nvidia-smi may not or cannot list them."""
    found: list[ProcessUse] = []
    entries = gpu.findall("processes/process_info")
    if not entries and _text(gpu, "processes") not in ("", "None"):
        return None
    for entry in entries:
        pid = _text(entry, "pid")
        if pid.isascii() and pid.isdigit() and len(pid) < 12:
            name = executable_name(entry.findtext("process_name") or "")
            held = _size(entry, "used_memory")
            found.append(ProcessUse(pid=int(pid), used_bytes=held, name=name))
    return plausible(found, total_bytes=total, used_bytes=used)


def _problem(gpu: Element, uuid: str) -> str:
    said = " ".join(
        _text(gpu, path).lower() for path in ("fb_memory_usage/total", "fb_memory_usage/used")
    )
    if any(words in said or words in uuid.lower() for words in _BROKEN):
        return f"nvidia-smi says of it: {said}"
    if not uuid:
        return "nvidia-smi does not say which card it is"
    return MIG if _text(gpu, "mig_mode/current_mig") == "Enabled" else ""


def _fault(gpu: Element) -> str:
    pending = ("remapped_rows/remapped_row_pending", "retired_pages/pending_retirement")
    return memory_fault(
        uncorrected=sum(_count(gpu, path) for path in _UNCORRECTED),
        no_spare_rows=_text(gpu, "remapped_rows/remapped_row_failure") == "Yes",
        pending=any(_text(gpu, path) == "Yes" for path in pending),
    )


def _count(gpu: Element, path: str) -> int:
    text = _text(gpu, path)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _size(element: Element, path: str) -> int | None:
    """Return `316 MiB` in bytes; None for `N/A` and anything else."""
    number, _, unit = _text(element, path).partition(" ")
    if unit != "MiB" or not (number.isascii() and number.isdigit()) or len(number) > 12:
        return None
    return int(number) * MIB


def _text(element: Element, path: str) -> str:
    return _printable(element.findtext(path) or "")


def _printable(text: str) -> str:
    """Return one short line: it is shown to people and written to logs."""
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable())[:200]
