"""The past of one record: its history, one value set back, and how it stood on any day."""

from datetime import UTC, datetime, time, timedelta

from flask import abort, current_app, flash, g, redirect, request
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.datastructures import MultiDict

from app import access, filters, ledger, past
from app.extensions import db
from app.models import ENTITIES, Change, ChangeSet
from app.rules import RuleBroken
from app.views import cells, custom_values, forms, history
from app.views.base import allows, expose
from app.views.reading import moment, today


def flash_undoable(sentence):
    """Say what was done, with the way to take it back; call it before the commit, which ends the change set."""
    db.session.flush()
    category = "success"
    if g.principal.may("undo", "change_set"):
        category = f"undo-{ledger.change_set_id(db.session())}"
        href = f"/changes/{ledger.change_set_id(db.session())}/undo"
        sentence = Markup('{} <a href="{}">{}</a>').format(sentence, href, gettext("Look closer"))
    flash(sentence, category)


class PastRoutes:
    """What a `RecordView` shows of the past, and sets back from it."""

    @expose("/<int:pk>/history")
    @allows("see")
    def history(self, pk):
        return self._history_page(self.find(pk))

    @expose("/<int:pk>/restore", methods=["POST"])
    @allows("edit")
    def restore(self, pk):
        """Set one value back to what it was before a change, through the form with all its checks and rules."""
        row = self.find(pk)
        self.check_editable(row)
        change, name = self._change_of(row), request.form.get("column", "")
        if name not in change.values or name in g.principal.read_only_on(row):
            abort(404)
        if self.is_stale(row):
            flash(
                gettext("“%(name)s” was changed in the meantime. Look at it, then try again.", name=row),
                "warning",
            )
            return self._history_page(row, status=409)
        problem = self._put_back(row, name, change.values[name][0])
        if problem:
            db.session.rollback()
            flash(problem, "danger")
            return self._history_page(self.find(pk), status=422)
        return redirect(f"{self.path(row)}/history")

    @expose("/<int:pk>/as-of")
    @allows("see")
    def as_of(self, pk):
        """The record as it stood at the end of a past day, rebuilt from the ledger; to read, not to write."""
        chosen, error = _day_asked()
        row, change = self._whether_there(pk)
        first, last = _end_of(chosen), None
        state = past.as_of(db.session, self.model, pk, first)
        parts = past.parts_as_of(db.session, self.model, pk, first) if state else {}
        if state is None:
            last = self._why_not_there(pk, first)
        shown = self.model(**state) if state else row
        name = str(shown) if shown is not None else _name_when_deleted(self.model, change)
        return self.page(
            "changes/as_of.html",
            status=422 if error else 200,
            row=row,
            pk=pk,
            name=name,
            chosen=chosen,
            error=error,
            state=state,
            words=last,
            sections=_facts(self.model, state) if state else [],
            parts=_part_tables(parts, (state or {}).get("currency")),
        )

    @expose("/<int:pk>/erase", methods=["GET", "POST"])
    @allows("erase")
    def erase(self, pk):
        """First what would go, then, by POST, for good: a deleted record leaves the trash and the ledger."""
        row, deletion = self._whether_there(pk)
        if row is not None or not deletion.values or not access.gone_within(db.session(), "erase", [deletion]):
            abort(404)
        name = _name_when_deleted(self.model, deletion)
        if request.method == "GET":
            return self.page("changes/erase.html", pk=pk, name=name)
        db.session().info["why"] = gettext("Erased from the trash for good")
        ledger.forget(db.session(), deletion)
        db.session.commit()
        flash(gettext("“%(name)s” is gone for good.", name=name), "success")
        return redirect("/trash/")

    # ---- its parts

    def _history_page(self, row, status=200):
        before = request.args.get("before")
        if before is not None and (before := filters.natural(before)) is None:
            abort(400)
        entries, following = history.entries(
            db.session, row, before=before, restores=self._restorable(row), action=f"{self.path(row)}/restore"
        )
        next_href = f"{self.path(row)}/history?before={following}" if following else None
        return self.page(
            "records/history.html",
            status=status,
            row=row,
            entries=entries,
            href=self.path(row),
            next_href=next_href,
            today=today(),
        )

    def _restorable(self, row):
        """The columns whose old values this person may set back on this row."""
        may = not self.is_edited_by_deeds and self.is_editable(row)
        may = may and access.reaches_row(db.session(), "edit", row)
        own = {one.key for one in custom_values.fields_for(self.entity)}
        return own | set(self.columns_to_fill(row)) if may else set()

    def _change_of(self, row):
        """The change that the form names; of this very row, or there is none."""
        key = filters.natural(request.form.get("change", ""))
        change = db.session.get(Change, key) if key else None
        if change is None or (change.entity, change.record_id) != (row.__tablename__, row.id):
            abort(404)
        return change

    def _put_back(self, row, name, before):
        """Save the row with this value; returns what stands against it, or None."""
        if name not in self._restorable(row):
            label = cells.label(self.model.__table__.c[name]) if name in self.model.__table__.c else name
            return gettext("“%(label)s” follows from a deed and is not set back by hand.", label=label)
        form = self.form(row)
        typed = _typed(form)
        text, problem = _text_of(self.model, form[name], name, before)
        if problem:
            return problem
        typed.setlist(name, [text] if text is not None else [])
        typed["version"] = str(row.version)
        form = self.form(row, formdata=typed)
        try:
            if not form.validate():
                wrong = [message for field in form.fields_shown() for message in field.errors]
                return " ".join(str(one) for one in (*form.form_errors, *wrong))
            form.apply(row)
            self.before_save(row, form)
            db.session.commit()
        except RuleBroken as error:
            return gettext(error.message, **error.values)
        except StaleDataError:
            return gettext("“%(name)s” was changed in the meantime. Look at it, then try again.", name=row)
        label = form[name].label.text
        flash(gettext("“%(label)s” is again what it was.", label=label), "success")
        return None

    def _whether_there(self, pk):
        """The row, or the change that deleted it; 404 when neither is to be seen."""
        row = db.session.get(self.model, pk)
        if row is not None:
            return row, None
        change = db.session.scalars(
            select(Change)
            .where(Change.entity == self.entity, Change.record_id == pk, Change.action == "delete")
            .order_by(Change.id.desc())
            .limit(1)
        ).first()
        if change is None:
            abort(404)
        return None, change

    def _why_not_there(self, pk, at):
        """Not there yet, or not there any more: in words."""
        statement = (
            select(Change.action, ChangeSet.at)
            .join(Change.change_set)
            .where(Change.entity == self.entity, Change.record_id == pk, Change.action.in_(("add", "delete")))
            .order_by(Change.id)
        )
        deeds = db.session.execute(statement).all()
        earlier = [(action, when) for action, when in deeds if when <= at]
        if earlier:
            return gettext("It had been deleted by then: on %(at)s.", at=moment(earlier[-1][1]))
        added = [when for action, when in deeds if action == "add"]
        if added:
            return gettext("It did not exist yet: it was added on %(at)s.", at=moment(added[0]))
        return gettext("Nothing is known of it on that day.")


def _day_asked():
    text = request.args.get("day", "").strip()
    if not text:
        return today(), None
    try:
        chosen = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return today(), gettext("“%(text)s” is no day. Write it as year-month-day.", text=text[:40])
    return min(chosen, today()), None


def _end_of(chosen):
    """The last moment of a day on the house's clock, in UTC."""
    zone = current_app.config["SETTINGS"].zone
    following = datetime.combine(chosen + timedelta(days=1), time.min, tzinfo=zone)
    return following.astimezone(UTC) - timedelta(microseconds=1)


def _name_when_deleted(model, change):
    values = past.nets([change])[change.entity, change.record_id].values_before()[0]
    return str(model(**values)) if values else f"#{change.record_id}"


def _typed(form):
    """What the form would send as it stands."""
    typed = MultiDict()
    for field in form.fields_shown():
        if getattr(field, "not_visible", False):
            continue
        value = forms.sent(field)
        if value is not None:
            typed.setlist(field.name, value if isinstance(value, list) else [value])
    return typed


def _text_of(model, field, name, before):
    """(text that the field would be given, what stands against it)."""
    is_custom = hasattr(field, "custom")
    value = before if is_custom else past.revived(model.__table__.c[name], before)
    if isinstance(field, forms.LinkField):
        if getattr(field, "not_visible", False):
            return None, gettext("It leads to a record that is not visible to you.")
        if value is None:
            return "", None
        target = db.session.get(field.target, value)
        if target is None:
            return None, gettext("What stood there is not there any more, or not visible to you.")
        return forms.named(target), None
    if is_custom:
        return field.text_of(value), None
    if isinstance(value, bool):
        return ("y" if value else None), None
    return ("" if value is None else str(value)), None


# --------------------------------------------------------------------------------------------- a state, as facts


def _facts(model, state):
    """The facts of a state, in the order of a sheet."""
    names = history.names_of_links(db.session, model, [state])
    columns = [
        column
        for column in forms.reading_order(model)
        if column.name in state and column.name not in ("id", "version", "position", "content", "updated_at")
    ]
    told = [_fact(column, state, names) for column in columns if not column.info.get("stamped")]
    if "custom" in state:
        told += custom_values.facts(model.__tablename__, state["custom"], state.get("currency"))
    stamps = [_fact(column, state, names) for column in columns if column.info.get("stamped")]
    return [{"title": None, "facts": part} for part in (told, stamps) if part]


def _fact(column, state, names):
    value = _shown(column, state, names)
    return {"label": cells.label(column), "value": value, "wide": False}


def _shown(column, state, names, currency=None):
    value, target = state[column.name], cells.target_of(column)
    if value is not None and target is not None:
        name = names.get((target.__tablename__, value))
        return cells.HIDDEN if name is None else name
    return cells.shown(column, value, currency=state.get("currency", currency))


def _part_tables(parts, currency):
    """The parts of a state, one table for each kind: title, heads, rows of cells."""
    tables = []
    for entity, states in parts.items():
        if not states:
            continue
        model = ENTITIES[entity]
        names = history.names_of_links(db.session, model, states)
        columns = [
            column
            for column in forms.reading_order(model)
            if column.name not in ("id", "version", "position")
            and column.name in states[0]
            and not column.info.get("stamped")
            and column.name != f"{model.__through__}_id"
        ]
        states = sorted(states, key=lambda state: (state.get("position") or 0, state["id"]))
        tables.append(
            {
                "title": gettext(history.PARTS.get(entity, entity)),
                "heads": [cells.label(column) for column in columns],
                "rows": [[_shown(column, state, names, currency) for column in columns] for state in states],
            }
        )
    return tables
