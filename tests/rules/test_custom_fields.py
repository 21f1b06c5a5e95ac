"""Custom fields: values of every kind read, kept, told and asked by SQL; who may define them; nothing is lost."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.models import Contact, CustomField
from app.rules import RuleBroken, custom_fields
from tests.databases import on_both_engines
from tests.rules import world

GRADES = [
    {"value": "gold", "labels": {"en": "Gold, pure", "de": "Reines Gold"}},
    {"value": "tin", "labels": {"en": "Tin"}},
    {"value": "lead", "labels": {"en": "Lead"}, "retired": True},
]


def field(kind, name="wanted", **values):
    """A field of contacts, apart from any session."""
    row = CustomField(
        entity="contact",
        name=name,
        kind=kind,
        **{
            "labels": {"en": name.capitalize()},
            "choices": GRADES if kind in ("choice", "choices") else [],
            "target": "company" if kind == "record" else None,
            "department_ids": [],
            "is_required": False,
            "is_indexed": False,
            "is_active": True,
            "position": 0,
        }
        | values,
    )
    return custom_fields.Field.of(row)


# --------------------------------------------------------------------------------------------- values

# kind, what is typed or sent, what is kept, and the text that a form shows of it
READ = [
    ("text", " Blue\nsea ", "Blue sea", "Blue sea"),
    ("long_text", " One\r\nTwo ", "One\nTwo", "One\nTwo"),
    ("number", "1 200", 1200, "1200"),
    ("number", 7, 7, "7"),
    ("decimal", "12,5", 12.5, "12.5"),
    ("decimal", Decimal("0.0001"), 0.0001, "0.0001"),
    ("decimal", "1234567890.1234", 1234567890.1234, "1234567890.1234"),
    ("money", "19.9", 19.9, "19.90"),
    ("money", "999999999999.99", 999999999999.99, "999999999999.99"),
    ("date", "2026-03-04", "2026-03-04", "2026-03-04"),
    ("date", date(2026, 3, 4), "2026-03-04", "2026-03-04"),
    ("moment", "2026-03-04T14:30+02:00", "2026-03-04T12:30:00Z", "2026-03-04T12:30:00Z"),
    ("moment", datetime(2026, 3, 4, 12, 30, tzinfo=UTC), "2026-03-04T12:30:00Z", "2026-03-04T12:30:00Z"),
    ("yes_no", "Ja", True, "yes"),
    ("yes_no", False, False, "no"),
    ("choice", "gold", "gold", "gold"),
    ("choice", "reines gold", "gold", "gold"),
    ("choices", "tin; gold", ["gold", "tin"], "gold; tin"),
    ("choices", ["tin"], ["tin"], "tin"),
    ("choices", "Gold, pure", ["gold"], "gold"),
    ("mail", "a@example.com", "a@example.com", "a@example.com"),
    ("phone", "+49 30 12", "+49 30 12", "+49 30 12"),
    ("link", "example.com/a?b", "https://example.com/a?b", "https://example.com/a?b"),
]


@pytest.mark.parametrize("kind, typed, kept, told", READ)
def test_a_value_is_kept_plain_and_reads_back(kind, typed, kept, told):
    one = field(kind)
    value = custom_fields.read_value(one, typed)
    assert (value, type(value)) == (kept, type(kept))
    assert custom_fields.as_text(one, value) == told
    assert custom_fields.read_value(one, told) == kept
    custom_fields.check(one, value)


@pytest.mark.parametrize("kind", sorted(CustomField.__table__.c.kind.info["choices"]))
def test_nothing_is_no_value(kind):
    one = field(kind)
    for nothing in (None, "", "  ", []):
        assert custom_fields.read_value(one, nothing) is None
    assert custom_fields.as_text(one, None) == custom_fields.shown(one, None) == ""


@pytest.mark.parametrize(
    "kind, typed",
    [
        ("text", "x" * 501),
        ("text", "a\x00b"),
        ("text", ["a"]),
        ("text", True),
        ("number", "1.5"),
        ("number", "many"),
        ("number", True),
        ("number", "1e5"),
        ("number", float("nan")),
        ("decimal", "1,234"),
        ("decimal", "1.23456"),
        ("decimal", "99999999999"),
        ("money", "1.999"),
        ("money", {}),
        ("date", "31.12.2026"),
        ("date", "2026-02-30"),
        ("date", 5),
        ("moment", "noon"),
        ("moment", "0001-01-01T00:00+14:00"),
        ("yes_no", "perhaps"),
        ("choice", "silver"),
        ("choice", "lead"),
        ("choices", "gold; silver"),
        ("choices", 5),
        ("mail", "nobody"),
        ("phone", "none"),
        ("link", "javascript:alert(1)"),
        ("link", "ftp://example.com"),
        ("link", "https://"),
    ],
)
def test_what_is_no_value_of_the_kind_is_refused_in_a_sentence(kind, typed):
    with pytest.raises(RuleBroken) as refusal:
        custom_fields.read_value(field(kind), typed)
    assert str(refusal.value)


def test_a_retired_choice_stays_where_it_stands_and_is_chosen_nowhere_else():
    for kind, before in (("choice", "lead"), ("choices", ["lead"])):
        assert custom_fields.read_value(field(kind), "lead", before=before) == before
        with pytest.raises(RuleBroken):
            custom_fields.read_value(field(kind), "lead", before=None)
    assert [value for value, _ in field("choice").offered()] == ["gold", "tin"]
    assert [value for value, _ in field("choice").offered(kept=["lead"])] == ["gold", "tin", "lead"]


def test_a_value_is_told_in_the_readers_language():
    told = {
        ("choice", "gold", "de"): "Reines Gold",
        ("choice", "tin", "fr"): "Tin",
        ("choice", "zinc", "en"): "zinc",
        ("choices", ("gold", "tin"), "en"): "Gold, pure, Tin",
        ("decimal", 1234.5, "de"): "1.234,5",
        ("date", "2026-03-04", "en"): "Mar 4, 2026",
        ("date", "a word that came back", "en"): "a word that came back",
        ("yes_no", True, "en"): "yes",
    }
    for (kind, value, language), words in told.items():
        value = list(value) if isinstance(value, tuple) else value
        assert custom_fields.shown(field(kind), value, language=language) == words
    assert custom_fields.shown(field("money"), 5.5, currency="EUR") == "€5.50"
    assert custom_fields.shown(field("moment"), "2026-03-04T23:30:00Z", timezone="Europe/Berlin").startswith(
        "Mar 5"
    )


def test_a_link_names_a_record_that_its_reader_sees(as_system, as_person):
    with as_system() as session:
        near = world.company(session, name="Ernst Handel").id
        far = world.company(session, name="Far South")
        far.department_id = world.department(session, "South").id
        far = far.id
    with as_person("rep.north") as session:
        one = field("record")
        for typed in (near, f"#{near}", f"Ernst Handel (#{near})", "ernst handel"):
            assert custom_fields.read_value(one, typed, session=session) == near
        for typed in (far, f"#{far}", "Far South", 2**40, "#99999999999", True):
            with pytest.raises(RuleBroken):
                custom_fields.read_value(one, typed, session=session)
        customs = [{"wanted": near}, {"wanted": far}, None]
        assert custom_fields.names_of(session, [one], customs) == {("company", near): "Ernst Handel"}


# --------------------------------------------------------------------------------------------- in SQL


@on_both_engines
def test_sql_compares_and_orders_each_kind_as_what_it_is(session):
    values = {
        "text": ("b", ["a", "b", "c"]),
        "number": (9, [1, 9, 10]),
        "decimal": (Decimal("9.5"), [1.25, 9.5, 10.0]),
        "money": (Decimal("9.50"), [-1.1, 9.5, 100.0]),
        "date": (date(2026, 3, 4), ["1999-12-31", "2026-03-04", "2026-10-01"]),
        "moment": (
            datetime(2026, 3, 4, 12, tzinfo=UTC),
            ["2026-03-04T11:59:59Z", "2026-03-04T12:00:00Z", "2026-03-05T00:00:00Z"],
        ),
        "yes_no": (True, [False, True]),
        "choice": ("gold", ["gold", "tin"]),
        "record": (7, [7, 70]),
    }
    for kind, (wanted, kept) in values.items():
        rows = [world.contact(session, kind, custom={"wanted": value}) for value in reversed(kept)]
        odd = world.contact(session, kind, custom={"wanted": {"another": "type"}})
        empty = world.contact(session, kind)
        one = field(kind)
        value = custom_fields.expression(one, Contact)
        these = select(Contact.id).where(Contact.last_name == kind)
        ids = {json_value: row.id for json_value, row in zip(reversed(kept), rows, strict=True)}
        in_order = session.scalars(these.where(value.is_not(None)).order_by(value)).all()
        assert in_order == [ids[json_value] for json_value in kept], kind
        plain = custom_fields.read_value(one, wanted, session=session) if kind != "record" else 7
        assert session.scalars(these.where(value == wanted)).all() == [ids[plain]], kind
        assert session.scalars(these.where(value.in_([wanted]))).all() == [ids[plain]], kind
        assert set(session.scalars(these.where(value.is_(None)))) == {odd.id, empty.id}, kind
        assert session.scalar(select(value).where(Contact.id == ids[plain])) == wanted, kind


@on_both_engines
def test_several_choices_are_asked_one_by_one(session):
    both = world.contact(session, custom={"wanted": ["gold", "tin"]}).id
    one = world.contact(session, custom={"wanted": ["gold_leaf"]}).id
    wanted = field("choices")
    assert session.scalars(select(Contact.id).where(custom_fields.holds(wanted, Contact, "gold"))).all() == [
        both
    ]
    assert session.scalars(
        select(Contact.id).where(custom_fields.holds(wanted, Contact, "gold_leaf"))
    ).all() == [one]


def test_a_name_that_is_none_never_reaches_sql():
    with pytest.raises(ValueError, match="no name"):
        custom_fields.expression(field("text", "a') OR ('1"), Contact)
