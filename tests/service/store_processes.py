"""Other processes that use the same store, for tests of what happens between processes.

Run as a program it imports everything once and then forks on request: processes cost no imports and
begin at the same moment. Each does one of the jobs below and prints one JSON value a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from store_support import grant, spec

from gimbal.jobs.model import IllegalTransition, JobState, LeaseLost, Stale
from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_store import SqlJobStore


class Processes:
    """Processes that work on a store, and a file that each batch of them prints to.

    Args:
        folder: Where those files are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._batches = 0
        self._parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, url: str, work: str, processes: int) -> list[Any]:
        """Run a job in several processes and return what they printed."""
        pids, output = self._start(url, work, processes)
        assert self._ask("wait", pids) == [0] * processes
        return _values(output)

    def run_and_kill(self, url: str, work: str, values: int) -> list[Any]:
        """Run a job in one process until it printed some values, and kill it."""
        pids, output = self._start(url, work, 1)
        deadline = time.monotonic() + 60
        while len(_values(output)) < values and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(pids[0], signal.SIGKILL)
        assert self._ask("wait", pids) == [-signal.SIGKILL]
        return _values(output)

    def close(self) -> None:
        """End the parent."""
        self._parent.communicate()

    def _start(self, url: str, work: str, processes: int) -> tuple[list[int], Path]:
        self._batches += 1
        output = self._folder / f"{self._batches}.jsonl"
        return self._ask("start", [url, work, processes, str(output)]), output

    def _ask(self, what: str, argument: Any) -> Any:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps([what, argument]) + "\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline())


def _values(output: Path) -> list[Any]:
    whole = output.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def say(value: Any) -> None:
    """Print one value whole, even beside other processes."""
    os.write(1, (json.dumps(value) + "\n").encode())


def upgrades(url: str) -> None:
    """Bring the database up to date."""
    say(upgrade(url))


def submits_and_cancels(url: str) -> None:
    """Submit 25 jobs that all processes submit and 25 of its own, and cancel them all."""
    store = SqlJobStore(url)
    for number in range(25):
        now = datetime.now(UTC)
        shared, new = store.submit(spec(), now=now, key=f"k{number}")
        own, _ = store.submit(spec(), now=now)
        say([shared.id, new, own.id])
        for job in (shared, own):
            try:
                store.request_cancel(job.id, now=now)
            except IllegalTransition:
                continue  # another process was first
    store.close()


def controls(url: str) -> None:
    """Fight for a short lease and for three cards until every job has ended."""
    store = SqlJobStore(url)
    lease, owner = None, str(os.getpid())
    while jobs := store.active():
        now = datetime.now(UTC)
        lease = lease or store.take_lease(owner, now=now, seconds=0.02)
        if lease is None:
            time.sleep(0.005)
            continue
        try:
            for job in jobs:
                if job.current is not None:
                    job = store.end_attempt(lease, job, state=JobState.SUCCEEDED, now=now)
                    say(["ended", job.id, owner])
                    continue
                cards = [grant("G1"), grant("G2")] if ord(job.id[-1]) % 2 else [grant("G1", 0.5)]
                store.intend(lease, job, grants=cards, gpus=[], now=now)
                say(["intended", job.id, owner])
        except (LeaseLost, Stale) as error:
            say([type(error).__name__, "", owner])
            lease = None if isinstance(error, LeaseLost) else lease
    store.close()


def writes_for_ever(url: str) -> None:
    """Take jobs through their lives, and print each id once it is accepted, until killed."""
    store = SqlJobStore(url)
    while True:
        now = datetime.now(UTC)
        lease = store.take_lease("writer", now=now, seconds=30)
        assert lease is not None
        for other in store.active():
            if other.current is not None:  # the one before was killed with it
                store.end_attempt(lease, other, state=JobState.SUCCEEDED, now=now)
        job, _ = store.submit(spec(), now=now)
        say(job.id)
        job = store.intend(lease, job, grants=[grant("G")], gpus=[], now=now)
        job = store.launched(lease, store.launching(lease, job), now=now)
        job = store.note_run(lease, job, used=[], peak_bytes=1)
        store.end_attempt(lease, job, state=JobState.SUCCEEDED, now=now)


WORK: dict[str, Callable[[str], None]] = {
    work.__name__: work for work in (upgrades, submits_and_cancels, controls, writes_for_ever)
}


def fork(url: str, work: str, processes: int, output: str) -> list[int]:
    """Start processes that print to a file."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            os.dup2(file, 1)
            failed = 1
            try:
                WORK[work](url)
                failed = 0
            except BaseException:  # the process border: the parent must not go on twice
                traceback.print_exc()
            finally:
                os._exit(failed)
        pids.append(pid)
    os.close(file)
    return pids


def main() -> None:
    """Do what is asked on standard input, until it is closed."""
    for line in sys.stdin:
        what, argument = json.loads(line)
        if what == "start":
            say(fork(*argument))
        else:
            say([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in argument])


if __name__ == "__main__":
    main()
