"""Custom fields on every door: settings, forms, sheets, lists, histories, the API; and for whom they are not there."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.engine import Engine

from app import jobs
from app.access import DOOR
from app.exchange import importing
from app.models import Company, CustomField
from app.rules import custom_fields
from app.views.custom_fields import INDEXES
from tests.databases import on_both_engines
from tests.rules import world

CHOICES = "gold = Gold | Reines Gold\ntin = Tin"
CANARY = "Zuckerhut"


def said(**values):
    """A definition as the rule takes it."""
    return {
        "entity": "company",
        "kind": "text",
        "labels": {"en": "Colour"},
        "choices": [],
        "target": None,
        "default": None,
        "department_ids": [],
        "is_required": False,
        "is_indexed": False,
        "is_active": True,
        "position": 0,
    } | values


@pytest.fixture
def define(as_system):
    """`define(kind="date")` adds a field of companies and returns its id."""

    def add(**values):
        with as_system() as session:
            return custom_fields.define(session, said(**values)).id

    return add


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        return world.company(session, name="Blauer See").id


def custom_of(as_system, key):
    with as_system() as session:
        return session.get(Company, key).custom


@contextmanager
def statements():
    """Counts the SQL statements of the block."""
    seen = []

    def hear(_connection, _cursor, statement, *_more):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


# --------------------------------------------------------------------------------------------- settings


def test_a_field_is_in_form_sheet_and_api_from_the_next_request_on(client_for, company_id):
    rep, admin = client_for("rep.north"), client_for("admin")
    assert "Shoe size" not in rep.get(f"/companies/{company_id}/edit")
    page = admin.submit(
        "/custom-fields/new?entity=company",
        "/custom-fields/new",
        follow=True,
        label_en="Shoe size",
        label_de="Schuhgröße",
        kind="number",
    )
    assert "Shoe size" in page and "shoe_size" in page and "Undo" in page
    edit = f"/companies/{company_id}/edit"
    page = rep.submit(edit, edit, follow=True, **{"custom.shoe_size": "42"})
    assert "<dt>Shoe size</dt>" in page and "42" in page.text
    assert rep.api("GET", f"/api/v1/companies/{company_id}").json["result"]["custom"] == {"shoe_size": 42}


def test_a_definition_that_is_refused_keeps_what_was_typed(client_for):
    admin = client_for("admin")
    new = "/custom-fields/new"
    typed = {"label_en": "Grade", "kind": "choice", "choices": "", "default": "gold", "position": "3"}
    page = admin.submit(new, new, status=422, **typed)
    assert "A choice needs something to choose from." in page
    sent = dict(page.form(new).fields)
    assert {name: sent[name].strip() for name in typed} == typed
    page = admin.submit(page, new, status=422, choices="tin = Tin")
    assert "is none of the choices" in page
    admin.submit(page, new, choices=CHOICES)
    page = admin.submit(new, new, status=422, label_en="", label_de="", label_fr="")
    assert "A field needs a name that people read." in page


def test_a_field_is_changed_and_taken_out_of_use_with_its_values_kept(
    client_for, define, company_id, as_system
):
    key = define(kind="choice", choices=custom_fields.read_choices(CHOICES))
    rep, admin = client_for("rep.north"), client_for("admin")
    edit, settings = f"/companies/{company_id}/edit", f"/custom-fields/{key}/edit"
    rep.submit(edit, edit, **{"custom.colour": "tin"})
    page = admin.submit(settings, settings, status=422, kind="date")
    assert "keeps its kind" in page
    admin.submit(settings, settings, choices="gold = Pure gold", kind="choice")
    assert "Tin" in rep.get(f"/companies/{company_id}")
    rep.submit(edit, edit, name="Blaue Seen")  # an innocent edit keeps the retired choice
    assert custom_of(as_system, company_id) == {"colour": "tin"}
    admin.submit(settings, settings, is_active=None)
    assert "Tin" not in rep.get(f"/companies/{company_id}")
    assert "custom.colour" not in dict(rep.get(edit).form(edit).fields)
    rep.submit(edit, edit, name="Blauer See")
    assert custom_of(as_system, company_id) == {"colour": "tin"}
    page = admin.submit(settings, f"/custom-fields/{key}/delete", status=422)
    assert "Take it out of use instead" in page
    admin.submit(settings, settings, is_active="y")
    assert "Tin" in rep.get(f"/companies/{company_id}")


def test_two_who_change_one_field_see_both_versions(client_for, define):
    key = define()
    admin = client_for("admin")
    settings = f"/custom-fields/{key}/edit"
    old = admin.get(settings)
    admin.submit(settings, settings, label_de="Farbe")
    page = admin.submit(old, settings, status=409, label_de="Kolorit", is_required="y")
    assert "Kolorit" in page and "Farbe" in page
    admin.submit(page, settings)
    assert "required" in admin.get("/custom-fields/")


def test_a_field_without_values_is_deleted(client_for, define, as_system):
    key = define()
    admin = client_for("admin")
    admin.submit(f"/custom-fields/{key}/edit", f"/custom-fields/{key}/delete", follow=True)
    with as_system() as session:
        assert session.scalar(select(CustomField.id)) is None
    admin.get(f"/custom-fields/{key}/edit", status=404)


def test_a_head_arranges_his_part_of_the_tree(client_for, define, as_system):
    everybodys = define()
    with as_system() as session:
        north, support = (world.department(session, name).id for name in ("North", "Support"))
    foreign = define(labels={"en": "Foreign"}, department_ids=[support])
    head = client_for("head.sales")
    page = head.get("/custom-fields/")
    assert (
        "Colour" in page and "Foreign" not in page and "Tickets" not in page.text.split("Custom fields")[-1]
    )
    for key in (everybodys, foreign):
        head.get(f"/custom-fields/{key}/edit", status=404)
        head.post(f"/custom-fields/{key}/delete", {"version": "1"}, status=404)
    new = "/custom-fields/new"
    page = head.submit(new, new, status=422, label_en="Mine", department_ids=[])
    assert "departments of your own" in page
    token = dict(page.form(new).fields)["csrf_token"]
    data = {"csrf_token": token, "label_en": "Mine", "entity": "company", "kind": "text"}
    head.post(new, {**data, "department_ids": str(support)}, status=422)
    head.post(new, {**data, "entity": "ticket", "department_ids": str(north)}, status=422)
    page = head.submit(new, new, follow=True, label_en="Mine", entity="company", department_ids=[north])
    assert "Mine" in page


@pytest.mark.parametrize("username", ["rep.north", "agent", "finance", "director"])
def test_nobody_else_reaches_the_settings(client_for, define, username):
    key, client = define(), client_for(username)
    for path in ("", "new", f"{key}/edit"):
        client.get(f"/custom-fields/{path}", status=403)
    assert "/custom-fields/" not in client.get("/", follow=True).links


# --------------------------------------------------------------------------------------------- every kind

# kind, what is typed, what is kept, what the sheet says, and what a program sends for another value
KINDS = [
    ("text", "Blue <sea>", "Blue <sea>", "Blue <sea>", "Red"),
    ("long_text", "One\nTwo", "One\nTwo", "One Two", "Three"),
    ("number", "1200", 1200, "1,200", 7),
    ("decimal", "12.5", 12.5, "12.5", 0.25),
    ("money", "19.90", 19.9, "€19.90", 1),
    ("date", "2026-03-04", "2026-03-04", "Mar 4, 2026", "2027-01-01"),
    ("moment", "2026-03-04T12:30", None, "12:30", "2027-01-01T00:00:00Z"),
    ("yes_no", "no", False, "no", True),
    ("choice", "tin", "tin", "Tin", "gold"),
    ("choices", ["gold", "tin"], ["gold", "tin"], "Gold, Tin", ["tin"]),
    ("mail", "a@example.com", "a@example.com", "a@example.com", "b@example.com"),
    ("phone", "+49 30 12", "+49 30 12", "+49 30 12", "112"),
    ("link", "https://example.com", "https://example.com", "example.com", "https://example.org/"),
]


@on_both_engines
def test_every_kind_goes_through_form_sheet_history_and_api(client_for, define, company_id, as_system):
    for kind, *_ in KINDS:
        choices = custom_fields.read_choices(CHOICES) if kind.startswith("choice") else []
        define(kind=kind, labels={"en": f"The {kind}"}, choices=choices)
    define(kind="record", labels={"en": "The record"}, target="contact")
    with as_system() as session:
        friend = world.contact(session, "Mendel", first_name="Roland").id
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    typed = {f"custom.the_{kind}": value for kind, value, *_ in KINDS} | {
        "custom.the_record": "roland mendel"
    }
    sheet = client.submit(edit, edit, follow=True, **typed)
    for kind, _, _, told, _ in KINDS:
        assert f"The {kind}" in sheet and told in sheet.text, kind
    assert f"/contacts/{friend}" in sheet.links
    # the form shows again what was typed, and saving it untouched changes nothing
    fields = client.get(edit).form(edit).fields
    for kind, value, *_ in KINDS:
        said = [text.strip().replace("\r", "") for name, text in fields if name == f"custom.the_{kind}"]
        assert said == (value if isinstance(value, list) else [value]), kind
    assert dict(fields)["custom.the_record"] == f"Roland Mendel (#{friend})"
    kept = custom_of(as_system, company_id)
    for kind, _, value, *_ in KINDS:
        assert kept[f"the_{kind}"] == value or kind == "moment", kind
    assert kept["the_moment"].endswith("Z") and kept["the_record"] == friend
    client.submit(edit, edit)
    assert custom_of(as_system, company_id) == kept
    # the history tells every one of them with its label
    story = client.get(f"/companies/{company_id}/history").text
    for kind, _, _, told, _ in KINDS:
        assert f"The {kind}" in story and told in story, kind
    assert "Roland Mendel" in story
    # a program reads what is kept, and writes it back, and others
    url = f"/api/v1/companies/{company_id}"
    answer = client.api("GET", url).json
    assert answer["result"]["custom"] == kept
    assert client.api("GET", "/api/v1/companies/").json["result"][0]["custom"] == kept
    client.api("PUT", url, json={"version": answer["version"], "custom": kept})
    assert custom_of(as_system, company_id) == kept
    others = {f"the_{kind}": value for kind, *_, value in KINDS}
    version = client.api("GET", url).json["version"]
    answer = client.api("PUT", url, json={"version": version, "custom": others}).json
    assert answer["result"]["custom"] == {**kept, **others}
    empty = dict.fromkeys(answer["result"]["custom"])
    answer = client.api("PUT", url, json={"version": answer["version"], "custom": empty}).json
    assert answer["result"]["custom"] == empty
    assert custom_of(as_system, company_id) is None


def test_every_entity_takes_fields_on_its_sheet_and_form(client_for, as_system, define):
    for entity in custom_fields.TAKERS:
        define(entity=entity, labels={"en": "House number"})
    with as_system() as session:
        invoice = world.draft(session)
        invoice_id = invoice.id
        rows = {
            "/companies": (invoice.company_id, "rep.north"),
            "/contacts": (world.contact(session).id, "rep.north"),
            "/deals": (invoice.deal_id, "rep.north"),
            "/tickets": (world.ticket(session).id, "agent"),
            "/products": (world.product(session).id, "finance"),
            "/staff": (world.colleague(session).id, "admin"),
        }
    for path, (key, username) in rows.items():
        client = client_for(username)
        assert "House number" in client.get(f"{path}/{key}"), path
        edit = f"{path}/{key}/edit"
        page = client.submit(edit, edit, follow=True, **{"custom.house_number": "17 b"})
        assert "17 b" in page, path
    client, path = client_for("finance"), f"/invoices/{invoice_id}"
    assert "House number" in client.get(path)
    page = client.submit(f"{path}/fields", f"{path}/fields", follow=True, **{"custom.house_number": "17 b"})
    assert "17 b" in page
    client.submit(path, f"{path}/issue")
    assert "is issued; it stays as it is" in client.get(f"{path}/fields", status=422)
    assert "17 b" in client.get(path) and f"{path}/fields" not in client.get(path).links
    for path, username in (("/campaigns", "marketer"), ("/activities", "rep.north")):
        assert "House number" in client_for(username).get(f"{path}/new"), path
    page = client_for("admin").get("/staff/new")
    assert "House number" in page


# --------------------------------------------------------------------------------------------- forms


def test_what_is_no_value_is_said_at_the_field_and_nothing_typed_is_lost(
    client_for, define, company_id, as_system
):
    define(kind="number", labels={"en": "Size"})
    define(kind="choice", labels={"en": "Grade"}, choices=custom_fields.read_choices(CHOICES))
    define(kind="record", labels={"en": "Friend"}, target="contact")
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    wrong = {"custom.size": "large", "custom.friend": "Nobody at all", "notes": "Typed with care"}
    page = client.submit(edit, edit, status=422, **wrong)
    assert "“large” is no number." in page and "Nothing is named “Nobody at all”." in page
    sent = dict(page.form(edit).fields)
    assert {name: sent[name].strip() for name in wrong} == wrong
    page = client.submit(page, edit, status=422, **{"custom.size": "42", "custom.grade": "gold"})
    assert dict(page.form(edit).fields)["custom.grade"] == "gold"
    client.submit(page, edit, **{"custom.friend": ""})
    assert custom_of(as_system, company_id) == {"size": 42, "grade": "gold"}


def test_a_choice_that_is_none_is_refused_and_shown_again(client_for, define, company_id):
    define(kind="choice", choices=custom_fields.read_choices(CHOICES))
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    page = client.submit(edit, edit, status=422, **{"custom.colour": "silver"})
    assert "“silver” is none of the choices." in page
    assert dict(page.form(edit).fields)["custom.colour"] == "silver"


def test_a_required_field_is_asked_for_and_a_default_stands_there(client_for, define, company_id, as_system):
    define(labels={"en": "Needed"}, is_required=True)
    define(kind="number", labels={"en": "Given"}, default="5")
    client, new = client_for("rep.north"), "/companies/new"
    page = client.submit(new, new, status=422, name="Alfreds")
    assert "This is needed." in page
    assert dict(page.form(new).fields)["custom.given"] == "5"
    page = client.submit(page, new, follow=True, **{"custom.needed": "yes, it is"})
    answer = client.api("POST", "/api/v1/companies/", status=422, json={"name": "By program"}).json
    assert list(answer["errors"]) == ["custom.needed"]
    answer = client.api(
        "POST", "/api/v1/companies/", status=201, json={"name": "P", "custom": {"needed": "x"}}
    ).json
    assert answer["result"]["custom"] == {"needed": "x", "given": 5}
    with as_system() as session:
        row = session.scalars(select(Company).where(Company.name == "Alfreds")).one()
        assert row.custom == {"needed": "yes, it is", "given": 5}


def test_a_form_opened_before_the_field_was_there_loses_nothing(client_for, define, company_id, as_system):
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    old = client.get(edit)
    define(kind="number", labels={"en": "Size"})
    with as_system() as session:
        session.connection().execute(
            Company.__table__.update().values(custom={"size": 3}), execution_options={DOOR: True}
        )
    client.submit(old, edit, name="Neuer Name")
    assert custom_of(as_system, company_id) == {"size": 3}


def test_a_stale_edit_shows_both_values(client_for, define, company_id):
    define(kind="yes_no", labels={"en": "Listed"})
    define(kind="date", labels={"en": "Since"})
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    old = client.get(edit)
    client.submit(edit, edit, **{"custom.listed": "yes", "custom.since": "2026-01-01"})
    page = client.submit(old, edit, status=409, **{"custom.listed": "no", "custom.since": "2026-02-02"})
    assert "<td>no</td><td>yes</td>" in page and "<td>Feb 2, 2026</td><td>Jan 1, 2026</td>" in page
    client.submit(page, edit)
    assert "Feb 2, 2026" in client.get(f"/companies/{company_id}")


def test_a_link_to_a_hidden_record_is_kept_and_not_told(client_for, define, company_id, as_system):
    define(kind="record", labels={"en": "Friend"}, target="contact")
    with as_system() as session:
        south = world.department(session, "South").id
        friend = world.contact(session, CANARY)
        friend.department_id = south
        session.get(Company, company_id).custom = {"friend": friend.id}
        friend = friend.id
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    for path in (edit, f"/companies/{company_id}", f"/companies/{company_id}/history"):
        assert CANARY not in client.get(path)
    client.submit(edit, edit, name="Neuer Name")
    assert custom_of(as_system, company_id) == {"friend": friend}
    result = client.api("GET", f"/api/v1/companies/{company_id}").json
    assert result["result"]["custom"] == {"friend": None}
    assert "custom.friend" in result["result"]["not_visible"]
    body = {"version": result["version"], "custom": {"friend": friend}}
    answer = client.api("PUT", f"/api/v1/companies/{company_id}", status=422, json=body).json
    assert list(answer["errors"]) == ["custom.friend"]


def test_one_value_is_set_back_from_the_history(client_for, define, company_id, as_system):
    define(kind="choices", choices=custom_fields.read_choices(CHOICES))
    client, edit = client_for("rep.north"), f"/companies/{company_id}/edit"
    client.submit(edit, edit, **{"custom.colour": ["gold", "tin"]})
    client.submit(edit, edit, **{"custom.colour": ["tin"]})
    page = client.get(f"/companies/{company_id}/history")
    restore = f"/companies/{company_id}/restore"
    forms = [form for form in page.forms if form.action == restore]
    assert [dict(form.fields)["column"] for form in forms] == ["custom.colour", "custom.colour"]
    client.post(restore, dict(forms[0].fields), follow=True)
    assert custom_of(as_system, company_id) == {"colour": ["gold", "tin"]}


# --------------------------------------------------------------------------------------------- for whom


@pytest.fixture
def hidden(as_system, as_person):
    """A company of the South that still holds a value of a field which the head of North made for the North."""
    with as_system() as session:
        north = world.department(session, "North").id
    with as_person("head.sales") as session:
        custom_fields.define(session, said(department_ids=[north], labels={"en": "Secret colour"}))
    with as_system() as session:
        row = world.company(session, name="Südwind", custom={"secret_colour": CANARY})
        row.department_id = world.department(session, "South").id
        session.flush()
        return row.id


DOORS = {
    "sheet": lambda client, key: client.get(f"/companies/{key}"),
    "form": lambda client, key: client.get(f"/companies/{key}/edit"),
    "new": lambda client, key: client.get("/companies/new"),
    "list": lambda client, key: client.get("/companies/"),
    "history": lambda client, key: client.get(f"/companies/{key}/history"),
    "as of": lambda client, key: client.get(f"/companies/{key}/as-of"),
    "API": lambda client, key: client.api("GET", f"/api/v1/companies/{key}"),
    "API list": lambda client, key: client.api("GET", "/api/v1/companies/"),
    "search": lambda client, key: client.get(f"/companies/?q={CANARY[:5]}"),
    "filters": lambda client, key: client.get("/companies/?filters=open"),
    "export": lambda client, key: client.get("/companies/export?columns=all"),
    "changes": lambda client, key: client.get("/changes/"),
    "a change set": lambda client, key: client.get(_sets(client, key)[0]),
}


def _sets(client, key):
    """The change sets that the history of this company leads to."""
    return [
        link for link in client.get(f"/companies/{key}/history").links if re.fullmatch(r"/changes/\d+", link)
    ]


@pytest.mark.parametrize("door", DOORS)
def test_a_field_of_the_north_is_nowhere_for_the_south(client_for, hidden, door):
    page = DOORS[door](client_for("rep.south"), hidden)
    for secret in (CANARY, "Secret colour", "secret_colour"):
        assert secret not in page.html, secret


def test_the_same_doors_show_it_to_those_it_is_for(client_for, as_person, hidden):
    head = client_for("head.sales")
    shown = ("sheet", "form", "list", "history", "as of", "API", "API list", "export", "a change set")
    for door in shown:
        assert CANARY in DOORS[door](head, hidden).html, door
    assert "Secret colour" in DOORS["filters"](head, hidden)
    assert "Südwind" in head.get(f"/companies/?where=custom.secret_colour is {CANARY}")
    assert "Südwind" not in head.get("/companies/?where=custom.secret_colour is Red")
    with as_person("head.sales") as session:
        assert "custom.secret_colour" in importing.fields_for(session, "company")


def test_a_field_of_the_north_is_not_asked_about_by_the_south(client_for, as_person, hidden):
    client = client_for("rep.south")
    for path in (
        "/companies/?where={} is Red",
        "/companies/export?where={} is Red",
        "/api/v1/companies/?where={} is Red",
    ):
        secret, absent = (
            client.get(path.format(f"custom.{name}"), status=400) for name in ("secret_colour", "nothing")
        )
        assert secret.html.replace("secret_colour", "nothing") == absent.html
    client.get("/companies/?sort=custom.secret_colour", status=400)
    with as_person("rep.south") as session:
        assert "custom.secret_colour" not in importing.fields_for(session, "company")


def test_a_field_of_the_north_is_not_written_by_the_south(client_for, hidden, as_system):
    client, edit = client_for("rep.south"), f"/companies/{hidden}/edit"
    fields = dict(client.get(edit).form(edit).fields)
    client.post(edit, {**fields, "custom.secret_colour": "taken over"})
    version = client.api("GET", f"/api/v1/companies/{hidden}").json["version"]
    for name in ("secret_colour", "no_such_field"):
        body = {"version": version, "custom": {name: "taken over"}}
        answer = client.api("PUT", f"/api/v1/companies/{hidden}", status=422, json=body).json
        assert list(answer["errors"].values()) == [["There is no such field, or it cannot be written."]]
    body = {"version": version, "custom": "all of it"}
    client.api("PUT", f"/api/v1/companies/{hidden}", status=422, json=body)
    client.api("PUT", f"/api/v1/companies/{hidden}", json={"version": version, "name": "Nordwind"})
    assert custom_of(as_system, hidden) == {"secret_colour": CANARY}


# --------------------------------------------------------------------------------------------- what it costs


@on_both_engines
def test_ten_fields_cost_at_most_one_statement_a_page(client_for, define, company_id):
    client = client_for("rep.north")
    pages = ("/companies/", f"/companies/{company_id}", f"/companies/{company_id}/edit", "/api/v1/companies/")
    for number in range(10):
        define(
            kind=("text", "number", "date", "yes_no", "money")[number % 5], labels={"en": f"Field {number}"}
        )
    counts = {}
    for path in pages:
        client.get(path)
        with statements() as seen:
            client.get(path)
        about = [one for one in seen if one.startswith("SELECT custom_field.")]
        counts[path] = (len(seen), len(about))
        assert len(about) <= 1, path
    assert counts["/companies/"][0] <= 8 and counts[f"/companies/{company_id}"][0] <= 15, counts


@on_both_engines
def test_marking_a_field_makes_a_job_that_makes_its_index(client_for, app, as_system):
    admin, new = client_for("admin"), "/custom-fields/new"
    admin.submit(new, new, label_en="Size", kind="number", entity="company", is_indexed="y")
    assert jobs.run_waiting(app) == 1
    with as_system() as session:
        job = session.execute(
            text("SELECT kind, state, error FROM job"), execution_options={DOOR: True}
        ).one()
        assert tuple(job) == (INDEXES, "done", None)
        wanted = custom_fields.expression(custom_fields.fields_for(session, "company")[0], Company) == 5
        assert "cf_company_number_size" in _plan(session, select(Company.id).where(wanted))
    admin.submit(new, new, label_en="Not indexed", entity="company")
    assert jobs.run_waiting(app) == 0


def _plan(session, statement):
    connection = session.connection()
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.execute(text("SET LOCAL enable_seqscan = off"), execution_options={DOOR: True})
    explain = text(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{compiled}".replace(":", r"\:"))
    return "\n".join(str(tuple(row)) for row in connection.execute(explain, execution_options={DOOR: True}))
