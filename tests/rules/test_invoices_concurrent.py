"""Many hands at once on the same numbers, invoices and amounts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from sqlalchemy import select

from app import access
from app.models import Deal, Invoice
from app.rules import RuleBroken, invoices
from tests.databases import ENGINES, on_both_engines
from tests.prove import writers
from tests.rules import world
from tests.rules.world import SELLER, TODAY


@pytest.fixture
def at_once(app):
    """`at_once(deed, 4)` — four threads do it together, each in its own session; returns results and refusals."""

    def run(deed, count):
        ready = Barrier(count)

        def hand(_):
            ready.wait(timeout=120)
            try:
                with app.app_context(), access.system_session("test", door="command") as session:
                    return deed(session)
            except RuleBroken as refusal:
                return refusal

        with ThreadPoolExecutor(count) as threads:
            seen = list(threads.map(hand, range(count)))
        refusals = [one for one in seen if isinstance(one, RuleBroken)]
        return [one for one in seen if one not in refusals], refusals

    return run


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_writers_leave_no_gap_no_duplicate_and_nothing_lost(engine):
    outcome = writers.prove(engine, writers.QUICK, seed=7)
    assert outcome.failed == 0, writers.table([outcome], writers.QUICK, 7)
    assert outcome.issued == writers.QUICK.invoices
    assert outcome.killed == writers.QUICK.kills


@on_both_engines
def test_of_many_who_issue_one_draft_one_succeeds(as_system, at_once):
    with as_system() as session:
        key = world.draft(session).id

    def issue(session):
        invoice = session.get(Invoice, key)
        return invoices.issue(session, invoice, by=None, today=TODAY, seller=SELLER, payment_days=14).number

    numbers, refusals = at_once(issue, 4)
    assert numbers == ["INV-2026-00001"]
    assert {str(refusal) for refusal in refusals} == {
        "INV-2026-00001 has been issued and cannot be changed any more."
    }


@on_both_engines
def test_of_many_who_draft_one_deal_one_succeeds(as_system, at_once):
    with as_system() as session:
        key = world.won_deal(session).id
    drafts, refusals = at_once(
        lambda session: invoices.draft_from(session, session.get(Deal, key), by=None, today=TODAY).id, 4
    )
    assert (len(drafts), len(refusals)) == (1, 3)


@on_both_engines
def test_many_payments_at_once_never_exceed_the_invoice(as_system, at_once):
    with as_system() as session:
        key = world.issued(session).id

    def pay(session):
        payment = invoices.record_payment(
            session,
            session.get(Invoice, key),
            amount="20",
            paid_on=TODAY,
            method="transfer",
            today=TODAY + timedelta(days=1),
        )
        return payment.amount

    amounts, refusals = at_once(pay, 4)
    assert (len(amounts), len(refusals)) == (2, 2)
    with as_system() as session:
        assert invoices.open_amount(session.scalars(select(Invoice)).one()) == Decimal("3.20")


@on_both_engines
def test_many_may_begin_a_year_at_once(as_system, at_once):
    with as_system() as session:
        drafts = [world.draft(session).id for _ in range(6)]

    def issue(session):
        invoice = session.get(Invoice, drafts.pop())
        return invoices.issue(
            session, invoice, by=None, today=date(2031, 1, 2), seller=SELLER, payment_days=14
        ).number

    numbers, refusals = at_once(issue, len(drafts))
    assert sorted(numbers) == [f"INV-2031-{number:05d}" for number in range(1, 7)]
    assert refusals == []
