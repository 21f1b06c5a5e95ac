"""Real peers for the ways to come in: a directory and a provider, one of each a session."""

import pytest

from app import security
from app.models import Department, GroupMapping, Staff
from app.security import User
from tests.peers import provider, slapd


@pytest.fixture(scope="session")
def slapd_server(tmp_path_factory):
    with slapd.running(tmp_path_factory.mktemp("slapd")) as server:
        yield server


@pytest.fixture
def ldap(slapd_server):
    """The firm's directory, empty but for its branches."""
    slapd_server.clear()
    return slapd_server


@pytest.fixture
def set_to(app, database):
    """`set_to(LDAP_URL=…)`: the application as an operator has set it, until the end of the test."""
    before = app.config["SETTINGS"]

    def change(**values):
        app.config["SETTINGS"] = database.settings(**values)
        return app.config["SETTINGS"]

    yield change
    app.config["SETTINGS"] = before


@pytest.fixture
def maps(as_system):
    """`maps("sales", role="sales", department="North")`: a line of the mapping, as IT writes it."""

    def write(group, *, role=None, department=None, source="ldap", position=0):
        with as_system() as session:
            key = None
            if department:
                key = session.query(Department.id).filter_by(name=department).scalar()
            session.add(
                GroupMapping(source=source, group_name=group, role=role, department_id=key, position=position)
            )

    return write


class Account:
    """An account as the database has it."""

    def __init__(self, session, username):
        self.user = session.query(User).filter_by(username=username).one()
        staff = session.get(Staff, self.user.id)
        self.id, self.is_open = self.user.id, bool(self.user.active)
        self.name, self.email = staff.name, self.user.email
        self.department = staff.department.name
        self.roles = sorted(security.roles_held(session, self.id))
        self.left_on = staff.left_on


@pytest.fixture
def account(as_system):
    """`account("alice")`: how her account stands."""

    def read(username):
        with as_system() as session:
            return Account(session, username)

    return read


@pytest.fixture
def has_account(as_system):
    def ask(username):
        with as_system() as session:
            return session.query(User.id).filter_by(username=username).scalar() is not None

    return ask


@pytest.fixture(scope="session")
def openid_server(tmp_path_factory):
    with provider.running(tmp_path_factory.mktemp("openid")) as server:
        yield server


@pytest.fixture
def openid(openid_server):
    """The provider, which knows nobody yet."""
    openid_server.clear()
    return openid_server
