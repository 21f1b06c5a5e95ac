"""A paper is made once and kept."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier

import pytest
from sqlalchemy import select

from app import access
from app.access import WriteRefused
from app.audit.papers import pages_of
from app.documents.store import invoice_document
from app.models import Document
from app.rules import RuleBroken
from tests.databases import on_both_engines
from tests.rules import world


@pytest.fixture
def invoice_id(as_system):
    with as_system() as session:
        return world.issued(session).id


@on_both_engines
def test_the_paper_of_an_invoice_is_made_and_kept(as_system, invoice_id):
    with as_system() as session:
        document = invoice_document(session, invoice_id)
        assert (document.name, document.media_type) == ("INV-2026-00001.pdf", "application/pdf")
        assert (document.entity, document.record_id, document.kind) == ("invoice", invoice_id, "invoice")
        content = document.content
    with as_system() as session:
        kept = session.scalars(select(Document)).one()
        assert (kept.content, kept.size) == (content, len(content))
        assert kept.sha256 == sha256(content).hexdigest()
        assert "€43.20" in pages_of(content)[0]


@on_both_engines
def test_what_is_kept_is_not_drawn_again(as_system, invoice_id):
    with as_system() as session:
        first = invoice_document(session, invoice_id).content
    with as_system() as session:
        # In another language it would look different.
        assert invoice_document(session, invoice_id, language="de").content == first


@on_both_engines
def test_of_two_drawings_at_once_both_get_the_one_that_is_kept(app, invoice_id):
    ready = Barrier(2)

    def draw(language):
        with app.app_context(), access.system_session("test", door="command") as session:
            ready.wait(timeout=120)
            return invoice_document(session, invoice_id, language=language).content

    with ThreadPoolExecutor(2) as threads:
        papers = set(threads.map(draw, ["en", "de"]))
    assert len(papers) == 1
    with app.app_context(), access.system_session("test", writes=False) as session:
        assert {session.scalars(select(Document)).one().content} == papers


def test_a_draft_has_no_paper(as_system):
    with as_system() as session:
        key = world.draft(session).id
    with pytest.raises(RuleBroken, match="no paper yet"), as_system() as session:
        invoice_document(session, key)


def test_what_does_not_exist_has_no_paper(as_system):
    with pytest.raises(RuleBroken, match="no paper yet"), as_system() as session:
        invoice_document(session, 4711)


def test_who_sees_the_invoice_sees_its_paper(as_system, as_person, invoice_id):
    with as_system() as session:
        invoice_document(session, invoice_id)
    for username, papers in {
        "finance": 1,
        "rep.north": 1,
        "head.sales": 1,
        "rep.south": 0,
        "agent": 0,
    }.items():
        with as_person(username, writes=False) as session:
            assert len(session.scalars(select(Document)).all()) == papers, username


def test_nobody_but_the_system_writes_papers(as_person, invoice_id):
    with pytest.raises(WriteRefused), as_person("finance") as session:
        invoice_document(session, invoice_id)
