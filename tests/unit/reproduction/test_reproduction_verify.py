"""`gimbal verify`: every difference is named and lands in the right class; nothing crashes it."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reproduction_study import Lab, edit_json

from gimbal.errors import CannotTell, Drift
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction import recomputing, verifying
from gimbal.reproduction.findings import Verdict, Weight
from gimbal.reproduction.verifying import verify_run


def verified(run: Path) -> Verdict:
    return verify_run(RunFolder(run))


def words(verdict: Verdict, weight: Weight) -> list[str]:
    return [str(finding) for finding in verdict.of(weight)]


def stage_file(run: Path, stage: str, name: str) -> Path:
    return run / "stages" / stage / name


def test_an_unchanged_environment_reproduces_the_run(run: Path, here: Path) -> None:
    verdict = verified(run)
    assert (verdict.exit_code, verdict.of(Weight.DECIDES), verdict.of(Weight.OPEN)) == (0, (), ())
    assert verdict.same == tuple(f"fingerprint of {name}" for name in ("rows", "learn", "judge"))
    verdict.require()
    assert any("import origin of study_workload" in line for line in words(verdict, Weight.NOTED))


def test_changed_code_is_named_once_with_its_stages(run: Path, here: Path) -> None:
    here.write_text(here.read_text() + "\n# another version\n")
    verdict = verified(run)
    assert words(verdict, Weight.DECIDES) == [
        "code: study_workload.py changed (rows, learn, judge)"
    ]
    with pytest.raises(Drift, match=r"study_workload\.py changed"):
        verdict.require()


def test_every_changed_file_is_named_however_many(run: Path) -> None:
    old = {"code": {f"{n}.py": "1" for n in range(9)}}
    new = {"code": {f"{n}.py": "2" for n in range(9)}}
    found = recomputing.part_differences(old, new)
    assert found == [f"code: {n}.py changed" for n in range(9)]


def test_a_setting_that_no_longer_holds_decides(run: Path, here: Path) -> None:
    here.write_text(here.read_text().replace("count: int = 3", "amount: int = 3"))
    verdict = verified(run)
    assert verdict.exit_code == 7
    (line,) = words(verdict, Weight.DECIDES)
    assert "its config no longer holds here" in line
    assert "count" in line


def test_a_library_of_another_version_decides(
    run: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gimbal.experiment import fingerprint

    monkeypatch.setattr(fingerprint, "_version", lambda name: "0.1")
    found = words(verified(run), Weight.DECIDES)
    assert any(line.startswith("library numpy ") and "→ 0.1 (rows, learn" in line for line in found)


def test_an_outside_file_that_changed_or_vanished_is_named(lab: Lab, run: Path, here: Path) -> None:
    (lab.desk / "outside.txt").write_text("something else")
    verdict = verified(run)
    assert words(verdict, Weight.DECIDES) == ["content of settings.file changed (rows)"]

    (lab.desk / "outside.txt").unlink()
    (line,) = words(verified(run), Weight.DECIDES)
    assert line == "outside file: there is no file or folder outside.txt (rows)"


def test_another_python_decides_and_another_host_is_noted(run: Path, here: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["machine"]["python"] = "3.9.1"
        record["machine"]["gpus"] = ["NVIDIA H100"]
        record["host"] = "elsewhere"
        for packages in (record["packages"], *record["worker_packages"].values()):
            packages["rich"]["version"] = "0.0.1"

    edit_json(run / "provenance.json", change)
    verdict = verified(run)
    assert [line.partition(" →")[0] for line in words(verdict, Weight.DECIDES)] == ["Python 3.9.1"]
    noted = "\n".join(words(verdict, Weight.NOTED))
    for part in ("host: elsewhere →", "GPUs: NVIDIA H100 →", "package rich 0.0.1 →"):
        assert part in noted


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: list[tuple[str, str, Callable[[Path], Any], str]] = [
    ("block cut short", "stages/rows/blocks/00000.arrow", truncate, "bytes"),
    ("block with a flipped bit", "stages/rows/blocks/00001.arrow", flip, "sha256"),
    ("block gone", "stages/rows/blocks/00001.arrow", Path.unlink, "it is missing"),
    ("manifest gone", "stages/rows/manifest.json", Path.unlink, "is gone"),
    ("manifest damaged", "stages/rows/manifest.json", truncate, "damaged"),
    ("checkpoint flipped", "stages/learn/checkpoints/step-00000001/state.pt", flip, "sha256"),
    ("checkpoint gone", "stages/learn/checkpoints/step-00000002/state.pt", Path.unlink, "read"),
    ("card damaged", "stages/learn/checkpoints/step-00000002/checkpoint.json", truncate, "damaged"),
    ("index damaged", "stages/learn/checkpoints/index.json", truncate, "damaged"),
    ("samples edited", "stages/judge/samples.json", flip, "was altered after its stage finished"),
    ("curve cut short", "stages/learn/metrics.jsonl", truncate, "was altered after"),
    ("result gone", "stages/judge/evaluation.json", Path.unlink, "evaluation.json is gone"),
    ("record gone", "stages/learn/stage.json", Path.unlink, "there is no"),
    ("record cut short", "stages/judge/stage.json", truncate, "damaged"),
    ("config gone", "config.yaml", Path.unlink, "config.yaml"),
    ("config empty", "config.yaml", empty, "is damaged: it names no workload"),
    ("config no mapping", "config.yaml", lambda path: path.write_text("- 1"), "is damaged"),
    ("config no YAML", "config.yaml", lambda path: path.write_text("a: ["), "is not valid YAML"),
    ("provenance gone", "provenance.json", Path.unlink, "is missing"),
    ("provenance damaged", "provenance.json", truncate, "damaged"),
    ("state damaged", "run.json", truncate, "damaged"),
    ("stage gone", "stages/learn", shutil.rmtree, "files are gone"),
]


@pytest.mark.parametrize(
    ("name", "damage", "said"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES]
)
def test_damage_leaves_the_question_open_and_is_named(
    run: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: Callable[[Path], Any],
    said: str,
) -> None:
    monkeypatch.setattr(verifying, "surroundings_now", lambda _: [])  # the slow half, not asked
    damage((run / name).resolve())
    verdict = verified(run)
    assert verdict.exit_code == 8, words(verdict, Weight.DECIDES)
    assert said in "\n".join(words(verdict, Weight.OPEN))
    with pytest.raises(CannotTell):
        verdict.require()


def test_a_record_whose_parts_were_edited_is_not_believed(run: Path, here: Path) -> None:
    edit_json(stage_file(run, "judge", "stage.json"), lambda r: r["parts"].update(seed=5))
    assert "its parts do not give its fingerprint" in str(verified(run).findings)


def test_a_record_older_than_the_hashes_of_files_leaves_them_unchecked(
    run: Path, here: Path
) -> None:
    edit_json(stage_file(run, "judge", "stage.json"), lambda r: r.pop("files"))
    flip(stage_file(run, "judge", "samples.json"))
    assert verified(run).exit_code == 0


def test_numbers_edited_in_one_place_only_are_noticed(run: Path, here: Path) -> None:
    edit_json(stage_file(run, "judge", "stage.json"), lambda r: r["metrics"].update(score=0.9))
    assert "run.json and stage.json disagree about its numbers (judge)" in words(
        verified(run), Weight.OPEN
    )


def test_rows_that_are_not_the_ones_used_decide(run: Path, here: Path) -> None:
    edit_json(run / "provenance.json", lambda r: r["data"].update({"rows rows": "f" * 64}))
    (line,) = words(verified(run), Weight.DECIDES)
    assert "the run used ffffffffffff (rows)" in line


def test_an_unfinished_run_cannot_be_told(run: Path, here: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["status"] = "failed"
        state["message"] = "no more disk"

    edit_json(run / "run.json", change)
    verdict = verified(run)
    assert verdict.exit_code == 8
    assert words(verdict, Weight.OPEN) == ["the run did not finish; it is failed: no more disk"]


def test_a_workload_that_is_not_installed_decides(run: Path) -> None:
    verdict = verified(run)
    assert verdict.exit_code == 7
    assert "there is no workload 'study'" in words(verdict, Weight.DECIDES)[0]
    assert any("package study_workload cannot be found" in w for w in words(verdict, Weight.OPEN))


def test_stages_given_by_another_run_are_said_not_to_be_checked(run: Path, here: Path) -> None:
    """An evaluation of another run's policy: its class is recorded, `learn` is not its own."""
    judging = (
        "\n\nclass Judging(StudyWorkload):\n"
        "    def stages(self, config):\n"
        "        return StudyWorkload.stages(self, config)[2:]\n"
    )
    source = here.read_text()
    here.write_text(source + judging)
    importlib.invalidate_caches()

    def forget(state: dict[str, Any]) -> None:
        for name in ("rows", "learn"):
            del state["stages"][name]

    edit_json(run / "run.json", forget)
    edit_json(run / "provenance.json", lambda r: r.update(workload="study_workload:Judging"))
    verdict = verified(run)
    assert f"learn came from {run.name} (" in "\n".join(words(verdict, Weight.OPEN))
    assert words(verdict, Weight.DECIDES) == ["code: study_workload.py changed (judge)"]


def test_a_recorded_class_that_is_gone_is_named(run: Path, here: Path) -> None:
    edit_json(run / "provenance.json", lambda r: r.update(workload="study_workload:Gone"))
    assert "study_workload:Gone" in words(verified(run), Weight.DECIDES)[0]


def test_the_report_is_one_json_object_with_every_class(run: Path, here: Path) -> None:
    here.write_text(here.read_text() + "\n# another version\n")
    report = verified(run).as_json()
    assert report["exit_code"] == 7
    assert report["decides"] == [
        {"what": "code: study_workload.py changed", "stages": ["rows", "learn", "judge"]}
    ]
    assert {"open", "noted", "same", "run_dir"} <= report.keys()


@pytest.mark.slow
def test_the_command_says_it_in_words_json_and_exit_status(lab: Lab, run: Path) -> None:
    code, out, err = lab.call("verify", run.name)
    assert (code, err) == (0, "")
    assert "nothing that decides numbers differs: 3 stages have the same fingerprint" in out
    (lab.desk / "outside.txt").write_text("something else")
    code, out, err = lab.call("verify", run.name, "--json")
    assert code == 7
    assert json.loads(out)["decides"] == [
        {"what": "content of settings.file changed", "stages": ["rows"]}
    ]
    assert "decides numbers: content of settings.file changed (rows)" in err
    (lab.desk / "outside.txt").write_text("outside")
    (run / "provenance.json").write_text("{")
    code, out, err = lab.call("verify", run.name)
    assert code == 8
    assert "cannot be told" in out
    code, out, err = lab.call("verify", "nothing")
    assert (code, out) == (2, "")
    assert "there is no run 'nothing'" in err
