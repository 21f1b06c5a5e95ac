"""The hand-over sheet: who took over what from whom, one table for each new owner, as far as its reader sees it."""

from app.documents.page import page
from app.documents.pdf import render


def hand_over_pdf(said, *, house, language="en", mark=""):
    """The PDF of a hand-over; `said` is what its reader may see of it, `mark` what the paper is traced by."""
    html = page("documents/hand_over.html", language=language, said=said, house=house, mark=mark)
    return render(html, styles=("sales_report.css",))
