"""Which passwords will do: long enough in any script, known to few, not the person's name, not one from before."""

import hashlib
import re
import unicodedata

import pytest

from app import security
from app.models import Account, OldPassword
from app.rules import RuleBroken, passwords
from app.rules.passwords import COMMON

GOOD = "three calm otters"
PERSON = ["ada.lovelace", "Ada", "Lovelace", "ada"]


def refused(password, **more):
    with pytest.raises(RuleBroken) as broken:
        passwords.check(password, **more)
    assert broken.value.field == "password"
    return str(broken.value)


@pytest.mark.parametrize(
    "password",
    (
        GOOD,
        "verschrobene Ölkännchen",
        "正しい馬電池の留め金",
        "пять тихих выдр",
        "🦦🦊🐙🐢🦉🐝🦔🐌",
        "x9#Lq!vT",
        "a\u00a0bc def ghi jkl",
    ),
)
def test_any_script_will_do(password):
    passwords.check(password, person=PERSON, company="Analytical Engines")


def test_length_is_counted_in_the_normal_form():
    assert "at least 8" in refused("1x#Lq7v")
    assert "at most 128" in refused("otters " * 18 + "abc")
    passwords.check("otters " * 18 + "ab")
    decomposed = unicodedata.normalize("NFD", "öäüéèxyz")
    assert len(decomposed) > 8
    passwords.check(decomposed)
    assert "at least 8" in refused(unicodedata.normalize("NFD", "öäüéèxy"))


@pytest.mark.parametrize("password", ("with\ttab and more", "with\x00nothing in it", "half a pair \ud800"))
def test_what_cannot_be_typed_or_stored_is_refused(password):
    assert "control" in refused(password)


@pytest.mark.parametrize(
    "password",
    ("password", "PassWord", "1234567890", "qwertyuiop", "iloveyou!!", "password2024!", "aaaabbbbcccc"),
)
def test_common_ones_are_refused(password):
    assert "Too many people" in refused(password)


def test_what_only_digits_are_is_refused_for_being_common_and_not_for_being_digits():
    passwords.check("8374 0192 5561")


def test_the_list_is_long_and_is_the_one_whose_licence_stands_beside_it():
    words = COMMON.read_text("utf-8").splitlines()
    assert len(words) == len(set(words)) >= 3000
    assert all(len(word) >= security.SHORTEST_PASSWORD and word == word.casefold() for word in words)
    told = COMMON.with_suffix(".LICENSE").read_text("utf-8")
    assert hashlib.sha256(COMMON.read_bytes()).hexdigest() == re.search(r"SHA-256 ([0-9a-f]{64})", told)[1]
    assert "BSD-3-Clause" in told and "MIT" in told and f"{len(words)} passwords" in told


@pytest.mark.parametrize("password", ("ada.lovelace!!", "my LOVELACE 7", "xx-Lovelacé-xx", "foyer is mine"))
def test_it_does_not_hold_the_persons_name(password):
    assert "must not hold" in refused(password, person=PERSON)


def test_names_too_short_to_mean_anybody_are_no_matter():
    passwords.check("a dark corridor", person=["al", "Al", "Day"])


def test_it_does_not_hold_the_firms_name():
    assert "the firm" in refused("analytical-engines-1", company="Analytical Engines")
    assert "the firm" in refused("analyticalengines", company="Analytical Engines")
    assert "the firm" in refused("my engines roar", company="Analytical Engines GmbH")
    passwords.check("my holding pattern", company="Blue Holding GmbH")


def test_a_former_password_is_not_taken_again(session):
    user = session.query(security.User).filter_by(username="agent").one()
    for number in range(3):
        passwords.replace(session, user, f"{GOOD} {number}", company="", keep=2)
    assert session.query(OldPassword).count() == 3
    for number in (2, 1, 0):
        with pytest.raises(RuleBroken, match="before"):
            passwords.replace(session, user, f"{GOOD} {number}", company="", keep=2)
    with pytest.raises(RuleBroken, match="before"):
        passwords.replace(session, user, f"{GOOD} 2", company="", keep=0)
    passwords.replace(session, user, f"{GOOD} 0", company="", keep=1)


def test_the_same_password_typed_in_another_form_is_the_same(session):
    user = session.query(security.User).filter_by(username="agent").one()
    typed = unicodedata.normalize("NFC", "Öl für Kätzchen")
    security.set_password(session, user.id, typed)
    assert passwords.former_of(session, user, 0) == [user.password]
    with pytest.raises(RuleBroken, match="before"):
        other = unicodedata.normalize("NFD", typed).replace(" ", "\u00a0")
        passwords.check(other, former=passwords.former_of(session, user, 0))


def test_one_that_somebody_else_set_is_to_be_replaced(session):
    user = session.query(security.User).filter_by(username="agent").one()
    passwords.replace(session, user, GOOD, company="", keep=5, must_change=True)
    account = session.get(Account, user.id, populate_existing=True)
    assert account.must_change and account.password_at is not None
    passwords.replace(session, user, f"{GOOD} two", company="", keep=5)
    assert not session.get(Account, user.id, populate_existing=True).must_change
