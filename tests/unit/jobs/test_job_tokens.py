"""Tokens are unguessable and stored as digests; jobs that compute alike share a peak key."""

from __future__ import annotations

import copy
from typing import Any

from gimbal.jobs.peaks import peak_key
from gimbal.jobs.tokens import is_token, new_token, token_digest

CONFIG: dict[str, Any] = {
    "workload": "nbv",
    "experiment": "e",
    "seed": 1,
    "resources": {"workers": 2, "gpu_memory": 10, "max_batch_per_worker": None},
    "platform": {"runs_dir": "/x"},
    "train": {"steps": 40},
}


def changed(*path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


def test_tokens_differ_and_have_a_shape() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(is_token(token) for token in made)
    assert not any(is_token(text) for text in ("", "gbl_", "gbl_é" * 9, new_token() + "\n", "x"))


def test_a_digest_is_64_digits_and_says_nothing_of_the_token() -> None:
    token = new_token()
    digest = token_digest(token)
    assert len(digest) == 64
    assert token not in digest
    assert digest == token_digest(token) != token_digest(new_token())
    assert token_digest("\ud800")  # an odd header is no crash


def test_what_says_only_where_a_job_runs_keeps_the_peak_key() -> None:
    same = [
        changed("seed", value=2),
        changed("experiment", value="f"),
        changed("platform", "runs_dir", value="/y"),
        changed("resources", "workers", value=4),
        changed("resources", "gpu_memory", value=20),
    ]
    assert {peak_key(config) for config in same} == {peak_key(CONFIG)}


def test_what_changes_the_computation_changes_the_peak_key() -> None:
    others = [
        changed("workload", value="other"),
        changed("train", "steps", value=41),
        changed("resources", "max_batch_per_worker", value=8),
    ]
    assert len({peak_key(config) for config in [CONFIG, *others]}) == 4
