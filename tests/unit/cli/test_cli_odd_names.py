"""Commands print the names of files that are no UTF-8."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from gimbal.cli.border import error_border
from gimbal.cli.run_commands import print_json


def test_a_name_that_is_no_utf8_is_printed_and_its_json_is_json(monkeypatch: pytest.MonkeyPatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8"))
    name = os.fsdecode(b"caf\xe9")
    with error_border():
        print_json({"out": name})
    assert json.loads(printed.getvalue().decode()) == {"out": name}
