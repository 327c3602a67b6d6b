"""Which diagnostics there are, and what each needs of a run.

Only names stand here, so that a command line can list them without importing what they compute
with.
"""

from __future__ import annotations

from dataclasses import dataclass

_OBJECTS = ("meshes", "views", "oracle")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A diagnostic as commands and stages know it.

    Attributes:
        name: Name of the command, of its stage and of its page.
        module: Its module, which has `measure(bench, progress) -> Diagnosis`.
        needs: Stages it cannot do without.
        uses: Stages it reads where the examined run has them.
        help: What it asks, one sentence.
        passes: When it passes, one sentence.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    help: str
    passes: str
    uses: tuple[str, ...] = ()


def _entry(
    name: str, needs: tuple[str, ...], help_: str, passes: str, uses: tuple[str, ...] = ()
) -> Entry:
    module = f"gimbal_nbv.diagnostics.{name.replace('-', '_')}"
    return Entry(name=name, module=module, needs=needs, uses=uses, help=help_, passes=passes)


DIAGNOSTICS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _entry(
            "oracle-test",
            _OBJECTS,
            "Does the loss tell good views from bad ones, before anything is trained?",
            "the good view wins >= .9, <= .1 of candidates raise the Chamfer distance, and after "
            "one view (N=1) their spread is >= .2.",
            uses=("multiview",),
        ),
        _entry(
            "view-sensitivity",
            _OBJECTS,
            "Does every further view improve the reconstruction, and does the same one not?",
            "<= .15 of added views make it worse, and a repeated one changes nothing.",
            uses=("completion", "multiview"),
        ),
        _entry(
            "gradient-report",
            _OBJECTS,
            "Does the gradient through a detached rendering point where the true one points?",
            "every weight tensor and, by detached_cd, every module gets a gradient, and after one "
            "view (by detached_cd: states.longest, at most 3) their cosine is >= .4 on average and "
            "positive in >= .75 of the places.",
            uses=("completion", "multiview", "train"),
        ),
        _entry(
            "landscape",
            _OBJECTS,
            "What does the sphere of candidates look like from a policy's place?",
            "the spread between candidates is >= .2 and there are <= 4 local optima a state.",
            uses=("completion", "constant", "multiview", "train"),
        ),
        _entry(
            "variance-report",
            _OBJECTS,
            "How much of the loss is the luck of the first view, and how large must a batch be?",
            "the run's own train.global_batch shows the gap between antipode and optimum.",
        ),
        _entry(
            "blind-control",
            (*_OBJECTS, "constant", "train", "rollouts"),
            "Does the policy use what it sees?",
            "without pixels, and with another object's, its AUC drops by more than 2 standard "
            "errors.",
            uses=("multiview",),
        ),
        _entry(
            "output-modes",
            (*_OBJECTS, "constant", "train"),
            "Where on the sphere does the policy's head point, and can it?",
            "seam, poles, saturation and several equally good answers stay harmless for the head "
            "it has.",
            uses=("multiview",),
        ),
    )
}
