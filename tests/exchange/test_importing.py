"""An import: the plan says what will be, row by row, and the writing does just that, within the importer's rights."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app import access, undo
from app.exchange import importing
from app.exchange.files import open_table
from app.exchange.importing import House, Mapping
from app.exchange.reading import Refused
from app.models import (
    ENTITIES,
    Activity,
    Change,
    ChangeSet,
    Company,
    Contact,
    CustomField,
    Deal,
    ExternalKey,
    Product,
    Ticket,
)
from app.rules import RuleBroken
from tests.databases import on_both_engines
from tests.rules import world

STAMPS = ("updated_at", "version")  # an undo is a change, too
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def desk_in():
    """`desk_in(session, text, "contact", match=("email",))` — an import of this CSV with the suggested mapping."""

    def work(session, text, entity, name="people.csv", **changes):
        table = open_table(text.encode() if isinstance(text, str) else text, name)
        fields = importing.fields_for(session, entity)
        mapping = importing.suggest(entity, table, fields)
        columns = {**mapping.columns, **changes.pop("columns", {})}
        columns = {header: field for header, field in columns.items() if field}
        mapping = mapping.but(columns=columns, **changes)
        house = House(today=date(2026, 3, 4), now=NOW, currency="EUR")
        return importing.Desk(session, table, entity, mapping, house)

    return work


@pytest.fixture
def import_as(as_person, desk_in):
    """`import_as("rep.north", text, "contact")` — plan and write in one session; returns the outcome."""

    def work(username, text, entity, skip_bad=False, **changes):
        with as_person(username) as session:
            return importing.bring_in(desk_in(session, text, entity, **changes), skip_bad=skip_bad)

    return work


@pytest.fixture
def plan_as(as_person, desk_in):
    def work(username, text, entity, **changes):
        with as_person(username, writes=False) as session:
            return list(importing.plan(desk_in(session, text, entity, **changes)))

    return work


@pytest.fixture
def rows_of(as_system):
    """`rows_of(Contact, "last_name", "email")` — these columns of every row, sorted."""

    def work(model, *names):
        with as_system() as session:
            found = session.execute(select(*(getattr(model, one) for one in names)))
            return sorted((tuple(row) for row in found), key=str)

    return work


@pytest.fixture
def everything(as_system):
    """`everything()` is how many rows each table holds."""

    def work():
        with as_system() as session:
            return {
                name: session.scalar(select(func.count()).select_from(one)) for name, one in ENTITIES.items()
            }

    return work


PEOPLE = """Vorname;Nachname;E-Mail-Adresse;Firma;Ort;Geburtsdatum
Anna;Ernst;anna@firm.example;Alpha GmbH;Köln;12.4.1985
Bert;Müller;bert@firm.example;Beta AG;Fürth;
Cleo;Ernst;cleo@firm.example;alpha  gmbh;;
"""


def counts(outcome):
    return {action: number for action, number in outcome.counts.items() if number}


# --------------------------------------------------------------------------------------------- the normal case


@on_both_engines
def test_contacts_come_in_with_their_companies(import_as, rows_of):
    outcome = import_as("rep.north", PEOPLE, "contact")
    assert counts(outcome) == {"create": 3} and outcome.made == {"company": 2}
    assert rows_of(Company, "name", "kind") == [("Alpha GmbH", "prospect"), ("Beta AG", "prospect")]
    found = rows_of(Contact, "last_name", "first_name", "city", "birth_date")
    assert [row[:2] for row in found] == [("Ernst", "Anna"), ("Ernst", "Cleo"), ("Müller", "Bert")]
    assert found[0][3] == date(1985, 4, 12)


@on_both_engines
def test_a_second_run_creates_nothing_and_changes_nothing(import_as, everything):
    import_as("rep.north", PEOPLE, "contact")
    before = everything()
    assert counts(import_as("rep.north", PEOPLE, "contact")) == {"unchanged": 3}
    assert everything() == before


def test_an_import_is_one_change_set_and_every_row_is_found_by_its_words(import_as, as_system, client_for):
    import_as("rep.north", PEOPLE, "contact")
    with as_system() as session:
        key = session.scalar(select(func.max(ChangeSet.id)))
        made = select(Change.entity, func.count()).where(Change.change_set_id == key).group_by(Change.entity)
        assert dict(session.execute(made).all()) == {"company": 2, "contact": 3}
    assert "Müller" in client_for("rep.north").get("/contacts/?q=muller").html


@on_both_engines
def test_the_plan_says_what_the_writing_does(plan_as, import_as, everything, rows_of):
    import_as("rep.north", PEOPLE, "contact")
    before = everything()
    changed = (
        PEOPLE.replace("Fürth", "Nürnberg").replace("12.4.1985", "13.4.1985") + "Dora;Neu;dora@x.example;;;\n"
    )
    items = plan_as("rep.north", changed, "contact")
    assert [item.action for item in items] == ["update", "update", "unchanged", "create"]
    assert items[0].changes == {"birth_date": (date(1985, 4, 12), date(1985, 4, 13))}
    assert items[1].changes == {"city": ("Fürth", "Nürnberg")}
    assert everything() == before, "a plan only looks"
    assert counts(import_as("rep.north", changed, "contact")) == {"update": 2, "unchanged": 1, "create": 1}
    assert ("Müller", "Nürnberg") in rows_of(Contact, "last_name", "city")


# --------------------------------------------------------------------------------------------- columns and cells


def test_columns_are_suggested_in_three_languages_and_by_what_stands_in_them(session):
    def suggested(text, entity="contact"):
        return importing.suggest(
            entity, open_table(text.encode(), "a.csv"), importing.fields_for(session, entity)
        )

    german = suggested(PEOPLE)
    assert german.columns == {
        "Vorname": "first_name",
        "Nachname": "last_name",
        "E-Mail-Adresse": "email",
        "Firma": "company_id",
        "Ort": "city",
        "Geburtsdatum": "birth_date",
    }
    assert (german.match, german.dates, german.decimal) == (("email",), "dmy", ",")
    french = suggested("Prénom,Nom,Courriel,Société,Code postal,Pays\nA,B,a@x.fr,S,75001,FR\n")
    assert list(french.columns.values()) == [
        "first_name",
        "last_name",
        "email",
        "company_id",
        "postal_code",
        "country",
    ]
    by_content = suggested("Nachname,x,y\nErnst,anna@x.example,+49 30 123456\n")
    assert by_content.columns == {"Nachname": "last_name", "x": "email", "y": "phone"}
    products = suggested("Artikelnummer;Bezeichnung;Preis\n1;Chai;12,50\n", "product")
    assert products.columns == {"Artikelnummer": "sku", "Bezeichnung": "name", "Preis": "price"}
    assert (products.match, products.decimal) == (("sku",), ",")


def test_a_mapping_is_remembered_for_files_of_the_same_shape(as_person):
    table = open_table(PEOPLE.encode(), "a.csv")
    again = open_table(PEOPLE.replace("Vorname;Nachname", "nachname;VORNAME").encode(), "b.csv")
    with as_person("rep.north") as session:
        assert importing.remembered(session, "contact", table) is None
        importing.remember(
            session, "contact", table, Mapping(columns={"Vorname": "first_name"}, match=("email",))
        )
    with as_person("agent") as session:
        assert importing.remembered(session, "contact", again).columns == {"VORNAME": "first_name"}
        assert importing.remembered(session, "company", again) is None


@on_both_engines
def test_an_absent_column_an_empty_cell_and_a_clearing_one_are_three_things(import_as, rows_of):
    import_as("rep.north", "Last name,E-mail,City,Phone\nErnst,a@x.example,Köln,1\n", "contact")
    import_as("rep.north", "Last name,E-mail,City\nErnst,a@x.example,\n", "contact")
    assert rows_of(Contact, "city", "phone") == [("Köln", "1")]
    import_as("rep.north", "Last name,E-mail,City\nErnst,a@x.example,-\n", "contact", clear="-")
    assert rows_of(Contact, "city", "phone") == [(None, "1")]
    import_as("rep.north", "E-mail,Phone,Last name\na@x.example,,Ernst\n", "contact", empty_clears=True)
    assert rows_of(Contact, "city", "phone") == [(None, None)]


def test_what_must_not_be_empty_cannot_be_cleared(plan_as, import_as):
    import_as("rep.north", "Last name,E-mail\nErnst,a@x.example\n", "contact")
    (item,) = plan_as("rep.north", "Last name,E-mail\n-,a@x.example\n", "contact", clear="-")
    assert item.action == "refused" and str(item.reasons[0]).endswith("“Last name” cannot be empty")


@pytest.mark.parametrize(
    "cell, decimal, kept",
    [
        ("1.234,50", ",", "1234.50"),
        ("1,234.50", ".", "1234.50"),
        ("€ 12", ".", "12"),
        ("12 EUR", ",", "12"),
        ("1 234,5", ",", "1234.5"),
        ("-3", ".", None),
        ("1.234,50", ".", None),
        ("12,34", ".", None),
        ("0.00001", ".", None),
        ("9" * 15, ".", None),
    ],
)
def test_numbers_are_read_by_the_chosen_mark_and_never_guessed(plan_as, cell, decimal, kept):
    text = f"Deal name;Amount\nBig;{cell}\n"
    (item,) = plan_as("rep.north", text, "deal", decimal=decimal)
    if kept is None:
        assert item.action == "refused" and item.reasons[0].column == "Amount"
    else:
        assert item.values["amount"] == Decimal(kept)


@pytest.mark.parametrize(
    "cell, order, kept",
    [
        ("2026-03-04", "dmy", date(2026, 3, 4)),
        ("4.3.2026", "dmy", date(2026, 3, 4)),
        ("03/04/2026", "mdy", date(2026, 3, 4)),
        ("2026/3/4", "ymd", date(2026, 3, 4)),
        ("20260304", "dmy", date(2026, 3, 4)),
        ("2026-03-04 00:00:00", "dmy", date(2026, 3, 4)),
        ("4.3.26", "dmy", None),
        ("31.2.2026", "dmy", None),
        ("soon", "dmy", None),
    ],
)
def test_days_are_read_in_the_chosen_order(plan_as, cell, order, kept):
    (item,) = plan_as("rep.north", f"Deal name;Expected close\nBig;{cell}\n", "deal", dates=order)
    assert (item.values.get("expected_on") if item.action == "create" else None) == kept


def test_choices_are_known_by_their_value_and_by_their_words(plan_as):
    text = "Firma;Art\nAlpha;Customer\nBeta;SUPPLIER\nGamma;friend\n"
    items = plan_as("rep.north", text, "company", columns={"Firma": "name", "Art": "kind"}, match=("name",))
    assert [item.values.get("kind") for item in items] == ["customer", "supplier", None]
    assert "none of: customer" in str(items[2].reasons[0])


def test_every_value_passes_the_checks_of_a_form(plan_as):
    text = (
        "Last name,E-mail,Phone,City\n"
        f"Ernst,no mail,1,x\nErnst,a@x.example,none,x\n{'x' * 81},b@x.example,1,x\n,c@x.example,1,x\n"
        "Ernst,d@x.example,1,a\x07b\n"
    )
    items = plan_as("rep.north", text, "contact")
    assert [[(one.row, one.column) for one in item.reasons] for item in items] == [
        [(2, "E-mail")],
        [(3, "Phone")],
        [(4, "Last name")],
        [(5, "Last name")],
        [],
    ]


def test_a_full_name_is_taken_apart(plan_as):
    items = plan_as(
        "rep.north", 'Name,E-mail\nAnna Maria Ernst,a@x.example\n"Ernst, Bert",b@x.example\n', "contact"
    )
    assert [(item.values["first_name"], item.values["last_name"]) for item in items] == [
        ("Anna Maria", "Ernst"),
        ("Bert", "Ernst"),
    ]


# --------------------------------------------------------------------------------------------- match and links


def test_only_new_ones_or_only_those_that_are_there(import_as, plan_as):
    import_as("rep.north", PEOPLE, "contact")
    more = PEOPLE.replace("Köln", "Bonn") + "Dora;Neu;dora@x.example;;;\n"
    only_new = [item.action for item in plan_as("rep.north", more, "contact", mode="create")]
    assert only_new == ["skipped", "skipped", "skipped", "create"]
    only_old = [item.action for item in plan_as("rep.north", more, "contact", mode="update")]
    assert only_old == ["update", "unchanged", "unchanged", "refused"]


def test_a_second_row_with_the_same_key_is_refused_and_says_which_was_first(plan_as):
    text = "Last name,E-mail\nErnst,a@x.example\nErnst,A@X.example\n"
    first, second = plan_as("rep.north", text, "contact")
    assert first.action == "create"
    assert "row 2 has the same E-mail" in str(second.reasons[0])


def test_a_key_that_several_records_have_is_refused(import_as, plan_as):
    import_as("rep.north", "Company,City\nAlpha,Köln\nAlpha,Bonn\n", "company")
    (item,) = plan_as("rep.north", "Company,Phone\nalpha,1\n", "company")
    assert "several records" in str(item.reasons[0])


@on_both_engines
def test_combinations_tell_people_apart(import_as, plan_as):
    text = "First name,Last name,Company,City\nAnna,Ernst,Alpha,x\nAnna,Ernst,Beta,x\n"
    import_as("rep.north", text, "contact")
    items = plan_as("rep.north", text.replace("Beta,x", "beta,y"), "contact")
    assert [item.action for item in items] == ["unchanged", "update"]


@on_both_engines
def test_their_ids_are_kept_and_found_again(import_as, rows_of):
    text = "External id,Last name\nA-1,Ernst\nA-2,Müller\n"
    import_as("rep.north", text, "contact", source="old crm")
    assert rows_of(ExternalKey, "source", "entity", "their_id") == [
        ("old crm", "contact", "A-1"),
        ("old crm", "contact", "A-2"),
    ]
    outcome = import_as("rep.north", text.replace("Müller", "Miller"), "contact", source="old crm")
    assert counts(outcome) == {"unchanged": 1, "update": 1}


def test_links_go_by_name_number_and_mail_and_missing_ones_as_chosen(import_as, plan_as, rows_of):
    import_as(
        "rep.north",
        "Company,E-mail\nAlpha,office@alpha.example\nBeta,\nBeta ,x@y.example\n",
        "company",
        match=("email",),
        skip_bad=True,
    )
    (key,) = [row[1] for row in rows_of(Company, "name", "id") if row[0] == "Alpha"]
    text = (
        f"Last name,E-mail,Company\nA,a@x.example,#{key}\nB,b@x.example,Alpha (#{key})\n"
        "C,c@x.example,office@alpha.example\nD,d@x.example,Nobody Ltd\nE,e@x.example,#999999\n"
    )
    for what, last in (("refuse", "refused"), ("leave", "create"), ("create", "create")):
        items = plan_as("rep.north", text, "contact", missing={"company_id": what})
        assert [item.values["company_id"] for item in items[:3]] == [key] * 3
        assert items[3].action == last, what
    assert "Nothing is named “Nobody Ltd”" in str(
        plan_as("rep.north", text, "contact", missing={"company_id": "refuse"})[3].reasons[0]
    )


def test_owners_and_departments_go_by_name_or_sign_in(plan_as):
    text = "Last name,E-mail,Owner,Department\nA,a@x.example,rep.north,North\nB,b@x.example,nobody,\n"
    first, second = plan_as("head.sales", text, "contact")
    assert first.action == "create", first.reasons
    assert second.reasons[0].column == "Owner"


@pytest.mark.parametrize("strangers", [0, 30])
def test_what_looks_like_a_duplicate_is_told_but_taken(import_as, plan_as, strangers):
    import_as("rep.north", PEOPLE, "contact")
    lines = ["First name,Last name,E-mail,City", "Ana,Ernst,anna@firm.exampel,Köln"]
    lines += [f"Nobody,Like{number},n{number}@other.example,Oslo" for number in range(strangers)]
    first, *others = plan_as("rep.north", "\n".join(lines), "contact", match=("email",))
    assert first.action == "create" and len(first.warnings) == 1
    assert str(first.warnings[0]).startswith("perhaps a duplicate of “Anna Ernst” (#")
    assert not any(one.warnings for one in others)
    told = plan_as("rep.south", "\n".join(lines), "contact", match=("email",))
    assert not any(one.warnings for one in told), "nobody hears of what he does not see"


def test_products_are_alike_by_number_or_name(import_as, plan_as):
    import_as("finance", "Name,Article number,Price,Currency\nChair,C-1,5,EUR\n", "product")
    (item,) = plan_as(
        "finance", "Name,Article number,Price,Currency\nchair,C-2,5,EUR\n", "product", match=("sku",)
    )
    assert item.action == "create" and "perhaps a duplicate of #" in str(item.warnings[0])


# --------------------------------------------------------------------------------------------- all or nothing


@on_both_engines
def test_one_bad_row_and_nothing_is_stored(import_as, everything):
    before = everything()
    outcome = import_as("rep.north", PEOPLE + "Dora;Neu;no mail;Gamma;;\n", "contact")
    assert counts(outcome) == {"create": 3, "refused": 1} and not outcome.is_stored
    assert everything() == before


@on_both_engines
def test_the_good_rows_are_taken_on_request_and_the_bad_ones_come_back_to_be_mended(import_as, rows_of):
    text = PEOPLE + "Dora;Neu;no mail;Gamma;;\n"
    outcome = import_as("rep.north", text, "contact", skip_bad=True)
    assert outcome.is_stored and len(rows_of(Contact, "id")) == 3
    back = outcome.refused_file.decode("utf-8-sig").splitlines()
    assert (
        back[0] == "Vorname,Nachname,E-Mail-Adresse,Firma,Ort,Geburtsdatum,Row in the file,Why it was refused"
    )
    assert back[1].startswith("Dora,Neu,no mail,Gamma,,,5,") and "not a mail address" in back[1]
    mended = outcome.refused_file.replace(b"no mail", b"dora@x.example")
    assert counts(import_as("rep.north", mended, "contact")) == {"create": 1}
    assert len(rows_of(Contact, "id")) == 4


# --------------------------------------------------------------------------------------------- who may not


@on_both_engines
def test_a_match_with_a_hidden_row_is_no_match_and_tells_nothing(import_as, plan_as, rows_of):
    import_as("rep.south", PEOPLE, "contact")
    items = plan_as("rep.north", PEOPLE, "contact")
    assert [item.action for item in items] == ["create"] * 3 and not any(item.warnings for item in items)
    (key, *_) = [row[0] for row in rows_of(Contact, "id")]
    for number in (key, 999_999):
        (item,) = plan_as("rep.north", f"Foyer id,Last name\n{number},x\n", "contact", match=("id",))
        assert str(item.reasons[0]).endswith("there is no such record")


@on_both_engines
def test_a_hidden_foreign_id_is_refused_without_a_word_about_it(import_as, plan_as):
    text = "External id,Last name\nA-1,Ernst\n"
    import_as("rep.south", text, "contact", source="old crm")
    (item,) = plan_as("rep.north", text, "contact", source="old crm")
    assert str(item.reasons[0]).endswith("this id cannot be used here")


def test_rows_beyond_the_importers_reach_are_refused(plan_as):
    text = "Last name,E-mail,Department\nA,a@x.example,South\nB,b@x.example,North\n"
    items = plan_as("rep.north", text, "contact")
    assert [item.action for item in items] == ["refused", "create"]
    assert "may not add records there" in str(items[0].reasons[0])


def test_who_may_only_look_brings_in_nothing(import_as, plan_as):
    import_as("rep.north", PEOPLE, "contact")
    with pytest.raises(access.WriteRefused):
        plan_as("agent", PEOPLE.replace("Köln", "Bonn"), "contact")


# --------------------------------------------------------------------------------------------- what has rules


@on_both_engines
def test_deals_come_in_at_the_end_of_their_stage_and_end_by_the_rules(import_as, rows_of, as_system):
    text = (
        "Deal name,Company,Amount,Stage,Opened on,Closed on,Reason for the loss\n"
        "One,Alpha,10.50,,,,\nTwo,Alpha,20,Won,2026-01-02,2026-02-03,\nThree,Alpha,5,Lost,2026-01-02,,too dear\n"
    )
    outcome = import_as("rep.north", text, "deal")
    assert counts(outcome) == {"create": 3}, outcome.reasons
    with as_system() as session:
        one, two, three = session.scalars(select(Deal).order_by(Deal.id))
        assert (
            one.stage.outcome == "open"
            and one.opened_on == date(2026, 3, 4)
            and one.amount == Decimal("10.50")
        )
        assert (two.stage.outcome, two.closed_on) == ("won", date(2026, 2, 3))
        assert (three.stage.outcome, three.closed_on, three.lost_reason) == (
            "lost",
            date(2026, 3, 4),
            "too dear",
        )
        assert two.company.kind == "customer", "who has bought is one"
    assert counts(import_as("rep.north", text, "deal")) == {"unchanged": 3}


@pytest.mark.parametrize(
    "row, why",
    [
        ("One,Lost,,,", "needs the reason"),
        ("One,Won,2026-01-02,2026-01-01,", "ends before it begins"),
        ("One,Won,,2027-01-01,", "a day to come"),
        ("One,,,2026-01-01,", "no end yet"),
        ("One,No such stage,,,", "Nothing is named"),
    ],
)
def test_what_a_rule_of_deals_forbids_the_plan_refuses(plan_as, row, why):
    header = "Deal name,Stage,Opened on,Closed on,Reason for the loss\n"
    (item,) = plan_as("rep.north", header + row + "\n", "deal")
    assert item.action == "refused" and why in str(item.reasons[0])


def test_an_invoiced_deal_stays_as_it_was_billed(as_system, plan_as):
    with as_system() as session:
        key = world.draft(session).deal_id
    text = f"Foyer id,Amount,Currency\n{key},7,USD\n"
    (item,) = plan_as("rep.north", text, "deal", match=("id",))
    said = " ".join(str(one) for one in item.reasons)
    assert "follows from the lines" in said and "stays as it was billed" in said


def test_tickets_are_solved_by_the_rules_and_activities_may_be_done(import_as, rows_of, as_system):
    import_as("agent", "Subject,Status\nBroken,Solved\nSlow,\n", "ticket")
    with as_system() as session:
        broken, slow = session.scalars(select(Ticket).order_by(Ticket.id))
        assert broken.solved_at is not None and slow.solved_at is None
    outcome = import_as(
        "rep.north", "Subject,Kind,Due,Done\nCall Anna,call,2026-03-01,2026-03-02 10:00\n", "activity"
    )
    assert counts(outcome) == {"create": 1}, outcome.reasons
    ((key,),) = rows_of(Activity, "id")
    again = import_as("rep.north", f"Id,Subject\n{key},Call Bert\n", "activity", match=("id",))
    assert counts(again) == {"update": 1}, again.reasons
    assert rows_of(Activity, "subject") == [("Call Bert",)]


def test_campaigns_and_products_come_in(import_as, rows_of):
    (good, bad) = (
        "Name,Kind,Starts on,Ends on\nSpring,Mailing,2026-03-01,2026-04-01\n",
        "Name,Starts on,Ends on\nBack,2026-04-01,2026-03-01\n",
    )
    assert counts(import_as("marketer", good, "campaign")) == {"create": 1}
    assert counts(import_as("marketer", bad, "campaign")) == {"refused": 1}
    assert counts(
        import_as("finance", "Artikelnummer;Name;Preis\n1;Chai;12,50\n", "product", decimal=",")
    ) == {"create": 1}
    assert rows_of(Product, "name", "price") == [("Chai", Decimal("12.5000"))]


# --------------------------------------------------------------------------------------------- before it begins


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"columns": {"Nachname": None}}, "New records need “Last name”"),
        ({"match": ("vat_id",)}, "told apart by “vat_id”"),
        ({"match": ()}, "Say by what records are told apart"),
        ({"columns": {"Ort": "email"}}, "Two columns go into “E-mail”"),
        ({"columns": {"Ort": "nonsense"}}, "no field “nonsense”"),
        ({"mode": "destroy"}, "not offered"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_before_anything_is_read(as_person, desk_in, changes, why):
    with as_person("rep.north", writes=False) as session, pytest.raises(Refused, match=why):
        desk_in(session, PEOPLE, "contact", **changes)


def test_a_foreign_id_stands_for_one_record_only(import_as, plan_as):
    import_as("rep.north", "External id,Last name,E-mail\nA-1,Ernst,a@x.example\n", "contact", source="old")
    text = "External id,Last name,E-mail\nA-1,Neu,b@x.example\nA-2,Neu,c@x.example\nA-2,Neu,d@x.example\n"
    items = plan_as("rep.north", text, "contact", source="old", match=("email",))
    assert [item.action for item in items] == ["refused", "create", "refused"]
    assert "belongs to #" in str(items[0].reasons[0]) and "row 3 has the same" in str(items[2].reasons[0])


@on_both_engines
def test_fields_that_the_firm_added_come_in_too(as_system, import_as, plan_as, rows_of):
    with as_system() as session:
        for name, kind, more in (
            ("size", "number", {"labels": {"en": "Size", "de": "Größe"}}),
            ("met_on", "date", {"labels": {"en": "Met on"}}),
            (
                "tier",
                "choice",
                {
                    "choices": [{"value": "gold", "labels": {"en": "Gold", "de": "Gold"}}],
                    "labels": {"en": "Tier"},
                },
            ),
        ):
            session.add(CustomField(entity="contact", name=name, kind=kind, **more))
    text = "Last name,E-mail,Größe,Met on,Tier\nErnst,a@x.example,12,4.3.2026,GOLD\nNeu,b@x.example,,,\n"
    assert counts(import_as("rep.north", text, "contact")) == {"create": 2}
    stored = [custom for (custom,) in rows_of(Contact, "custom")]
    assert stored == [None, {"size": 12, "met_on": "2026-03-04", "tier": "gold"}]
    assert counts(import_as("rep.north", text, "contact")) == {"unchanged": 2}
    (changed, bad) = plan_as(
        "rep.north",
        text.replace("12", "-").replace("b@x.example,,", "b@x.example,much,"),
        "contact",
        clear="-",
    )
    assert changed.changes == {"custom.size": (12, None)} and changed.values["custom"]["tier"] == "gold"
    assert bad.reasons[0].column == "Größe"


def test_what_changes_between_looking_and_writing_stops_the_import(
    as_person, as_system, desk_in, import_as, rows_of
):
    import_as("rep.north", PEOPLE, "contact")
    changed = PEOPLE.replace("Köln", "Bonn")

    def edited_meanwhile():
        with as_system() as session:
            session.scalars(select(Contact).where(Contact.city == "Köln")).one().phone = "1"

    def added_meanwhile():
        with as_system() as session:
            session.add(
                Contact(last_name="Ernst", email="DORA@x.example", department_id=world.department(session).id)
            )

    more = PEOPLE + "Dora;Neu;dora@x.example;;;\n"
    for text, meanwhile, why in (
        (changed, edited_meanwhile, "just changed"),
        (more, added_meanwhile, "just added"),
    ):
        with pytest.raises(RuleBroken, match=why), as_person("rep.north", writes=False) as reading:
            desk = desk_in(reading, text, "contact")
            with as_person("rep.north") as writing:
                writing.rollback()

                def begin(meanwhile=meanwhile, writing=writing):
                    meanwhile()
                    return writing

                importing.bring_in(desk, begin)
    assert ("Bonn",) not in rows_of(Contact, "city") and ("Neu",) not in rows_of(Contact, "last_name")


def test_what_was_exported_behind_a_mark_comes_back_without_it(plan_as):
    (item,) = plan_as("rep.north", "Last name,E-mail,Phone\nErnst,a@x.example,'+49 30 1\n", "contact")
    assert item.values["phone"] == "+49 30 1"


@on_both_engines
def test_an_import_with_updates_can_be_taken_back_whole(import_as, as_person, as_system):
    def standing():
        with as_system() as session:
            models = (Company, Contact, ExternalKey)
            return {
                one.__tablename__: sorted(
                    (
                        tuple(
                            getattr(row, column.name)
                            for column in one.__table__.c
                            if column.name not in STAMPS
                        )
                        for row in session.scalars(select(one))
                    ),
                    key=str,
                )
                for one in models
            }

    import_as(
        "rep.north",
        "External id,Last name,E-mail,Company\nA-1,Ernst,a@x.example,Alpha\n",
        "contact",
        source="old",
    )
    before = standing()
    text = "External id,Last name,E-mail,Company\nA-1,Earnest,b@x.example,Beta\nA-2,Neu,c@x.example,Gamma\n"
    assert counts(import_as("rep.north", text, "contact", source="old")) == {"update": 1, "create": 1}
    with as_system() as session:
        key = session.scalar(select(func.max(ChangeSet.id)))
    with as_person("rep.north") as session:
        assert undo.undo(session, key).left == []
    assert standing() == before


@pytest.mark.parametrize("uid, match", [("UID:{}\r\n", ("key",)), ("", ("email",))])
def test_cards_come_in_as_contacts(as_person, import_as, rows_of, uid, match):
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\n{}N:{};Anna;;;\r\nORG:Alpha\r\nEMAIL:{}@x.example\r\nEND:VCARD\r\n"
    cards = "".join(card.format(uid.format(name), name, name) for name in ("Ernst", "Müller"))
    with as_person("rep.north", writes=False) as session:
        table = open_table(cards.encode(), "a.vcf")
        assert importing.suggest("contact", table, importing.fields_for(session, "contact")).match == match
    for expected in ({"create": 2}, {"unchanged": 2}):
        assert counts(import_as("rep.north", cards, "contact", name="a.vcf")) == expected
    assert rows_of(Contact, "first_name", "last_name") == [("Anna", "Ernst"), ("Anna", "Müller")]
