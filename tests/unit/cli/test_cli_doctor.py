"""The doctor names every sickness with its cure, and never falls ill itself."""

from __future__ import annotations

import io
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from gimbal.cli import doctor, doctor_code, doctor_machine, doctor_services
from gimbal.cli.doctor_model import Check, Report, guarded
from gimbal.errors import ConfigError


def only(checks: Iterable[Check]) -> Check:
    (check,) = checks
    return check


def named(checks: Iterable[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_it_imports_nothing_heavy_and_prints_whole_json(tmp_path: Path) -> None:
    """In a process of its own, as a user calls it, in a folder without runs."""
    code = (
        "import sys; from gimbal.cli.doctor import doctor_command; doctor_command(json=True);"
        "print({'torch', 'ray', 'mlflow', 'pandas', 'trimesh'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.strip() == "set()"
    report = json.loads(done.stdout)
    names = {check["name"] for check in report["checks"]}
    assert {"gimbal", "git", "Python", "memory", "Ray", "MLflow", "torch", "warp"} <= names
    assert list(tmp_path.iterdir()) == [], "looking leaves no trace"


def test_the_table_shows_marks_remedies_and_how_many_problems() -> None:
    report = Report(
        (
            Check(group="A", name="one", status="ok", value="1.0", place="/opt/one"),
            Check(group="B", name="two", status="problem", value="bad", remedy="mend it"),
            Check(group="B", name="three", status="absent", value="none"),
        )
    )
    screen = io.StringIO()
    doctor.render(report, Console(file=screen, width=100))
    text = screen.getvalue()
    for words in ("✓  one", "1.0 from /opt/one", "✗  two", "→ mend it", "–  three", "1 problem(s)"):
        assert words in text
    assert not report.healthy


def test_the_exit_code_is_1_only_for_a_problem(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for status, code in (("ok", 0), ("absent", 0), ("problem", 1)):
        check = Check(group="A", name="one", status=status, value="")
        monkeypatch.setattr(doctor, "collect", lambda _, check=check: Report((check,)))
        assert doctor.doctor_command(json=True) == code
    capsys.readouterr()


def test_a_checker_that_breaks_becomes_a_finding() -> None:
    def broken() -> Iterable[Check]:
        raise RuntimeError("a sick driver")

    def misconfigured() -> Iterable[Check]:
        raise ConfigError("the key is wrong", "write another")

    assert "a sick driver" in only(guarded("A", "x", broken)).value
    assert only(guarded("A", "x", misconfigured)).remedy == "write another"


def test_another_copy_of_gimbal_on_the_path_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "old" / "gimbal"
    copy.mkdir(parents=True)
    (copy / "__init__.py").touch()
    check = only(doctor_code.duplicates([str(tmp_path / "old"), str(tmp_path)]))
    assert (check.status, check.value) == ("problem", str(copy))
    assert only(doctor_code.duplicates([str(tmp_path)])).status == "ok"


def test_a_module_named_platform_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor_code.shadowing()).status == "ok"
    impostor = SimpleNamespace(__file__=str(tmp_path / "platform" / "__init__.py"))
    monkeypatch.setattr(doctor_code, "platform", impostor)
    check = only(doctor_code.shadowing())
    assert check.status == "problem"
    assert impostor.__file__ in check.remedy


@pytest.mark.parametrize(
    ("requirement", "status"),
    [("pytest>=1", "ok"), ("pytest>=1000", "problem"), ("no-such-library-at-all", "problem")],
)
def test_a_library_of_an_untested_version_is_a_problem(
    requirement: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_code.metadata, "requires", lambda _: [requirement])
    check = only(doctor_code.libraries())
    assert check.status == status
    assert bool(check.remedy) == (status == "problem")


class NvmlError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def fake_nvml(init_error: int | None = None, gpus: int = 0, broken: int = -1) -> SimpleNamespace:
    def init() -> None:
        if init_error is not None:
            raise NvmlError(init_error)

    def handle(index: int) -> int:
        if index == broken:
            raise NvmlError(15)
        return index

    return SimpleNamespace(
        NVMLError=NvmlError,
        NVML_ERROR_DRIVER_NOT_LOADED=9,
        NVML_ERROR_LIBRARY_NOT_FOUND=12,
        NVML_ERROR_LIB_RM_VERSION_MISMATCH=18,
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.65",
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetName=lambda _: "Test GPU",
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(free=2 * 1024**3, total=4 * 1024**3),
    )


@pytest.mark.parametrize(
    ("error", "loaded", "status", "words"),
    [
        (12, False, "absent", "everything runs on CPU"),
        (9, False, "absent", "everything runs on CPU"),
        (12, True, "problem", "does not answer"),
        (18, True, "problem", "different versions"),
        (999, False, "problem", "does not answer"),
    ],
)
def test_no_gpu_is_fine_and_a_sick_driver_is_not(
    error: int,
    loaded: bool,
    status: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = tmp_path / "version"
    if loaded:
        driver.touch()
    monkeypatch.setattr(doctor_machine, "_NVIDIA_DRIVER", driver)
    check = only(doctor_machine.gpus(fake_nvml(init_error=error)))
    assert check.status == status
    assert words in check.value


def test_each_gpu_is_listed_and_a_lost_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine.metadata, "version", lambda _: "2.13.0+cpu")
    checks = list(doctor_machine.gpus(fake_nvml(gpus=2, broken=1)))
    assert "Test GPU, 2.0 GiB free of 4.0 GiB, driver 580.65" in checks[0].value
    assert [check.status for check in checks] == ["ok", "problem", "problem"]
    assert "cannot use the GPUs" in checks[2].value


def test_gpus_with_a_cuda_build_of_torch_are_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine.metadata, "version", lambda _: "2.13.0")
    assert [check.status for check in doctor_machine.gpus(fake_nvml(gpus=1))] == ["ok"]


@pytest.fixture
def listening() -> Iterable[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_ray_need_not_run_but_must_where_it_was_promised(listening: str) -> None:
    assert only(doctor_services.ray({})).status == "ok"
    assert only(doctor_services.ray({"RAY_ADDRESS": listening})).status == "ok"
    assert only(doctor_services.ray({"RAY_ADDRESS": f"ray://{listening}"})).status == "ok"
    check = only(doctor_services.ray({"RAY_ADDRESS": free_address()}))
    assert (check.status, "RAY_ADDRESS" in check.remedy) == ("problem", True)


def test_ray_auto_looks_for_this_machines_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: str
) -> None:
    note = tmp_path / "ray_current_cluster"
    monkeypatch.setattr(doctor_services, "_CURRENT_CLUSTER", note)
    assert only(doctor_services.ray({"RAY_ADDRESS": "auto"})).status == "problem"
    note.write_text(listening)
    assert only(doctor_services.ray({"RAY_ADDRESS": "auto"})).status == "ok"


def test_token_mode_without_a_token_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_services.Path, "home", lambda: tmp_path)
    environment = {"RAY_ADDRESS": "head:6379", "RAY_AUTH_MODE": "token"}
    assert only(doctor_services.ray_auth(environment)).status == "problem"
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o644)
    check = only(doctor_services.ray_auth(environment))
    assert (check.status, "chmod 600" in check.remedy) == ("ok", True)
    assert "secret" not in str(check)
    token.chmod(0o600)
    assert only(doctor_services.ray_auth(environment)).remedy == ""
    assert only(doctor_services.ray_auth({"RAY_ADDRESS": "head:6379"})).status == "absent"
    assert only(doctor_services.ray_auth({})).status == "ok"


def mlflow(runs: Path, uri: str | None = None) -> Check:
    environment = {"MLFLOW_TRACKING_URI": uri} if uri else {}
    return named(doctor_services.mlflow(runs, environment), "MLflow")


def test_the_store_is_tried(tmp_path: Path) -> None:
    assert "made by the first run" in mlflow(tmp_path).value
    database = sqlite3.connect(tmp_path / "mlflow.db")
    database.execute("create table runs (run_uuid text)")
    database.close()
    assert mlflow(tmp_path).status == "ok"
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, it is a letter" * 100)
    assert "not a database" in mlflow(tmp_path).value


def test_a_server_that_is_away_is_a_problem_and_its_password_stays_secret(tmp_path: Path) -> None:
    check = mlflow(tmp_path, f"http://ann:hush@{free_address()}")
    assert check.status == "problem"
    assert "hush" not in str(check)


def test_a_plain_folder_as_store_is_explained(tmp_path: Path) -> None:
    def check() -> Iterable[Check]:
        return doctor_services.mlflow(tmp_path, {"MLFLOW_TRACKING_URI": "./mlruns"})

    found = only(guarded("Services", "MLflow", check))
    assert (found.status, "sqlite:///" in found.remedy) == ("problem", True)


def test_a_runs_folder_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(doctor_services.runs_folder(tmp_path / "new" / "runs")).status == "ok"

    def refuse(**_: object) -> Callable:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_services.tempfile, "TemporaryFile", refuse)
    check = only(doctor_services.runs_folder(tmp_path / "runs"))
    assert (check.status, "Permission denied" in check.value) == ("problem", True)


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=10**6, total=10**12)
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _: usage)
    statuses = [check.status for check in doctor_machine.disks(tmp_path, tmp_path)]
    assert statuses == ["problem", "problem"]


def test_optional_backends_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_services.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(doctor_services.shutil, "which", lambda _: None)
    checks = list(doctor_services.optional_backends())
    assert {check.name for check in checks} == {"warp", "pytorch3d", "mapanything", "chromium"}
    assert {check.status for check in checks} == {"absent"}
    assert "gimbal[warp]" in named(checks, "warp").remedy
    assert "pytorch3d" in named(checks, "pytorch3d").remedy
