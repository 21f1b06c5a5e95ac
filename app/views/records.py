"""Records: sheet, forms, delete and history of one entity, all from its model. A deed is a route of its own."""

from functools import cache, partial

from flask import abort, current_app, flash, g, jsonify, make_response, redirect, request
from markupsafe import Markup
from sqlalchemy import Text, bindparam, or_, select
from sqlalchemy.orm import aliased, selectinload
from sqlalchemy.orm.exc import StaleDataError
from wtforms.validators import InputRequired

from app import access, filters, roles, security
from app.extensions import db
from app.models import Department, Pipeline, Staff, Stage
from app.rules import RuleBroken, custom_fields
from app.views import cells, custom_values, forms, history, timeline
from app.views.attachments import AttachmentRoutes
from app.views.base import allows, expose, safe_target, wants_json
from app.views.bulk import BulkRoutes
from app.views.exports import ExportRoutes
from app.views.lists import ListView, asker
from app.views.past import PastRoutes, flash_undoable
from app.views.sharing import ShareRoutes
from app.views.tagging import TagRoutes
from app.views.templating import gettext
from app.views.values import ValueRoutes

_VIEWS = {}


def view_of(kind):
    """The registered view of this class: whoever needs another entity's forms and filters asks it."""
    return _VIEWS[kind]


def view_of_entity(entity):
    """The registered view of the records of an entity."""
    return next(view for view in _VIEWS.values() if view.entity == entity)


class RecordView(
    ExportRoutes, BulkRoutes, TagRoutes, ShareRoutes, AttachmentRoutes, ValueRoutes, PastRoutes, ListView
):
    """List, search, filters, sheet, forms, delete and history of one entity, all from its model.

    A subclass names its model and, where the default does not suit, the columns of list and form; it adds its deeds as
    routes of its own, and what stands around the facts through `around`.
    """

    is_edited_by_deeds = False  # no add, edit and delete forms
    told_elsewhere = ()  # columns that the sheet shows beside the facts
    look_for = None  # where a new record's likes are looked up while it is typed, and by which fields
    quick_columns = ()  # the fewest fields with which a new one is added in passing; none: always by the whole form

    def __init__(self):
        self.entity = self.model.__tablename__
        if self.is_edited_by_deeds:
            self.exclude_route_methods = {*self.exclude_route_methods, "new", "edit", "delete", "restore", "value"}
        if "erase" not in roles.VERBS.get(self.entity, ()):
            self.exclude_route_methods = {*self.exclude_route_methods, "erase"}
        super().__init__()
        cells.PATHS[self.entity] = self.route_base
        history.KINDS[self.entity] = self.one
        _VIEWS[type(self)] = self

    # ---- pages

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        return self.sheet(self.find(pk))

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        row, is_quick = self.model(**self.defaults()), self._is_quick()
        form = self.form(row, formdata=request.form if request.method == "POST" else None, is_quick=is_quick)
        if request.method == "GET":
            self._prefill(form)
            return self._form_page(form, is_quick=is_quick)
        if request.form.get("refill"):  # shown with what was typed, not saved: more fields are wanted
            return self._form_page(form)
        try:
            if form.validate():
                if told := self.sealed_on_form(form, request.form.get("sealed_reason", "")):
                    form.form_errors.append(gettext("This customer exists already in another department: see below."))
                    return self._form_page(form, status=422, sealed=told, is_quick=is_quick)
                form.apply(row)
                db.session.add(row)
                self.before_save(row, form)
                db.session.flush()
                name, path = str(row), self.path(row)  # after the commit they would be read anew
                db.session.commit()
                flash(_with_link(gettext("“%(name)s” was added.", name=NAME), name, path), "success")
                return redirect(safe_target(request.form.get("next")) if request.form.get("next") else path)
        except RuleBroken as error:
            self._put_on_form(error, form)
        return self._form_page(form, status=422, is_quick=is_quick)

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        row = self.find(pk)
        self.check_editable(row)
        if request.method == "GET":
            return self._form_page(self.form(row), row)
        form = self.form(row, formdata=request.form)
        if request.form.get("refill"):
            return self._form_page(form, row)
        if form.version.data != str(row.version):
            return self._conflict(form, row)
        name = str(row)
        try:
            if form.validate():
                form.apply(row)
                self.before_save(row, form)
                saved, path = str(row), self.path(row)  # after the commit they would be read anew
                db.session().commit()
                flash(gettext("“%(name)s” was saved.", name=saved), "success")
                return redirect(path)
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
        row = self.find(pk)
        self.check_editable(row)
        if not request.form.get("version"):
            abort(409)  # nobody deletes what he has not looked at
        self.check_version(row)
        name = str(row)
        db.session.delete(row)
        flash_undoable(gettext("“%(name)s” was deleted.", name=name))
        db.session.commit()
        return redirect(self.route_base + "/")

    @expose("/pick")
    @allows("see")
    def pick(self):
        """Suggestions for a link field: the records that hold the words, as the field writes them."""
        words = request.args.get("q", "").strip()
        words = words[:200] if security.is_storable(words) else ""
        query = filters.Query(words=words, sort="-id", size=forms.SUGGESTED, asker=asker())
        found = filters.fetch(db.session(), self.model, query, *cells.name_columns(self.model))
        return jsonify([{"id": row.id, "label": forms.written(row)} for row in found.rows])

    def may_add(self):
        return not self.is_edited_by_deeds and super().may_add()

    # ---- what subclasses say

    def defaults(self):
        """The values a new row begins with."""
        columns = [self.model.__table__.c[name] for name in self.form_columns()]
        values = {
            one.name: one.default.arg for one in columns if one.default is not None and one.default.is_scalar
        }
        if hasattr(self.model, "department_id"):
            values["department_id"] = g.principal.department_id
        if hasattr(self.model, "owner_id"):
            values["owner_id"] = g.principal.id
        if hasattr(self.model, "currency"):
            values["currency"] = current_app.config["SETTINGS"].CURRENCY
        if custom := custom_fields.defaults(custom_values.fields_for(self.entity)):
            values["custom"] = custom
        return values

    def before_save(self, row, form):
        """What the rules have to say about the row before it is stored; raises RuleBroken."""

    def sealed_on_form(self, form, reason):
        """What is told of such a record beyond the reader's reach (`views/sealed.py`); of most kinds, nothing."""
        return None

    def check_editable(self, row):
        """Raises RuleBroken when this row may not be edited or deleted at all."""

    def around(self, row):
        """What stands around the facts of a sheet: `actions`, `related`, `timeline`, `stages` …"""
        return {}

    def form(self, row, formdata=None, is_quick=False):
        names = self.columns_to_fill(row)
        if is_quick:
            names = tuple(one for one in self.quick_columns if one in names)
        kind = forms.form_class(self.model, names)
        kind = custom_values.with_custom(kind, self.entity, only_required=is_quick)
        form = kind(formdata, obj=row, data=custom_values.data_of(self.entity, row))
        if formdata is None:
            form.version.data = str(row.version or "")
        return self.prepare(form, row, formdata)

    def form_columns(self):
        return forms.columns_to_edit(self.model)

    def columns_to_fill(self, row):
        """Those columns of the form that this person may fill in on this row."""
        stands = row if row.id is not None else None
        return access.writable(g.principal, self.entity, self.form_columns(), stands)

    def sections(self, form):
        """The parts of the form as (title, names of fields); None: one part, in the order of the fields."""

    # ---- for subclasses to use

    def path(self, row):
        return f"{self.route_base}/{row.id}"

    def find(self, pk):
        """The row, or 404: foreign and absent answer alike; 403 where the route's verbs reach less far than sight."""
        session = db.session()
        row = access.find(session, self.model, pk, g.verbs) if pk <= filters.LARGEST_ID else None
        if row is None:
            abort(404)
        access.ask_for_deed(session, g.verbs, row)
        return row

    def check_version(self, row):
        """Refuse a deed on a row that has changed since its reader saw it; without a version it is not asked."""
        if self.is_stale(row):
            abort(409) if wants_json() else abort(self.stale(row))

    def is_stale(self, row):
        version = request.form.get("version", "")
        return bool(version) and version != str(row.version)

    def stale(self, row):
        """The sheet as the record stands now, to be looked at before the deed is tried again."""
        flash(
            gettext("“%(name)s” was changed in the meantime. Look at it, then try again.", name=row),
            "warning",
        )
        return make_response(self.sheet(row, status=409))

    def sheet(self, row, status=200, **context):
        is_open = not self.is_edited_by_deeds and self.is_editable(row)
        around = self.around(row)  # first: what it loads in one go, the facts need not load one by one
        shown = {
            "template": "records/sheet.html",
            "row": row,
            "sections": (sections := self.facts(row)),
            "owner": _owner_in(sections),
            "may_edit": is_open and access.reaches_row(db.session(), "edit", row),
            "may_delete": is_open and access.reaches_row(db.session(), "delete", row),
        }
        shown |= around | context
        if "tag_strip" not in shown:
            shown["tag_strip"] = self.tag_strip(row)
        shown["shares_box"] = self.shares_box(row)
        shown["beside"] = self.beside_hrefs(row)
        shown["files_box"] = self.files_box(row, error=shown.pop("file_error", None))
        if shown.pop("has_story", False):
            shown |= timeline.of(row, self.path(row), shown["files_box"])
        return self.page(shown.pop("template"), status=status, **shown)

    def is_editable(self, row):
        try:
            self.check_editable(row)
        except RuleBroken:
            return False
        return True

    def facts(self, row):
        """What the sheet says of the row: what people filled in, then who made it and when."""
        unsaid = {"id", "version", "position", "content", *g.principal.hidden_on(row)}
        columns = [column for column in forms.reading_order(self.model) if column.name not in unsaid]
        beside = {*self.told_elsewhere, *(one.name for one in columns if getattr(row, one.name) == str(row))}
        told = [column for column in columns if column.name not in beside and not column.info.get("stamped")]
        stamps = [column for column in columns if column.info.get("stamped")]
        links = linked(row)
        own = [self._fact(row, one, links) for one in told]
        if self.entity in custom_fields.TAKERS:
            own += custom_values.facts(self.entity, row.custom, getattr(row, "currency", None))
        editable = self.values_to_edit(row)
        for fact in own:
            if fact["name"] in editable and fact["value"] is not cells.HIDDEN:
                fact["edit"] = self.value_path(row, fact["name"])
        parts = [own, [self._fact(row, one, links) for one in stamps]]
        return [{"title": None, "facts": part} for part in parts if part]

    def _fact(self, row, column, links=None):
        name = column.name
        lines = (getattr(row, name) or "").splitlines() if isinstance(column.type, Text) else []
        is_long = any(len(line) > 40 for line in lines)
        value = links[name] if links and name in links else cells.cell(row, name)
        return {"name": name, "label": cells.label(column), "value": value, "wide": is_long}

    # ---- the parts of the pages

    def prepare(self, form, row, formdata):
        """Fill the choices of links, and look up the links that are typed."""
        is_current = formdata is not None and form.version.data == str(row.version)
        for field in form.fields_shown():
            column = self.model.__table__.c.get(field.name)
            if isinstance(field, forms.LinkField):
                field.use(db.session, field.object_data, formdata, is_current=is_current)
                lead_on(field)
            elif column is not None and column.foreign_keys:
                has_empty = not any(isinstance(check, InputRequired) for check in field.validators)
                asked = (self.model, field.name, row)
                field.offer(partial(choices_for, *asked, has_empty), partial(is_offered, *asked))
        return form

    def _prefill(self, form):
        """Links and choices given in the URL, as a related list's "add" does: `?company_id=5`, `?kind=task`."""
        for field in form.fields_shown():
            text = request.args.get(field.name, "")
            key, column = filters.natural(text), self.model.__table__.c.get(field.name)
            if key is not None and column is not None and column.foreign_keys:
                field.data = key
            elif column is not None and text in column.info.get("choices", ()):
                field.data = text

    def _is_quick(self):
        """Whether the form with the fewest fields is asked for."""
        return bool(self.quick_columns) and request.values.get("quick") == "1" and not request.form.get("refill")

    def _form_page(
        self, form, row=None, status=200, conflict=None, name=None, action=None, sealed=None, is_quick=False
    ):
        sections = None if is_quick else self.sections(form)
        custom = [field.name for field in form if hasattr(field, "custom")]
        if sections and custom:
            sections = [*sections, (None, custom)]
        return self.page(
            "records/form.html",
            status=status,
            form=form,
            sections=sections,
            row=row,
            name=name or (str(row) if row is not None else None),
            conflict=conflict,
            action=action or request.path,
            cancel=self.path(row) if row is not None else self.route_base + "/",
            next=request.values.get("next", ""),
            sealed=sealed,
            sealed_reason=request.form.get("sealed_reason", ""),
            is_another=request.form.get("is_another", ""),
            is_quick=is_quick,
            look_for=self.look_for if row is None else None,
        )

    def _conflict(self, form, row):
        """Somebody saved in between: show both versions, keep what was typed, take the new version along."""
        form.validate()
        clash = []
        for field in form.fields_shown():
            column = self.model.__table__.c.get(field.name)
            if column is None or getattr(field, "not_visible", False):
                continue
            if getattr(row, field.name) != field.data:
                theirs = cells.words(cells.cell(row, field.name))
                yours = forms.typed(field)
                clash.append({"label": cells.label(column), "yours": yours, "theirs": theirs})
        clash += custom_values.clashes(form, row)
        who, at = history.last_change(db.session, row)
        form.version.data = str(row.version)
        form.version.raw_data = None
        return self._form_page(form, row, status=409, conflict={"who": who, "at": at, "fields": clash})

    def _put_on_form(self, error, form):
        """A broken rule as the message of the field it speaks of, or of the whole form."""
        db.session.rollback()
        sentence = gettext(error.message, **error.values)
        field = form[error.field] if error.field and error.field in form else None
        if field is not None:
            field.errors = [*field.errors, sentence]
        else:
            form.form_errors.append(sentence)


def lead_on(field):
    """Where a link's field asks for more records to choose from, and for a new one."""
    entity = field.target.__tablename__
    base = cells.PATHS.get(entity)
    if base is None or field.not_visible:
        return
    if g.principal.may("see", entity):
        field.pick = f"{base}/pick"
    if g.principal.may("add", entity) and not view_of_entity(entity).is_edited_by_deeds:
        field.add = f"{base}/new?quick=1"


NAME = "\x02"  # stands for the name in a sentence that is translated first


def _with_link(sentence, name, path):
    """A sentence with the record's name as the way to it."""
    before, after = sentence.split(NAME)
    return Markup('{}<a href="{}">{}</a>{}').format(before, path, name, after)


def _owner_in(sections):
    """Who looks after the record, as its facts show him; None where nobody does."""
    facts = (fact for section in sections for fact in section["facts"])
    return next((fact["value"] for fact in facts if fact.get("name") == "owner_id"), None)


def linked(row):
    """Column -> the record that it links to, as a cell: the names of all of them come in one SELECT."""
    model = type(row)
    targets = {one.name: cells.target_of(one) for one in model.__table__.c if not one.primary_key}
    keys = {name: getattr(row, name) for name, target in targets.items() if target is not None}
    if not any(keys.values()):
        return dict.fromkeys(keys)
    named = db.session.execute(_naming(model), keys).one()._mapping
    found = {}
    for name, key in keys.items():
        values = {one.key: named[f"{name}__{one.key}"] for one in cells.name_columns(targets[name])}
        is_seen = values["id"] is not None
        found[name] = cells.link_by_name(targets[name], values) if is_seen else key and cells.HIDDEN
    return found


@cache
def _naming(model):
    """The SELECT of the names of all that a row of this model links to; it takes the keys. Kept, it runs sooner."""
    names = []
    for column in model.__table__.c:
        target = cells.target_of(column)
        if target is None or column.primary_key:
            continue
        there = aliased(target)
        names += [
            select(getattr(there, one.key))
            .where(there.id == bindparam(column.name))
            .scalar_subquery()
            .label(f"{column.name}__{one.key}")
            for one in cells.name_columns(target)
        ]
    return select(*names)


def choices_for(model, name, row, has_empty=False):
    """What may be chosen in a link to one of the small tables, as (id, words)."""
    target, offered = _offered(model, name, row)
    empty = [("", "–")] if has_empty else []
    if target is Stage:
        found = db.session.scalars(offered.options(selectinload(Stage.pipeline))).all()
        several = len({stage.pipeline_id for stage in found}) > 1
        named = [(one.id, f"{one.pipeline}: {one}" if several else one.name) for one in found]
    elif target in (Staff, Department):
        named = [tuple(one) for one in db.session.execute(offered.with_only_columns(target.id, target.name))]
    else:
        named = [(one.id, str(one)) for one in db.session.scalars(offered)]
    return [*empty, *named]


def is_offered(model, name, row, key):
    """Whether this may be chosen in that link."""
    if not 0 < key <= filters.LARGEST_ID:
        return False
    target, offered = _offered(model, name, row)
    return db.session.scalar(offered.with_only_columns(target.id).where(target.id == key)) is not None


def _offered(model, name, row):
    """(the small table that a link leads to, the SELECT of those of its rows that may be chosen)."""
    target = cells.target_of(model.__table__.c[name])
    if target is Staff:
        is_here = or_(Staff.left_on.is_(None), Staff.id == getattr(row, name))
        return target, select(Staff).where(is_here).order_by(Staff.name)
    if target is Stage:
        of_kind = Stage.pipeline.has(Pipeline.kind == model.__tablename__)
        is_open = or_(Stage.outcome == "open", Stage.id == row.stage_id)
        stages = select(Stage).where(of_kind, is_open)
        return target, stages.order_by(Stage.pipeline_id, Stage.position, Stage.id)
    if target is Department and model.__sight__ == "scoped":
        return target, _writable_departments(model, row)
    rows = select(target).order_by(target.name, target.id)
    is_own_table = target is type(row) and row.id is not None
    return target, rows.where(target.id != row.id) if is_own_table else rows


def _writable_departments(model, row):
    """The SELECT of the departments into which the principal may put rows of this model, and of the row's own."""
    near = g.principal.departments_for("add", model.__tablename__)
    departments = select(Department).order_by(Department.name)
    if near is not None:
        near = near if row.id is None else near | {row.department_id}
        departments = departments.where(Department.id.in_(near))
    return departments
