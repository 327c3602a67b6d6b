"""`gimbal runs export`: complete, the same bytes each time, no secret, nothing outside."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reproduction_study import edit_json
from typer.testing import CliRunner

from gimbal.cli.main import build_app
from gimbal.errors import CannotTell, GimbalError, StorageError
from gimbal.experiment.process_identity import this_process
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction.archive import MANIFEST, SUMS, Packed, export_run
from gimbal.reproduction.stored_run import read_run

BLOCK = "stages/rows/blocks/00000.arrow"


def packed(run: Path, out: Path, *, data: bool = False) -> Packed:
    return export_run(read_run(RunFolder(run)), out, data=data)


def unpacked(archive: Path, folder: Path) -> Path:
    """Extract with plain tar, as a stranger would."""
    folder.mkdir()
    subprocess.run(["tar", "xzf", str(archive), "-C", str(folder)], check=True)
    (inside,) = folder.iterdir()
    return inside


def test_it_holds_what_a_run_was_and_measured(run: Path, tmp_path: Path) -> None:
    found = packed(run, tmp_path / "a.tar.gz")
    learn = "stages/learn/checkpoints"
    assert {
        *("config.yaml", "provenance.json", "run.json", "report.html"),
        *(f"stages/{name}/stage.json" for name in ("rows", "learn", "judge")),
        *("stages/judge/samples.json", "stages/judge/evaluation.json"),
        *("stages/learn/metrics.jsonl", "stages/rows/manifest.json", f"{learn}/index.json"),
        *(f"{learn}/step-0000000{n}/state.pt" for n in (1, 2)),
    } <= found.files.keys()
    assert BLOCK not in found.files
    assert not any("page" in name for name in found.files), "the report is there once"
    assert BLOCK in packed(run, tmp_path / "b.tar.gz", data=True).files


def test_its_hashes_hold_after_plain_tar(run: Path, tmp_path: Path) -> None:
    found = packed(run, tmp_path / "a.tar.gz", data=True)
    inside = unpacked(tmp_path / "a.tar.gz", tmp_path / "x")
    assert inside.name == run.name
    manifest = json.loads((inside / MANIFEST).read_text())
    assert manifest["files"] == found.files
    on_disk = {p.relative_to(inside).as_posix() for p in inside.rglob("*") if p.is_file()}
    assert on_disk == {*found.files, MANIFEST, SUMS}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((inside / name).read_bytes()).hexdigest() == digest
    checked = subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=inside, check=False)
    assert checked.returncode == 0
    (inside / "config.yaml").write_text("other")
    checked = subprocess.run(
        ["sha256sum", "--quiet", "-c", SUMS], cwd=inside, check=False, capture_output=True
    )
    assert checked.returncode != 0


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    packed(run, tmp_path / "a.tar.gz", data=True)
    os.utime(run / "config.yaml", (1, 1))
    (run / "report.html").chmod(0o600)
    packed(run, tmp_path / "b.tar.gz", data=True)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_no_name_leads_out_and_no_member_is_a_link(run: Path, tmp_path: Path) -> None:
    packed(run, tmp_path / "a.tar.gz", data=True)
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        for member in tar.getmembers():
            assert member.isreg()
            assert not Path(member.name).is_absolute()
            assert ".." not in Path(member.name).parts
            assert (member.uid, member.gid, member.uname) == (0, 0, "")


def test_a_link_out_of_the_runs_folder_is_left_out_and_said(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    (run / "stages" / "judge" / "notes.json").symlink_to(secret)
    (run / "stages" / "judge" / "same.json").symlink_to(run / "config.yaml")
    found = packed(run, tmp_path / "a.tar.gz")
    assert found.left_out == ("stages/judge/notes.json: it is a link out of the runs folder",)
    assert "stages/judge/same.json" in found.files, "a link inside is followed"
    inside = unpacked(tmp_path / "a.tar.gz", tmp_path / "x")
    assert not (inside / "stages/judge/same.json").is_symlink()


def test_passwords_are_in_no_file(run: Path, tmp_path: Path) -> None:
    address = "https://ann:pa&ss@mlflow.example/x"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("uri: null", f"uri: {address}"))
    edit_json(run / "run.json", lambda s: s["command"].append(f"platform.tracking.uri={address}"))
    (run / "report.html").write_text(f"<pre>{address.replace('&', '&amp;')} {address}</pre>")
    assert "pa&ss" in config.read_text()
    packed(run, tmp_path / "a.tar.gz")
    inside = unpacked(tmp_path / "a.tar.gz", tmp_path / "x")
    for path in inside.rglob("*"):
        if path.is_file():
            assert b"ann:pa" not in path.read_bytes(), path
    assert "https://mlflow.example/x" in (inside / "report.html").read_text()


def test_only_the_best_and_the_last_checkpoint_are_in_it(run: Path, tmp_path: Path) -> None:
    index = run / "stages" / "learn" / "checkpoints" / "index.json"
    edit_json(index, lambda i: i.update(best="step-00000002"))
    found = packed(run, tmp_path / "a.tar.gz", data=True)
    assert not any("step-00000001" in name for name in found.files)


def test_an_index_that_names_a_path_outside_is_not_followed(run: Path, tmp_path: Path) -> None:
    index = run / "stages" / "learn" / "checkpoints" / "index.json"
    edit_json(index, lambda i: i.update(best="../../../../..", last="/etc"))
    names = packed(run, tmp_path / "a.tar.gz").files
    assert not any("etc" in name or ".." in name for name in names)


def test_a_running_run_is_refused(run: Path, tmp_path: Path) -> None:
    owner = this_process().model_dump()
    edit_json(run / "run.json", lambda s: s.update(status="running", owner=owner))
    with pytest.raises(GimbalError, match="is running"):
        packed(run, tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def test_an_archive_in_the_way_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_text("precious")
    with pytest.raises(GimbalError, match="exists already"):
        packed(run, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_text() == "precious"


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_run_without_its_own_state_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(CannotTell):
        packed(run, tmp_path / "a.tar.gz")
    assert list(tmp_path.glob("*.tar.gz")) == []


def test_a_damaged_stage_is_packed_as_it_is_and_said(run: Path, tmp_path: Path) -> None:
    (run / "stages" / "judge" / "stage.json").write_text("{")
    packed(run, tmp_path / "a.tar.gz")
    inside = unpacked(tmp_path / "a.tar.gz", tmp_path / "x")
    assert "damaged" in json.loads((inside / MANIFEST).read_text())["problems"][0]


def test_damaged_checkpoints_and_results_are_named_there_and_in_the_archive(
    run: Path, tmp_path: Path
) -> None:
    assert packed(run, tmp_path / "whole.tar.gz").damaged == ()
    learn = (run / "stages" / "learn").resolve()
    (learn / "checkpoints/step-00000001/state.pt").write_bytes(b"other weights")
    shutil.rmtree(learn / "checkpoints/step-00000002")
    (run / "stages" / "judge" / "samples.json").write_text("{}")
    found = packed(run, tmp_path / "a.tar.gz").damaged
    assert [words.partition(": ")[0] for words in found] == ["learn", "learn", "judge"]
    for words, said in zip(
        found, ("state.pt is damaged", "02 is gone", "was altered"), strict=True
    ):
        assert said in words
    inside = unpacked(tmp_path / "a.tar.gz", tmp_path / "x")
    assert json.loads((inside / MANIFEST).read_text())["damaged"] == list(found)


def test_the_command_says_what_its_sums_do_not_certify(run: Path, tmp_path: Path) -> None:
    state = (run / "stages/learn/checkpoints/step-00000001/state.pt").resolve()
    state.write_bytes(b"other weights")
    export = ["runs", "export", str(run), "--json", "--out"]
    result = CliRunner().invoke(build_app(["runs"]), [*export, str(tmp_path / "a.tar.gz")])
    assert result.exit_code == 0
    (words,) = json.loads(result.stdout)["damaged"]
    assert words.startswith(f"learn: {state} is damaged")
    assert f"damaged {words}\n" in result.stderr
    assert "SHA256SUMS certifies only what was packed" in result.stderr


def test_a_full_disk_leaves_nothing_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        packed(run, tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir() if "tar" in path.name] == []


names = st.text(
    st.characters(blacklist_characters="/\0\n", blacklist_categories=("Cs",)),
    min_size=1,
    max_size=30,
).filter(lambda name: not name.startswith(".") and len(name.encode()) < 100)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(names, st.binary(max_size=300), max_size=4))
def test_any_file_comes_out_as_it_went_in(run: Path, files: dict[str, bytes]) -> None:
    stage = (run / "stages" / "judge").resolve()
    before = {path.name for path in stage.iterdir()}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, content in files.items():
                if name not in before:
                    (stage / name).write_bytes(content)
            found = packed(run, Path(folder, "a.tar.gz"))
            inside = unpacked(Path(folder, "a.tar.gz"), Path(folder, "x"))
            for name, digest in found.files.items():
                assert hashlib.sha256((inside / name).read_bytes()).hexdigest() == digest
            for name in {*files} - before:
                assert (inside / "stages" / "judge" / name).read_bytes() == files[name]
        finally:
            for path in stage.iterdir():
                if path.name not in before:
                    path.unlink()
