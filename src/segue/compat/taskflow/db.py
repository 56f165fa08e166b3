"""`init_db` and `migrate_db`, under Taskflow's module name."""

from segue.compat.taskflow.database import init_db, migrate_db

__all__ = ["init_db", "migrate_db"]
