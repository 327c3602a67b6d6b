"""How many trials a cluster has room for, and whether it has room for one.

Trials hold nothing while they wait: every stage asks Ray for all it needs at once, as one task or
one placement group. So too many trials would only wait for each other, never deadlock; but each
keeps two processes, and a trial that waits beside a half-used machine helps nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from gimbal.errors import ConfigError
from gimbal.experiment.settings import Resources


def room_for(
    resources: Resources, wanted: int, cluster: Mapping[str, float], *, grows: bool
) -> tuple[int, str]:
    """Return how many trials to run at once, and a sentence where it is fewer than wanted.

    Args:
        resources: What the training of one trial uses.
        wanted: Trials the sweep file asks for.
        cluster: What Ray has in all, by name.
        grows: The cluster is not ours and may grow, so nothing is refused.

    Raises:
        ConfigError: Not even one trial fits.
    """
    cpus = resources.workers * resources.cpus_per_worker
    rooms = {"CPU": (cpus, cluster.get("CPU", 0.0))}
    if resources.gpus_per_worker != "auto" and resources.gpus_per_worker > 0:
        gpus = resources.workers * resources.gpus_per_worker
        rooms["GPU"] = (gpus, cluster.get("GPU", 0.0))
    fits = wanted
    words = ""
    for name, (needed, there) in rooms.items():
        count = int(there / needed + 1e-9)
        if count < 1 and not grows:
            raise ConfigError(
                f"one trial trains on {needed:g} {name}s and this Ray has {there:g}",
                "lower resources.workers in the sweep file's `set`, or choose a larger Ray "
                "(platform.ray.address, RAY_ADDRESS)",
            )
        if count < fits:
            fits = max(count, 1)
            words = (
                f"{fits} of {wanted} trials at a time: each trains on {needed:g} {name}s and Ray "
                f"has {there:g}"
            )
    return fits, words
