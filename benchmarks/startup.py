"""How long `gimbal --help` takes, against Python itself and against importing typer alone.

    python benchmarks/startup.py [--rounds 11]

Prints the median wall time of each whole process, interleaved, and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import typer, rich help": [sys.executable, "-c", "import typer, typer.rich_utils"],
    "gimbal --help": [sys.executable, "-m", "gimbal.cli.main", "--help"],
}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    result = {name: round(median(values), 3) for name, values in times.items()}
    for name, value in result.items():
        print(f"{name:<26} {value:.3f} s")
    print(json.dumps({"median_s": result, "limit_s": 0.4}))


if __name__ == "__main__":
    main()
