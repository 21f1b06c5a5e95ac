"""Which passwords will do, and how one is replaced. Length counts, kinds of characters do not (NIST SP 800-63B)."""

import re
import unicodedata
from functools import cache
from pathlib import Path

from sqlalchemy import select

from app import security
from app.extensions import N_
from app.models import OldPassword
from app.rules import RuleBroken

# One a line, the most used first; what it was made from stands in the file beside it.
COMMON = Path(__file__).parent / "common_passwords.txt"
TOLD = 4  # letters that a name must have for a password not to hold it
# Parts of names that say nothing of whose they are.
NOBODYS = frozenset(
    "your company gmbh limited corporation holding group international services solutions".split()
)


def check(password, *, person=(), company="", former=()):
    """Raise RuleBroken (field "password") unless this will do for somebody of these names.

    `person`: user name, name, mail address. `former`: hashes of passwords that he had. Counted are code points of the
    normal form, which is also what is hashed, so that every script has the same room.
    """
    password = security.normal(password)
    if not security.is_storable(password) or any(unicodedata.category(one) == "Cc" for one in password):
        raise RuleBroken(N_("A password holds no control characters."), field="password")
    if len(password) < security.SHORTEST_PASSWORD:
        raise RuleBroken(
            N_("A password has at least %(least)s characters."),
            field="password",
            least=security.SHORTEST_PASSWORD,
        )
    if len(password) > security.LONGEST_PASSWORD:
        raise RuleBroken(
            N_("A password has at most %(most)s characters."),
            field="password",
            most=security.LONGEST_PASSWORD,
        )
    if is_common(password):
        raise RuleBroken(
            N_("Too many people use this password: it is among the first to be tried."), field="password"
        )
    if held := _name_in(password, [*person, "foyer"]):
        raise RuleBroken(N_("The password must not hold “%(name)s”."), field="password", name=held)
    if held := _name_in(password, [company, company.replace(" ", "")]):
        raise RuleBroken(
            N_("The password must not hold “%(name)s”, the name of the firm."), field="password", name=held
        )
    if any(security.is_hash_of(one, password) for one in former):
        raise RuleBroken(N_("You have had this password before. Take another one."), field="password")


def replace(session, user, password, *, company, keep, must_change=False, deed=None):
    """Give this account a password that will do. `keep`: how many former ones are not taken again.

    Sessions end with it (`app/sessions.py`). `must_change`: the person has to replace it at his next sign-in.
    """
    check(password, person=names_of(user), company=company, former=former_of(session, user, keep))
    session.info["password deed"] = deed
    security.set_password(session, user.id, password, must_change=must_change)


def names_of(user):
    """What an account is called, in all ways that a password must not hold."""
    return [user.username, user.first_name or "", user.last_name or "", (user.email or "").partition("@")[0]]


def former_of(session, user, keep):
    """The hashes of the password that stands and of those before it."""
    before = (
        select(OldPassword.password).where(OldPassword.user_id == user.id).order_by(OldPassword.id.desc())
    )
    kept = session.scalars(before.limit(keep)).all() if keep else []
    return [one for one in (user.password, *kept) if one]


def is_common(password):
    """Whether it is on the list of common ones, digits and marks behind it left out, or hardly more than one letter."""
    folded = password.casefold()
    bare = re.sub(r"[\W\d_]+$", "", folded)
    return folded in _common() or bare in _common() or len(set(folded)) < 4


@cache
def _common():
    return frozenset(COMMON.read_text("utf-8").splitlines())


def _name_in(password, names):
    """The first of these names, or of their parts, that the password holds, whatever the case and accents."""
    folded = _folded(password)
    for name in names:
        parts = [part for part in re.split(r"[\W_]+", name) if part.casefold() not in NOBODYS]
        for part in sorted({name.strip(), *parts} - {""}, key=len, reverse=True):
            if len(part) >= TOLD and _folded(part) in folded and part.casefold() not in NOBODYS:
                return part
    return None


def _folded(text):
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in parts if not unicodedata.combining(one))
