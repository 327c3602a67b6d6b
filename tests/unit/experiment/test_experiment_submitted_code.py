"""No stale code: the submitted tree runs, also where an older Gimbal is really installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gimbal
from gimbal.errors import StaleCode
from gimbal.experiment import freshness
from gimbal.experiment.freshness import (
    SUBMITTED_CODE,
    code_digest,
    require_same_code,
    require_submitted_code,
    submitted_code,
    uploaded_roots,
    worker_runtime_env,
)

PLATFORM = Path(gimbal.__file__).parents[1]

COMMAND_LINE = '''
"""A command line that does what the real one does first, then says which code runs."""
import sys
from gimbal.experiment import freshness
from gimbal.errors import GimbalError

def main():
    try:
        freshness.reexec_with_submitted_code(sys.argv)
        freshness.require_submitted_code()
    except GimbalError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    import gimbal
    print(gimbal.__file__, gimbal.__version__, *sys.argv[1:])
    try:
        import gimbal_extra
        print(gimbal_extra.__file__)
    except ImportError:
        pass

if __name__ == "__main__":
    main()
'''


def tree(folder: Path, version: str) -> Path:
    """A checkout with a Gimbal of some version and a workload package beside it."""
    shutil.copytree(
        PLATFORM / "gimbal",
        folder / "platform" / "gimbal",
        ignore=shutil.ignore_patterns("__pycache__", "data", "training", "tracking", "pipeline"),
    )
    package = folder / "platform" / "gimbal"
    (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (package / "cli").mkdir(exist_ok=True)
    (package / "cli" / "__init__.py").touch()
    (package / "cli" / "main.py").write_text(COMMAND_LINE)
    (folder / "workloads" / "gimbal_extra").mkdir(parents=True)
    (folder / "workloads" / "gimbal_extra" / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "gimbal"\nversion = "{version}"\n'
        '[project.scripts]\ngimbal = "gimbal.cli.main:main"\n'
        "[tool.setuptools.packages.find]\nwhere = ['platform', 'workloads']\n"
    )
    return folder


@pytest.fixture(scope="module")
def installed_old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which an older Gimbal is really installed, by pip."""
    source = tree(tmp_path_factory.mktemp("old-source"), "0.0.1")
    target = tmp_path_factory.mktemp("old-site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    options = ["--no-index", "--disable-pip-version-check", "--target", str(target), str(source)]
    subprocess.run([*command, *options], check=True)
    assert (target / "gimbal" / "__init__.py").is_file()
    return target


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    """A tree as Ray unpacks it from `--working-dir .`."""
    return tree(tmp_path / "_ray_pkg_0123456789abcdef", "9.9.9")


def run_old(
    site: Path, cwd: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed older command line, as its console script would."""
    start = "import sys; from gimbal.cli.main import main; sys.argv[0] = 'gimbal'; main()"
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("GIMBAL", "RAY", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=cwd,
        env={**keep, "PYTHONPATH": str(site), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def job(folder: Path) -> dict[str, str]:
    """What Ray puts into the environment of a submitted job's driver."""
    working_dir = f"gcs://{folder.name}.zip"
    config = {"runtime_env": {"working_dir": working_dir}, "metadata": {}}
    return {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(config)}


def test_an_older_installed_copy_gives_way_to_the_submitted_one(
    installed_old: Path, submitted: Path
) -> None:
    done = run_old(installed_old, submitted, "run", "a b.yaml", **job(submitted))
    assert done.returncode == 0, done.stderr
    ran, extra = done.stdout.splitlines()
    assert ran == f"{submitted}/platform/gimbal/__init__.py 9.9.9 run a b.yaml"
    assert extra == str(submitted / "workloads" / "gimbal_extra" / "__init__.py")


def test_the_job_is_recognised_from_another_folder(
    installed_old: Path, submitted: Path, tmp_path: Path
) -> None:
    """The entry point may change folder; Ray also leaves the unpacked one on the path."""
    path = f"{installed_old}{os.pathsep}{submitted}"
    done = run_old(installed_old, tmp_path, **{**job(submitted), "PYTHONPATH": path})
    assert done.stdout.startswith(f"{submitted}/platform/gimbal/__init__.py 9.9.9")


def test_the_variable_names_the_submitted_tree(
    installed_old: Path, submitted: Path, tmp_path: Path
) -> None:
    done = run_old(installed_old, tmp_path, **{SUBMITTED_CODE: str(submitted)})
    assert done.stdout.startswith(f"{submitted}/platform/gimbal/__init__.py 9.9.9")


def test_without_a_job_the_installed_copy_simply_runs(installed_old: Path, tmp_path: Path) -> None:
    done = run_old(installed_old, tmp_path)
    assert done.stdout.startswith(f"{installed_old}/gimbal/__init__.py 0.0.1")
    other = tmp_path / "no-gimbal-here"
    other.mkdir()
    done = run_old(installed_old, other, **job(other))
    assert done.stdout.startswith(f"{installed_old}/gimbal/__init__.py 0.0.1")


def test_a_copy_that_still_wins_is_refused_naming_both_without_a_loop(
    installed_old: Path, submitted: Path, tmp_path: Path
) -> None:
    """A start-up hook that puts the old copy first again, as some sites have."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"import sys; sys.path.insert(0, {str(installed_old)!r})"
    )
    (submitted / "platform" / "sitecustomize.py").write_text(
        (hook / "sitecustomize.py").read_text()
    )
    done = run_old(installed_old, submitted, **job(submitted), PYTHONPATH=str(hook))
    assert done.returncode == 1
    assert "StaleCode" in done.stderr
    assert str(installed_old / "gimbal") in done.stderr
    assert str(submitted / "platform" / "gimbal") in done.stderr


def test_the_driver_refuses_other_code_than_submitted(
    submitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SUBMITTED_CODE, str(submitted))
    assert uploaded_roots() == (submitted / "platform", submitted / "workloads")
    with pytest.raises(StaleCode) as caught:
        require_submitted_code()
    assert str(PLATFORM / "gimbal") in caught.value.message
    assert str(submitted / "platform" / "gimbal") in caught.value.message


def test_a_submitted_folder_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StaleCode, match="holds no platform/gimbal"):
        submitted_code({SUBMITTED_CODE: str(tmp_path)})


@pytest.mark.parametrize("value", ["", "{", "[]", '{"runtime_env": {}}', "null"])
def test_an_odd_job_environment_is_no_submission(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert submitted_code({"RAY_JOB_CONFIG_JSON_ENV_VAR": value}) is None


def test_nothing_is_submitted_in_an_ordinary_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SUBMITTED_CODE, "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    assert uploaded_roots() == ()
    freshness.reexec_with_submitted_code(["gimbal", "run"])
    require_submitted_code()


def test_the_digest_tells_copies_apart_by_content_only(
    on_path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for place, text in (("a", "x = 1"), ("b", "x = 1"), ("c", "x = 2")):
        package = tmp_path / place / "copied_kit"
        (package / "sub").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "sub" / "m.py").write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            digests.append(code_digest(["copied_kit"]))
    assert digests[0] == digests[1] != digests[2]


def test_a_worker_with_other_code_refuses_naming_both_paths() -> None:
    require_same_code(code_digest(["gimbal"]), "/driver/gimbal")
    with pytest.raises(StaleCode) as caught:
        require_same_code("0" * 64, "/driver/gimbal")
    assert str(PLATFORM / "gimbal") in caught.value.message
    assert "/driver/gimbal" in caught.value.message


def test_a_workload_of_a_single_file_is_sent_and_compared(toy: Path) -> None:
    file = toy / "toy_workload.py"
    assert worker_runtime_env(["toy_workload"])["py_modules"] == [str(file)]
    before = code_digest(["toy_workload"])
    file.write_text(file.read_text() + "x = 1\n")
    assert code_digest(["toy_workload"]) != before


def test_workers_are_sent_the_running_packages() -> None:
    assert worker_runtime_env() == {
        "py_modules": [str(PLATFORM / "gimbal")],
        "env_vars": {"GIMBAL_SHIPPED_PACKAGES": "gimbal"},
    }
    with pytest.raises(StaleCode, match="no_such_package"):
        worker_runtime_env(["no_such_package"])
