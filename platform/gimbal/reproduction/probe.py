"""Run in a process of its own, with another checkout's code: which code it is, what files it reads.

It is started by its path, so it imports the `gimbal` of the process's `PYTHONPATH` and nothing of
the one that started it. It reads one JSON object from standard input and prints one.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Answer with the code's `digest` and `folders`, the `workload`'s class and outside `files`."""
    asked = json.load(sys.stdin)
    answer: dict[str, Any] = dict.fromkeys(("problem", "digest", "workload"), "")
    answer |= {"folders": {}, "files": {}}
    try:
        _describe(asked, answer)
    except Exception as error:  # the code of another commit may fail in any way
        answer["problem"] = f"{type(error).__name__}: {error}"
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _describe(asked: dict[str, Any], answer: dict[str, Any]) -> None:
    from gimbal.experiment.freshness import code_digest, package_folders
    from gimbal.experiment.loading import load_experiment

    folders = package_folders(asked["packages"])
    answer["folders"] = {name: str(folder) for name, folder in folders.items()}
    answer["digest"] = code_digest(asked["packages"])
    if answer["digest"] != asked["digest"]:
        return
    workload, settings = load_experiment(asked["config"], asked["overrides"])
    answer["workload"] = f"{type(workload).__module__}:{type(workload).__qualname__}"
    answer["files"] = {
        stage.name: [[str(path), *_content(path)] for path in stage.external_files()]
        for stage in workload.stages(settings)
    }


def _content(path: Any) -> tuple[str, str]:
    from gimbal.errors import GimbalError
    from gimbal.experiment.content import ContentHashes, content_fingerprint

    try:
        return content_fingerprint(path, ContentHashes()), ""
    except GimbalError as error:
        return "", error.message


if __name__ == "__main__":
    main()
