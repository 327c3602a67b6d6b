"""Compare where a run happened with where we are: host, cards, packages, git state.

Pure: two records as `provenance.collect` makes them. The versions that enter a stage's fingerprint
are compared there; here the others are only noted. Python's minor version decides numbers: its
random module and its floats' text may change with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from gimbal.reproduction.findings import Finding, decides, noted

_FACTS = (
    ("host", "host"),
    ("machine.platform", "operating system"),
    ("machine.processor", "processor"),
    ("machine.gpus", "GPUs"),
    ("machine.driver", "GPU driver"),
)
_CHANGE_NUMBERS = ("OMP_NUM_THREADS", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES")
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
_SHOWN_CHARS = 80
_DIGITS = 12


def compare_surroundings(
    recorded: Mapping[str, Any], here: Mapping[str, Any], versions: Mapping[str, str | None]
) -> list[Finding]:
    """Return every difference between a run's surroundings and ours.

    Args:
        recorded: The run's provenance.
        here: What `provenance.collect` finds here, for the same packages.
        versions: Installed version of each package the run imported; None: not installed.
    """
    return [
        *_python(recorded, here),
        *(
            noted(f"{words}: {_text(then)} → {_text(now)}")
            for key, words in _FACTS
            if (then := _at(recorded, key)) is not None
            and (now := _at(here, key)) is not None
            and _names(then) != _names(now)
        ),
        *map(noted, _packages(recorded, versions)),
        *map(noted, _code(recorded, here)),
        *map(noted, _variables(recorded, here)),
        *map(noted, _history(recorded)),
    ]


def packages_of(recorded: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of every installed package a run's driver or workers imported.

    A copy that another package carries inside itself is a part of that package.
    """
    listings = [_mapping(recorded, "packages"), *_mapping(recorded, "worker_packages").values()]
    return {
        name: str(entry["version"])
        for listing in listings
        if isinstance(listing, Mapping)
        for name, entry in listing.items()
        if isinstance(entry, Mapping) and "version" in entry and _is_installed(entry)
    }


def _is_installed(entry: Mapping[str, Any]) -> bool:
    return PurePath(str(entry.get("path"))).parent.name in _INSTALLED_FOLDERS


def _python(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    then, now = _at(recorded, "machine.python"), _at(here, "machine.python")
    if not isinstance(then, str) or not isinstance(now, str) or then == now:
        return
    words = f"Python {then} → {now}"
    yield noted(words) if _minor(then) == _minor(now) else decides(words)


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _packages(recorded: Mapping[str, Any], versions: Mapping[str, str | None]) -> Iterator[str]:
    for name, then in sorted(packages_of(recorded).items()):
        now = versions.get(name, then)
        if now != then:
            yield f"package {name} {then} → {now or 'not installed'}"


def _code(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    then, now = _mapping(recorded, "code"), _mapping(here, "code")
    origins = _mapping(then, "packages")
    for name, folder in _mapping(now, "packages").items():
        if origins.get(name, folder) != folder:
            yield f"import origin of {name}: {origins[name]} → {folder}"
    digests = [str(code.get("digest"))[:_DIGITS] for code in (then, now)]
    if digests[0] != digests[1]:
        yield f"code digest: {digests[0]} → {digests[1]}"
    for words, one in (("the run's tree was dirty", then), ("the tree here is dirty", now)):
        for repository in repositories_of(one):
            if repository.get("dirty"):
                yield f"{words}: {repository.get('root')}"
    commits = [{r.get("commit") for r in repositories_of(code)} for code in (then, now)]
    if commits[0] != commits[1]:
        yield f"commit: {_commits(commits[0])} → {_commits(commits[1])}"


def repositories_of(code: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the git repositories a record of code names; those without a commit are left out."""
    listed = code.get("repositories")
    entries = listed if isinstance(listed, list) else []
    return [r for r in entries if isinstance(r, Mapping) and isinstance(r.get("commit"), str)]


def _commits(commits: set[Any]) -> str:
    return ", ".join(sorted(str(commit)[:_DIGITS] for commit in commits)) or "none"


def _variables(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    then, now = _mapping(recorded, "environment"), _mapping(here, "environment")
    for name in _CHANGE_NUMBERS:
        if then.get(name) != now.get(name):
            yield f"{name}: {then.get(name, 'unset')} → {now.get(name, 'unset')}"


def _history(recorded: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the run itself recorded as out of the ordinary."""
    origins = _mapping(_mapping(recorded, "code"), "origins")
    for module, file in _mapping(origins, "elsewhere").items():
        yield f"the run imported {module} from {file}, outside of its package"
    drift = recorded.get("drift")
    for words in drift if isinstance(drift, list) else ():
        yield f"the run went on in spite of: {words}"
    for key, words in (("workers", "world size"), ("commit", "commit"), ("host", "host")):
        values = dict.fromkeys(str(a[key])[:_DIGITS] for a in _attempts(recorded) if a.get(key))
        if len(values) > 1:
            yield f"the run's attempts differ in {words}: {', '.join(values)}"


def _attempts(recorded: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = recorded.get("attempts")
    return [a for a in listed if isinstance(a, Mapping)] if isinstance(listed, list) else []


def _at(record: Mapping[str, Any], dotted: str) -> Any:
    node: Any = record
    for part in dotted.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> Any:
    """Return a list of cards as their names, whatever else is recorded of each."""
    if isinstance(value, list):
        return [item.get("name", item) if isinstance(item, Mapping) else item for item in value]
    return value


def _text(value: Any) -> str:
    value = _names(value)
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
