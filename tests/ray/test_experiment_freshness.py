"""Workers run the driver's code, although another Gimbal is installed where they start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gimbal

DRIVER = textwrap.dedent("""
    import sys
    import ray
    import gimbal
    from gimbal.errors import StaleCode
    from gimbal.experiment.freshness import code_digest, require_same_code, worker_runtime_env

    def check(digest, path):
        import gimbal
        try:
            require_same_code(digest, path)
        except StaleCode as error:
            return gimbal.__file__, error.message
        return gimbal.__file__, ""

    sent = worker_runtime_env() if sys.argv[2] == "sent" else {}
    ray.init(sys.argv[1], runtime_env=sent, log_to_driver=False, logging_level="ERROR")
    found = ray.get(ray.remote(check).remote(code_digest(["gimbal"]), gimbal.__file__))
    print("\\n".join(found))
""")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A changed copy of this Gimbal, as a job would submit it."""
    folder = tmp_path_factory.mktemp("submitted")
    installed = Path(gimbal.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(installed, folder / "platform" / "gimbal", ignore=ignored)
    (folder / "platform" / "gimbal" / "newer.py").write_text("x = 1\n")
    return folder


def run_driver(newer: Path, mode: str) -> list[str]:
    import ray

    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, address, mode],
        cwd=newer,
        env={**os.environ, "PYTHONPATH": str(newer / "platform")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_runs_the_code_it_is_sent(newer: Path) -> None:
    file, problem = (*run_driver(newer, "sent"), "")[:2]
    assert not problem
    assert not Path(file).is_relative_to(Path(gimbal.__file__).parent)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_with_the_installed_code_refuses_naming_both(newer: Path) -> None:
    file, problem = run_driver(newer, "none")
    assert Path(file) == Path(gimbal.__file__)
    assert str(Path(gimbal.__file__).parent) in problem
    assert str(newer / "platform" / "gimbal") in problem
