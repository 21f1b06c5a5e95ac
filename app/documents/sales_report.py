"""The sales report as a paper, and its charts, which page and paper share."""

from app import formats
from app.documents.page import page
from app.documents.pdf import render
from app.figures.periods import Period
from app.figures.sales import FIGURES, Line


def sales_report_pdf(report, *, house, language="en", mark=""):
    """The PDF of a report that the page shows; `house` is the name of the firm, `mark` what it is traced by."""
    html = sales_report_html(report, house=house, language=language, mark=mark)
    return render(html, styles=("sales_report.css",))


def sales_report_html(report, *, house, language="en", mark=""):
    """What `sales_report_pdf` draws."""
    return page(
        "documents/sales_report.html",
        language=language,
        report=report,
        house=house,
        mark=mark,
        period=report.period.label(language),
        figures=FIGURES,
        parts=parts(report, language),
        revenue_series=revenue_series(report, language),
        funnel_series=funnel_series(report, language),
    )


def parts(report, language="en"):
    """The months or weeks of the period as rows of a table."""

    def name(first, last):
        if report.period.kind == "month":
            return f"{formats.day(first, language)} – {formats.day(last, language)}"
        return Period.around(first, "month").label(language)

    return [Line(amount.number, amount.value, "named", name(*part)) for part, amount in report.parts]


def revenue_series(report, language="en"):
    """(label, value, short text) for each bar of the revenue over time; the exact ones are in its table."""
    return [
        (
            report.period.part_label(part, language),
            amount.value,
            formats.about(amount.value, report.currency, language) if amount.value else "",
        )
        for part, amount in report.parts
    ]


def funnel_series(report, language="en"):
    """(stage, number of deals, text) for each bar of the funnel."""
    return [
        (line.name, line.number, f"{line.number} · {formats.money(line.value, report.currency, language)}")
        for line in report.funnel
    ]
