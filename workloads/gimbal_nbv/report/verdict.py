"""What the numbers say, in plain words: the headline a tired reader may repeat without lying.

The wording hangs on two questions only: does the interval of the gap closed exclude zero, and does
the blind control do as well? A blind control that keeps up outranks any good number, because
then nothing was learned from the observations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .statistics import Paired, gaps_of, paired
from .text import finite, floats, interval, mapping, number, numbers_in, percent, plural, records

Tone = Literal["good", "caution", "bad", "unknown"]
FEW_OBJECTS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The judgement on top of the page.

    Attributes:
        tone: Colour of the badge; never the only carrier of the message.
        badge: The judgement in a few words.
        headline: One sentence with the numbers.
        notes: What a careful reader should know besides.
        alarms: What must not be overlooked, whatever the headline says.
    """

    tone: Tone
    badge: str
    headline: str
    notes: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


def judge(evaluation: Mapping[str, Any], run: Mapping[str, Any]) -> Verdict:
    """Turn an evaluation into the headline, its badge and the notes below it."""
    objects = records(evaluation.get("per_object"))
    gaps = gaps_of(evaluation)
    notes = (*_blind_note(objects, gaps), *_caution_notes(evaluation, objects))
    alarms = (*_drift(evaluation), *_alarms(run))
    auc = numbers_in(evaluation.get("auc"))
    measurable = auc.get("oracle", -1.0) > auc.get("farthest", 2.0)
    if "policy" not in gaps or not measurable:
        return Verdict(
            tone="unknown",
            badge="Not measured",
            headline="The gap between farthest and the oracle could not be measured: "
            "it needs the policy, farthest and the oracle on the same objects, "
            "and an oracle that beats farthest.",
            notes=notes,
            alarms=alarms,
        )
    value, bounds = gaps["policy"]
    size = f"{percent(value)} {interval(bounds, digits=0, share=True)}".strip()
    where = f"the gap between farthest and the oracle{_on_objects(evaluation, objects)}"
    blind = gaps.get("blind")
    tone, badge, headline = _reading(value, floats(bounds), size, where)
    few = 0 < len(objects) < FEW_OBJECTS
    if blind is not None:
        blind_size = percent(blind[0])
        if tone == "good" and _blind_keeps_up(paired(objects, "policy", "blind"), gaps):
            tone, badge = "bad", "The blind control does as well"
            headline = (
                f"{headline}, but the blind control, which sees nothing, closes {blind_size}: "
                "this result does not come from what the camera sees."
            )
        else:
            headline += f"; the blind control closes {blind_size}."
    else:
        headline += "."
    if tone == "good" and few:
        tone, badge = "caution", f"{badge}, on few objects"
    return Verdict(tone=tone, badge=badge, headline=headline, notes=notes, alarms=alarms)


def _reading(
    value: float, bounds: Sequence[float | None], size: str, where: str
) -> tuple[Tone, str, str]:
    low, high = (bounds[0], bounds[1]) if len(bounds) == 2 else (None, None)
    if low is None or high is None:
        headline = f"The policy closes {size} of {where}, with no interval to judge it by"
        return "caution", "No interval", headline
    if high < 0:
        headline = f"The policy does worse than farthest: it closes {size} of {where}"
        return "bad", "Worse than farthest", headline
    if low <= 0:
        headline = f"No measurable gain: the policy closes {size} of {where}, and the interval "
        return "caution", "Not distinguishable from farthest", headline + "includes zero"
    return "good", "Beats farthest", f"The policy closes {size} of {where}"


def _on_objects(evaluation: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> str:
    count = finite(mapping(evaluation.get("protocol")).get("objects")) or len(objects)
    return f" on {plural(int(count), 'held-out object')}" if count else ""


def _blind_keeps_up(difference: Paired | None, gaps: Mapping[str, tuple[float, Any]]) -> bool:
    """Whether the sighted policy fails to lead; falls back on the policy's own interval."""
    if difference is not None and difference.objects > 1:
        return not difference.significant
    bounds = floats(gaps["policy"][1])
    low = bounds[0] if len(bounds) == 2 else None
    return low is not None and gaps["blind"][0] >= low


def _blind_note(
    objects: Sequence[Mapping[str, Any]], gaps: Mapping[str, tuple[float, Any]]
) -> list[str]:
    if "blind" not in gaps:
        return [
            "No blind control was evaluated, so this page cannot say whether the policy uses "
            "what it sees."
        ]
    difference = paired(objects, "policy", "blind")
    if difference is None or difference.objects < 2:
        return []
    found = "more than chance" if difference.significant else "no more than chance"
    return [
        f"Sighted minus blind: {number(difference.mean, 4, sign=True)} AUC "
        f"(twice the standard error is {number(2 * difference.standard_error, 4)}), {found}."
    ]


def _caution_notes(
    evaluation: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]
) -> list[str]:
    notes: list[str] = []
    lead = paired(objects, "policy", "farthest")
    if lead is not None:
        notes.append(f"Better than farthest on {lead.wins} of {plural(lead.objects, 'object')}.")
    if 0 < len(objects) < FEW_OBJECTS:
        notes.append(f"Only {plural(len(objects), 'object')}: read the intervals with care.")
    if skipped := len(records(evaluation.get("skipped"))):
        notes.append(f"{plural(skipped, 'object')} skipped; the reasons are listed below.")
    return notes


def _drift(evaluation: Mapping[str, Any]) -> list[str]:
    drift = evaluation.get("drift")
    if not isinstance(drift, list) or not drift:
        return []
    more = f" and {len(drift) - 1} more" if drift[1:] else ""
    return [
        "The policy was trained with other code, settings or libraries than judged it here "
        f"({drift[0]}{more}, listed below under The run): its numbers may suffer."
    ]


def _alarms(run: Mapping[str, Any]) -> tuple[str, ...]:
    alarms: list[str] = []
    if failed := [gate for gate in records(run.get("gates")) if gate.get("passed") is False]:
        names = ", ".join(str(gate.get("name", "unnamed")) for gate in failed)
        alarms.append(f"Failed {'gate' if len(failed) == 1 else 'gates'}: {names}.")
    if run.get("dirty"):
        alarms.append("The working tree had uncommitted changes.")
    return tuple(alarms)
