"""Sign-in through a real OpenID Connect provider, and what is not believed of one."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from app.identity import oidc
from tests import databases
from tests.peers.provider import REDIRECT


@pytest.fixture
def firm(openid, set_to, maps):
    """A provider with Alice in sales, and a mapping that leads there."""
    set_to(**openid.settings())
    openid.person(
        "alice-1", preferred_username="Alice", given_name="Alice", family_name="Ångström", groups=["sales"]
    )
    maps("sales", role="sales", department="North", source="oidc")
    maps("support", role="support", department="Support", source="oidc", position=1)
    return openid


@pytest.fixture
def comes_back(firm, anonymous):
    """`comes_back("alice-1")`: the page that one lands on after signing in at the provider as this person."""

    def go(subject, client=anonymous, start="/login/oidc/"):
        client.username = None
        address = client.get(start, status=302).location
        return client.request("GET", _path(firm.sign_in(address, subject)))

    return go


def _path(address):
    assert address.startswith(REDIRECT)
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def _alter(path, **values):
    parts = urlsplit(path)
    query = {name: found[0] for name, found in parse_qs(parts.query).items()} | values
    return f"{parts.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


@databases.on_both_engines
def test_whoever_signs_in_at_the_provider_comes_in_and_gets_an_account(comes_back, anonymous, account):
    assert comes_back("alice-1", start="/login/oidc/?next=/companies/").location == "/companies/"
    anonymous.username = "alice"
    assert anonymous.get("/companies/").user == "alice"
    alice = account("alice")
    assert (alice.name, alice.email) == ("Alice Ångström", "alice-1@example.com")
    assert (alice.roles, alice.department) == (["sales"], "North")


def test_a_change_of_groups_is_followed_at_the_next_sign_in(firm, comes_back, app, account):
    from tests.client import Client

    assert comes_back("alice-1").status == 302
    key = account("alice").id
    firm.person("alice-1", preferred_username="alice", groups=["support"])
    assert comes_back("alice-1", Client(app)).status == 302
    after = account("alice")
    assert (after.id, after.roles, after.department) == (key, ["support"], "Support")
    firm.person("alice-1", preferred_username="alice", groups=["cleaners"])
    assert comes_back("alice-1", Client(app)).status == 403
    assert not account("alice").is_open


def test_whose_groups_lead_nowhere_does_not_come_in(firm, comes_back, has_account):
    firm.person("bob-1", preferred_username="bob", groups=["cleaners"])
    page = comes_back("bob-1")
    assert page.status == 403 and "nothing here is open to you" in page
    assert not has_account("bob")


def test_a_foreign_person_with_a_known_mail_address_does_not_get_that_account(firm, comes_back, account):
    firm.person("x-1", email=account("agent").email, preferred_username="x", groups=["sales"])
    assert comes_back("x-1").status == 403


def test_a_verified_mail_address_finds_the_account_where_that_is_wanted(firm, set_to, comes_back, account):
    agent = account("agent")
    set_to(**firm.settings(OIDC_MATCHES_MAIL=True))
    firm.person("x-1", email=agent.email, email_verified=False, preferred_username="x", groups=["sales"])
    assert comes_back("x-1").status == 403, "nobody has verified it"
    firm.person("x-1", email=agent.email, preferred_username="x", groups=["sales"])
    assert comes_back("x-1").status == 302
    assert account("agent").id == agent.id
    assert account("agent").roles == ["sales", "support"]


# --------------------------------------------------------------------------------------------- not believed


def _answer(firm, client, subject="alice-1"):
    """The path that the provider leads back to."""
    return _path(firm.sign_in(client.get("/login/oidc/", status=302).location, subject))


@pytest.mark.parametrize(
    "values, status",
    [
        ({"state": "another"}, 401),
        ({"state": None}, 401),
        ({"code": "another"}, 401),
        ({"code": None}, 401),
        ({"iss": "https://evil.example"}, 401),
        ({"code": None, "error": "access_denied"}, 401),
    ],
)
def test_an_answer_to_another_question_is_not_believed(firm, anonymous, has_account, values, status):
    anonymous.get(_alter(_answer(firm, anonymous), **values), status=status)
    assert not has_account("alice")


def test_an_answer_counts_once_and_in_the_browser_that_asked(firm, app, anonymous):
    from tests.client import Client

    path = _answer(firm, anonymous)
    Client(app).get(path, status=400)
    assert anonymous.get(path, status=302).location == "/"
    other = Client(app)
    other.get("/login/oidc/", status=302)
    other.get(path, status=401)


@pytest.mark.parametrize("what", ["nonce", "verifier"])
def test_a_token_for_another_nonce_or_without_the_verifier_is_not_believed(firm, app, what):
    with app.app_context():
        settings = app.config["SETTINGS"]
        address, question = oidc.ask(settings, REDIRECT)
        back = urlsplit(firm.sign_in(address, "alice-1"))
        answer = {name: found[0] for name, found in parse_qs(back.query).items()}
        with pytest.raises(oidc.NotBelieved):
            oidc.believe(settings, question._replace(**{what: "x" * 43}), answer)


def test_a_token_for_another_client_is_not_believed(firm, app):
    """The provider keeps its tokens for one client; what it signs for us is read as somebody else would read it."""
    with app.app_context():
        settings = app.config["SETTINGS"]
        address, question = oidc.ask(settings, REDIRECT)
        back = urlsplit(firm.sign_in(address, "alice-1"))
        answer = {name: found[0] for name, found in parse_qs(back.query).items()}
        with oidc._session(settings, REDIRECT) as session:
            about = oidc._metadata(settings, session)
            token = session.fetch_token(
                about["token_endpoint"], code=answer["code"], code_verifier=question.verifier
            )
            keys = oidc.KeySet.import_key_set(oidc._json(session, about["jwks_uri"]))
        other = settings.model_copy(update={"OIDC_CLIENT_ID": "another"})
        elsewhere = settings.model_copy(update={"OIDC_ISSUER": "https://evil.example"})
        assert oidc._checked(settings, token, keys, question.nonce)["sub"] == "alice-1"
        for wrong in (other, elsewhere):
            with pytest.raises(oidc.JoseError):
                oidc._checked(wrong, token, keys, question.nonce)
        head, body, signature = token["id_token"].split(".")
        for forged in (f"{head}.{body}.{signature[:-4]}AAAA", f"eyJhbGciOiJub25lIn0.{body}."):
            with pytest.raises((oidc.JoseError, ValueError)):
                oidc._checked(settings, {"id_token": forged}, keys, question.nonce)


def test_no_other_host_than_the_issuers_is_asked(firm, app):
    with app.app_context():
        settings = app.config["SETTINGS"]
        with oidc._session(settings, REDIRECT) as session:
            for address in ("https://evil.example/", "http://localhost:1/", "http://127.0.0.1:1/"):
                with pytest.raises(requests.exceptions.InvalidSchema):
                    session.request("GET", address, withhold_token=True)
        for name in ("token_endpoint", "jwks_uri", "userinfo_endpoint"):
            with pytest.raises(oidc.ProviderDown, match="not on the issuer's host"):
                oidc._ours(settings, {name: "https://evil.example/x"}, name)


def test_a_provider_that_is_down_is_told_calmly(firm, set_to, anonymous):
    set_to(**firm.settings(OIDC_ISSUER="http://127.0.0.1:1"))
    assert "does not answer" in anonymous.get("/login/oidc/", status=503)


def test_without_a_provider_there_is_no_such_door(anonymous):
    anonymous.get("/login/oidc/", status=404)
    anonymous.get("/login/oidc/callback", status=404)
    assert "Sign in with" not in anonymous.get("/login/")


def test_the_door_shows_the_way_to_the_provider(firm, anonymous):
    assert "/login/oidc/?next=/deals/" in anonymous.get("/login/?next=/deals/").links
