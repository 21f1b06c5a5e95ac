"""A list that is exported and imported again changes nothing, whatever stands in it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app.exchange import exporting, importing
from app.exchange.files import open_table
from app.exchange.importing import House, Style
from app.exchange.importing.cells import read_moment
from app.models import ENTITIES, Change, ChangeSet
from tests import factories
from tests.databases import on_both_engines
from tests.rules import world

ZONE = ZoneInfo("Europe/Vienna")
MOMENT = datetime(2026, 10, 25, 0, 30, 15, 250_000, tzinfo=UTC)  # in the hour that comes twice
KINDS = ("company", "contact", "deal", "ticket", "activity", "campaign", "product")
ODD = ("=1+1", "+49 (0)30 / 123", "-5", "@home", "'=x", "Zoë “Z” Müller; a, b", "日本 <&>", "_x0041_", "007")


def fill(session):
    """Records of every kind with what is odd: namesakes, colleagues of one name, links, numbers, custom fields."""
    for kind, more in (("number", {}), ("date", {}), ("yes_no", {}), ("text", {"labels": {"en": "Notes"}})):
        labels = {"en": f"Own {kind}"}
        factories.make(
            session, "custom_field", entity="contact", name=kind, kind=kind, **{"labels": labels, **more}
        )
    owners = [factories.make(session, "staff", first_name="Robin", last_name="Same").id for _ in range(2)]
    firms = [factories.make(session, "company", name=name) for name in ("Ernst", "ERNST", "=Ernst")]
    firms[0].owner_id, firms[1].owner_id = owners
    rate = factories.make(session, "tax_rate", name="20 %", percent=Decimal("20.5"))
    product = factories.make(
        session, "product", name="Wine", price=Decimal("1234.5678"), tax_rate_id=rate.id, is_active=False
    )
    for number, text in enumerate(ODD):
        contact = factories.make(
            session,
            "contact",
            last_name=text,
            phone="+49 30 123",
            notes=f"{text}\n\n{text}",
            company_id=firms[number % 3].id,
            birth_date=date(1899 + number * 10, 12, 31),
            custom={"number": -number, "date": "2026-03-04", "yes_no": False, "text": text},
        )
        deal = factories.make(
            session,
            "deal",
            name=text,
            contact=contact,
            company_id=contact.company_id,
            amount=Decimal("1234567.89"),
        )
        factories.make(session, "ticket", subject=text, body=text, contact=contact, priority="urgent")
        factories.make(session, "activity", subject=text, deal=deal, contact=contact, done_at=MOMENT)
    world.won_deal(session, name="Won", product_sold=product)
    factories.make(session, "campaign", name="Fair", budget=Decimal("0.10"), kind="event")
    tag = factories.make(session, "tag", name="VIP")
    factories.make(session, "tagging", tag=tag, entity="contact", record_id=contact.id)


def exported(session, entity, kind):
    model, manner = ENTITIES[entity], exporting.Manner(zone=ZONE)
    columns = exporting.columns_for(session, model, exporting.all_names(session, model), manner)
    rows = exporting.rows(session, model, select(model).order_by(model.id), columns, manner)
    make = exporting.as_csv if kind == "csv" else None
    pieces = make(columns, rows, manner) if make else exporting.as_workbook(columns, rows, entity, manner)
    return b"".join(pieces)


@on_both_engines
def test_what_was_exported_and_comes_back_changes_nothing(session):
    fill(session)
    session.commit()
    for entity in KINDS:
        for kind in ("csv", "xlsx"):
            table = open_table(exported(session, entity, kind), f"{entity}.{kind}")
            fields = importing.fields_for(session, entity)
            mapping = importing.suggest(entity, table, fields)
            assert mapping.match == ("id",), (entity, kind)
            house = House(today=date(2026, 3, 4), now=MOMENT, currency="EUR", style=Style(zone=ZONE))
            changes_before = session.scalars(select(Change.id)).all()
            outcome = importing.bring_in(importing.Desk(session, table, entity, mapping, house))
            assert set(outcome.counts) == {"unchanged"}, (entity, kind, outcome, outcome.refused_file)
            assert session.scalars(select(Change.id)).all() == changes_before
    assert session.scalars(select(ChangeSet).where(ChangeSet.door == "import")).all() == []


@on_both_engines
def test_a_changed_cell_is_all_that_changes(session):
    fill(session)
    session.commit()
    text = exported(session, "company", "csv").decode().replace('"=Ernst"', '"x"')
    text = text.replace('"\'=Ernst"', '"Franz"')
    table = open_table(text.encode(), "companies.csv")
    mapping = importing.suggest("company", table, importing.fields_for(session, "company"))
    house = House(today=date(2026, 3, 4), now=MOMENT, currency="EUR")
    items = list(importing.plan(importing.Desk(session, table, "company", mapping, house)))
    changed = [item.changes for item in items if item.action == "update"]
    assert changed == [{"name": ("=Ernst", "Franz")}]


@pytest.mark.parametrize(
    "moment", [MOMENT, datetime(2026, 7, 1, 10, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
)
def test_a_moment_is_the_same_one_on_the_clock_of_a_workbook(moment):
    shown = exporting._on_the_clock(moment.astimezone(ZONE))
    assert read_moment(shown, Style(zone=ZONE)) == moment
