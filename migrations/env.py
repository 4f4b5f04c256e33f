"""Alembic's entry: run by treadle.base.migrations, which hands over a connection and holds the lock.

A revision's id is the number that its file's name begins with; revisions form one line, from ``0001`` on.
"""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, Executable
from sqlalchemy.util import await_only

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_history (
    revision text PRIMARY KEY,
    release text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

_READ_ONLY = """
REVOKE ALL ON alembic_version, schema_history FROM treadle_engine, treadle_api;
GRANT SELECT ON alembic_version, schema_history TO treadle_engine, treadle_api
"""


class ScriptImpl(PostgresqlImpl):
    """Lets ``op.execute`` run a text of many SQL statements, as it stands, which a prepared statement cannot be."""

    __dialect__ = "postgresql"

    def execute(self, sql: Executable | str, execution_options: dict[str, Any] | None = None) -> None:
        """A string goes to the server untouched (a ``:word`` in it is no parameter), everything else as usual."""
        if not isinstance(sql, str) or self.connection is None:
            super().execute(sql, execution_options)
            return
        # The driver opens the transaction with the first statement that it sees itself.
        self.connection.exec_driver_sql("SELECT 1")
        driver: Any = self.connection.connection.driver_connection
        await_only(driver.execute(sql))


def _record(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
    """Remember which release applied the revision."""
    release = context.config.attributes["release"]
    assert ctx.connection is not None
    ctx.connection.exec_driver_sql(_HISTORY)
    ctx.connection.exec_driver_sql(
        "INSERT INTO schema_history (revision, release) VALUES ($1, $2) ON CONFLICT (revision) DO NOTHING",
        (step.up_revision_id, release),
    )
    # A revision may have granted all tables.
    for statement in _READ_ONLY.split(";"):
        ctx.connection.exec_driver_sql(statement)


def _run(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=True, on_version_apply=_record)
    with context.begin_transaction():
        context.run_migrations()


connection: Connection | None = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Migrations are applied by `treadle up` and `treadle database-manager`, not by alembic itself.")
_run(connection)
