"""What the API takes and gives, for its OpenAPI document and for clients.

The service checks requests with the models here. Answers are rendered as plain mappings, because
validating what the service itself made would only cost time; a test holds them to these models.
"""

from __future__ import annotations

from gimbal.api.schemas.cards import (
    CardJob,
    GpuList,
    GpuOut,
    HoldList,
    HoldOut,
)
from gimbal.api.schemas.jobs import (
    AttemptOut,
    AvoidedCard,
    GpuSentence,
    GrantedCard,
    JobList,
    JobOut,
    JobSummary,
    LogEnd,
    LogEvent,
    WhyOut,
)
from gimbal.api.schemas.others import (
    Health,
    NewToken,
    Readiness,
    RunList,
    RunOut,
    RunSummary,
    StageOut,
    TokenList,
    TokenOut,
)
from gimbal.api.schemas.problems import (
    Answer,
    FieldError,
    Problem,
)
from gimbal.api.schemas.requests import (
    EXPERIMENT,
    EXPERIMENT_LENGTH,
    MAX_GPUS,
    MAX_MEMORY_BYTES,
    MAX_PRIORITY,
    MAX_WORDS,
    NAME,
    NODE,
    OPERATOR_HOLD_S,
    USER_HOLD_S,
    Question,
    SubmitHold,
    SubmitJob,
    SubmitToken,
)

__all__ = [
    "EXPERIMENT",
    "EXPERIMENT_LENGTH",
    "MAX_GPUS",
    "MAX_MEMORY_BYTES",
    "MAX_PRIORITY",
    "MAX_WORDS",
    "NAME",
    "NODE",
    "OPERATOR_HOLD_S",
    "USER_HOLD_S",
    "Answer",
    "AttemptOut",
    "AvoidedCard",
    "CardJob",
    "FieldError",
    "GpuList",
    "GpuOut",
    "GpuSentence",
    "GrantedCard",
    "Health",
    "HoldList",
    "HoldOut",
    "JobList",
    "JobOut",
    "JobSummary",
    "LogEnd",
    "LogEvent",
    "NewToken",
    "Problem",
    "Question",
    "Readiness",
    "RunList",
    "RunOut",
    "RunSummary",
    "StageOut",
    "SubmitHold",
    "SubmitJob",
    "SubmitToken",
    "TokenList",
    "TokenOut",
    "WhyOut",
]
