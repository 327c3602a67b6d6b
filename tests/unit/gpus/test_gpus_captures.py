"""A capture of nvidia-smi becomes a sample or a problem, whatever it holds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gimbal.gpus.model import ProcessUse
from gimbal.gpus.sanity import executable_name, plausible
from gimbal.gpus.smi_xml import MAX_BYTES, parse_capture, read_capture
from gimbal.gpus.words import GIB, MIB

SHARED = Path(__file__).parents[4] / "shared" / "data" / "nvidia_smi"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")
CARD = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><gpu id="0:1"><product_name>RTX 3090</product_name><uuid>GPU-1</uuid>
<mig_mode><current_mig>{mig}</current_mig></mig_mode>
<fb_memory_usage><total>24576 MiB</total><reserved>316 MiB</reserved><used>{used}</used>
</fb_memory_usage>{health}<processes>{processes}</processes>
<accounted_processes><accounted_process_info><pid>99</pid></accounted_process_info>
</accounted_processes></gpu></nvidia_smi_log>"""


def card(used: str = "900 MiB", health: str = "", processes: str = "", mig: str = "N/A"):
    text = CARD.format(used=used, health=health, processes=processes, mig=mig)
    sample = parse_capture(text.encode(), at=5.0)
    assert not sample.problem
    return sample.gpus[0]


def process(pid: str, memory: str, name: str = "python") -> str:
    return (
        f"<process_info><pid>{pid}</pid><process_name>{name}</process_name>"
        f"<used_memory>{memory}</used_memory></process_info>"
    )


def test_memory_processes_and_names_are_read_and_accounted_processes_are_not() -> None:
    seen = card(processes=process("7", "800 MiB", "/home/x/bin/python train.py --lr 1"))
    assert (seen.uuid, seen.name, seen.index) == ("GPU-1", "RTX 3090", 0)
    assert (seen.total_bytes, seen.used_bytes) == (24 * GIB, 900 * MIB)
    assert seen.reserved_bytes == 316 * MIB
    assert seen.processes == (ProcessUse(pid=7, used_bytes=800 * MIB, name="python"),)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (
            "<ecc_errors><volatile><dram_uncorrectable>2</dram_uncorrectable></volatile>"
            "</ecc_errors>",
            "2 uncorrectable ECC errors",
        ),
        (
            "<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>",
            "spare",
        ),
        (
            "<remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>",
            "reset",
        ),
        ("<retired_pages><pending_retirement>Yes</pending_retirement></retired_pages>", "reset"),
        ("<remapped_rows>N/A</remapped_rows>", ""),
    ],
)
def test_hardware_errors_are_faults(health: str, words: str) -> None:
    fault = card(health=health).fault
    assert words in fault
    assert bool(fault) == bool(words)


def test_a_lost_or_split_card_is_a_problem_of_that_card() -> None:
    assert "lost" in card(used="GPU is lost").problem
    assert "MIG" in card(mig="Enabled").problem
    assert card(used="N/A").used_bytes is None


def test_a_list_that_may_not_be_read_is_no_empty_list() -> None:
    assert card(processes="Insufficient Permissions").processes is None
    assert card(processes="None").processes == ()


def test_impossible_entries_and_impossible_lists_are_left_out() -> None:
    nonsense = process("0", "1 MiB") + process("4294967295", "1 MiB") + process("x", "1 MiB")
    assert card(processes=nonsense + process("7", "99999 MiB")).processes == ()
    assert card(used="1 MiB", processes=process("7", "9000 MiB")).processes is None
    unsaid = card(processes=process("7", "N/A", "[Not Found]")).processes
    assert unsaid == (ProcessUse(pid=7, used_bytes=None, name=""),)


def test_one_process_in_several_lists_counts_once_with_its_larger_memory() -> None:
    uses = [ProcessUse(pid=7, used_bytes=held) for held in (None, 5, 3)]
    assert plausible(uses, total_bytes=9, used_bytes=9) == (uses[1],)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/lib/xorg/Xorg -nolisten tcp", "Xorg"),
        ("C:\\tools\\python.exe x", "python.exe"),
        ("训练 job.py", "训练"),
        ("a\x1b[31mb", "a[31mb"),
        ("[Not Found]", ""),
        ("", ""),
    ],
)
def test_an_executables_name_is_told_and_never_its_arguments(command: str, name: str) -> None:
    assert executable_name(command) == name


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"No devices were found\n", "No devices were found"),
        (b"\xff\xfe\x00", "nvidia-smi says"),
        (b"<nvidia_smi_log>", "damaged"),
        (b"<html></html>", "not one of"),
        (b"<nvidia_smi_log/>", "no card"),
        (b"<?xml version='1.0' encoding='latin-99'?><a/>", "damaged"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "entities"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "entities"),
        (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]><a/>', "entities"),
        (b"<" + b"a" * MAX_BYTES, "too large"),
    ],
)
def test_what_is_no_capture_is_a_problem(data: bytes, words: str) -> None:
    sample = parse_capture(data, at=0)
    assert words in sample.problem
    assert sample.gpus == ()


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert "cannot be read" in read_capture(tmp_path / "none.xml", at=0).problem


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert parse_capture(data, at=0).problem
    parse_capture(b"<nvidia_smi_log><gpu>" + data + b"</gpu></nvidia_smi_log>", at=0)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_in_a_field_raises(first: str, second: str) -> None:
    from xml.sax.saxutils import escape

    inner = process(escape(first), escape(second), escape(first + second))
    text = CARD.format(used=escape(first), health="", processes=inner, mig=escape(second))
    parse_capture(text.encode("utf-8", "replace"), at=0)


@needs_shared
def test_every_shared_capture_is_a_sample_or_a_problem() -> None:
    files = [path for path in SHARED.rglob("*") if path.suffix in (".xml", ".txt")]
    samples = {path.name: read_capture(path, at=1.0) for path in files}
    assert len(samples) >= 9
    for name, sample in samples.items():
        assert bool(sample.problem) != bool(sample.gpus), name
    assert "mismatch" in samples["driver_mismatch.txt"].problem
    assert [gpu.uuid for gpu in samples["rtx-3090-v12.xml"].gpus] == [
        "GPU-12345678-aaaa-bbbb-cccc-0123456789ab"
    ]
    assert all(not gpu.problem and not gpu.fault for gpu in samples["gtx-8card.xml"].gpus)


@needs_shared
def test_a_capture_of_several_users_agrees_with_its_ground_truth() -> None:
    sample = read_capture(SHARED / "made" / "8gpu_multiuser.xml", at=0)
    with (SHARED / "made" / "8gpu_multiuser_truth.csv").open(encoding="utf-8") as file:
        truth = [
            (
                int(row["gpu_index"]),
                int(row["pid"]),
                None
                if row["used_memory"] == "N/A"
                else int(row["used_memory"].removesuffix(" MiB")) * MIB,
                executable_name(row["process_name"]),
            )
            for row in csv.DictReader(file)
        ]
    seen = [
        (gpu.index, use.pid, use.used_bytes, use.name)
        for gpu in sample.gpus
        for use in gpu.processes or ()
    ]
    assert sorted(seen, key=str) == sorted(truth, key=str)
