"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _audit()
    _holds()
    _jobs()
    _leases()
    _peaks()
    _tokens()
    _attempts()
    _idempotency()
    _cards()


def _audit() -> None:
    op.create_table(
        "gimbal_audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gimbal_audit"),
    )


def _holds() -> None:
    op.create_table(
        "gimbal_holds",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("gpu_index", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_gimbal_holds"),
    )
    op.create_index(
        "uq_gimbal_holds_open",
        "gimbal_holds",
        ["node", "gpu_index"],
        unique=True,
        sqlite_where=sa.text("released_at IS NULL"),
        postgresql_where=sa.text("released_at IS NULL"),
    )


def _jobs() -> None:
    op.create_table(
        "gimbal_jobs",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("peak_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("avoid", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Text(), nullable=True),
        sa.Column("config", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_gimbal_jobs"),
        sa.UniqueConstraint("id", name="uq_gimbal_jobs_id"),
    )
    op.create_index(
        "ix_gimbal_jobs_state_submitted_at_seq",
        "gimbal_jobs",
        ["state", "submitted_at", "seq"],
    )
    op.create_index("ix_gimbal_jobs_submitted_at_seq", "gimbal_jobs", ["submitted_at", "seq"])
    op.create_index(
        "ix_gimbal_jobs_user_name_submitted_at_seq",
        "gimbal_jobs",
        ["user_name", "submitted_at", "seq"],
    )


def _leases() -> None:
    op.create_table(
        "gimbal_leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_gimbal_leases"),
    )


def _peaks() -> None:
    op.create_table(
        "gimbal_peaks",
        sa.Column("peak_key", sa.Text(), nullable=False),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peak_key", name="pk_gimbal_peaks"),
    )


def _tokens() -> None:
    op.create_table(
        "gimbal_tokens",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_gimbal_tokens"),
        sa.UniqueConstraint("digest", name="uq_gimbal_tokens_digest"),
    )


def _attempts() -> None:
    op.create_table(
        "gimbal_attempts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_seq", sa.Integer(), nullable=True),
        sa.Column("gpus", sa.Float(), nullable=False),
        sa.Column("stop_why", sa.String(length=16), nullable=True),
        sa.Column("stop_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stop_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=False),
        sa.Column("run_dir", sa.Text(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("used", sa.Text(), nullable=False),
        sa.Column("gpus_at_launch", sa.Text(), nullable=False),
        sa.Column("gpus_at_end", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["gimbal_jobs.id"], name="fk_gimbal_attempts_job_id"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_gimbal_attempts"),
        sa.UniqueConstraint("ended_seq", name="uq_gimbal_attempts_ended_seq"),
    )
    op.create_index("ix_gimbal_attempts_ended_at", "gimbal_attempts", ["ended_at"])


def _idempotency() -> None:
    op.create_table(
        "gimbal_idempotency",
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["gimbal_jobs.id"], name="fk_gimbal_idempotency_job_id"
        ),
        sa.PrimaryKeyConstraint("user_name", "key", name="pk_gimbal_idempotency"),
    )


def _cards() -> None:
    op.create_table(
        "gimbal_cards",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.CheckConstraint("share > 0 AND share <= 1", name="ck_gimbal_cards_share"),
        sa.ForeignKeyConstraint(
            ["job_id", "number"],
            ["gimbal_attempts.job_id", "gimbal_attempts.number"],
            name="fk_gimbal_cards_job_id_number",
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_gimbal_cards"),
    )
    op.create_index("ix_gimbal_cards_uuid", "gimbal_cards", ["uuid"])
    op.create_index(
        "uq_gimbal_cards_whole",
        "gimbal_cards",
        ["uuid"],
        unique=True,
        sqlite_where=sa.text("share >= 1"),
        postgresql_where=sa.text("share >= 1"),
    )
