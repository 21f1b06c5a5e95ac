"""Sign-in through a real OpenLDAP server: who comes in, as what, and when no longer."""

from datetime import date

import pytest

from app import security
from app.identity import directory, door
from tests import databases
from tests.peers import free_port
from tests.peers.slapd import BASE, PASSWORD

BOTH_WAYS = pytest.mark.parametrize(
    "groups_by", ["(&(objectClass=groupOfNames)(member={dn}))", ""], ids=["by search", "by memberOf"]
)


@pytest.fixture
def firm(ldap, set_to, maps):
    """A directory with Alice in sales, and a mapping that leads there."""
    set_to(**ldap.settings())
    alice = ldap.person("alice", "Alice", "Ångström")
    ldap.group("sales", alice)
    ldap.group("support")
    maps("sales", role="sales", department="North", position=1)
    maps(f"cn=support,ou=groups,{BASE}", role="support", department="Support", position=2)
    return ldap


@pytest.fixture
def signs_in(app):
    """`signs_in("alice")`: whether the first step lets her through."""

    def try_it(username, password=PASSWORD):
        with app.app_context():
            return door.first_step(app.config["SETTINGS"], username, password, address="10.0.0.7") is not None

    return try_it


@databases.on_both_engines
def test_whoever_is_in_a_mapped_group_comes_in_and_gets_an_account(firm, client_for, account):
    client = client_for("alice", PASSWORD)
    assert client.get("/").user == "alice"
    client.get("/companies/")
    client.get("/tickets/", status=403)
    alice = account("alice")
    assert (alice.name, alice.email) == ("Alice Ångström", "alice@example.com")
    assert (alice.roles, alice.department) == (["sales"], "North")


@BOTH_WAYS
def test_a_change_of_groups_is_followed_at_the_next_sign_in(firm, set_to, signs_in, account, groups_by):
    set_to(**firm.settings(LDAP_GROUP_FILTER=groups_by))
    assert signs_in("alice")
    alice = f"uid=alice,ou=people,{BASE}"
    firm.join("support", alice)
    assert signs_in("alice")
    assert account("alice").roles == ["sales", "support"]
    firm.leave("sales", alice)
    assert signs_in("alice")
    after = account("alice")
    assert (after.roles, after.department) == (["support"], "Support")


def test_what_was_given_by_hand_stays(firm, app, as_system, signs_in, account):
    assert signs_in("alice")
    key = account("alice").id
    with as_system() as session:
        security.set_roles(session, key, ["sales", "marketing"])
    firm.join("support", f"uid=alice,ou=people,{BASE}")
    firm.leave("sales", f"uid=alice,ou=people,{BASE}")
    assert signs_in("alice")
    assert account("alice").roles == ["marketing", "support"]


def test_who_was_moved_by_hand_stays_there(firm, as_system, signs_in, account):
    from app.models import Department, Staff

    assert signs_in("alice")
    key = account("alice").id
    with as_system() as session:
        south = session.query(Department).filter_by(name="South").one()
        session.get(Staff, key).department_id = south.id
    firm.join("support", f"uid=alice,ou=people,{BASE}")
    firm.leave("sales", f"uid=alice,ou=people,{BASE}")
    assert signs_in("alice")
    assert account("alice").department == "South"


def test_whose_groups_lead_nowhere_does_not_come_in(firm, signs_in, has_account):
    firm.person("bob", "Bob", "Nobody")
    assert not signs_in("bob")
    assert not has_account("bob")


def test_a_star_stands_for_everybody(firm, maps, signs_in, account):
    maps("*", role="reader", department="South", position=9)
    firm.person("bob", "Bob", "Reader")
    assert signs_in("bob")
    assert (account("bob").roles, account("bob").department) == (["reader"], "South")


@pytest.mark.parametrize("password", ["", " ", "wrong", "a\x00b", PASSWORD.upper()])
def test_a_wrong_or_empty_password_opens_nothing(firm, signs_in, has_account, password):
    """An empty one is an anonymous bind, to which a directory says yes."""
    assert not signs_in("alice", password)
    assert not has_account("alice")


@pytest.mark.parametrize(
    "name",
    ["*", "ali*", "alice)(uid=*", "*)(objectClass=*", "alice\\2a", "(uid=alice)", "al\x00ice", "a" * 200],
)
def test_a_name_never_becomes_part_of_the_filter(firm, signs_in, name):
    assert not signs_in(name)


def test_two_people_of_one_name_do_not_come_in(firm, signs_in):
    firm.add(f"ou=more,ou=people,{BASE}", objectClass="organizationalUnit", ou="more")
    firm.add(
        f"uid=alice,ou=more,ou=people,{BASE}",
        objectClass="inetOrgPerson",
        uid="alice",
        cn="Alice Other",
        sn="Other",
        userPassword=PASSWORD,
    )
    assert not signs_in("alice")


def test_who_is_gone_from_the_directory_is_shut_out_at_the_next_try(firm, signs_in, account):
    assert signs_in("alice")
    firm.remove(f"uid=alice,ou=people,{BASE}")
    assert not signs_in("alice")
    alice = account("alice")
    assert not alice.is_open and alice.left_on == date.today()


def test_who_has_no_mapped_group_left_is_shut_out_and_comes_back_with_one(firm, signs_in, account):
    alice = f"uid=alice,ou=people,{BASE}"
    assert signs_in("alice")
    firm.leave("sales", alice)
    assert not signs_in("alice")
    assert not account("alice").is_open
    firm.join("sales", alice)
    assert signs_in("alice")
    assert account("alice").is_open and account("alice").left_on is None


def test_whom_people_shut_out_stays_out(firm, as_system, signs_in, account):
    assert signs_in("alice")
    key = account("alice").id
    with as_system() as session:
        security.set_active(session, key, False, today=date.today())
    assert not signs_in("alice")
    assert not account("alice").is_open


def test_a_new_name_in_the_directory_is_one_here(firm, signs_in, account, has_account):
    assert signs_in("alice")
    key = account("alice").id
    new = firm.rename(f"uid=alice,ou=people,{BASE}", "alice.new")
    firm.join("sales", new)
    assert not signs_in("alice"), "the old name is none any more"
    assert account("alice").is_open, "but nobody is shut out by trying it"
    assert signs_in("alice.new")
    assert account("alice.new").id == key and not has_account("alice")


def test_a_person_of_the_same_name_does_not_get_the_account_that_was_here(firm, signs_in, account):
    stranger = firm.person("admin", "Not", "Admin")
    firm.join("sales", stranger)
    assert not signs_in("admin")
    assert signs_in("admin", "demo"), "the account that was here before"
    assert account("admin").roles == ["admin"]


def test_an_account_that_was_here_is_taken_over_where_that_is_wanted(firm, set_to, signs_in, account):
    set_to(**firm.settings(LDAP_ADOPTS_ACCOUNTS=True))
    agent = firm.person("agent", "Anna", "Agent")
    firm.join("sales", agent)
    key = account("agent").id
    assert signs_in("agent")
    assert account("agent").id == key
    assert account("agent").roles == ["sales", "support"], "what he had stays, what the directory gives comes"
    assert not signs_in("agent", "demo"), "the password that was here is none any more"


def test_sync_follows_groups_and_leavers_without_a_sign_in(firm, app, signs_in, account):
    bob = firm.person("bob", "Bob", "Builder")
    firm.join("support", bob)
    assert signs_in("alice") and signs_in("bob")
    firm.join("support", f"uid=alice,ou=people,{BASE}")
    firm.remove(bob)
    with app.app_context():
        assert door.sync(app.config["SETTINGS"]) == door.Synced(open=1, closed=1)
    assert account("alice").roles == ["sales", "support"]
    assert not account("bob").is_open
    assert account("admin").is_open, "what the directory never brought is none of its business"


def test_a_sync_that_would_close_most_accounts_does_nothing(firm, app, signs_in, account):
    people = [firm.person(f"p{number}", "P", str(number)) for number in range(7)]
    for person in people:
        firm.join("sales", person)
    for number in range(7):
        assert signs_in(f"p{number}")
    for person in people:
        firm.remove(person)
    with app.app_context(), pytest.raises(door.TooMany):
        door.sync(app.config["SETTINGS"])
    assert account("p0").is_open
    with app.app_context():
        assert door.sync(app.config["SETTINGS"], even_if_many=True).closed == 7


# --------------------------------------------------------------------------------------------- TLS and trouble


def test_start_tls_with_a_certificate_that_is_trusted(firm, set_to, signs_in):
    authority = str(firm.folder / "ca.pem")
    set_to(**firm.settings(LDAP_STARTTLS=True, LDAP_CA_FILE=authority))
    assert signs_in("alice")


def test_no_password_goes_to_a_server_whose_certificate_is_not_trusted(firm, app, set_to, signs_in):
    settings = set_to(**firm.settings(LDAP_STARTTLS=True))
    assert not signs_in("alice")
    with app.app_context(), pytest.raises(directory.DirectoryDown, match=r"(?i)certificate|connect|tls"):
        directory.find(settings, "alice")


def test_a_reader_with_a_wrong_password_is_trouble_not_a_wrong_password(firm, app, set_to):
    settings = set_to(**firm.settings(LDAP_BIND_PASSWORD="wrong"))
    with app.app_context(), pytest.raises(directory.DirectoryDown, match="Invalid credentials"):
        directory.find(settings, "alice")


# --------------------------------------------------------------------------------------------- when it is down


@pytest.fixture
def down(set_to):
    """A directory at whose address nobody listens."""
    values = {"LDAP_URL": f"ldap://127.0.0.1:{free_port()}", "LDAP_STARTTLS": False, "LDAP_BASE": BASE}
    return lambda **more: set_to(**values, **more)


def test_while_it_is_down_local_accounts_come_in_if_they_may(down, signs_in):
    down()
    assert signs_in("admin", "demo")
    down(LOCAL_SIGN_IN=False)
    assert not signs_in("admin", "demo")


def test_the_break_glass_account_always_comes_in_and_each_time_is_noted(
    down, app, as_system, signs_in, account
):
    down(LOCAL_SIGN_IN=False)
    key = account("admin").id
    with as_system() as session:
        security.mark_break_glass(session, key, True)
    assert not signs_in("admin", "wrong")
    assert signs_in("admin", "demo") and signs_in("admin", "demo")
    with as_system() as session:
        told = [(event.kind, who) for event, who in security.events_of_kinds(session, ["break-glass"], 5)]
    assert told == [("break-glass", "admin")] * 2
    assert not signs_in("agent", "demo")


def test_the_break_glass_account_comes_in_beside_a_directory_that_stands(
    firm, set_to, as_system, signs_in, account
):
    set_to(**firm.settings(LOCAL_SIGN_IN=False))
    key = account("admin").id
    with as_system() as session:
        security.mark_break_glass(session, key, True)
    assert signs_in("admin", "demo") and not signs_in("agent", "demo") and signs_in("alice")


def test_whose_password_is_the_directorys_gets_none_by_mail_and_need_not_renew_any(
    firm, set_to, client_for, as_system, account
):
    set_to(**firm.settings(PASSWORD_DAYS=1, MAIL_HOST="mail.example"))
    client = client_for("alice", PASSWORD)
    assert "Set a new password" not in client.get("/account/")
    key = account("alice").id
    with as_system() as session:
        assert security.find_by_name(session, "alice") is None
        assert security.find_by_name(session, "agent") is not None
        (how,) = [
            event.details["method"]
            for event, _ in security.events_of(session, key, 9)
            if event.kind == "signed in"
        ]
    assert how == "ldap"
