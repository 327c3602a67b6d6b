"""The words, types and codes by which errors are known.

Every pattern was written from texts people reported; `tests/unit/scheduling/failure_corpus.yaml`
has them. They name whole phrases, not words: a database and a browser run out of memory as well.
"""

from __future__ import annotations

import re
from enum import IntEnum


class Symptom(IntEnum):
    """What an error speaks of, from causes to consequences: a smaller one explains a larger one."""

    HARDWARE = 0
    GPU_MEMORY = 1
    """An allocation on the GPU failed, and the error says so."""
    CONTENDED = 2
    """Gimbal's own guard found somebody else on the card."""
    GPU_MEMORY_MAYBE = 3
    """A library could not start on the GPU, most often for want of memory."""
    GPU_BUSY = 4
    """The driver lets nobody else onto the card."""
    HOST_MEMORY = 5
    DISK_FULL = 6
    USER_CODE = 7
    PREEMPTED = 8
    CUDA_CRASH = 9
    INFRA = 10
    STOPPED = 11
    """Somebody outside the service ended it."""
    KILLED = 12
    """SIGKILL, and nobody says why."""
    CRASH = 13
    """A process died below Python; often because another one had gone."""
    COMMUNICATION = 14
    ABORTED = 15
    """SIGABRT: a watchdog's, if it says no more than that it lost somebody."""
    USER_CODE_MAYBE = 16
    """A summary of what went wrong elsewhere, or an exception quoted in a log."""
    UNKNOWN = 17


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_XIDS_OF_HARDWARE = "48|61|62|63|64|79|94|95|110|119|120|140|143"
"""Those of NVIDIA's catalogue that speak of the card: its memory (48, 63, 64, 94, 95, 140), its own
processors (61, 62, 110, 119, 120, 143), the bus (79). 13, 31, 43 and 45 are the program's."""
_XID = r"\bXid\b(?: ?\([^)\n]{0,40}\))?[:\s,]{1,3}"

WORDS: tuple[tuple[Symptom, re.Pattern[str]], ...] = (
    (
        Symptom.HARDWARE,
        _any(
            rf"{_XID}(?:{_XIDS_OF_HARDWARE})\b",
            r"uncorrectable ECC error|CUDA_ERROR_ECC_UNCORRECTABLE|cudaErrorECCUncorrectable",
            r"fallen off the bus|\bGPU is lost\b|ERROR_GPU_IS_LOST|GPU requires reset",
            r"Unable to determine the device handle for GPU",
            r"no CUDA-capable device is detected|No CUDA GPUs are available|cudaErrorNoDevice",
            r"uncorrectable NVLink error|cudaErrorNvlinkUncorrectable",
        ),
    ),
    (
        Symptom.GPU_MEMORY,
        _any(
            r"CUDA out of memory|CUDA (?:driver )?error: ?out of memory",
            r"cuda runtime error \(2\)|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation",
            r"Cuda failure (?:\d{1,4} )?'out of memory'|torch\.(?:cuda\.)?OutOfMemoryError",
        ),
    ),
    (
        Symptom.GPU_MEMORY_MAYBE,
        _any(
            r"CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)",
            r"CUDNN_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED|INTERNAL_ERROR)",
        ),
    ),
    (
        Symptom.GPU_BUSY,
        _any(r"CUDA-capable device(?:s|\(s\)) (?:are|is/are) busy or unavailable"),
    ),
    (
        Symptom.HOST_MEMORY,
        _any(
            r"ray\.exceptions\.OutOfMemoryError|RayOutOfMemoryError",
            r"killed due to the node running low on memory",
            r"[1-9]\d{0,6} Workers? \(tasks / actors\) killed due to memory pressure",
            r"Out of memory: Kill(?:ed)? process|oom-kill:constraint|\boom_reaper: reaped",
            r"Detected \d{1,6} oom[-_]kill event|killed by signal: Killed",
            r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|Cannot allocate memory",
            r"Unable to allocate [\d.]{1,12} ?[KMGTP]iB for an array|\bstd::bad_alloc\b",
            r"insufficient shared memory \(shm\)|workers are out of shared memory",
            r"killed by signal: Bus error|\bMemoryError\b",
        ),
    ),
    (
        Symptom.DISK_FULL,
        _any(
            r"No space left on device|Disk quota exceeded|OutOfDiskError",
            r"PytorchStreamWriter failed writing file",
        ),
    ),
    (
        Symptom.USER_CODE,
        _any(
            r"device-side assert triggered|cudaErrorAssert\b",
            r"\.cuh?:\d{1,6}: [^\n]{0,200}Assertion `",
            r"no kernel image is available for execution|Tried to allocate more than 1EB",
            r"CUDA driver version is insufficient|invalid device ordinal",
        ),
    ),
    (
        Symptom.CUDA_CRASH,
        _any(
            r"illegal memory access|cudaErrorIllegalAddress|unspecified launch failure",
            r"CUDA error: (?:misaligned address|an illegal instruction|unknown error)",
            r"cuda runtime error \((?:4|74|77)\)|launch timed out and was terminated",
            r"CU(?:BLAS|DNN)_STATUS_EXECUTION_FAILED|CUBLAS_STATUS_INTERNAL_ERROR",
            r"Cuda failure (?:\d{1,4} )?'unknown error'",
            rf"{_XID}(?:13|31|43)\b",
        ),
    ),
    (
        Symptom.INFRA,
        _any(
            r"NodeDiedError|ActorUnavailableError|actor is temporarily unavailable",
            r"(?:Actor|Task)UnschedulableError|doesn't exist any ?more",
            r"node (?:it was running on|\(where this task was running\)) +(?:is|was) dead",
            r"because its (?:node|owner) has died|due to the node dying",
            r"node was preempted|Owner's node has crashed|(?:Owner|LocalRaylet)DiedError",
            r"Job supervisor actor (?:died|could not|failed)|failed to get job supervisor",
            r"class_name: JobSupervisor|Failed to start supervisor actor",
            r"Failed to connect to GCS|marked dead because the detector has missed",
            r"ObjectLostError|ObjectFetchTimedOutError|ObjectReconstructionFailedError",
            r"(?:Task|Actor)PlacementGroupRemoved|health check failed due to missing",
            r"runtime.?env agent (?:timed out|was not|is not|failed to start)",
        ),
    ),
    (
        Symptom.CRASH,
        _any(
            r"its worker process has died|WorkerCrashedError|worker died unexpectedly",
            r"Worker unexpectedly exits with a connection error|Segmentation fault",
            r"Fatal Python error|\(core dumped\)|double free or corruption",
        ),
    ),
    (
        Symptom.COMMUNICATION,
        _any(
            r"\bNCCL error\b|\bnccl(?:UnhandledCuda|System|Internal|Remote)Error\b",
            r"unhandled (?:cuda|system) error|NCCL communicator was aborted",
            r"Watchdog caught collective operation timeout|NCCL watchdog thread terminated",
            r"remote process exited or there was a network error|collective operation timeout",
            r"gloo/transport/|Gloo connectFullMesh failed|ProcessGroupGloo",
            r"Timed out waiting \d{1,12}ms for (?:send|recv)|client socket has timed out",
            r"\bDist(?:Backend|Network|Store)Error\b|Socket Timeout",
        ),
    ),
)

CODES = {
    2: Symptom.GPU_MEMORY,
    46: Symptom.GPU_BUSY,
    100: Symptom.HARDWARE,
    209: Symptom.USER_CODE,
    214: Symptom.HARDWARE,
    220: Symptom.HARDWARE,
    700: Symptom.CUDA_CRASH,
    702: Symptom.CUDA_CRASH,
    710: Symptom.USER_CODE,
    715: Symptom.CUDA_CRASH,
    716: Symptom.CUDA_CRASH,
    718: Symptom.CUDA_CRASH,
    719: Symptom.CUDA_CRASH,
    999: Symptom.CUDA_CRASH,
}
"""`cudaError_t`, the `error_code` of a `torch.AcceleratorError`."""

OWN_ERRORS = {
    "Preempted": Symptom.PREEMPTED,
    "GpuContended": Symptom.CONTENDED,
    "ConfigError": Symptom.USER_CODE,
    "GateFailed": Symptom.USER_CODE,
    "StaleCode": Symptom.USER_CODE,
    "StorageError": Symptom.USER_CODE,
}
"""Errors of Gimbal's by name: scheduling imports nothing that raises them."""

MISTAKES = frozenset(
    {
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "FileExistsError",
        "FileNotFoundError",
        "ImportError",
        "IndentationError",
        "IndexError",
        "IsADirectoryError",
        "JSONDecodeError",
        "KeyError",
        "LinAlgError",
        "LookupError",
        "ModuleNotFoundError",
        "NameError",
        "NotADirectoryError",
        "NotImplementedError",
        "OverflowError",
        "PermissionError",
        "RecursionError",
        "SyntaxError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnpicklingError",
        "ValidationError",
        "ValueError",
        "ZeroDivisionError",
    }
)
STOPS = frozenset({"KeyboardInterrupt", "SystemExit", "TaskCancelledError", "Interrupted"})
RAISED = re.compile(
    rf"^(?:\[rank\d{{1,5}}\]: )?(?:[\w.]{{1,80}}\.)?(?:{'|'.join(sorted(MISTAKES))})(?::|$)",
    re.MULTILINE,
)
MISTAKE_WORDS = _any(
    r"loss (?:is|became|diverged)[^\n]{0,20}(?:nan|inf\b)?|outputs? (?:is|are) nan|non-finite",
    r"shapes? (?:cannot be multiplied|mismatch)|size mismatch|sizes? of tensor a|must match the",
    r"Expected all tensors to be on the same device|Error\(s\) in loading state_dict",
    r"does not require grad|not enough values to unpack|should be the same|Expected object of",
    r"cannot open shared object file|runtime_env setup failed|set up runtime environment",
    r"error raised in its creation task",
)
XID_NUMBER = re.compile(rf"{_XID}(\d{{1,4}})\b", re.IGNORECASE)
NO_REAL_SIZE = re.compile(r"Tried to allocate more than 1EB")
"""No card has that much; the size itself is wrong."""
SUPERVISOR = re.compile(r"JobSupervisor|Job supervisor", re.IGNORECASE)
