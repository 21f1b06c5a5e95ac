"""Where admins and heads arrange the fields that the firm adds: a list by kind of record, and one form.

What is saved here holds from the next request on, in every process: nothing is kept of the definitions.
"""

from flask import abort, current_app, g, redirect, request
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm.exc import StaleDataError
from wtforms import (
    BooleanField,
    Form,
    HiddenField,
    IntegerField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import Length, NumberRange, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from app import access, filters, jobs, wall
from app.access import DOOR
from app.extensions import N_, db
from app.models import CustomField, Department
from app.rules import RuleBroken, custom_fields, custom_indexes
from app.views import forms
from app.views.base import PageView, allows, expose
from app.views.custom_values import language
from app.views.past import flash_undoable

INDEXES = "custom indexes"  # the job


class FieldForm(Form):
    """What a custom field says of itself."""

    version = HiddenField()
    entity = SelectField(
        lazy_gettext("Of"),
        choices=[(entity, lazy_gettext(many)) for entity, many in custom_fields.TAKERS.items()],
    )
    kind = SelectField(
        lazy_gettext("Kind"),
        choices=[(kind, lazy_gettext(words)) for kind, words in custom_fields.KINDS.items()],
        description=lazy_gettext("It stays once records hold values."),
    )
    label_en = StringField(lazy_gettext("Name in English"), [Length(max=80), forms.storable])
    label_de = StringField(lazy_gettext("Name in German"), [Length(max=80), forms.storable])
    label_fr = StringField(lazy_gettext("Name in French"), [Length(max=80), forms.storable])
    choices = TextAreaField(
        lazy_gettext("Choices"),
        [Length(max=50_000), forms.storable],
        description=lazy_gettext(
            "For choices only, one a line: the name, in several languages as English | German | French. A choice "
            "that you take out stays where it was chosen."
        ),
    )
    target = SelectField(
        lazy_gettext("Links to"),
        choices=[("", "–"), *((entity, lazy_gettext(many)) for entity, many in custom_fields.TAKERS.items())],
        description=lazy_gettext("For links to records only."),
    )
    default = StringField(
        lazy_gettext("Default"),
        [Length(max=custom_fields.LONGEST_LINE), forms.storable],
        description=lazy_gettext(
            "What new records begin with. A date is written as 2026-12-31, a choice by name."
        ),
    )
    position = IntegerField(
        lazy_gettext("Position"),
        [Optional(), NumberRange(0, 10_000)],
        default=0,
        description=lazy_gettext("Smaller numbers stand first."),
    )
    department_ids = SelectMultipleField(
        lazy_gettext("For the departments"),
        coerce=int,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    is_required = BooleanField(
        lazy_gettext("Required"),
        description=lazy_gettext("In forms, imports and the API; records there are stay."),
    )
    is_indexed = BooleanField(
        lazy_gettext("Quick to filter"),
        description=lazy_gettext("Makes an index: lists of any length are filtered at once."),
    )
    is_active = BooleanField(
        lazy_gettext("In use"),
        default=True,
        description=lazy_gettext("Out of use it is hidden; its values are kept."),
    )


SECTIONS = (
    (None, ("entity", "kind", "label_en", "label_de", "label_fr", "position")),
    (N_("What may stand in it"), ("choices", "target", "default")),
    (N_("For whom"), ("department_ids",)),
    (N_("How it is used"), ("is_required", "is_indexed", "is_active")),
)


class CustomFieldView(PageView):
    """The fields that the firm added."""

    model, entity = CustomField, "custom_field"
    route_base = "/custom-fields"

    @expose("/")
    @allows("edit")
    def list(self):
        found = db.session.scalars(select(CustomField).order_by(CustomField.position, CustomField.id)).all()
        departments = dict(db.session.execute(select(Department.id, Department.name)).all())
        seen = [row for row in found if custom_fields.is_visible(row, g.principal) or self._may_define(row)]
        groups = [
            {
                "entity": entity,
                "title": gettext(many),
                "fields": [self._line(row, departments) for row in seen if row.entity == entity],
            }
            for entity, many in self._entities()
        ]
        return self.page("custom_fields/list.html", groups=groups)

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        form = self._form(None)
        if request.method == "POST" and form.validate():
            try:
                row = custom_fields.define(db.session(), self._said(form))
                self._bring_indexes_about()
                name = _name(row)
                flash_undoable(gettext("“%(name)s” was added.", name=name))
                db.session.commit()
                return redirect(f"{self.route_base}/")
            except RuleBroken as error:
                self._put_on_form(error, form)
        return self._form_page(form, status=422 if request.method == "POST" else 200)

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        row = self._find(pk)
        form = self._form(row)
        if request.method == "GET":
            return self._form_page(form, row)
        name = _name(row)
        if form.version.data != str(row.version):
            return self._conflict(form, row)
        if form.validate():
            try:
                custom_fields.redefine(db.session(), row, self._said(form, row))
                self._bring_indexes_about()
                flash_undoable(gettext("“%(name)s” was saved.", name=_name(row)))
                db.session.commit()
                return redirect(f"{self.route_base}/")
            except RuleBroken as error:
                self._put_on_form(error, form)
            except StaleDataError:
                db.session.rollback()
                return self._conflict(form, row)
        db.session.rollback()
        return self._form_page(form, row, status=422, name=name)

    @expose("/<int:pk>/delete", methods=["POST"])
    @allows("delete")
    def delete(self, pk):
        row = self._find(pk)
        if request.form.get("version") != str(row.version):
            abort(409)
        name = _name(row)
        try:
            custom_fields.remove(db.session(), row)
        except RuleBroken as error:
            db.session.rollback()
            form = self._form(row, formdata=None)
            self._put_on_form(error, form)
            return self._form_page(form, row, status=422)
        self._bring_indexes_about()
        flash_undoable(gettext("“%(name)s” was deleted.", name=name))
        db.session.commit()
        return redirect(f"{self.route_base}/")

    # ---- its parts

    def _entities(self):
        """The kinds of records whose fields this person may arrange or see."""
        is_admin = g.principal.may("edit", "account")
        return [
            (entity, many)
            for entity, many in custom_fields.TAKERS.items()
            if is_admin or g.principal.may("see", entity)
        ]

    def _may_define(self, row):
        return custom_fields.may_define(g.principal, row.entity, row.department_ids)

    def _line(self, row, departments):
        said = [departments[key] for key in row.department_ids if key in departments]
        return {
            "href": f"{self.route_base}/{row.id}/edit" if self._may_define(row) else None,
            "label": _name(row),
            "name": row.name,
            "kind": gettext(custom_fields.KINDS[row.kind]),
            "departments": ", ".join(sorted(said)) if row.department_ids else gettext("everybody"),
            "is_required": row.is_required,
            "is_indexed": row.is_indexed,
            "is_active": row.is_active,
        }

    def _find(self, pk):
        """The field, or 404 for one that this person has no business with."""
        row = db.session.get(CustomField, pk) if pk <= filters.LARGEST_ID else None
        if row is None or not self._may_define(row):
            abort(404)
        return row

    def _form(self, row, formdata=...):
        if formdata is ...:
            formdata = request.form if request.method == "POST" else None
        entities = self._entities()
        departments = self._departments()
        given = request.args.get("entity", "")
        data = {
            "entity": given if given in dict(entities) else entities[0][0],
            "department_ids": [] if g.principal.may("edit", "account") else [key for key, _ in departments],
        }
        if row is not None:
            one = custom_fields.Field.of(row)
            data = {f"label_{code}": text for code, text in row.labels.items()} | {
                "version": str(row.version),
                "choices": custom_fields.choices_as_text(row.choices),
                "default": custom_fields.as_text(one, row.default),
                "entity": row.entity,
                "kind": row.kind,
                "target": row.target,
                "position": row.position,
                "department_ids": row.department_ids,
                "is_required": row.is_required,
                "is_indexed": row.is_indexed,
                "is_active": row.is_active,
            }
        form = FieldForm(formdata, data=data)
        form.department_ids.choices = departments
        form.entity.choices = [(entity, gettext(many)) for entity, many in entities]
        if row is not None:
            del form.entity
        if g.principal.may("edit", "account"):
            form.department_ids.description = gettext("None ticked: for everybody.")
        return form

    def _departments(self):
        """The departments that this person may give a field to, as (id, name)."""
        all_of_them = select(Department.id, Department.name).order_by(Department.name)
        near = g.principal.departments_for("edit", "custom_field")
        if near is not None:
            all_of_them = all_of_them.where(Department.id.in_(sorted(near)))
        return [tuple(one) for one in db.session.execute(all_of_them)]

    def _said(self, form, row=None):
        """What the form says, as the rule takes it."""
        before = row.choices if row is not None else ()
        is_choosing = form.kind.data in custom_fields.CHOOSING
        return {
            "entity": form.entity.data if row is None else row.entity,
            "kind": form.kind.data,
            "labels": {code: form[f"label_{code}"].data for code in custom_fields.LANGUAGES},
            "choices": custom_fields.read_choices(form.choices.data or "", before) if is_choosing else [],
            "target": form.target.data or None,
            "default": form.default.data,
            "department_ids": form.department_ids.data or [],
            "is_required": form.is_required.data,
            "is_indexed": form.is_indexed.data,
            "is_active": form.is_active.data,
            "position": form.position.data or 0,
        }

    def _bring_indexes_about(self):
        """Have a worker make and drop indexes, where this change asks for it."""
        session = db.session()
        session.flush()
        if set(custom_indexes.wanted(session)) != custom_indexes.present(session.connection()):
            jobs.start(session, INDEXES, gettext("Indexes of custom fields"), {})

    def _form_page(self, form, row=None, status=200, conflict=None, name=None):
        sections = [
            (gettext(title) if title else None, [one for one in names if one in form])
            for title, names in SECTIONS
        ]
        return self.page(
            "custom_fields/form.html",
            status=status,
            form=form,
            sections=sections,
            row=row,
            name=name or (_name(row) if row is not None else None),
            conflict=conflict,
            action=request.path
            if not request.path.endswith("/delete")
            else f"{self.route_base}/{row.id}/edit",
        )

    def _conflict(self, form, row):
        """Somebody saved in between: say so, keep what was typed, take the new version along."""
        form.validate()
        theirs, clash = self._form(row, formdata=None), []
        for field in form:
            if field.name != "version" and field.data != theirs[field.name].data:
                yours, other = (self._words(one) for one in (field, theirs[field.name]))
                clash.append({"label": field.label.text, "yours": yours, "theirs": other})
        form.version.data, form.version.raw_data = str(row.version), None
        return self._form_page(form, row, status=409, conflict={"who": None, "at": None, "fields": clash})

    @staticmethod
    def _words(field):
        if isinstance(field, SelectMultipleField):
            return ", ".join(str(words) for key, words in field.choices if key in (field.data or ()))
        return forms.typed(field)

    @staticmethod
    def _put_on_form(error, form):
        """A broken rule as the message of the field it speaks of, or of the whole form."""
        db.session.rollback()
        name = "label_en" if error.field == "labels" else error.field
        sentence = gettext(error.message, **error.values)
        if name and name in form:
            form[name].errors = [*form[name].errors, sentence]
        else:
            form.form_errors.append(sentence)


def _name(row):
    return custom_fields.Field.of(row).label(language())


@jobs.kind(INDEXES)
def make_indexes(run):
    """Make the indexes that fields are marked for, and drop the others."""
    with run.reading() as session:
        fields = custom_indexes.wanted(session)
    made, dropped = _bring_about(run.session, fields)
    return {"made": made, "dropped": dropped, "done": len(made), "total": len(made)}


@jobs.daily
def mend_indexes(settings, now):
    """Once a day: what an undo or a restored backup changed of the fields."""
    with access.system_session("indexes of custom fields") as session:
        _bring_about(session, custom_indexes.wanted(session))


def _bring_about(session, fields):
    """PostgreSQL makes indexes beside everybody's work, but only outside of a transaction."""
    if db.engine.dialect.name == "sqlite":
        return custom_indexes.bring_about(session.connection(), fields)
    engine = wall.owners_engine(current_app.config["SETTINGS"])
    with engine.connect().execution_options(**{"begin": None, DOOR: True}) as connection:
        return custom_indexes.bring_about(connection, fields)
