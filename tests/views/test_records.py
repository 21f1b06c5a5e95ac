"""What every record's pages have in common: list, forms, versions, hidden links, sign-in and sign-out."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.engine import Engine

from app.models import Change, Company, Contact, Deal, Department
from tests.databases import on_both_engines, with_demo
from tests.rules import world


@pytest.fixture
def north(client_for):
    return client_for("rep.north")


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        return world.company(session, name="Blauer See", notes="Nice people").id


@pytest.fixture
def deal_id(as_system):
    """A deal of the North whose customer is the South's."""
    with as_system() as session:
        south = world.department(session, "South")
        customer = Company(name="Delikatessen Süd", kind="customer", department_id=south.id)
        session.add(customer)
        session.flush()
        return world.deal(session, name="Cross-border", customer=customer, amount="100.00").id


def version_of(client, url):
    return dict(client.get(f"{url}/edit").form(f"{url}/edit").fields)["version"]


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("https://www.see.example/a?b=1", "https://www.see.example/a?b=1"),
        ("see.example", "https://see.example"),
        ("javascript:alert(1)", None),
        ("data:text/html,see.example", None),
        ("on request", None),
    ],
)
def test_a_website_is_a_link_when_it_is_one_beyond_doubt(as_system, north, company_id, typed, leads_to):
    with as_system() as session:
        session.get(Company, company_id).website = typed
    links = re.findall(
        r'<a href="([^"]*)" rel="noreferrer noopener">', north.get(f"/companies/{company_id}").html
    )
    assert links == ([leads_to] if leads_to else [])


# --------------------------------------------------------------------------------------------- lists


@on_both_engines
def test_the_next_pages_hold_every_row_once(client_for, as_system):
    with as_system() as session:
        north = world.department(session)
        for number in range(60):
            session.add(
                Company(name=f"Firm {number % 7}", kind="customer", department_id=north.id, city=None)
            )
    client = client_for("rep.north")
    for sort in ("name", "-name", "id", "-id", "city", "-city", "country"):
        found, url, pages = [], f"/companies/?size=25&sort={sort}", 0
        while url:
            page = client.get(url)
            found += re.findall(r'href="/companies/(\d+)"', page.html)
            url, pages = page.link_with(rel="next"), pages + 1
        assert pages == 3
        assert len(found) == len(set(found)) == 60, sort


@on_both_engines
def test_a_search_and_a_filter_narrow_the_list(client_for, as_system):
    with as_system() as session:
        for name, city in (("Münchner Bräu", "München"), ("Kölner Dom", "Köln"), ("Anna's", "Köln")):
            world.company(session, name=name, city=city)
    client = client_for("rep.north")
    assert "Münchner Bräu" in client.get("/companies/?q=munchner")
    assert "Kölner Dom" not in client.get("/companies/?q=munchner")
    page = client.get("/companies/?city.is=Köln&name.has=dom")
    assert "Kölner Dom" in page
    assert "Anna" not in page


def test_a_filter_that_makes_no_sense_is_said_so(north):
    page = north.get("/companies/?nothing.is=1", status=400)
    assert "There is no filter" in page


# --------------------------------------------------------------------------------------------- forms


@on_both_engines
def test_a_record_is_added_and_its_sheet_opens(client_for, as_system):
    client = client_for("rep.north")
    page = client.submit("/companies/new", "/companies/new", name="Vins et alcools", follow=True)
    assert page.h1 == "Vins et alcools"
    with as_system() as session:
        row = session.scalars(select(Company).where(Company.name == "Vins et alcools")).one()
        assert row.department_id == world.department(session).id
        assert row.created_by.name == "Ingrid Solberg"


def test_a_form_that_does_not_validate_keeps_what_was_typed(north, as_system):
    page = north.submit(
        "/companies/new",
        "/companies/new",
        status=422,
        name="",
        email="no address",
        street="Forsterstr. 57",
        notes="<b>typed</b> with care",
    )
    sent = dict(page.form("/companies/new").fields)
    assert sent["street"] == "Forsterstr. 57"
    assert sent["email"] == "no address"
    assert sent["notes"].strip() == "<b>typed</b> with care"
    assert "This is needed." in page
    assert "This is not a mail address." in page
    with as_system() as session:
        assert session.scalar(select(func.count(Company.id))) == 0


def test_what_comes_back_as_it_stands_is_left_as_it_is(north, as_system, company_id):
    """A mail address and a number from before there was a check: whoever edits the street need not mend them."""
    url, edit = f"/companies/{company_id}", f"/companies/{company_id}/edit"
    with as_system() as session:
        session.execute(update(Company).values(email="no address", phone="ask", street="Forsterstr. 57"))
    north.submit(edit, edit, street="", city="Mannheim", follow=True)
    with as_system() as session:
        row = session.get(Company, company_id)
        assert (row.email, row.phone, row.street, row.city) == ("no address", "ask", None, "Mannheim")
        told = session.scalars(select(Change).where(Change.action == "edit", Change.record_id == company_id)).all()
        assert set(told[-1].values) == {"street", "city"}
    page = north.submit(edit, edit, status=422, email="no addresses", name=" ")
    assert "This is not a mail address." in page and "This is needed." in page
    assert dict(page.form(url + "/edit").fields)["street"] == ""


def test_a_name_is_one_line_and_a_note_is_not(north, as_system):
    values = {"name": "Blauer\r\nSee\u2028Delikatessen", "notes": "One\r\nTwo"}
    north.submit("/companies/new", "/companies/new", **values)
    with as_system() as session:
        row = session.scalars(select(Company)).one()
        assert row.name == "Blauer See Delikatessen"
        assert row.notes.split() == ["One", "Two"]


def test_a_link_that_means_nothing_is_refused_at_its_field(north, company_id):
    page = north.submit(
        "/contacts/new", "/contacts/new", status=422, last_name="Moos", company_id="No such firm"
    )
    assert "No such firm" in page
    assert dict(page.form("/contacts/new").fields)["last_name"] == "Moos"
    page = north.submit(page, "/contacts/new", company_id="blauer see", follow=True)
    assert "Blauer See" in page


@on_both_engines
def test_a_stale_edit_shows_both_versions_and_loses_nothing(client_for, company_id, as_system):
    client, url = client_for("rep.north"), f"/companies/{company_id}/edit"
    opened = client.get(url)
    client.submit(url, url, phone="111", notes="theirs")  # somebody else saves in between
    page = client.submit(opened, url, status=409, notes="mine", fax="222")
    assert "mine" in page
    assert "theirs" in page
    assert "Ingrid Solberg" in page
    with as_system() as session:
        assert session.get(Company, company_id).notes == "theirs"
    client.submit(page, url)  # the page that said so carries the new version
    with as_system() as session:
        row = session.get(Company, company_id)
        assert (row.notes, row.fax) == ("mine", "222")


@pytest.mark.parametrize("version", ["", "0", "999", "abc", None])
def test_an_edit_without_the_right_version_is_a_conflict(north, company_id, as_system, version):
    url = f"/companies/{company_id}/edit"
    data = {"name": "Overwritten", "kind": "customer"} | ({} if version is None else {"version": version})
    north.post(url, data, status=409)
    with as_system() as session:
        assert session.get(Company, company_id).name == "Blauer See"


@on_both_engines
def test_an_edit_keeps_a_link_that_the_form_did_not_show(client_for, deal_id, as_system):
    client, url = client_for("rep.north"), f"/deals/{deal_id}"
    assert "not visible" in client.get(url)
    page = client.get(f"{url}/edit")
    assert "not visible" in page
    assert "Delikatessen" not in page
    client.submit(page, f"{url}/edit", name="Renamed")
    with as_system() as session:
        row = session.get(Deal, deal_id)
        assert row.name == "Renamed"
        assert row.company.name == "Delikatessen Süd"


def test_a_hidden_link_is_not_overwritten_by_a_forged_field(north, deal_id, company_id, as_system):
    url = f"/deals/{deal_id}/edit"
    page = north.get(url)
    data = page.form(url).with_values({}) | {"company_id": f"#{company_id}"}
    north.post(url, data, status=None)
    data = page.form(url).with_values({}) | {
        "company_id": "",
        "version": version_of(north, f"/deals/{deal_id}"),
    }
    north.post(url, data, status=None)
    with as_system() as session:
        assert session.get(Deal, deal_id).company.name == "Delikatessen Süd"


def test_a_link_to_a_foreign_record_is_refused_as_if_there_were_none(north, deal_id, company_id, as_system):
    with as_system() as session:
        foreign_id = session.get(Deal, deal_id).company_id
    absent = north.submit("/contacts/new", "/contacts/new", status=422, last_name="x", company_id="#99999")
    foreign = north.submit(
        "/contacts/new", "/contacts/new", status=422, last_name="x", company_id=f"#{foreign_id}"
    )
    assert "There is no such record." in absent
    assert "There is no such record." in foreign
    assert "Delikatessen" not in foreign


def test_a_department_that_is_not_ones_own_cannot_be_chosen(north, as_system):
    with as_system() as session:
        south = world.department(session, "South").id
    page = north.get("/companies/new")
    data = page.form("/companies/new").with_values({"name": "Moved"}) | {"department_id": str(south)}
    north.post("/companies/new", data, status=422)
    with as_system() as session:
        assert session.scalar(select(func.count(Company.id))) == 0


# --------------------------------------------------------------------------------------------- delete, history


@on_both_engines
def test_a_record_is_deleted_by_post_alone(client_for, company_id, as_system):
    client = client_for("rep.north")
    client.get(f"/companies/{company_id}/delete", status=405)
    version = version_of(client, f"/companies/{company_id}")
    client.post(f"/companies/{company_id}/delete", {"version": version})
    client.get(f"/companies/{company_id}", status=404)
    with as_system() as session:
        assert session.get(Company, company_id) is None


@on_both_engines
def test_a_record_that_others_point_to_is_not_deleted(client_for, company_id, as_system):
    with as_system() as session:
        session.add(
            Contact(last_name="Moos", company_id=company_id, department_id=world.department(session).id)
        )
    client = client_for("rep.north")
    version = version_of(client, f"/companies/{company_id}")
    page = client.post(f"/companies/{company_id}/delete", {"version": version}, status=422)
    assert "Other records still point to this one" in page
    client.get(f"/companies/{company_id}")


@on_both_engines
def test_the_history_tells_what_was_and_what_is(client_for, company_id):
    client, url = client_for("rep.north"), f"/companies/{company_id}"
    client.submit(f"{url}/edit", f"{url}/edit", notes="Even nicer people")
    page = client.get(f"{url}/history")
    for words in ("Nice people", "Even nicer people", "Ingrid Solberg", "in the browser"):
        assert words in page


# --------------------------------------------------------------------------------------------- the gate


@pytest.mark.parametrize(
    "path",
    ["/", "/companies/", "/companies/1", "/deals/board", "/reports/sales", "/staff/", "/invoices/1/pdf"],
)
def test_without_a_session_every_page_leads_to_the_door(anonymous, path):
    page = anonymous.get(path, status=(302, 303))
    assert page.location.startswith("/login/")


def test_the_api_says_so_in_json(anonymous):
    page = anonymous.get("/api/v1/companies/", status=401)
    assert page.json["message"]


def test_a_wrong_password_opens_nothing(anonymous):
    page = anonymous.get("/login/")
    data = {"username": "rep.north", "password": "wrong", "csrf_token": page.csrf_token}
    page = anonymous.post("/login/", data, status=401)
    assert "do not belong together" in page
    assert page.user is None
    anonymous.get("/", status=(302, 303))


def test_after_the_door_comes_what_was_asked_for(anonymous):
    page = anonymous.get("/companies/?q=see", status=(302, 303))
    page = anonymous.get(page.location)
    form = page.form()
    data = form.with_values({"username": "rep.north", "password": "demo"})
    page = anonymous.post(form.action or page.url, data)
    assert page.location == "/companies/?q=see"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_door_leads_nowhere_else(anonymous, target):
    page = anonymous.get("/login/", query_string={"next": target})
    data = {"username": "rep.north", "password": "demo", "next": target, "csrf_token": page.csrf_token}
    assert anonymous.post("/login/", data).location == "/"


def test_one_leaves_by_post_alone(north):
    north.get("/logout/", status=405)
    assert north.get("/").user == "rep.north"
    north.post("/logout/")
    north.username = None
    north.get("/", status=(302, 303))


@pytest.mark.parametrize(
    "path",
    [
        "/companies/new",
        "/companies/{id}/edit",
        "/companies/{id}/delete",
        "/logout/",
        "/login/",
        "/activities/log",
    ],
)
def test_nothing_is_written_without_a_csrf_token(north, company_id, as_system, path):
    for token in ("", "forged"):
        data = {"name": "Forged", "last_name": "x", "kind": "customer", "body": "x", "csrf_token": token}
        north.post(path.format(id=company_id), data, status=400)
    assert north.get("/").user == "rep.north"
    with as_system() as session:
        assert session.scalars(select(Company.name)).all() == ["Blauer See"]


def test_a_session_that_was_there_before_signing_in_is_not_kept(anonymous):
    page = anonymous.get("/login/")
    before = anonymous.browser.get_cookie("foyer").value
    anonymous.post("/login/", {"username": "rep.north", "password": "demo", "csrf_token": page.csrf_token})
    assert anonymous.browser.get_cookie("foyer").value != before


def test_who_has_left_is_out_at_once(client_for, as_system):
    client = client_for("rep.north")
    with as_system() as session:
        from flask_appbuilder.security.sqla.models import User

        session.scalars(select(User).where(User.username == "rep.north")).one().active = False
    client.username = None
    client.get("/companies/", status=(302, 303))


# --------------------------------------------------------------------------------------------- what it costs


@contextmanager
def statements():
    """The statements that go to the database meanwhile, without those that only begin a transaction."""
    said = []

    def listen(_connection, _cursor, statement, _parameters, _context, _many):
        if not statement.startswith(("BEGIN", "PRAGMA", "SAVEPOINT", "RELEASE")):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


# Path -> who opens it, and how many statements that takes. An id is the first of the list.
COSTS = {
    "/": ("head.sales", 6),
    "/companies/": ("head.sales", 8),
    "/contacts/": ("head.sales", 8),
    "/deals/": ("head.sales", 8),
    "/activities/": ("head.sales", 8),
    "/tickets/": ("agent", 8),
    "/campaigns/": ("marketer", 8),
    "/invoices/": ("finance", 8),
    "/payments/": ("finance", 8),
    "/products/": ("finance", 8),
    "/staff/": ("admin", 8),
    "/companies/{id}": ("head.sales", 15),
    "/contacts/{id}": ("head.sales", 15),
    "/deals/{id}": ("head.sales", 15),
    "/activities/{id}": ("head.sales", 15),
    "/tickets/{id}": ("agent", 15),
    "/campaigns/{id}": ("marketer", 15),
    "/invoices/{id}": ("finance", 15),
    "/deals/{id}/history": ("head.sales", 13),
    "/deals/{id}/edit": ("head.sales", 18),
    "/activities/{id}/edit": ("head.sales", 22),
    "/deals/board": ("head.sales", 8),
    "/tickets/board": ("agent", 8),
    "/reports/sales": ("head.sales", 28),
    "/api/v1/deals/": ("head.sales", 11),
    "/api/v1/contacts/": ("head.sales", 9),
}


@with_demo
def test_no_page_asks_the_database_more_often_than_it_must(client_for):
    clients, asked = {}, {}
    for path, (username, _) in COSTS.items():
        if username not in clients:
            clients[username] = client_for(username)
        client, url = clients[username], path
        if "{id}" in path:
            base = path.split("{")[0]
            key = re.search(rf'<td class="lead[^"]*"[^>]*><a[^>]*href="{base}(\d+)"', client.get(base).html)
            url = path.format(id=key[1])
        client.get(url)  # what is made once is made now
        with statements() as said:
            client.get(url)
        asked[path] = len(said)
    too_many = {path: number for path, number in asked.items() if number > COSTS[path][1]}
    assert too_many == {}


def test_reading_a_page_writes_nothing(north, company_id, as_system):
    with as_system() as session:
        before = session.scalar(select(func.count(Change.id)))
    for path in ("/", "/companies/", f"/companies/{company_id}", f"/companies/{company_id}/history"):
        with statements() as said:
            north.get(path)
        assert not [one for one in said if one.startswith(("INSERT", "UPDATE", "DELETE"))], path
    with as_system() as session:
        assert session.scalar(select(func.count(Change.id))) == before
        assert session.scalar(select(func.count(Department.id))) > 5
