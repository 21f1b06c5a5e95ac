"""The wizard: a file, its columns, every row's fate, and only then the writing; all without a line of JavaScript."""

import io

import pytest
from sqlalchemy import select

from app import jobs
from app.exchange.files import limits
from app.models import Company, Contact, Job, JobFile
from app.views import imports
from tests.exchange import malformed

PEOPLE = (
    "Vorname;Nachname;E-Mail-Adresse;Firma;Geburtsdatum\nAnna;Ernst;anna@firm.example;Alpha GmbH;12.4.1985\n"
    "Bert;Müller;bert@firm.example;Beta AG;\n"
)
BAD = PEOPLE + "Dora;Neu;no mail;;\n"


@pytest.fixture
def work(app):
    """`work()` does what waits, as the worker does."""
    return lambda: jobs.run_waiting(app)


@pytest.fixture
def bring(client_for):
    """`bring("rep.north", PEOPLE)` uploads the file and returns (browser, address of the import)."""

    def upload(username, content, entity="contact", name="people.csv", status=302):
        browser = client_for(username)
        content = content.encode() if isinstance(content, str) else content
        page = browser.post(
            "/imports/", {"entity": entity, "file": (io.BytesIO(content), name)}, status=status
        )
        return browser, page if status != 302 else page.location

    return upload


def contacts(as_system):
    with as_system() as session:
        return sorted(session.scalars(select(Contact.last_name)))


def test_a_file_comes_in_step_by_step(bring, work, as_system):
    browser, path = bring("rep.north", PEOPLE)
    page = browser.get(path)
    assert "semicolon" in page.html and "UTF-8" in page.html, "what was found out is shown"
    assert dict(page.form(path).fields)["match"] == "email"
    page = browser.submit(page, path, follow=True, do="check")
    assert page.url == f"{path}/plan" and contacts(as_system) == []
    assert page.text.count("New") >= 2 and "Alpha GmbH (new)" in page.html and "Apr 12, 1985" in page.html
    page = browser.submit(page, f"{path}/start", follow=True)
    assert page.url == path and "Importing" in page.text
    assert work() == 1
    page = browser.get(path)
    assert "The import is done" in page.text and "New companies" in page.text
    assert contacts(as_system) == ["Ernst", "Müller"]
    with as_system() as session:
        job = session.scalars(select(Job)).one()
        assert job.change_set_id and f'href="/changes/{job.change_set_id}"' in page.html


def test_the_same_file_again_finds_its_mapping_and_changes_nothing(bring, work, as_system):
    for _ in range(2):
        browser, path = bring("rep.north", PEOPLE)
        page = browser.submit(path, path, follow=True, do="check")
        if "Nothing to import" not in page.text:
            browser.submit(page, f"{path}/start")
            work()
    assert "imported before" in browser.get(path).text
    assert "As it is" in page.text
    assert contacts(as_system) == ["Ernst", "Müller"]


def test_refused_rows_come_back_in_a_file(bring, work, as_system):
    browser, path = bring("rep.north", BAD)
    page = browser.submit(path, path, follow=True, do="check")
    assert "not a mail address" in page.text
    shown = browser.get(f"{path}/plan?show=refused").text
    assert "Dora Neu" in shown and "Bert Müller" not in shown
    browser.submit(page, f"{path}/start", bad="skip")
    work()
    page = browser.get(path)
    assert "The import is done" in page.text and contacts(as_system) == ["Ernst", "Müller"]
    answer = browser.get(f"{path}/refused").response
    text = answer.data.decode("utf-8-sig")
    assert "Dora,Neu,no mail" in text and "E-Mail-Adresse: This is not a mail address." in text
    assert "people-refused.csv" in answer.headers["Content-Disposition"]


def test_all_or_nothing_is_what_happens_unless_asked_otherwise(bring, work, as_system):
    browser, path = bring("rep.north", BAD)
    page = browser.submit(path, path, follow=True, do="check")
    browser.submit(page, f"{path}/start")
    work()
    page = browser.get(path)
    assert "Nothing was stored" in page.text and contacts(as_system) == []
    assert browser.get(f"{path}/refused").response.data.count(b"Dora") == 1


@pytest.mark.parametrize("kind", ["empty", "external entity", "a password", "PDF called csv"])
def test_a_malformed_file_is_answered_with_a_sentence_and_nothing_is_kept(bring, as_system, kind):
    name, content, said = malformed.content_of(kind)
    _, page = bring("rep.north", content, name=name, status=422)
    assert said in page.text or "Choose a file" in page.text
    with as_system() as session:
        assert session.scalars(select(JobFile.id)).all() == []


def test_a_file_too_large_is_refused_before_it_is_read(client_for, monkeypatch):
    browser = client_for("rep.north")
    browser.get("/imports/")
    monkeypatch.setitem(imports.UPLOADS, "ImportView.index", 1000)
    answer = browser.browser.post("/imports/", data={"file": (io.BytesIO(b"x" * 2000), "a.csv")})
    assert answer.status_code == 413
    assert limits.FILE_BYTES > 100_000_000


def test_what_was_chosen_is_kept_and_what_cannot_work_is_said(bring):
    browser, path = bring("rep.north", PEOPLE)
    page = browser.get(path)
    form = page.form(path)
    data = [(name, value) for name, value in form.fields if name not in ("field", "clear")]
    fields = [value for name, value in form.fields if name == "field"]
    fields[1] = ""
    sent = {name: value for name, value in data if name != "header"}
    sent |= {"header": [v for n, v in data if n == "header"], "field": fields, "clear": "-", "do": "check"}
    page = browser.post(path, sent, status=422)
    assert "New records need “Last name”" in page.text
    assert dict(browser.get(path).form(path).fields)["clear"] == "-"


def test_the_file_can_be_read_otherwise(bring):
    browser, path = bring("rep.north", "Liste der Leute\nName;Mail\nErnst;a@x.example\n", name="l.csv")
    page = browser.get(path)
    assert dict(page.form(path).fields)["header_row"] == "2"
    page = browser.submit(page, path, follow=True, do="read", header_row="1", delimiter=",")
    assert "Liste der Leute" in page.text


def test_a_long_file_is_looked_through_by_a_job(bring, work, monkeypatch, as_system):
    monkeypatch.setattr(imports, "QUICK", {})
    monkeypatch.setattr(imports, "QUICK_WORKBOOK", 10)
    browser, path = bring("rep.north", BAD)
    page = browser.submit(path, path, follow=True, do="check")
    assert "waiting" in page.text and page.response.headers["Refresh"] == "2"
    work()
    page = browser.get(f"{path}/plan")
    assert "not a mail address" in page.text and "Alpha GmbH (new)" in page.html
    page = browser.submit(browser.get(path), path, follow=True, do="check", clear="-")
    assert "waiting" in page.text, "another mapping is another plan"
    assert contacts(as_system) == []


def test_an_import_is_its_owners_alone(bring, client_for):
    _, path = bring("rep.north", PEOPLE)
    for username in ("rep.south", "head.sales", "admin"):
        other = client_for(username)
        other.get(path, status=404)
        other.get(f"{path}/plan", status=404)
        other.get(f"{path}/refused", status=404)
        other.post(f"{path}/start", status=404)


def test_only_who_may_write_records_may_bring_them(bring, client_for):
    assert "Nothing to import into" in client_for("director").get("/imports/").text
    bring("director", PEOPLE, status=403)
    bring("rep.north", PEOPLE, entity="invoice", status=400)
    assert "/imports/?entity=contact" in client_for("rep.north").get("/contacts/").html
    assert "/imports/?entity=contact" not in client_for("director").get("/contacts/").html


def test_an_import_is_put_aside_or_started_once(bring, as_system):
    browser, path = bring("rep.north", PEOPLE)
    browser.submit(path, f"{path}/discard")
    browser.get(path, status=404)
    browser, path = bring("rep.north", PEOPLE)
    page = browser.submit(path, path, follow=True, do="check")
    browser.submit(page, f"{path}/start")
    browser.post(f"{path}/start", {}, status=422)
    browser.post(f"{path}/discard", {}, status=422)
    with as_system() as session:
        assert session.scalars(select(Company.id)).all() == []


def test_a_workbook_of_several_sheets_is_chosen_from(bring):
    import xlsxwriter

    content = io.BytesIO()
    book = xlsxwriter.Workbook(content)
    book.add_worksheet("Nothing")
    for name in ("People", "Others"):
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, ["Last name", "E-mail"])
        sheet.write_row(1, 0, [name, "a@x.example"])
    book.close()
    browser, path = bring("rep.north", content.getvalue(), name="people.xlsx")
    page = browser.get(path)
    assert dict(page.form(path).fields)["sheet"] == "People"
    page = browser.submit(page, path, follow=True, do="read", sheet="Others")
    assert dict(page.form(path).fields)["sheet"] == "Others"
    page = browser.submit(page, path, follow=True, do="check")
    assert "Others" in page.text
