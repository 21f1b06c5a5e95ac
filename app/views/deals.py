"""Deals: list, board, sheet with lines, and the deeds win, lose and reopen."""

from decimal import Decimal

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import func, or_, select
from sqlalchemy.orm.exc import StaleDataError

from app import access, filters
from app.extensions import N_, db
from app.models import Deal, DealLine, Invoice, Product, Stage, TaxRate
from app.rules import RuleBroken, boards, deals
from app.rules.money import typed_number
from app.views import cells
from app.views.base import allows, expose
from app.views.boards import BoardRoutes
from app.views.errors import sentence
from app.views.forms import Unclear, find_named, named
from app.views.past import flash_undoable
from app.views.reading import day, money, today
from app.views.records import RecordView


class DealView(BoardRoutes, RecordView):
    """Chances to sell."""

    model = Deal
    route_base = "/deals"
    one, many, icon = N_("Deal"), N_("Deals"), "briefcase"
    list_columns = ("name", "company_id", "amount", "stage_id", "expected_on", "owner_id")
    filter_columns = ("stage_id", "owner_id", "department_id", "amount", "expected_on", "closed_on")
    quick_columns = ("name", "company_id", "amount", "expected_on", "stage_id")

    # ---- the record

    def defaults(self):
        stage = boards.first_stage(db.session, "deal")
        return super().defaults() | {"opened_on": today(), "stage_id": stage.id}

    def before_save(self, row, form):
        if row.id is None:
            boards.place(db.session, row, db.session.get(Stage, row.stage_id))
        elif form.stage_id.data != form.stage_id.object_data:
            stage = db.session.get(Stage, form.stage_id.data)
            row.stage_id = form.stage_id.object_data
            self.move_card(row, stage, before=None, after=None)
        if not hides_amounts(row):  # else the sum of the lines is not his to know, and has not changed
            deals.recalculate(row)
        deals.check_days(row)
        if row.id is not None:
            told = [name for name in deals.BILLED if name in form]
            changed = [name for name in told if getattr(row, name) != form[name].object_data]
            if changed and _is_invoiced(row):
                deals.check_billed(row, changed)

    def prepare(self, form, row, formdata):
        """With lines the amount is their sum, whatever its sign; only an estimate is never below zero."""
        if row.lines and "amount" in form:
            form.amount.least = None
        return super().prepare(form, row, formdata)

    def list_actions(self):
        return [{"label": gettext("Board"), "href": "/deals/board", "icon": "layout-kanban"}]

    def around(self, row):
        principal, path = g.principal, self.stage_path(row)
        session, is_closed = db.session(), deals.is_closed(row)
        may_edit = access.reaches_row(session, "edit", row)
        rates = db.session.scalars(select(TaxRate).order_by(TaxRate.percent)).all()  # those of the lines are among them
        invoices = []
        if principal.may("see", "invoice"):
            invoices = db.session.scalars(select(Invoice).where(Invoice.deal_id == row.id)).all()
        products = self._products(row)  # those of the lines are among them
        lines = db.session.scalars(
            select(DealLine).where(DealLine.deal_id == row.id).order_by(DealLine.position, DealLine.id)
        ).all()
        return {
            "template": "deals/sheet.html",
            "subtitle": money(row.amount, row.currency) if row.amount is not None else None,
            "state": (row.stage.name, cells.COLORS.get(row.stage.outcome)),
            "stages": path,
            "lines": lines,
            "products": [(product, named(product)) for product in products],
            "rates": rates,
            "may_go_on": may_edit and not is_closed,
            "may_change_lines": may_edit and not is_closed and may_price(row),
            "hides_amounts": hides_amounts(row),
            "may_win": not is_closed and access.reaches_row(session, "win", row),
            "may_lose": not is_closed and access.reaches_row(session, "lose", row),
            "may_reopen": may_edit and is_closed and not invoices,
            "may_draft": principal.may("add", "invoice")
            and row.stage.outcome == "won"
            and not invoices
            and not hides_amounts(row),
            "invoices": invoices,
            "has_story": True,
        }

    # ---- the board

    def move_card(self, card, stage, *, before, after):
        for outcome, verb in (("won", "win"), ("lost", "lose")):
            if stage.outcome == outcome:
                if not g.principal.may(verb, "deal"):
                    abort(403)
                access.ask_for_deed(db.session(), (verb,), card)
        reason = request.form.get("lost_reason")
        deals.move(
            db.session,
            card,
            stage,
            by=g.principal.id,
            today=today(),
            before=before,
            after=after,
            reason=reason,
        )

    def stage_figures(self, stage_ids, conditions):
        if "amount" in g.principal.hidden("deal"):
            return super().stage_figures(stage_ids, conditions)
        counted = (
            select(Deal.stage_id, Deal.currency, func.count(Deal.id), func.sum(Deal.amount))
            .where(Deal.stage_id.in_(stage_ids), *conditions)
            .group_by(Deal.stage_id, Deal.currency)
            .order_by(Deal.stage_id, Deal.currency)
        )
        return [
            (stage_id, count, money(amount, currency) if amount else "")
            for stage_id, currency, count, amount in db.session.execute(counted)
        ]

    def card(self, row):
        is_open = row.closed_on is None
        return {
            "id": row.id,
            "version": row.version,
            "title": row.name,
            "href": self.path(row),
            "move_url": f"{self.path(row)}/move" if g.principal.may("edit", "deal") else None,
            "company": cells.cell(row, "company_id") if row.company_id else None,
            "amount": money(row.amount, row.currency) if row.amount is not None else None,
            "owner": row.owner.name if row.owner else None,
            "initials": row.owner.initials if row.owner else None,
            "due": day(row.expected_on) if row.expected_on and is_open else None,
            "is_late": is_open and row.expected_on is not None and row.expected_on < today(),
        }

    # ---- deeds

    @expose("/<int:pk>/win", methods=["POST"])
    @allows("win")
    def win(self, pk):
        deal = self.find(pk)
        self.check_version(deal)
        deals.win(db.session, deal, by=g.principal.id, today=today())
        flash_undoable(gettext("“%(deal)s” is won. Congratulations!", deal=deal))
        db.session.commit()
        return redirect(self.path(deal))

    @expose("/<int:pk>/lose", methods=["GET", "POST"])
    @allows("lose")
    def lose(self, pk):
        deal = self.find(pk)
        reason = request.form.get("lost_reason", "")
        # The board says into which stage the card was dropped.
        chosen = request.values.get("stage_id", "")
        stage = self._stage(chosen) if chosen else None
        if request.method == "GET":
            return self.page("deals/lose.html", row=deal, reason=reason, stage=stage)
        if self.is_stale(deal):
            return self._lose_again(deal, reason, stage)
        try:
            deals.lose(db.session, deal, reason=reason, by=g.principal.id, today=today(), stage=stage)
            flash_undoable(gettext("“%(deal)s” is lost.", deal=deal))
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            return self.page(
                "deals/lose.html", status=422, row=deal, reason=reason, stage=stage, error=sentence(error)
            )
        except StaleDataError:
            db.session.rollback()
            return self._lose_again(deal, reason, stage)
        return redirect(self.path(deal))

    def _lose_again(self, deal, reason, stage):
        """Somebody changed the deal in between: say how it stands now, and keep the reason."""
        message = gettext(
            "“%(card)s” was changed in the meantime; it now stands in “%(stage)s”.",
            card=deal,
            stage=deal.stage,
        )
        return self.page(
            "deals/lose.html", status=409, row=deal, reason=reason, stage=stage, conflict=message
        )

    @expose("/<int:pk>/reopen", methods=["POST"])
    @allows("edit")
    def reopen(self, pk):
        deal = self.find(pk)
        self.check_version(deal)
        deals.reopen(db.session, deal, today=today())
        db.session.commit()
        flash(gettext("“%(deal)s” is open again.", deal=deal), "success")
        return redirect(self.path(deal))

    # ---- lines

    @expose("/<int:pk>/lines", methods=["POST"])
    @allows("edit")
    def add_line(self, pk):
        deal = self._to_price(pk)
        typed = {name: request.form.get(name, "").strip() for name in LINE_FIELDS}
        try:
            deals.add_line(deal, **self._typed_line(typed))
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            return self.sheet(deal, status=422, typed=typed, line_error=sentence(error))
        except StaleDataError:
            db.session.rollback()
            message = gettext(
                "Somebody else changed this deal at the same moment. Look at its lines, then try again."
            )
            return self.sheet(deal, status=409, typed=typed, line_error=message)
        return redirect(self.path(deal))

    @expose("/<int:pk>/lines/<int:line_pk>/delete", methods=["POST"])
    @allows("edit")
    def remove_line(self, pk, line_pk):
        deal = self._to_price(pk)
        line = next((line for line in deal.lines if line.id == line_pk), None)
        if line is None:
            abort(404)
        deals.remove_line(deal, line)
        db.session.commit()
        return redirect(self.path(deal))

    def _to_price(self, pk):
        """The deal, for who may say what it is worth: its lines do."""
        deal = self.find(pk)
        return deal if may_price(deal) else abort(403)

    def _typed_line(self, typed):
        """What was typed into the line form, as the rule wants it; an empty field leaves the product's value."""
        product = self._product(typed["product"])
        percent = typed_number(typed["discount"], 2, field="discount")
        quantity = typed_number(typed["quantity"], 3, field="quantity")
        tax_rate_id = filters.natural(typed["tax_rate_id"])
        if typed["tax_rate_id"] and tax_rate_id is None:
            raise RuleBroken(N_("There is no such tax rate."), field="tax_rate_id")
        return {
            "product": product,
            "description": typed["description"] or None,
            "quantity": 1 if quantity is None else quantity,
            "unit_price": typed_number(typed["unit_price"], 4, field="unit_price"),
            "discount": (percent or 0) / Decimal(100),
            "tax_rate_id": tax_rate_id,
        }

    def _product(self, text):
        if not text:
            return None
        try:
            product = find_named(db.session, Product, text)
        except Unclear as error:
            raise RuleBroken("%(problem)s", field="product", problem=error.args[0]) from None
        if not product.is_active:  # here, not in the rule: orders that are imported were of their own time
            raise RuleBroken(N_("“%(product)s” is not for sale any more."), field="product", product=product)
        return product

    def _products(self, row):
        """The products of the deal's lines, then those for sale: suggestions for a new line."""
        in_lines = Product.id.in_(select(DealLine.product_id).where(DealLine.deal_id == row.id))
        statement = select(Product).where(or_(in_lines, Product.is_active))
        return db.session.scalars(statement.order_by(in_lines.desc(), Product.name).limit(200)).all()


def hides_amounts(deal):
    """Whether the prices of a deal's lines are kept from the reader, because its amount is."""
    return bool(g.principal.hidden("deal_line")) or "amount" in g.principal.hidden_on(deal)


def may_price(deal):
    """Whether the reader may say what a deal is worth, as whoever changes its lines does."""
    return not g.principal.read_only("deal_line") and "amount" not in g.principal.read_only_on(deal)


def _is_invoiced(deal):
    """Asked for everybody: whether there is an invoice matters also to those who may not see it."""
    with access.system_session("whether a deal is invoiced", writes=False) as session:
        return session.scalar(select(Invoice.id).where(Invoice.deal_id == deal.id).limit(1)) is not None


LINE_FIELDS = ("product", "description", "quantity", "unit_price", "discount", "tax_rate_id")
