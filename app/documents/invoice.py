"""The invoice as a paper: drawn from the frozen rows alone, so that drawn again it reads the same."""

from app.documents.page import page
from app.documents.pdf import render
from app.rules.money import totals

WIDE = 12  # characters of an amount that fit the usual columns: 1,234,567.89


def invoice_pdf(invoice, *, language="en"):
    """The PDF of an issued invoice, in the language of the house that writes it."""
    return draw(invoice_html(invoice, language=language))


def draw(html):
    """The picture of what `invoice_html` wrote; needs no rows and so no database."""
    return render(html, styles=("invoice.css",))


def invoice_html(invoice, *, language="en"):
    """What `invoice_pdf` draws; all that it needs of the rows is read here."""
    if not invoice.is_issued:
        raise ValueError("only an issued invoice has a paper: a draft may still change")
    return page(
        "documents/invoice.html",
        language=language,
        invoice=invoice,
        lines=invoice.lines,
        sums=totals(invoice.lines),
        is_wide=max(len(f"{line.net:,}") for line in invoice.lines) > WIDE,
    )
