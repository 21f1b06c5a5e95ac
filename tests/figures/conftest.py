"""A random firm on each engine, and the eyes to look at it with."""

import pytest
from alembic import command
from alembic.config import Config

from app import access, policies, wall
from app.commands.upgrade import MIGRATIONS
from app.extensions import db
from tests import databases
from tests.figures import world


class Firm:
    """The random firm in one database."""

    def __init__(self, app):
        self.app = app
        with app.app_context(), access.system_session("look", writes=False) as session:
            self.cast = {name: world.principal(session, name) for name in world.CAST}

    def as_(self, username):
        """A session of one of the cast; needs an app context."""
        return access.session_for(self.cast[username], door="test", writes=False)


@pytest.fixture(scope="module", params=databases.ENGINES)
def firm(request):
    """The same firm on each engine, without the triggers: they forbid to invent a past."""
    with databases.fresh_database(request.param, "blank") as database, databases.app_on(database) as app:
        with app.app_context():
            command.upgrade(Config(MIGRATIONS), "head")
            if request.param == "postgresql":  # the rule of sight asks functions that come with the policies
                with db.engine.begin() as connection:
                    connection = connection.execution_options(**{access.DOOR: True})
                    policies.install(connection, wall.key_from(databases.secret()))
            with database.raw() as connection:
                _drop_triggers(connection.cursor(), request.param)
            with access.system_session("a random firm") as session:
                world.build(session, seed=20261122)
        yield Firm(app)


def _drop_triggers(cursor, engine):
    if engine == "sqlite":
        cursor.execute("SELECT name, '' FROM sqlite_master WHERE type = 'trigger'")
    else:
        cursor.execute("SELECT tgname, 'ON ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal")
    for name, where in cursor.fetchall():
        cursor.execute(f"DROP TRIGGER {name} {where}")
