"""How often a secret may be guessed: counted in the database before anything is hashed or compared.

At most ten guesses an account in fifteen minutes, whatever is guessed (password on the page or for a token, code of the
second factor, recovery code) and whoever guesses. Half of them are kept for places from which the person has signed in
before, so that a stranger who uses up the other half locks nobody out of his own desk. A name that nobody has is
counted like one that somebody has. Strangers' guesses also count for their network, over all accounts.

Counting is a transaction of its own: call nothing here while the request's session writes (SQLite has one writer). The
counts stand in the database, so a restart forgets none, and all web processes share them.

    with throttle.in_line():                                     # at most a few hash at once; Busy: try again soon
        seconds = throttle.ask("password", user_id, address, device)
        if seconds is None and is_right(guess):                   # otherwise: wait so long
            throttle.passed("password", user_id, address, device)
"""

import hashlib
import ipaddress
import math
import os
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from app import access
from app.models import Guess, KnownPlace

WINDOW = timedelta(minutes=15)
NOBODY = 0  # whose id nobody has: where a name is unknown, the same is asked of the database about him
# What is counted together, and how often it may happen in the window: for strangers, from known places, and for a
# stranger's network over all accounts. Of an account's two numbers the sum is the promise.
GUESSES, MAILS, KEYS, SEALED, ROWS = "guess", "mail", "key", "sealed", "row"
LIMITS = {GUESSES: (5, 5, 60), MAILS: (2, 1, 20), KEYS: (10, 10, 60), SEALED: (15, 15, 200), ROWS: (50, 50, 10_000)}
KINDS = {
    "password": GUESSES,  # the form, the token API, the password that is asked again
    "second factor": GUESSES,
    "recovery code": GUESSES,
    "link": GUESSES,  # the secret of a mailed link: no account is named, so only the network counts
    "reset": MAILS,  # asking for such a mail
    "api key": KEYS,
    "sealed row": ROWS,  # the same for the rows of a file that is looked through before its import
    "sealed": SEALED,  # whether a customer exists beyond one's reach: hits and misses alike
}
KNOWN_FOR = timedelta(days=90)

# Per web process: one computes a hash, so many wait for it; further ones are sent away at once.
WAITING = 3
BUSY_FOR = 5  # seconds after which somebody who was sent away may try again


class TooMany(Exception):
    """This guess was not looked at; `seconds` is how long to wait."""

    def __init__(self, seconds):
        super().__init__(f"wait {seconds} s")
        self.seconds = seconds


def ask(kind, account, address, device=None):
    """Take one guess: None when it may be made, and is counted from now on; else the seconds to wait.

    `account` is the id of an account, or the name that was typed when nobody has it, or None. `device` is what the
    browser's device cookie holds. Two askers at once never both get the last guess.
    """
    now = datetime.now(UTC)
    with access.system_session("throttle", door="sign-in", writes=False) as session:
        limits = _limits(session, kind, account, address, device, now)
        seconds = _wait(session, limits, now)
    if seconds is not None or not limits:
        return seconds  # a flood of refused guesses writes nothing
    with access.system_session("throttle", door="sign-in") as session:
        _alone(session, limits)
        seconds = _wait(session, limits, now)
        if seconds is None:
            _count(session, limits, kind, now)
    return seconds


def wait(kind, account, address, device=None):
    """The seconds to wait before `ask` would say yes, or None; counts nothing."""
    now = datetime.now(UTC)
    with access.system_session("throttle", door="sign-in", writes=False) as session:
        return _wait(session, _limits(session, kind, account, address, device, now), now)


def failed(kind, account, address, device=None):
    """Count a wrong guess that was not asked for: where looking costs nothing, ask `wait` first and count failures."""
    now = datetime.now(UTC)
    with access.system_session("throttle", door="sign-in") as session:
        _count(session, _limits(session, kind, account, address, device, now), kind, now)


def passed(kind, account, address, device=None):
    """The guess was right: give it back. Wrong ones before it stay counted."""
    now = datetime.now(UTC)
    with access.system_session("throttle", door="sign-in") as session:
        keys = list(_limits(session, kind, account, address, device, now))
        last = select(func.max(Guess.id)).where(Guess.key.in_(keys), Guess.kind == kind).group_by(Guess.key)
        session.execute(delete(Guess).where(Guess.id.in_(session.scalars(last).all())))


def remember(session, user_id, address, device=None):
    """Somebody has signed in from here: his own half of the guesses is open to this place from now on."""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[session.get_bind().dialect.name]
    now = datetime.now(UTC)
    for place in _places(address, device):
        known = dialect.insert(KnownPlace).values(user_id=user_id, place=place, seen_at=now)
        again = known.on_conflict_do_update(index_elements=["user_id", "place"], set_={"seen_at": now})
        session.execute(again)


def forget_old(session, now):
    """Drop what counts no more; called once a day."""
    session.execute(delete(Guess).where(Guess.at < now - WINDOW))
    session.execute(delete(KnownPlace).where(KnownPlace.seen_at < now - KNOWN_FOR))


def network_of(address):
    """The network an address counts for: itself, or of IPv6 the half that one customer of a provider gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return str(parsed)
    return (
        network_of(str(parsed.ipv4_mapped))
        if parsed.ipv4_mapped
        else str(ipaddress.ip_network((parsed, 64), False))
    )


# --------------------------------------------------------------------------------------------- counting


def _limits(session, kind, account, address, device, now):
    """Key -> how many guesses it has in the window."""
    counted = KINDS[kind]
    strange, known, network = LIMITS[counted]
    is_known, limits = False, {}
    if account is not None:
        here = KnownPlace.place.in_(_places(address, device))
        lately = KnownPlace.seen_at > now - KNOWN_FOR
        owner = account if isinstance(account, int) else NOBODY  # asked all the same: it takes its time
        is_known = session.scalar(
            select(KnownPlace.place).where(KnownPlace.user_id == owner, here, lately).limit(1)
        )
        name = f"user:{account}" if isinstance(account, int) else f"name:{_hash(account)}"
        limits[f"{counted}:{name}:{'known' if is_known else 'strange'}"] = known if is_known else strange
    if not is_known:
        limits[f"{counted}:net:{network_of(address)}"] = network
    return limits


def _wait(session, limits, now):
    taken = defaultdict(list)
    lately = select(Guess.key, Guess.at).where(Guess.key.in_(list(limits)), Guess.at > now - WINDOW)
    for key, at in session.execute(lately):
        taken[key].append(at)
    waits = [
        (sorted(taken[key])[-limit] + WINDOW - now).total_seconds()
        for key, limit in limits.items()
        if len(taken[key]) >= limit
    ]
    return max(1, math.ceil(max(waits))) if waits else None


def _alone(session, limits):
    """Nobody else counts for these keys until the commit. On SQLite the one writer is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        for key in sorted(limits):
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext(key))))


def _count(session, limits, kind, now):
    if limits:
        session.execute(insert(Guess), [{"key": key, "kind": kind, "at": now} for key in limits])


def _places(address, device):
    places = [f"net:{network_of(address)}"]
    return [*places, f"device:{_hash(device)}"] if device else places


def _hash(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


# --------------------------------------------------------------------------------------------- one at a time


class _Line:
    """Those who want a hash computed in this process: one after the other, and only a few waiting.

    The computing is done by a thread of its own, of low priority: it would otherwise take the pages' share of the
    processor. Whoever waits holds one of the few threads that answer requests, so most of these must stay free.
    """

    def __init__(self):
        self._lock, self._inside, self._process, self._thread = threading.Lock(), 0, None, None

    @contextmanager
    def place(self):
        with self._lock:
            if self._inside > WAITING:
                raise TooMany(BUSY_FOR)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def compute(self, function, *arguments):
        with self._lock:
            if self._process != os.getpid():  # threads are not inherited by the workers that are forked
                self._thread = ThreadPoolExecutor(1, "hashing", initializer=_be_modest)
                self._process = os.getpid()
        return self._thread.submit(function, *arguments).result()


def _be_modest():
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


_LINE = _Line()
in_line = _LINE.place
compute = _LINE.compute
