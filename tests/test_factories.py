"""The factories themselves: a valid row of every table on both engines, and canaries in every text."""

import pytest

from app.models import ENTITIES
from tests import factories
from tests.databases import on_both_engines

# Written by the ledger and the index alone.
DERIVED = {"change_set", "change", "search_entry"}


@on_both_engines
@pytest.mark.parametrize("entity", sorted(set(ENTITIES) - DERIVED))
def test_it_makes_a_row_of_every_table(entity, session):
    assert factories.make(session, entity).id is not None


@on_both_engines
def test_one_of_each_holds_the_word_in_every_text(session):
    owner = factories.make(session, "staff")
    rows = factories.one_of_each(session, "zanzibar", department_id=owner.department_id, owner_id=owner.id)
    for entity, row in rows.items():
        texts = factories.texts_of(row)
        if entity != "campaign_member":
            assert any("zanzibar" in text for text in texts.values()), (entity, texts)


def test_an_issued_invoice_has_its_number(session):
    assert factories.issued(session).number == "INV-2026-00001"
