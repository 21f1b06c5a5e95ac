"""`run.py import FILE`: the core of the wizard at a console."""

import pytest
from sqlalchemy import select

import run
from app.models import ChangeSet, Contact, ImportMapping

PEOPLE = "Vorname;Nachname;E-Mail;Firma\nAnna;Ernst;anna@x.example;Alpha\nBert;Müller;bert@x.example;\n"


@pytest.fixture
def command(database, monkeypatch, capsys, tmp_path):
    """`command(text, "--dry-run")` — exit code, what it printed, its complaints."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("FOYER_HOME", str(database.home))
    monkeypatch.chdir(tmp_path)

    def work(text, *arguments):
        (tmp_path / "people.csv").write_text(text, "utf-8")
        code = run.main(["import", str(tmp_path / "people.csv"), "--entity", "contact", *arguments])
        return code, *capsys.readouterr()

    return work


def test_a_file_comes_in_at_a_console_after_a_dry_run(command, as_system):
    code, said, _ = command(PEOPLE, "--as", "rep.north", "--dry-run")
    assert code == 0 and "create Anna Ernst" in said and "nothing was stored" in said
    code, said, _ = command(PEOPLE, "--as", "rep.north")
    assert code == 0 and "new companies" in said
    assert command(PEOPLE, "--as", "rep.north")[0] == 0
    with as_system() as session:
        assert sorted(session.scalars(select(Contact.last_name))) == ["Ernst", "Müller"]
        (change_set,) = session.scalars(select(ChangeSet).where(ChangeSet.door == "import"))
        assert change_set.why == "Import: people.csv" and change_set.by.name == "Ingrid Solberg"
        assert session.scalars(select(ImportMapping.entity)).all() == ["contact"]


def test_refused_rows_are_written_beside_and_nothing_else(command, as_system, tmp_path):
    bad = PEOPLE + "Dora;Neu;no mail;\n"
    code, _, complaints = command(bad, "--as", "rep.north")
    assert code == 1 and "Nothing was imported" in complaints
    assert "no mail" in (tmp_path / "people-refused.csv").read_text("utf-8-sig")
    code, _, _ = command(bad, "--department", "North", "--skip-bad", "--refused", str(tmp_path / "back.csv"))
    assert code == 0 and (tmp_path / "back.csv").exists()
    with as_system() as session:
        assert len(session.scalars(select(Contact.id)).all()) == 2


@pytest.mark.parametrize(
    "text, arguments, why",
    [
        ("", (), "the file is empty"),
        (PEOPLE, ("--as", "nobody"), "no active account"),
        (PEOPLE, ("--department", "Nowhere"), "no department"),
        (PEOPLE, ("--map", "Vorname=nonsense"), "no field “nonsense”"),
        (PEOPLE, ("--map", "Vorname"), "NAME=VALUE"),
        (PEOPLE, ("--sheet", "x", "--match", "vat_id"), "told apart by"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(command, text, arguments, why):
    code, _, complaints = command(text, *arguments)
    assert code == 1 and why in complaints
