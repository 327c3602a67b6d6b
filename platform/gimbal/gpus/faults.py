"""Which hardware errors forbid using a card, and their words."""

from __future__ import annotations

HARDWARE_XIDS = {
    48: "double-bit ECC error",
    61: "internal micro-controller breakpoint",
    62: "internal micro-controller halt",
    64: "failure to replace bad memory rows",
    79: "the GPU has fallen off the bus",
    95: "uncontained ECC error",
    110: "security fault",
    119: "timeout of the GPU's system processor",
    120: "error of the GPU's system processor",
    140: "unrecovered ECC error",
    143: "the GPU failed to initialise",
}
"""Errors after which NVIDIA's catalogue asks for a reset, a reboot or the support. The others, such
as 13, 31 and 43, are usually a program's fault: its card is fine."""
LOST = "the GPU is lost: it has fallen off the bus, or its driver gave it up"
MIG = "it is split into MIG instances; Gimbal places jobs on whole cards only"


def memory_fault(*, uncorrected: int, no_spare_rows: bool, pending: bool) -> str:
    """Return what is wrong with a card's memory; empty: nothing.

    Args:
        uncorrected: Uncorrectable ECC errors since the driver was loaded.
        no_spare_rows: Bad rows could not be replaced any more.
        pending: Rows or pages are replaced at the next reset.
    """
    if no_spare_rows:
        return "it has no spare rows left to replace bad memory; the card must be replaced"
    if uncorrected:
        return f"{uncorrected} uncorrectable ECC errors since its driver was loaded; reset the card"
    if pending:
        return "bad memory waits to be replaced by spare rows; reset the card"
    return ""


def xid_fault(xid: int) -> str:
    """Return what an Xid says of the card; empty: nothing against it."""
    words = HARDWARE_XIDS.get(xid)
    return f"Xid {xid}: {words}" if words else ""
