"""Where the gradient is on its way from a declared pose to the weights, as numbers to log.

`gimbal.training.gradient_report` says what reached the parameters. These hooks say what reached the
new view's pose and what passed each module's output on the way, so that a gradient that dies can be
traced to the module after which it is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Numbers = dict[str, float]
_POSE = "pose"


class GradientFlow:
    """Watches a module and the poses it leads to, as a context manager.

    Where several forward passes run inside, the last one counts.

    Args:
        module: The policy; every submodule with parameters of its own or of a child is watched.
        prefix: Begins every name of the numbers.
    """

    def __init__(self, module: nn.Module, prefix: str = "flow") -> None:
        self._module = module
        self._prefix = prefix
        self._handles: list[RemovableHandle] = []
        self._forward: dict[str, Numbers] = {}
        self._backward: dict[str, Numbers] = {}
        self._awaited: set[str] = set()

    def __enter__(self) -> Self:
        for name, module in self._module.named_modules():
            if any(True for _ in module.parameters()):
                hook = _Watcher(self, name or "(policy)")
                self._handles.append(module.register_forward_hook(hook))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def watch_pose(self, pose: Tensor) -> None:
        """Watch the gradient on declared poses [B,4,4]: rotation and translation apart."""
        self._await(_POSE, pose)

    def seen(self, name: str, output: object) -> None:
        """Take in what a module gave out."""
        tensors = [t for t in _tensors(output) if t.is_floating_point()]
        if not tensors:
            return
        self._forward[name] = _described(tensors[0])
        for tensor in tensors:
            if tensor.requires_grad:
                self._await(name, tensor)

    def _await(self, name: str, tensor: Tensor) -> None:
        """Note the gradient of a tensor; of several outputs of one module the largest counts."""

        def arrived(gradient: Tensor) -> None:
            found = _pose(gradient) if name == _POSE else _described(gradient)
            old = self._backward.get(name)
            if old is None or old.get("norm", 0.0) <= found.get("norm", 0.0):
                self._backward[name] = found

        self._awaited.add(name)
        self._backward.pop(name, None)
        self._handles.append(tensor.register_hook(arrived))  # type: ignore[no-untyped-call]

    def numbers(self) -> Numbers:
        """Return what was seen, after `backward`.

        Returns:
            `<prefix>/pose/{rotation,translation,nan_share}`; for each module
            `<prefix>/<module>/{output,gradient}` (norms) and `{zero,nan}_share` of the gradient;
            `<prefix>/<module>/missing` is 1 where an output that could carry a gradient got none.
        """
        result: Numbers = {}
        for name, numbers in self._forward.items():
            result[f"{self._prefix}/{name}/output"] = numbers["norm"]
        for name in sorted(self._awaited):
            found = self._backward.get(name)
            result[f"{self._prefix}/{name}/missing"] = float(found is None)
            for key, value in (found or {}).items():
                result[f"{self._prefix}/{name}/{'gradient' if key == 'norm' else key}"] = value
        return result


def summary(numbers: Mapping[str, float], prefix: str = "flow") -> Numbers:
    """Return few of a flow's numbers: the pose, two levels of modules, how many got nothing.

    Args:
        numbers: Of `GradientFlow.numbers`.
        prefix: That they begin with.
    """
    short: Numbers = {f"{prefix}/missing": 0.0}
    for name, value in numbers.items():
        module, _, kind = name.removeprefix(f"{prefix}/").rpartition("/")
        if kind == "missing":
            short[f"{prefix}/missing"] += value
        elif module == _POSE:
            short[name] = value
        elif kind == "gradient" and module.count(".") <= 1:
            short[f"{prefix}/{module}"] = value
    return short


@dataclasses.dataclass(frozen=True)
class _Watcher:
    """The forward hook of one module."""

    flow: GradientFlow
    name: str

    def __call__(self, module: nn.Module, inputs: object, output: object) -> None:
        self.flow.seen(self.name, output)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a module's output, however they are packed."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))


def _described(tensor: Tensor) -> Numbers:
    """Describe values by the norm of the finite ones and the shares of zeros and NaN."""
    values = tensor.detach().double()
    return {
        "norm": float(torch.where(values.isfinite(), values, 0.0).norm()),
        "zero_share": float((values == 0).double().mean()),
        "nan_share": float(values.isnan().double().mean()),
    }


def _pose(gradient: Tensor) -> Numbers:
    """Describe a gradient on poses [B,4,4]: norms over the batch."""
    values = gradient.detach().double()
    return {
        "rotation": float(values[..., :3, :3].norm()),
        "translation": float(values[..., :3, 3].norm()),
        "nan_share": float(values.isnan().double().mean()),
    }
