"""Foyer speaks English, German and French: nothing is left untranslated, and every page takes its reader's language."""

import importlib.util
import io
from datetime import date
from decimal import Decimal
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from flask_babel import force_locale
from flask_wtf import FlaskForm
from sqlalchemy import select
from wtforms import IntegerField

from app.models import Company, Deal, Pipeline, Preference, Staff, Stage
from app.security import User
from config import languages

ROOT = Path(__file__).resolve().parents[1]
LOADER = SourceFileLoader("catalogues", str(ROOT / "bin" / "catalogues"))
catalogues = importlib.util.module_from_spec(importlib.util.spec_from_loader("catalogues", LOADER))
LOADER.exec_module(catalogues)
FILES = catalogues.po_files()


def test_foyer_speaks_three_languages():
    assert list(languages()) == ["de", "en", "fr"]


@pytest.mark.parametrize("file", FILES, ids=catalogues.language_of)
def test_every_text_of_the_source_is_translated(file):
    assert catalogues.problems(file) == []


def test_the_reader_of_the_source_takes_texts_and_leaves_names():
    source = (
        b'label = gettext(info["label"])\n'
        b'raise RuleBroken("No " "way.", field="amount")\n'
        b'raise RuleBroken(N_("No."), field="amount")\n'
        b'days = ngettext("%(num)s day", "%(num)s days", number)\n'
    )
    found = catalogues.python_texts(io.BytesIO(source), catalogues.KEYWORDS, [], {})
    assert sorted((line, name, texts) for line, name, texts, _ in found) == [
        (2, "RuleBroken", "No way."),
        (3, "N_", "No."),
        (4, "ngettext", ("%(num)s day", "%(num)s days", None)),
    ]


@pytest.mark.parametrize(
    ("string", "problem"),
    [
        ("%(name)s fehlt", None),
        ("", "not translated"),
        ("Es fehlt", "placeholders differ in 'Es fehlt'"),
        ("%(nmae)s fehlt", "placeholders differ in '%(nmae)s fehlt'"),
    ],
)
def test_a_translation_keeps_every_placeholder(string, problem):
    catalogue = catalogues.Catalog(locale="de")
    message = catalogue.add("%(name)s is missing", string)
    assert catalogues.problems_of(message) == ([problem] if problem else [])


def test_an_unsure_translation_does_not_count():
    message = catalogues.Catalog(locale="de").add("Deal", "Deal", flags=["fuzzy"])
    assert catalogues.problems_of(message) == ["fuzzy"]


# --------------------------------------------------------------------------------- the language of a page


@pytest.mark.parametrize(
    ("asked", "language", "words"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de", "Benutzername"),
        ("fr", "fr", "Nom d’utilisateur"),
        ("cs, en;q=0.8", "en", "User name"),
        ("ja", "en", "User name"),  # what the house speaks
    ],
)
def test_who_is_not_signed_in_reads_the_language_of_his_browser(anonymous, asked, language, words):
    page = anonymous.get("/login/", headers={"Accept-Language": asked})
    assert f'<html lang="{language}"' in page and words in page


def test_who_is_signed_in_reads_the_language_he_chose_with_its_days_and_money(as_system, client_for):
    with as_system() as session:
        rep = session.scalars(
            select(Staff).join(User, User.id == Staff.id).where(User.username == "rep.north")
        ).one()
        session.add(Preference(user_id=rep.id, language="de"))
        department = rep.department_id
        company = Company(name="Aal & Söhne", department_id=department, owner_id=rep.id)
        stage = session.scalars(select(Stage).join(Stage.pipeline).where(Pipeline.kind == "deal")).first()
        deal = Deal(
            name="Große Sache",
            company=company,
            stage=stage,
            department_id=department,
            owner_id=rep.id,
            amount=Decimal("1234.5"),
            currency="EUR",
            expected_on=date(2026, 2, 3),
            opened_on=date(2026, 1, 2),
        )
        session.add_all([company, deal])
    page = client_for("rep.north").get("/deals/", headers={"Accept-Language": "fr"})
    assert '<html lang="de"' in page
    assert "Große Sache" in page and "1.234,50\xa0€" in page and "03.02.2026" in page
    assert "Betrag" in page and "Abmelden" in page


def test_who_chose_none_reads_his_browsers_language_or_else_that_of_his_record(as_system, client_for):
    with as_system() as session:
        session.scalars(
            select(Staff).join(User, User.id == Staff.id).where(User.username == "agent")
        ).one().language = "de"
    agent = client_for("agent")
    assert '<html lang="fr"' in agent.get("/", headers={"Accept-Language": "fr-CH"})
    assert '<html lang="de"' in agent.get("/")


def test_the_messages_of_the_libraries_come_in_the_readers_language_too(app):
    class Amount(FlaskForm):
        amount = IntegerField()

    for language, sentence in {
        "de": "Keine gültige, ganze Zahl.",
        "fr": "N'est pas un entier valide.",
    }.items():
        with app.test_request_context(method="POST", data={"amount": "x"}), force_locale(language):
            form = Amount(meta={"csrf": False})
            assert not form.validate() and form.amount.errors == [sentence]
