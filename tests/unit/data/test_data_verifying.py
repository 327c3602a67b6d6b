"""Damage is found and named: by the quick check what a crash leaves, by the deep one every bit."""

from __future__ import annotations

import os

import pytest
from data_toys import ToyStage, write_here

from gimbal.data.records import MANIFEST
from gimbal.data.verifying import verify
from gimbal.errors import StorageError


@pytest.fixture
def stage_dir(tmp_path):
    write_here(ToyStage(), tmp_path)
    return tmp_path


def test_a_whole_stage_has_no_bad_blocks(stage_dir):
    assert verify(stage_dir, deep=True) == []


def test_a_truncated_and_a_missing_block_are_found_without_hashing(stage_dir):
    os.truncate(stage_dir / "blocks/00000.arrow", 500)
    (stage_dir / "blocks/00002.arrow").unlink()
    bad = verify(stage_dir)
    assert [block.file for block in bad] == ["blocks/00000.arrow", "blocks/00002.arrow"]
    assert "500 bytes" in bad[0].reason
    assert "missing" in bad[1].reason


def test_a_broken_footer_is_found_without_hashing(stage_dir):
    block = stage_dir / "blocks/00001.arrow"
    content = bytearray(block.read_bytes())
    content[-200:] = bytes(200)
    block.write_bytes(content)
    (bad,) = verify(stage_dir)
    assert bad.file == "blocks/00001.arrow"
    assert "cannot be read" in bad.reason


def test_a_flipped_bit_is_found_by_the_deep_check(stage_dir):
    block = stage_dir / "blocks/00001.arrow"
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(content)
    assert verify(stage_dir) == []
    (bad,) = verify(stage_dir, deep=True)
    assert "sha256" in bad.reason


@pytest.mark.parametrize("content", [None, "{", "{}", '{"format": 1}'])
def test_an_unfinished_or_damaged_manifest_is_said(stage_dir, content):
    (stage_dir / MANIFEST).unlink()
    if content is not None:
        (stage_dir / MANIFEST).write_text(content)
    with pytest.raises(StorageError, match=MANIFEST) as caught:
        verify(stage_dir)
    assert caught.value.remedy
