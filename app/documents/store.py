"""Papers that left the house: made once, kept for good, and handed out again byte for byte."""

from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.documents.invoice import draw, invoice_html
from app.extensions import N_
from app.models import Document, Invoice
from app.rules import RuleBroken

PDF = "application/pdf"


def invoice_document(session, invoice_id, *, language="en"):
    """The paper of an issued invoice: the one that is kept, or else drawn now and kept.

    `session` is the system's, opened for this alone: it is committed here before the drawing, so that nobody
    waits for it. Of two drawings at once one is kept, and both callers get that one.
    """
    kept = _kept(session, invoice_id)
    if kept is not None:
        return kept
    invoice = session.get(Invoice, invoice_id)
    if invoice is None or not invoice.is_issued:
        raise RuleBroken(N_("A draft has no paper yet; issue it first."))
    number, html = invoice.number, invoice_html(invoice, language=language)
    session.commit()

    content = draw(html)
    document = Document(
        entity="invoice",
        record_id=invoice_id,
        kind="invoice",
        name=f"{number}.pdf",
        media_type=PDF,
        sha256=sha256(content).hexdigest(),
        size=len(content),
        content=content,
        created_at=datetime.now(UTC),
    )
    try:
        with session.begin_nested():
            session.add(document)
    except IntegrityError:
        kept = _kept(session, invoice_id)  # somebody was faster
        if kept is None:
            raise
        return kept
    return document


def _kept(session, invoice_id):
    return session.scalars(
        select(Document).where(
            Document.entity == "invoice", Document.record_id == invoice_id, Document.kind == "invoice"
        )
    ).first()
