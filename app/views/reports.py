"""Reports: what happened in a period, on screen and as a paper of the same numbers."""

from babel.core import get_global
from flask import current_app, make_response, request, url_for
from flask_babel import get_locale, gettext

from app.documents.sales_report import funnel_series, parts, revenue_series, sales_report_pdf
from app.extensions import N_, db
from app.figures import sales
from app.figures.periods import Period
from app.filters import BadQuery
from app.views.base import PageView, allows, expose
from app.views.leaving import Departure
from app.views.reading import today

KINDS = {"month": N_("Month"), "quarter": N_("Quarter"), "year": N_("Year")}
CURRENCIES = get_global("all_currencies")


class ReportView(PageView):
    """The sales report of a month, quarter or year, for the departments that the reader may see."""

    entity = "sales_report"
    route_base = "/reports"
    default_view = "sales"

    @expose("/sales")
    @allows("see")
    def sales(self):
        report, language = _asked_for(), str(get_locale())
        latest_on = sales.latest_on(db.session) if report.is_empty else None
        return self.page(
            "reports/sales.html",
            report=report,
            language=language,
            figures=sales.FIGURES,
            parts=parts(report, language),
            revenue_series=revenue_series(report, language),
            funnel_series=funnel_series(report, language),
            kinds=[
                (label, Period.around(_day_in(report.period), kind), kind) for kind, label in KINDS.items()
            ],
            years=_years_around(report.period),
            latest=Period.around(latest_on, report.period.kind) if latest_on else None,
            address=_address,
            lists=_lists(report),
        )

    @expose("/sales.pdf")
    @allows("export")
    def sales_pdf(self):
        report = _asked_for()
        words = gettext("Sales report %(period)s", period=report.period.label(str(get_locale())))
        departure = Departure(self.entity, words, rows=report.now.revenue.number)
        house = current_app.config["SETTINGS"].COMPANY_NAME
        paper = sales_report_pdf(report, house=house, language=str(get_locale()), mark=departure.mark)
        response = make_response(paper)
        response.mimetype = "application/pdf"
        name = f"sales-report-{report.period}-{report.currency}.pdf"
        response.headers["Content-Disposition"] = f'inline; filename="{name}"'
        return response


def _asked_for():
    """The report that the address asks for; without a period the quarter we are in."""
    return sales.sales_report(
        db.session,
        _period(request.args.get("period", "")),
        _currency(request.args.get("currency", "")),
        today=today(),
        house_currency=current_app.config["SETTINGS"].CURRENCY,
    )


def _period(text):
    if not text:
        return Period.around(today(), "quarter")
    try:
        return Period.parse(text)
    except ValueError:
        raise BadQuery(
            N_("“%(text)s” is no period: write a year, quarter or month, such as 2026, 2026-Q3 or 2026-11."),
            text=text[:40],
        )


def _currency(text):
    if text and text not in CURRENCIES:
        raise BadQuery(
            N_("“%(text)s” is no currency. Write its three capital letters, such as EUR."), text=text[:40]
        )
    return text or None


def _address(report, endpoint="ReportView.sales", period=None):
    """This report, or the same in another period or as a paper."""
    return url_for(endpoint, period=period or report.period, currency=report.currency)


def _lists(report):
    """Figure -> the list of exactly the rows that it counted; a group is one more filter."""
    stages = sales.stages_by_outcome(db.session)
    won, lost = ([*map(str, stages[outcome])] for outcome in ("won", "lost"))
    closed = {
        "won": _list("DealView", "closed_on", report, won),
        "lost": _list("DealView", "closed_on", report, lost),
        "win_rate": _list("DealView", "closed_on", report, won + lost),
    }
    invoices = _list("InvoiceView", "issued_on", report)
    by = dict.fromkeys(("revenue", "revenue_by_owner", "revenue_by_customer"), invoices)
    return {**closed, **by, "days_to_win": closed["won"], "funnel": _list("DealView", "opened_on", report)}


def _list(view, day, report, stages=None):
    filters = {f"{day}.min": report.period.starts_on, f"{day}.max": report.period.ends_on}
    filters["currency.is"] = report.currency
    if stages is not None:
        filters["stage_id.is"] = ",".join(stages) or "0"  # no such stage: an empty list, not the whole one
    return url_for(f"{view}.list", **filters)


def _day_in(period):
    """From where one goes to a longer or shorter period: today, when it lies in this one."""
    return min(max(today(), period.starts_on), period.ends_on)


def _years_around(period):
    """Year -> its periods, for the picker: the year shown, those beside it, and this one."""
    years = {period.starts_on.year + step for step in (-1, 0, 1)} | {today().year}
    return {
        year: [Period.parse(f"{year}{part}") for part in _PARTS]
        for year in sorted(years, reverse=True)
        if Period.is_year(year)
    }


_PARTS = ["", *(f"-Q{quarter}" for quarter in range(1, 5)), *(f"-{month:02}" for month in range(1, 13))]
