"""The tables.

Names begin with `gimbal_`: a lab's one Postgres database may hold MLflow's tables too. What is
searched or ordered by has a column; what is only carried along is JSON. The cards that are given
away right now have a table of their own, so that the database itself can refuse to give one twice.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)

from gimbal.jobs.sql_types import JsonText, SafeText, UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "gimbal_jobs",
    metadata,
    # Orders jobs of the same instant; SQLite and Postgres only count up in an INTEGER key.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", SafeText, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("user_name", SafeText, nullable=False),
    Column("workload", SafeText, nullable=False),
    Column("experiment", SafeText, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("memory_bytes", BigInteger),
    Column("priority", BigInteger, nullable=False),
    Column("peak_key", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("detail", SafeText, nullable=False),
    Column("cancel_requested", Boolean(create_constraint=False), nullable=False),
    Column("submitted_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("not_before", UtcTime),
    Column("avoid", JsonText, nullable=False),
    Column("retry_of", SafeText),
    # Last: SQLite reads a row from its front, and this is by far the largest.
    Column("config", JsonText, nullable=False),
    Index(None, "submitted_at", "seq"),
    Index(None, "state", "submitted_at", "seq"),
    Index(None, "user_name", "submitted_at", "seq"),
)
"""Jobs; `version` counts every change of the job and of its attempts."""

attempts = Table(
    "gimbal_attempts",
    metadata,
    Column("job_id", SafeText, ForeignKey("gimbal_jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("phase", String(16), nullable=False),
    Column("submission_id", SafeText, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("launched_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("ended_seq", Integer, unique=True),
    Column("gpus", Float, nullable=False),
    Column("stop_why", String(16)),
    Column("stop_at", UtcTime),
    Column("stop_deadline", UtcTime),
    Column("failure", String(32)),
    Column("reason", SafeText, nullable=False),
    Column("exit_code", Integer),
    Column("peak_bytes", BigInteger, nullable=False),
    Column("run_dir", SafeText, nullable=False),
    Column("grants", JsonText, nullable=False),
    Column("used", JsonText, nullable=False),
    Column("gpus_at_launch", JsonText, nullable=False),
    Column("gpus_at_end", JsonText, nullable=False),
    Index(None, "ended_at"),
)
"""Attempts; `gpus` is the sum of the granted shares, what fair share counts; `ended_seq` numbers
them in the order in which they were found ended, so that only the new ones need be counted."""

cards = Table(
    "gimbal_cards",
    metadata,
    Column("job_id", SafeText, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("uuid", SafeText, nullable=False),
    Column("share", Float, nullable=False),
    ForeignKeyConstraint(
        ["job_id", "number"], ["gimbal_attempts.job_id", "gimbal_attempts.number"]
    ),
    CheckConstraint("share > 0 AND share <= 1", name="share"),
    Index(None, "uuid"),
    Index(
        "uq_gimbal_cards_whole",
        "uuid",
        unique=True,
        sqlite_where=text("share >= 1"),
        postgresql_where=text("share >= 1"),
    ),
)
"""Cards of attempts that have not ended: one row a grant, gone when the attempt ends."""

leases = Table(
    "gimbal_leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", SafeText, nullable=False),
    Column("token", String(64), nullable=False),
    Column("renewed_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
"""One row: who acts as controller."""

idempotency = Table(
    "gimbal_idempotency",
    metadata,
    Column("user_name", SafeText, primary_key=True),
    Column("key", SafeText, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("job_id", SafeText, ForeignKey("gimbal_jobs.id"), nullable=False),
)
"""Which job an idempotency key made, and the SHA-256 of what was asked for."""

peaks = Table(
    "gimbal_peaks",
    metadata,
    Column("peak_key", SafeText, primary_key=True),
    Column("peak_bytes", BigInteger, nullable=False),
)
"""The most memory a worker of such a job was ever measured to hold."""

holds = Table(
    "gimbal_holds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node", SafeText, nullable=False),
    Column("gpu_index", Integer, nullable=False),
    Column("uuid", SafeText),
    Column("user_name", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("released_at", UtcTime),
    Index(
        "uq_gimbal_holds_open",
        "node",
        "gpu_index",
        unique=True,
        sqlite_where=text("released_at IS NULL"),
        postgresql_where=text("released_at IS NULL"),
    ),
)
"""Cards people claimed; one that ran out is closed when the next claim comes."""

quarantines = Table(
    "gimbal_quarantines",
    metadata,
    Column("uuid", SafeText, primary_key=True),
    Column("node", SafeText, nullable=False),
    Column("gpu_index", Integer, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("since", UtcTime, nullable=False),
)
"""Cards nobody should use until a person looked; when one is released its row goes."""

tokens = Table(
    "gimbal_tokens",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user_name", SafeText, nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
)
"""Tokens, of which only the SHA-256 is known."""

audit = Table(
    "gimbal_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("user_name", SafeText, nullable=False),
    Column("action", SafeText, nullable=False),
    Column("target", SafeText, nullable=False),
)
"""Who did what."""
