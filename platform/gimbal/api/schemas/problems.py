"""What every answer's model shares, and how errors look."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Base of what the service gives."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FieldError(Answer):
    """One thing that is wrong in a request."""

    pointer: str
    """RFC 6901 pointer into the body, or `?name` for a query parameter, `name:` for a header."""
    message: str


class Problem(Answer):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "the config does not fit the workload 'nbv'",
                    "instance": "/v1/jobs",
                    "code": "invalid_config",
                    "remedy": "correct the keys in `errors`",
                    "errors": [
                        {
                            "pointer": "/config/train/steps",
                            "message": "should be a whole number, but is 'many'",
                        }
                    ],
                    "trace_id": "9f6c1d2e3b4a5f60",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    """Stable, for programs."""
    remedy: str = ""
    """What to do or write instead."""
    errors: tuple[FieldError, ...] = ()
    trace_id: str
    """Named in the service's own log."""
