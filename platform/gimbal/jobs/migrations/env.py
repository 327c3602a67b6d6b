"""What Alembic runs: the changes, on the connection and in the transaction it is given.

There is no way to run it without `gimbal.jobs.schema`, which holds the lock that keeps two starting
services from upgrading the same database at once.
"""

from __future__ import annotations

from alembic import context

from gimbal.jobs.schema import VERSION_TABLE
from gimbal.jobs.sql_schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
