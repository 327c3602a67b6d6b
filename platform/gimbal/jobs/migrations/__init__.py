"""Alembic's folder of schema changes; `gimbal.jobs.schema.upgrade` runs them."""
