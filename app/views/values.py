"""One value of a record, changed where it stands: a cell of a list, a fact of a sheet, or on a page of its own."""

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy.orm.exc import StaleDataError

from app import access
from app.extensions import db
from app.past import with_custom
from app.rules import RuleBroken, custom_fields
from app.views import cells, custom_values, forms, history
from app.views.base import allows, expose, safe_target, wants_fragment

# Where a value stands: in a list, in the cell that opens the record, or beside its name on a sheet.
PLACES = ("cell", "lead", "fact")


class ValueRoutes:
    """What a `RecordView` lets be changed one by one: checked, kept and written down like the whole form."""

    edits_values = True  # False: who saves the form is first shown what it does

    @expose("/<int:pk>/values/<name>", methods=["GET", "POST"])
    @allows("edit")
    def value(self, pk, name):
        row = self.find(pk)
        self.check_editable(row)
        if name not in self.values_to_edit(row):
            abort(404)
        form = self.form(row)
        field = form[name]
        if getattr(field, "not_visible", False):
            abort(404)  # what is linked is not his to replace unseen
        if request.method == "GET":
            return self._value_form(row, field)
        field.process(request.form, field.object_data)
        if isinstance(field, forms.LinkField):
            field.use(db.session, field.object_data, request.form)
        if request.form.get("version") != str(row.version):
            return self._value_conflict(row, field)
        try:
            if field.validate(form):
                _put(row, field)
                self.before_save(row, form)
                db.session.commit()
                return self._value_saved(row, name, field.label.text)
        except RuleBroken as error:
            sentence = gettext(error.message, **error.values)
            field.errors = [*field.errors, _of_another(form, field, error, sentence)]
        except StaleDataError:
            db.session.rollback()
            return self._value_conflict(self.find(pk), field)
        db.session.rollback()
        return self._value_form(self.find(pk), field, status=422)

    def values_to_edit(self, row):
        """The columns and custom fields of this row that the reader may change one by one."""
        return self._restorable(row) if self.edits_values else set()

    def columns_edited(self):
        """The columns whose values the reader may change in the list itself, of some row at least."""
        if not self.edits_values or self.is_edited_by_deeds or not g.principal.may("edit", self.entity):
            return frozenset()
        own = {one.key for one in custom_values.fields_for(self.entity)}
        return own | set(access.writable(g.principal, self.entity, self.form_columns()))

    def value_path(self, row, name):
        """Where this value is changed."""
        return f"{self.path(row)}/values/{name}"

    # ---- its parts

    def _value_form(self, row, field, status=200, conflict=None):
        place, name = _place(), field.name
        field.id = f"value-{row.id}-{name}"
        field.label.field_id = field.id
        template = "records/value_form.html" if wants_fragment() else "records/value.html"
        return self.page(
            template,
            status=status,
            row=row,
            field=field,
            conflict=conflict,
            place=place,
            action=self.value_path(row, name),
            next=request.values.get("next", ""),
            name=str(row),
        )

    def _value_conflict(self, row, field):
        """Somebody saved in between: what stands there now is told, what was typed is kept, and may be saved then."""
        who, at = history.last_change(db.session, row)
        theirs = cells.words(self._told(row, field.name)) or "–"
        changed = gettext("%(who)s changed this record %(at)s.", who=who or gettext("Someone"), at=at or "")
        stands = gettext("Here stands “%(theirs)s” now. Save again to put yours over it.", theirs=theirs)
        field.errors = [*field.errors, f"{changed} {stands}"]
        return self._value_form(row, field, status=409)

    def _value_saved(self, row, name, label):
        if not wants_fragment():
            flash(gettext("“%(label)s” was saved.", label=label), "success")
            target = request.form.get("next")
            return redirect(safe_target(target) if target else self.path(row))
        place = _place()
        fact = {"value": self._told(row, name), "label": label, "edit": self.value_path(row, name)}
        lead = self.path(row) if place == "lead" else None
        return self.page("records/value_saved.html", row=row, fact=fact, place=place, lead=lead)

    def _told(self, row, name):
        """The value as lists and sheets show it."""
        if name in row.__table__.c:
            return cells.cell(row, name)
        one = next(one for one in custom_values.fields_for(self.entity) if one.key == name)
        names = custom_fields.names_of(db.session(), [one], [row.custom])
        return custom_values.cell(
            one, (row.custom or {}).get(one.name), names, getattr(row, "currency", None)
        )


def _put(row, field):
    if hasattr(field, "custom"):
        values = with_custom(row.custom, {field.custom.name: field.data})
        if values != row.custom:
            row.custom = values
    elif getattr(row, field.name) != field.data:
        setattr(row, field.name, field.data)


def _of_another(form, field, error, sentence):
    """The sentence, with the name of the field that it speaks of where that is another one."""
    if not error.field or error.field == field.name or error.field not in form:
        return sentence
    return f"{form[error.field].label.text}: {sentence}"


def _place():
    asked = request.values.get("place")
    return asked if asked in PLACES else "fact"
