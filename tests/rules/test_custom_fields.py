"""Custom fields: values of every kind read, kept, told and asked by SQL; who may define them; nothing is lost."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select, text

from app import bulk
from app.access import DOOR, WriteRefused
from app.models import Change, Contact, CustomField
from app.rules import RuleBroken, custom_fields, custom_indexes
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


# --------------------------------------------------------------------------------------------- definitions


def said(**values):
    """What the form of a field says."""
    return {
        "entity": "contact",
        "kind": "text",
        "labels": {"en": "Shoe size"},
        "choices": [],
        "target": None,
        "default": None,
        "department_ids": [],
        "is_required": False,
        "is_indexed": False,
        "is_active": True,
        "position": 0,
    } | values


def ids_of(session, *names):
    return [world.department(session, name).id for name in names]


def test_a_name_is_made_of_the_label_once_and_never_given_twice(session):
    names = []
    for label in ("Shoe size", "Shoe  Size!", "Größe (EU)", "42", "日本"):
        names.append(custom_fields.define(session, said(labels={"en": label})).name)
    assert names[:4] == ["shoe_size", "shoe_size_2", "grosse_eu", "field_42"]
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)
    gone = session.scalars(select(CustomField).where(CustomField.name == "shoe_size_2")).one()
    custom_fields.remove(session, gone)
    assert custom_fields.define(session, said()).name == "shoe_size_3"
    assert custom_fields.define(session, said(entity="deal")).name == "shoe_size"


def test_fields_are_known_at_once_and_in_their_order(session):
    assert custom_fields.fields_for(session, "contact") == ()
    second = custom_fields.define(session, said(labels={"en": "Second"}, position=2))
    custom_fields.define(session, said(labels={"en": "First"}, position=1))
    assert [one.name for one in custom_fields.fields_for(session, "contact")] == ["first", "second"]
    custom_fields.redefine(session, second, said(labels={"en": "Second", "de": "Zweites"}, is_active=False))
    assert [one.name for one in custom_fields.fields_for(session, "contact")] == ["first"]
    assert custom_fields.fields_for(session, "pipeline") == ()


def test_the_kind_stays_once_there_are_values(session):
    row = custom_fields.define(session, said())
    custom_fields.redefine(session, row, said(kind="number"))
    world.contact(session, custom={"shoe_size": 42})
    with pytest.raises(RuleBroken, match="keeps its kind") as refusal:
        custom_fields.redefine(session, row, said(kind="date"))
    assert refusal.value.field == "kind"
    custom_fields.redefine(session, row, said(kind="number", labels={"en": "Size"}))
    assert (row.name, row.kind, str(row)) == ("shoe_size", "number", "Size")


@on_both_engines
def test_a_field_with_values_is_taken_out_of_use_not_away(session):
    row = custom_fields.define(session, said(kind="choices", choices=GRADES[:2]))
    contact = world.contact(session, custom={"shoe_size": ["tin"]})
    with pytest.raises(RuleBroken, match="Take it out of use"):
        custom_fields.remove(session, row)
    custom_fields.redefine(session, row, said(kind="choices", choices=GRADES[:2], is_active=False))
    assert contact.custom == {"shoe_size": ["tin"]}
    contact.custom = None
    session.flush()
    custom_fields.remove(session, row)
    assert session.scalar(select(CustomField.id)) is None


def test_choices_are_typed_one_a_line(session):
    choices = custom_fields.read_choices("gold = Gold | Reines Gold\n\nTin can\n Tin can 2 | | Boîte\n")
    assert choices == [
        {"value": "gold", "labels": {"en": "Gold", "de": "Reines Gold"}},
        {"value": "tin_can", "labels": {"en": "Tin can"}},
        {"value": "tin_can_2", "labels": {"en": "Tin can 2", "fr": "Boîte"}},
    ]
    assert custom_fields.read_choices(custom_fields.choices_as_text(choices)) == choices
    assert custom_fields.read_choices("TIN CAN", choices)[0]["value"] == "tin_can"
    for wrong in (
        "gold = A\ngold = B",
        "|",
        "x" * 81,
        "a\x00b",
        "\n".join(f"Choice {n}" for n in range(201)),
    ):
        with pytest.raises(RuleBroken):
            custom_fields.read_choices(wrong)


def test_a_choice_that_goes_is_retired_and_comes_back_as_itself(session):
    row = custom_fields.define(session, said(kind="choice", choices=GRADES[:2]))
    custom_fields.redefine(session, row, said(kind="choice", choices=GRADES[:1]))
    assert row.choices == [GRADES[0], {**GRADES[1], "retired": True}]
    assert custom_fields.choices_as_text(row.choices) == "gold = Gold, pure | Reines Gold"
    again = custom_fields.read_choices("Gold, pure\nTin", row.choices)
    custom_fields.redefine(session, row, said(kind="choice", choices=again))
    assert [one["value"] for one in row.choices] == ["gold", "tin"]
    assert not any(one.get("retired") for one in row.choices)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"labels": {}}, "labels"),
        ({"labels": {"de": " "}}, "labels"),
        ({"labels": {"en": "x" * 81}}, "labels"),
        ({"labels": {"en": "a\x00b"}}, "labels"),
        ({"entity": "pipeline"}, "entity"),
        ({"kind": "colour"}, "kind"),
        ({"kind": "choice"}, "choices"),
        ({"kind": "record", "target": None}, "target"),
        ({"kind": "record", "target": "change"}, "target"),
        ({"kind": "number", "default": "many"}, "default"),
        ({"department_ids": [999]}, "department_ids"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_at_its_field(session, values, field):
    with pytest.raises(RuleBroken) as refusal:
        custom_fields.define(session, said(**values))
    assert refusal.value.field == field


def test_a_default_is_what_new_records_begin_with(session):
    custom_fields.define(session, said(kind="number", default="42"))
    custom_fields.define(session, said(labels={"en": "Other"}))
    fields = custom_fields.fields_for(session, "contact")
    assert custom_fields.defaults(fields) == {"shoe_size": 42}
    assert custom_fields.values_of(fields, {"shoe_size": 1, "hidden": 2}) == {"shoe_size": 1, "other": None}


# --------------------------------------------------------------------------------------------- who may


def test_a_head_arranges_fields_of_his_own_departments_only(as_system, as_person):
    with as_system() as session:
        north, support = ids_of(session, "North", "Support")
        everybodys = custom_fields.define(session, said(labels={"en": "For all"})).id
        foreign = custom_fields.define(session, said(labels={"en": "Far"}, department_ids=[support])).id
    with as_person("head.sales") as session:
        row = custom_fields.define(session, said(department_ids=[north]))
        custom_fields.redefine(session, row, said(department_ids=[north], is_required=True))
        for departments in ([], [support], [north, support]):
            with pytest.raises(RuleBroken, match="departments of your own"):
                custom_fields.define(session, said(department_ids=departments))
            with pytest.raises(RuleBroken, match="departments of your own"):
                custom_fields.redefine(session, row, said(department_ids=departments))
        for key in (everybodys, foreign):
            with pytest.raises(RuleBroken, match="departments of your own"):
                custom_fields.redefine(session, session.get(CustomField, key), said(department_ids=[north]))
            with pytest.raises(RuleBroken, match="departments of your own"):
                custom_fields.remove(session, session.get(CustomField, key))
        with pytest.raises(RuleBroken, match="do not see"):
            custom_fields.define(session, said(entity="ticket", department_ids=[north]))
        custom_fields.remove(session, row)
    with as_person("admin") as session:
        for departments in ([], [north], [north, support]):
            custom_fields.define(session, said(department_ids=departments))


@pytest.mark.parametrize("username", ["rep.north", "agent", "finance", "director"])
def test_nobody_else_arranges_fields(as_system, as_person, username):
    with as_system() as session:
        north = ids_of(session, "North")
    with as_person(username) as session, pytest.raises(RuleBroken, match="Only admins and heads"):
        custom_fields.define(session, said(department_ids=north))


def test_a_field_is_seen_by_its_departments_those_above_the_director_and_admins(as_system, as_person):
    with as_system() as session:
        north, sales = ids_of(session, "North", "Sales")
        custom_fields.define(session, said(labels={"en": "All"}))
        custom_fields.define(session, said(labels={"en": "North"}, department_ids=[north]))
        custom_fields.define(session, said(labels={"en": "Sales"}, department_ids=[sales]))
    seen = {
        "rep.north": ["all", "north"],
        "rep.south": ["all"],
        "head.sales": ["all", "north", "sales"],
        "agent": ["all"],
        "director": ["all", "north", "sales"],
        "admin": ["all", "north", "sales"],
    }
    for username, names in seen.items():
        with as_person(username) as session:
            assert [one.name for one in custom_fields.fields_for(session, "contact")] == names, username


@on_both_engines
def test_the_session_itself_keeps_heads_from_fields_that_are_not_theirs(as_system, as_person):
    with as_system() as session:
        north, south, support = ids_of(session, "North", "South", "Support")
        everybodys = custom_fields.define(session, said()).id
        shared = custom_fields.define(session, said(department_ids=[north, support])).id
        own = custom_fields.define(session, said(department_ids=[north, south])).id
    for key in (everybodys, shared):
        for spoil in (
            lambda row, session: setattr(row, "position", 7),
            lambda row, session: session.delete(row),
        ):
            with pytest.raises(WriteRefused), as_person("head.sales") as session:
                spoil(session.get(CustomField, key), session)
    for departments in ([], [support], [south, support]):
        with pytest.raises(WriteRefused), as_person("head.sales") as session:
            session.get(CustomField, own).department_ids = departments
    with pytest.raises(WriteRefused), as_person("head.sales") as session:
        bulk.edit(session, CustomField, {shared: {"position": 7}})
    with as_person("head.sales") as session:
        session.get(CustomField, own).department_ids = [south]
    told = (
        select(Change.record_id).where(Change.entity == "custom_field").distinct().order_by(Change.record_id)
    )
    seen = {
        "rep.south": [everybodys, own],
        "rep.north": [everybodys, shared],
        "agent": [everybodys, shared],
        "admin": [everybodys, shared, own],
        "director": [everybodys, shared, own],
    }
    for username, keys in seen.items():
        with as_person(username) as session:
            assert session.scalars(told).all() == keys, username


# --------------------------------------------------------------------------------------------- indexes


def plan(session, statement):
    """How the database would answer, as text; PostgreSQL is told not to walk through small tables."""
    connection = session.connection()
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.execute(text("SET LOCAL enable_seqscan = off"), execution_options={DOOR: True})
    explain = text(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{compiled}".replace(":", r"\:"))
    return "\n".join(str(tuple(row)) for row in connection.execute(explain, execution_options={DOOR: True}))


@on_both_engines
def test_a_marked_field_gets_an_index_that_its_filters_use(session):
    wanted = {
        "text": "a",
        "number": Decimal(5),
        "date": date(2026, 3, 4),
        "moment": datetime(2026, 3, 4, tzinfo=UTC),
        "choice": "gold",
        "record": Decimal(4),
        "yes_no": True,
    }
    for kind in wanted:
        more = (
            {"choices": GRADES[:2]} if kind == "choice" else {"target": "company"} if kind == "record" else {}
        )
        custom_fields.define(session, said(kind=kind, labels={"en": f"By {kind}"}, is_indexed=True, **more))
    custom_fields.define(session, said(kind="long_text", is_indexed=True))
    connection = session.connection()
    made, dropped = custom_indexes.bring_about(connection, custom_indexes.wanted(session))
    assert made == sorted(f"cf_contact_{kind}_by_{kind}" for kind in wanted)
    assert dropped == []
    for one in custom_fields.fields_for(session, "contact"):
        if one.kind in wanted:
            value = custom_fields.expression(one, Contact)
            found = plan(session, select(Contact.id).where(value == wanted[one.kind]))
            assert f"cf_contact_{one.kind}_by_{one.kind}" in found, found
            if one.kind in ("number", "date", "moment"):
                found = plan(session, select(Contact.id).where(value > wanted[one.kind]))
                assert f"cf_contact_{one.kind}_by_{one.kind}" in found, found
    assert custom_indexes.bring_about(connection, custom_indexes.wanted(session)) == ([], [])


@on_both_engines
def test_an_index_that_nobody_wants_any_more_goes(session):
    row = custom_fields.define(session, said(is_indexed=True))
    custom_indexes.bring_about(session.connection(), custom_indexes.wanted(session))
    custom_fields.redefine(session, row, said(is_indexed=True, kind="number"))
    changed = custom_indexes.bring_about(session.connection(), custom_indexes.wanted(session))
    assert changed == (["cf_contact_number_shoe_size"], ["cf_contact_text_shoe_size"])
    custom_fields.redefine(session, row, said(is_indexed=True, is_active=False))
    changed = custom_indexes.bring_about(session.connection(), custom_indexes.wanted(session))
    assert changed == ([], ["cf_contact_number_shoe_size"])
