"""Which code a run's workers must have, and the check that they have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gimbal.experiment import freshness
from gimbal.experiment.code_closure import code_hashes
from gimbal.experiment.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeIdentity:
    """The driver's code, as its workers compare it with theirs.

    Attributes:
        packages: Top-level packages the stages reach.
        digest: Hash of their sources.
        driver_path: Where the driver's `gimbal` lies.
    """

    packages: tuple[str, ...]
    digest: str
    driver_path: str

    def require(self) -> None:
        """Refuse to run other code than the driver's; a worker's first act.

        Raises:
            StaleCode: Naming both paths.
        """
        freshness.require_same_code(self.digest, self.driver_path, self.packages)


def identify_code(stages: Iterable[Stage]) -> CodeIdentity:
    """Describe the code of this process that the stages reach."""
    reached = {"gimbal"}
    for stage in stages:
        hashes = code_hashes(type(stage).__module__, stage.code_modules)
        reached.update(name.partition("/")[0].removesuffix(".py") for name in hashes)
    packages = tuple(sorted(reached))
    folders = freshness.package_folders(packages)
    return CodeIdentity(
        packages=packages,
        digest=freshness.code_digest(packages),
        driver_path=str(folders["gimbal"]),
    )
