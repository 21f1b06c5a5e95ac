"""`run.py directory …` and `run.py user break-glass`, as an operator uses them."""

from argparse import Namespace

import pytest

from app import security
from app.commands import CommandError, directory, user
from tests.peers import free_port
from tests.peers.slapd import BASE


@pytest.fixture
def says(app, capsys):
    """`says("show", username="alice")`: what this deed of `directory` prints."""

    def call(deed, **args):
        capsys.readouterr()
        with app.app_context():
            directory.DEEDS[deed](app.config["SETTINGS"], Namespace(**args))
        return capsys.readouterr().out

    return call


def test_the_directory_is_tried_shown_and_followed(says, ldap, set_to, maps):
    set_to(**ldap.settings())
    ldap.group("sales", ldap.person("alice", "Alice", "Ångström"))
    maps("sales", role="sales", department="North")
    assert says("check") == f"{ldap.url} answers; 1 people may come in.\n"
    told = says("show", username="alice")
    assert f"in cn=sales,ou=groups,{BASE}" in told and "gets sales in North" in told
    with pytest.raises(CommandError, match="lets nobody in"):
        says("show", username="ali*")
    assert says("sync", even_if_many=False) == "0 accounts of the directory are open, 0 closed.\n"


def test_a_directory_that_is_down_is_one_sentence(database):
    with pytest.raises(CommandError, match=r"does not do: Can't contact LDAP server"):
        settings = database.settings(LDAP_URL=f"ldap://127.0.0.1:{free_port()}", LDAP_STARTTLS=False, LDAP_BASE=BASE)
        directory.run(Namespace(deed="check"), settings)
    with pytest.raises(CommandError, match="LDAP_URL is not set"):
        directory.run(Namespace(deed="check"), database.settings())


def test_a_break_glass_account_is_marked_and_unmarked(as_system, capsys):
    for is_off, words in ((False, "whatever happens"), (True, "like any other")):
        with as_system() as session:
            user.break_glass(session, Namespace(username="admin", off=is_off), today=None)
            admin = session.query(security.User).filter_by(username="admin").one()
            assert security.is_break_glass(session, admin.id) is not is_off
        assert words in capsys.readouterr().out


def test_an_account_without_a_password_breaks_no_glass(as_system):
    with as_system() as session:
        admin = session.query(security.User).filter_by(username="admin").one()
        security.drop_password(session, admin.id)
        with pytest.raises(CommandError, match="no password of its own"):
            user.break_glass(session, Namespace(username="admin", off=False), today=None)
