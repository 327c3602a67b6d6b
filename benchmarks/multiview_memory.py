"""Memory of the multi-view model per view, by torch's own accounting, on any machine.

Forward passes run on fake tensors: every operation is traced with its true shapes and types, and
nothing is computed or stored. Counted is what autograd keeps for the backward pass, each storage
once, parameters apart. What a checkpointed block needs again while it is recomputed, the gradients
of activations and the allocator's waste are not in it. The bytes are fitted by a line in the number
of views; `off a line` says how far they miss it.

    python benchmarks/multiview_memory.py [--size v1] [--dtype bfloat16] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gimbal_vision.multiview.checkpointing import Checkpointing
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.shape import SIZES
from gimbal_vision.multiview.views import Views

IMAGES = {"518x518": (518, 518), "1008x168": (168, 1008)}
COUNTS = (1, 2, 4)
PARTS = {
    "nothing": Checkpointing(),
    "encoder": Checkpointing(encoder=True),
    "trunk": Checkpointing(trunk=True),
    "heads": Checkpointing(heads=True),
    "all": Checkpointing(encoder=True, trunk=True, heads=True),
}
ADAM_BYTES = 16
"""Of a parameter in float32: itself, its gradient, two moments."""


@dataclass(frozen=True)
class Kept:
    image: str
    recomputed: str
    per_view_mib: float
    fixed_mib: float
    off_a_line: float


@contextmanager
def counting(model: torch.nn.Module) -> Iterator[dict[int, torch.Tensor]]:
    """Give what autograd keeps, by storage."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            kept[storage] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def kept_bytes(size: str, part: str, shape: tuple[int, int], count: int, dtype: str) -> int:
    with torch.device("meta"):
        model = MultiViewModel(SIZES[size], checkpointing=PARTS[part])
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with FakeTensorMode():
        model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
        views = Views(img=torch.empty(1, count, 3, *shape))
        half = torch.autocast("cpu", getattr(torch, dtype), enabled=dtype != "float32")
        with counting(model) as kept, half:
            said = model(views)
        total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        del said
    return total


def measured(size: str, image: str, part: str, dtype: str) -> Kept:
    found = [kept_bytes(size, part, IMAGES[image], count, dtype) / 2**20 for count in COUNTS]
    slope, start = np.polyfit(COUNTS, found, 1)
    off = max(abs(start + slope * n - y) / y for n, y in zip(COUNTS, found, strict=True))
    return Kept(image, part, float(slope), float(start), float(off))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="v1")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with torch.device("meta"):
        model = MultiViewModel(SIZES[given.size])
    parameters = {
        n: sum(p.numel() for p in part.parameters()) for n, part in model.named_children()
    }
    total = sum(parameters.values())
    rows = [measured(given.size, image, part, given.dtype) for image in IMAGES for part in PARTS]
    if given.json:
        print(json.dumps({"parameters": parameters, "kept": [asdict(row) for row in rows]}))
        return
    shares = ", ".join(f"{name} {count / 1e6:.1f}" for name, count in parameters.items())
    print(f"{given.size}: {total / 1e6:.1f} M parameters ({shares})")
    print(
        f"weights, gradients and AdamW's moments in float32: {total * ADAM_BYTES / 2**30:.2f} GiB"
    )
    print(f"kept for the backward pass under {given.dtype}:")
    for row in rows:
        print(
            f"  {row.image}, recomputed {row.recomputed}: {row.per_view_mib:.0f} MiB a view "
            f"+ {row.fixed_mib:.0f} MiB, off a line by {row.off_a_line:.1%}"
        )


if __name__ == "__main__":
    main()
