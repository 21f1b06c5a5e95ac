"""Many rows into an empty table at once, on either engine, by what its own driver does fastest."""

import sqlite3

from bench import home


def into(engine, name):
    """A loader for this database, to be entered; nothing checks the keys of what it is given."""
    return _Sqlite(name) if engine == "sqlite" else _Postgresql(name)


class _Sqlite:
    dialect = "sqlite"

    def __init__(self, name):
        self.connection = sqlite3.connect(home.folder() / f"{name}.db", isolation_level=None)

    def __enter__(self):
        # Half a database is made anew, so nothing here has to survive a power cut.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", "temp_store=MEMORY"):
            self.execute(f"PRAGMA {pragma}")
        self.execute("BEGIN")
        return self

    def __exit__(self, *_error):
        self.connection.close()

    def execute(self, statement, values=()):
        return self.connection.execute(statement, values)

    def last_id(self, table):
        return self.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]

    def rows(self, table, names, rows):
        places = ", ".join("?" * len(names))
        self.connection.executemany(f"INSERT INTO {table} ({_quoted(names)}) VALUES ({places})", rows)

    def set_aside(self, tables):
        """Drop triggers, and indexes that no constraint needs; returns the statements that make them again."""
        found = self.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL "
            f"AND tbl_name IN ({', '.join('?' * len(tables))})",
            tables,
        ).fetchall()
        for kind, name, _sql in found:
            self.execute(f"DROP {kind} {name}")
        return [sql for _kind, _name, sql in found]

    def finish(self, tables):
        """Commit, and leave the database as one finds it in use."""
        self.execute("COMMIT")
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("ANALYZE")


class _Postgresql:
    dialect = "postgresql"

    def __init__(self, name):
        self.opening = home.postgresql(name, autocommit=True)

    def __enter__(self):
        self.connection = self.opening.__enter__()
        self.execute("SET session_replication_role = replica")  # or every row's keys are looked up
        self.execute("SET maintenance_work_mem = '512MB'")
        return self

    def __exit__(self, *error):
        return self.opening.__exit__(*error)

    def execute(self, statement, values=()):
        return self.connection.execute(statement, values)

    def last_id(self, table):
        return self.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]

    def rows(self, table, names, rows):
        statement = f"COPY {table} ({_quoted(names)}) FROM STDIN"
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def set_aside(self, tables):
        """Drop indexes that no constraint needs; returns the statements that make them again. Triggers sleep."""
        found = self.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) "
            "AND indexname NOT IN (SELECT conname FROM pg_constraint)",
            [tables],
        ).fetchall()
        for name, _definition in found:
            self.execute(f"DROP INDEX {name}")
        return [definition for _name, definition in found]

    def finish(self, tables):
        """Let the next ids follow, and leave the database as one finds it in use."""
        for table in tables:
            self.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
            self.execute(f"VACUUM ANALYZE {table}")


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)
