"""Guesses are counted in the database before anything is looked at, and nobody is locked out of his own desk."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select

from app import security, throttle
from tests.databases import on_both_engines

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def inside(app):
    with app.app_context():
        yield


@pytest.fixture
def agent(as_system):
    with as_system() as session:
        return session.scalar(select(security.User.id).filter_by(username="agent"))


def guesses(kind, account, address, tries, device=None):
    """How many of so many tries are let through."""
    return sum(throttle.ask(kind, account, address, device) is None for _ in range(tries))


@on_both_engines
def test_strangers_get_half_of_the_guesses_and_known_places_the_other(app, agent, as_system, inside):
    with as_system() as session:
        throttle.remember(session, agent, HERE, "its device")
        throttle.remember(session, agent, HERE)  # again is no fault
    assert guesses("password", agent, ELSEWHERE, 30) == 5
    assert guesses("password", agent, HERE, 30) == 5
    assert guesses("password", agent, "203.0.113.9", 3, "its device") == 0, "all known places share one half"
    assert guesses("password", agent, "203.0.113.9", 3, "a made-up device") == 0


@on_both_engines
def test_a_flood_from_elsewhere_locks_nobody_out_of_his_own_place(agent, as_system, inside):
    with as_system() as session:
        throttle.remember(session, agent, HERE, "its device")
    guesses("password", agent, ELSEWHERE, 20)
    assert throttle.ask("password", agent, HERE) is None
    assert throttle.ask("password", agent, ELSEWHERE, "its device") is None


def test_all_kinds_of_guesses_share_one_budget(agent, inside):
    assert guesses("password", agent, HERE, 3) == 3
    assert guesses("second factor", agent, HERE, 10) == 2
    assert guesses("recovery code", agent, HERE, 10) == 0
    assert throttle.ask("reset", agent, HERE) is None, "asking for a mail is no guess"


def test_the_window_slides(agent, inside):
    start = datetime(2026, 3, 4, 12, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock:
        assert guesses("password", agent, HERE, 2) == 2
        clock.shift(timedelta(minutes=10))
        assert guesses("password", agent, HERE, 9) == 3
        assert throttle.ask("password", agent, HERE) == 5 * 60
        clock.shift(timedelta(minutes=5))
        assert guesses("password", agent, HERE, 9) == 2, (
            "only what is older than fifteen minutes counts no more"
        )


def test_a_right_guess_is_given_back_and_the_wrong_ones_stay(agent, inside):
    assert guesses("password", agent, HERE, 4) == 4
    for _ in range(20):
        assert throttle.ask("password", agent, HERE) is None
        throttle.passed("password", agent, HERE)
    assert guesses("password", agent, HERE, 9) == 1


def test_a_name_that_nobody_has_is_counted_alike(inside):
    assert guesses("password", "nobody.at.all", HERE, 30) == 5
    assert guesses("password", "somebody.else", HERE, 30) == 5


def test_a_network_is_counted_over_all_names(inside):
    tried = [throttle.ask("password", f"name {number}", HERE) for number in range(70)]
    assert tried.count(None) == 60
    assert throttle.ask("password", "another", ELSEWHERE) is None


def test_addresses_of_one_customer_are_one_network():
    assert throttle.network_of("2001:db8:1:2:aaaa::1") == throttle.network_of("2001:db8:1:2:bbbb::2")
    assert throttle.network_of("2001:db8:1:3::1") != throttle.network_of("2001:db8:1:2::1")
    assert throttle.network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert throttle.network_of("") == throttle.network_of("nonsense") == "unknown"


def test_what_costs_nothing_to_look_at_is_counted_when_it_fails(inside):
    for _ in range(60):
        assert throttle.wait("api key", None, HERE) is None
        throttle.failed("api key", None, HERE)
    assert throttle.wait("api key", None, HERE) > 800
    assert throttle.wait("api key", None, ELSEWHERE) is None


@on_both_engines
def test_many_at_once_get_no_more_than_one_after_the_other(app, agent):
    def ask(_):
        with app.app_context():
            return throttle.ask("password", agent, HERE)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(40)))
    assert answers.count(None) == 5


def test_what_counts_no_more_is_dropped(agent, as_system, inside):
    start = datetime(2026, 3, 4, 12, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock:
        guesses("password", agent, HERE, 3)
        clock.shift(timedelta(minutes=16))
        with as_system() as session:
            throttle.forget_old(session, datetime.now(UTC))
            assert session.scalars(select(throttle.Guess.id)).all() == []


def test_only_a_few_wait_for_a_hash():
    with ExitStack() as line:
        for _ in range(1 + throttle.WAITING):
            line.enter_context(throttle.in_line())
        with pytest.raises(throttle.TooMany), throttle.in_line():
            pass
    with throttle.in_line():
        assert throttle.compute(max, 1, 2) == 2
