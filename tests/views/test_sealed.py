"""The sealed line: whoever searches or enters another department's customer learns whose he is, and nothing else."""

import io
import re

import pytest
from sqlalchemy import func, select

from app import throttle
from app.models import Activity, Change, ChangeSet, Company, Contact, Guess, ReadEntry, Staff
from app.rules import heads, sealed
from tests import factories
from tests.databases import on_both_engines


@pytest.fixture
def foreign(as_system):
    """A company and a contact of South, which North does not see; the name of who looks after them."""
    with as_system() as session:
        south = factories.department(session, "South").id
        owner = session.scalars(select(Staff).where(Staff.department_id == south)).first()
        own = {"department_id": south, "owner_id": owner.id}
        company = factories.make(
            session, "company", name="Alpine  Tents", email="office@alpine.example", vat_id="DE 123.456-789", **own
        )
        contact = factories.make(
            session, "contact", first_name="Jürg", last_name="Brandt", email="jb@alpine.example", **own
        )
        return {"company": company.id, "contact": contact.id, "owner": owner.name, "owner_id": owner.id}


LINE = "This customer exists already, in South."


def reads(as_system):
    with as_system() as session:
        found = session.scalars(select(ReadEntry).order_by(ReadEntry.id)).all()
        return [(one.kind, one.entity, one.record_id, one.question) for one in found]


@on_both_engines
@pytest.mark.parametrize(
    "path, words",
    [
        ("companies", "OFFICE@alpine.example"),
        ("companies", "de123456789"),
        ("companies", "alpine tents"),
        ("contacts", "jurg  brandt"),
        ("contacts", " jb@ALPINE.example "),
    ],
)
def test_a_search_for_exactly_him_tells_whose_customer_he_is(foreign, client_for, as_system, path, words):
    page = client_for("rep.north").get(f"/{path}/", query_string={"q": words})
    assert LINE in page and f"Ask {foreign['owner']}" in page
    assert "Alpine  Tents" not in page.html and "Brandt" not in page.html.replace(words, "")
    entity = "company" if path == "companies" else "contact"
    assert [one[:3] for one in reads(as_system)] == [("sealed", entity, foreign[entity])]


@pytest.mark.parametrize("words", ["alpine", "tents alpine", "alpine.example", "de12345678", "jurg brand", "office"])
def test_anything_less_than_him_tells_nothing(foreign, client_for, as_system, words):
    rep = client_for("rep.north")
    for path in ("/companies/", "/contacts/"):
        assert LINE not in rep.get(path, query_string={"q": words})
    assert reads(as_system) == []


def test_whoever_sees_him_is_told_nothing(foreign, client_for, as_system):
    for username in ("rep.south", "director", "head.sales"):
        assert LINE not in client_for(username).get("/companies/", query_string={"q": "alpine tents"})
    assert reads(as_system) == []


def test_a_setting_switches_it_off(foreign, client_for, app, as_system):
    settings = app.config["SETTINGS"]
    app.config["SETTINGS"] = settings.model_copy(update={"SEALED_LINE": "off"})
    try:
        assert LINE not in client_for("rep.north").get("/companies/", query_string={"q": "alpine tents"})
    finally:
        app.config["SETTINGS"] = settings


def test_who_asks_too_often_is_not_answered_and_misses_count(foreign, client_for, as_system):
    rep, (_, most, _) = client_for("rep.north"), throttle.LIMITS[throttle.SEALED]
    rep.get("/companies/", query_string={"q": "nobody is called so"})
    with as_system() as session:
        (key, number) = session.execute(select(Guess.key, Guess.id).where(Guess.kind == "sealed")).one()
        last = session.get(Guess, number)
        session.add_all(Guess(key=key, kind="sealed", at=last.at) for _ in range(most))
    page = rep.get("/companies/", query_string={"q": "alpine tents"})
    assert LINE not in page and "was not asked" in page
    assert reads(as_system) == []


@on_both_engines
def test_who_enters_him_is_warned_and_goes_on_with_a_reason(foreign, client_for, as_system):
    rep = client_for("rep.north")
    page = rep.submit("/companies/new", "/companies/new", status=422, name="ALPINE TENTS", city="Graz")
    assert LINE in page and 'value="Graz"' in page.html
    by_enter = re.search(r'<button[^>]*type="submit"[^>]*>', page.html.split('action="/companies/new"')[1])[0]
    assert "formaction" not in by_enter  # it saves, it does not ask
    rep.submit(page, "/companies/new", sealed_reason="Another firm of that name")
    with as_system() as session:
        made = session.scalars(select(Company).where(Company.city == "Graz")).one()
        change = select(ChangeSet.why).join(Change).where(Change.entity == "company", Change.record_id == made.id)
        assert session.scalar(change) == "Added knowingly: Another firm of that name"


def test_a_program_is_warned_too(foreign, client_for, as_system):
    rep = client_for("rep.north")
    body = {"first_name": "Jürg", "last_name": "Brandt"}
    told = rep.api("POST", "/api/v1/contacts/", status=409, json=body).json
    assert told["sealed"] == {"department": "South", "person": foreign["owner"]}
    assert set(told) == {"message", "sealed"}
    rep.api("POST", "/api/v1/contacts/", status=201, json={**body, "sealed_reason": "his son"})


@on_both_engines
def test_he_is_asked_for_and_then_shared(foreign, client_for, as_system):
    rep = client_for("rep.north")
    page = rep.get("/companies/", query_string={"q": "alpine tents"})
    page = rep.submit(page, "/companies/ask", follow=True, sealed_reason="They came to our stand")
    assert f"{foreign['owner']} was asked." in page
    page = rep.get("/companies/", query_string={"q": "alpine tents"})
    rep.submit(page, "/companies/ask", sealed_reason="Please")
    with as_system() as session:
        (task,) = session.scalars(select(Activity)).all()
        assert (task.owner_id, task.company_id, task.body) == (
            foreign["owner_id"],
            foreign["company"],
            "They came to our stand",
        )
    south = client_for("rep.south")
    assert "asks to see this customer" in south.get("/activities/")
    assert "asks to see this customer" not in rep.get("/activities/")
    path = f"/companies/{foreign['company']}/share"
    with as_system() as session:
        asker = session.scalars(select(ReadEntry.owner_id)).first()
    south.submit(path, path, to=f"staff-{asker}", reason="He may come along")
    assert "Alpine Tents" in " ".join(rep.get(f"/companies/{foreign['company']}").text.split())


def test_nothing_is_asked_for_that_is_not_there(foreign, client_for, as_system):
    rep = client_for("rep.north")
    rep.post("/companies/ask", {"meant_name": "nobody at all", "sealed_reason": "so"}, status=422)
    rep.post("/companies/ask", {"meant_name": "alpine tents"}, status=422)
    client_for("agent").post("/companies/ask", {"meant_name": "alpine tents", "sealed_reason": "so"}, status=403)
    with as_system() as session:
        assert session.scalars(select(Activity)).all() == []


def test_the_reader_does_not_learn_the_number_from_his_own_entry(foreign, client_for, as_system):
    rep = client_for("rep.north")
    rep.get("/companies/", query_string={"q": "alpine tents"})
    page = rep.get("/reads/")
    assert "alpine tents" in page and f"/companies/{foreign['company']}" not in page.html


def test_identity_is_compared_as_it_is_meant():
    assert sealed.vat_of(" de 123.456-789 ") == sealed.vat_of("DE123456789") == "DE123456789"
    assert sealed.vat_of("Denmark") is None and sealed.vat_of("DE12") is None
    assert sealed.mail_of(" A@B.example ") == "a@b.example" and sealed.mail_of("a@b") is None
    assert sealed.name_of(Contact, "Brandt") is None and sealed.name_of(Company, "Brandt") == "brandt"


def test_whom_to_ask_where_nobody_looks_after_him(as_system):
    with as_system() as session:
        north = factories.department(session, "North").id
        names = [one.name for one in heads.of(session, north)]
        assert len(names) == 2, "the head of Sales, then the director"
        key = factories.make(session, "company", department_id=north, owner_id=None).id
        assert sealed.line_about(session, Company, key).person == names[0]


def test_who_brings_a_file_is_warned_before_anything_is_imported(foreign, client_for, as_system):
    rep = client_for("rep.north")
    content = "Name,E-mail,City\nAlpine Tents,,Graz\nOthers,office@alpine.example,Graz\nNobody,,Graz\n"
    sent = {"entity": "company", "file": (io.BytesIO(content.encode()), "fair.csv")}
    path = rep.post("/imports/", sent).location
    page = rep.submit(path, path, follow=True, do="check")
    line = f"this customer exists already, in South; ask {foreign['owner']}"
    assert page.text.count(line) == 2
    assert [one[:3] for one in reads(as_system)] == [("sealed", "company", foreign["company"])] * 2
    with as_system() as session:
        assert session.scalar(select(func.count(Guess.id)).where(Guess.kind == "sealed row")) == 3 * 2
