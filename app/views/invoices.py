"""Invoices and payments: drafted from a won deal, issued, paid; the paper is served from its write-once document."""

import logging
from datetime import date

from flask import Response, current_app, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import select

from app import access, filters
from app.documents import store
from app.extensions import N_, db
from app.models import Deal, Document, Invoice, InvoiceLine, Payment
from app.rules import RuleBroken, invoices
from app.rules.money import typed_number
from app.security import is_storable
from app.views import custom_values
from app.views.base import allows, expose
from app.views.leaving import Departure
from app.views.reading import money, today
from app.views.records import RecordView

log = logging.getLogger(__name__)

STATE_COLORS = {"draft": "grey", "open": "blue", "partly paid": "amber", "paid": "green", "overdue": "red"}
STATE_WORDS = {
    "draft": N_("draft"),
    "open": N_("open"),
    "partly paid": N_("partly paid"),
    "paid": N_("paid"),
    "overdue": N_("overdue"),
}


ON_PAPER = (
    "billed_to",
    "billing_address",
    "billing_tax_id",
    "seller_name",
    "seller_address",
    "seller_tax_id",
    "seller_bank",
)


class InvoiceView(RecordView):
    """Bills. They change by deeds only."""

    model = Invoice
    route_base = "/invoices"
    one, many, icon = N_("Invoice"), N_("Invoices"), "file-invoice"
    list_columns = ("number", "billed_to", "issued_on", "due_on", "gross", "owner_id")
    filter_columns = ("issued_on", "due_on", "department_id", "owner_id")
    is_edited_by_deeds = True
    told_elsewhere = ("net", "tax", "gross", *ON_PAPER)

    def facts(self, row):
        """What it is about, then what stands on the paper, as far as it is known."""
        about, *stamps = super().facts(row)
        paper = [self._fact(row, Invoice.__table__.c[name]) for name in ON_PAPER if getattr(row, name)]
        return [about, {"title": gettext("On the paper"), "facts": paper}, *stamps]

    def form_columns(self):
        """By hand one fills in only the firm's own fields."""
        return ()

    def check_editable(self, row):
        if row.is_issued:
            raise RuleBroken(N_("“%(invoice)s” is issued; it stays as it is."), invoice=row)

    @expose("/<int:pk>/fields", methods=["GET", "POST"])
    @allows("edit")
    def fields(self, pk):
        """The custom fields of a draft, in a form of their own."""
        return self.edit(pk)

    def around(self, row):
        state = invoices.state(row, today())
        lines = select(InvoiceLine).where(InvoiceLine.invoice_id == row.id)
        return {
            "template": "invoices/sheet.html",
            "subtitle": row.billed_to,
            "state": (gettext(STATE_WORDS[state]), STATE_COLORS[state]),
            "lines": db.session.scalars(lines.order_by(InvoiceLine.position, InvoiceLine.id)).all(),
            "taxes": invoices.totals(row.lines).taxes,
            "paid": invoices.paid(row),
            "open_amount": invoices.open_amount(row),
            "payments": row.payments,
            "methods": [
                (key, gettext(words)) for key, words in Payment.__table__.c.method.info["choices"].items()
            ],
            "may_fill": not row.is_issued
            and access.reaches_row(db.session(), "edit", row)
            and bool(custom_values.fields_for(self.entity)),
            "may_issue": not row.is_issued and access.reaches_row(db.session(), "issue", row),
            "may_discard": not row.is_issued and access.reaches_row(db.session(), "delete", row),
            # One that is paid in full may still see money given back.
            "may_pay": row.is_issued
            and (row.gross != 0 or bool(row.payments))
            and access.reaches_row(db.session(), "pay", row),
            "today": today(),
        }

    # ---- deeds

    @expose("/draft", methods=["POST"])
    @allows("add")
    def draft(self):
        """Draft the invoice of a won deal."""
        key = filters.natural(request.form.get("deal_id", ""))
        deal = db.session.get(Deal, key) if key is not None else None
        if deal is None:
            raise RuleBroken(N_("There is no such deal."))
        invoice = invoices.draft_from(db.session, deal, by=g.principal.id, today=today())
        db.session.commit()
        return redirect(self.path(invoice))

    @expose("/<int:pk>/issue", methods=["POST"])
    @allows("issue")
    def issue(self, pk):
        """Give it its number; right after the commit, make its paper."""
        invoice = self.find(pk)
        self.check_version(invoice)
        settings = current_app.config["SETTINGS"]
        seller = invoices.Seller(
            name=settings.COMPANY_NAME,
            address=settings.COMPANY_ADDRESS,
            tax_id=settings.COMPANY_TAX_ID,
            bank=settings.COMPANY_BANK,
        )
        invoices.issue(
            db.session,
            invoice,
            by=g.principal.id,
            today=today(),
            seller=seller,
            payment_days=settings.PAYMENT_DAYS,
        )
        db.session.commit()
        try:
            _paper(pk)  # not invoice.id: that would begin a new transaction, for which the paper waits
        except Exception:  # whatever it was: the invoice is issued, and "nothing was stored" would be a lie
            log.exception("the paper of invoice %s could not be made", pk)
            flash(gettext("The invoice is issued; its PDF is made when it is first opened."), "warning")
        flash(gettext("Issued as %(number)s.", number=invoice.number), "success")
        return redirect(self.path(invoice))

    @expose("/<int:pk>/discard", methods=["POST"])
    @allows("delete")
    def discard(self, pk):
        invoice = self.find(pk)
        self.check_version(invoice)
        deal_id = invoice.deal_id
        invoices.discard(db.session, invoice)
        db.session.commit()
        flash(gettext("The draft was discarded."), "success")
        return redirect(f"/deals/{deal_id}" if deal_id else "/invoices/")

    @expose("/<int:pk>/payments", methods=["POST"])
    @allows("pay")
    def pay(self, pk):
        invoice = self.find(pk)
        typed = {
            name: request.form.get(name, "").strip() for name in ("amount", "paid_on", "method", "reference")
        }
        try:
            payment = invoices.record_payment(
                db.session,
                invoice,
                amount=_amount(typed["amount"]),
                paid_on=_day(typed["paid_on"]),
                method=typed["method"],
                reference=_storable(typed["reference"]),
                today=today(),
            )
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            message = gettext(error.message, **error.values)
            return self.sheet(invoice, status=422, typed=typed, payment_error=message)
        flash(gettext("%(amount)s received.", amount=money(payment.amount, invoice.currency)), "success")
        return redirect(self.path(invoice))

    @expose("/<int:pk>/pdf")
    @allows("see")
    def pdf(self, pk):
        """The bytes that were written right after issuing; made now when they are missing."""
        invoice = self.find(pk)
        if not invoice.is_issued:
            raise RuleBroken(N_("A draft has no paper yet; issue it first."))
        this = (Document.entity == "invoice", Document.record_id == invoice.id, Document.kind == "invoice")
        if db.session.scalar(select(Document.id).where(*this)) is None:
            db.session.rollback()  # the writing session must not wait for this reading one
            _paper(pk)
        name, content = db.session.execute(select(Document.name, Document.content).where(*this)).one()
        # By number: its name is not for everybody who reads the ledger.
        Departure("invoice", f"#{pk}", kind="document", record_id=pk, rows=1)
        response = Response(
            content, mimetype="application/pdf", headers={"Content-Security-Policy": "sandbox"}
        )
        response.headers.set("Content-Disposition", "inline", filename=name)  # quoted, whatever is in it
        return response


class PaymentView(RecordView):
    """Money received; recorded on the invoice it belongs to."""

    model = Payment
    route_base = "/payments"
    one, many, icon = N_("Payment"), N_("Payments"), "cash"
    list_columns = ("paid_on", "amount", "method", "reference", "invoice_id")
    filter_columns = ("paid_on", "method", "amount")
    default_sort = "-paid_on"
    is_edited_by_deeds = True


def _paper(invoice_id):
    """Have the system write the document: nobody else may, and of two renderings one wins."""
    with access.system_session("the paper of an issued invoice") as session:
        store.invoice_document(session, invoice_id, language=current_app.config["SETTINGS"].LANGUAGE)


def _amount(text):
    amount = typed_number(text, 2, field="amount")
    if amount is None:
        raise RuleBroken(N_("Say how much was paid."), field="amount")
    return amount


def _day(text):
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RuleBroken(N_("“%(text)s” is no date."), field="paid_on", text=text[:20]) from None


def _storable(text):
    if not is_storable(text):
        raise RuleBroken(N_("This holds a character that cannot be stored."), field="reference")
    return text
