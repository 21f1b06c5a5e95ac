"""Flask-AppBuilder, tamed: the only file that knows its habits. Every page and API of ours derives from here.

What we keep of it: the view registry with its blueprints, the accounts, roles and permissions tables, the sign-in back
ends, bearer tokens, and the plumbing of its REST views. What stood in the way of safety, speed or beauty is replaced
here: its list, form and show pages, its permission look-ups, its GET logout, its menus and templates.
"""

import functools
from urllib.parse import urlencode, urlsplit

from flask import (
    abort,
    current_app,
    flash,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.json.provider import DefaultJSONProvider
from flask_appbuilder import AppBuilder, BaseView, expose
from flask_appbuilder.api import BaseApi
from flask_appbuilder.security.api import SecurityApi
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_appbuilder.security.views import AuthDBView
from flask_babel import gettext
from flask_jwt_extended import get_current_user, verify_jwt_in_request
from flask_login import current_user, login_user, logout_user
from sqlalchemy import Boolean, Date, Integer, Text, or_, select
from sqlalchemy.orm import scoped_session, selectinload
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.routing import IntegerConverter
from wtforms.validators import InputRequired

from app import access, filters, roles, search, security
from app.extensions import Session, csrf, db
from app.models import Department, Exact, Moment, Pipeline, Staff, Stage
from app.rules import RuleBroken
from app.views import cells, forms, history

__all__ = ["ApiView", "PageView", "RecordView", "allows", "expose", "install", "view_of"]

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Sign-in for programs carries no cookie, so nothing could be forged with it.
CSRF_FREE = ("SecurityApi.login", "SecurityApi.refresh")


# --------------------------------------------------------------------------------------------- accounts


def _system_session():
    return access.enter(Session(db), access.SYSTEM, door="sign-in", writes=True)


class Accounts(SecurityManager):
    """FAB's security manager over our accounts: a signed-in user is a `Principal`, never an ORM row."""

    _session = scoped_session(_system_session)

    @property
    def session(self):
        """A system session of its own: what FAB does for sign-in must not share the business session."""
        return self._session

    def register_views(self):
        """Only sign-in and bearer tokens; accounts and roles have pages of ours."""
        self.auth_view = self.appbuilder.add_view_no_menu(SignIn())
        self.appbuilder.add_api(SecurityApi)

    def load_user(self, pk):
        return _begun_with(session.get("stamp"), security.load_principal(int(pk)))

    def create_jwt_manager(self, app):
        """FAB's; a token that is broken, too old or nobody's is answered like a missing sign-in."""
        manager = super().create_jwt_manager(app)
        for loader in (
            manager.expired_token_loader,
            manager.invalid_token_loader,
            manager.unauthorized_loader,
            manager.user_lookup_error_loader,
        ):
            loader(_token_refused)
        manager.additional_claims_loader(lambda pk: {"stamp": getattr(security.load_principal(int(pk)), "stamp", None)})
        return manager

    def load_user_jwt(self, _header, claims):
        return _begun_with(claims.get("stamp"), security.load_principal(int(claims["sub"])))

    def auth_user_db(self, username, password):
        """Used by FAB's token API: whoever may sign in on the page may sign in there."""
        user_id = security.authenticate(username, password)
        return security.load_principal(user_id) if user_id else None

    def auth_user_ldap(self, username, password):
        """Asked for by name at FAB's token API; the house keeps its accounts itself."""
        return None

    def is_item_public(self, permission_name, view_name):
        return False

    def has_access(self, permission_name, view_name):
        principal = g.get("principal")
        return principal is not None and principal.may(permission_name.removeprefix("can_"), view_name)


def _token_refused(*_details):
    return jsonify(message=gettext("This token does not count: sign in anew.")), 401


def _begun_with(stamp, principal):
    """The principal, unless this session or token was begun with a password that is none any more."""
    return principal if principal is not None and principal.stamp == stamp else None


class SignIn(AuthDBView):
    """The door: a name and a password in, a POST out."""

    @expose("/login/", methods=["GET", "POST"])
    def login(self):
        target = safe_target(request.values.get("next"))
        if g.principal is not None:
            return redirect(target)
        if request.method == "GET":
            return render_template("auth/login.html", next=target, username="")
        username, password = request.form.get("username", "").strip(), request.form.get("password", "")
        user_id = security.authenticate(username, password) if username and password else None
        principal = security.load_principal(user_id) if user_id else None
        if principal is None:
            error = gettext("This name and password do not belong together.")
            return render_template("auth/login.html", next=target, username=username, error=error), 401
        session.clear()  # nothing of the visitor before stays
        login_user(principal)
        session["stamp"] = principal.stamp
        return redirect(target)

    @expose("/logout/", methods=["POST"])
    def logout(self):
        logout_user()
        session.clear()
        return redirect(url_for("SignIn.login"))


def safe_target(target):
    """A path of ours to go on to; anything else leads to the start page."""
    try:
        parts = urlsplit(target or "")
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and (target or "").startswith("/")
    return target if is_ours and not target.startswith(("//", "/\\")) and target.isprintable() else "/"


# --------------------------------------------------------------------------------------------- the builder


class RecordNumber(IntegerConverter):
    """`<int:pk>` in a route: no number that the database could not hold reaches a view."""

    regex = "[0-9]{1,10}"

    def __init__(self, url_map):
        super().__init__(url_map, max=filters.LARGEST_ID)


class Json(DefaultJSONProvider):
    """JSON in and out; what is nested too deep, or holds half of a surrogate pair, is broken JSON like any other."""

    def loads(self, text, **options):
        try:
            value = super().loads(text, **options)
            self.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("nested too deep") from None
        return value


class Builder(AppBuilder):
    """FAB's registry without its stock pages: what is reachable is what `app/views` registers."""

    def _add_admin_views(self):
        self.sm.register_views()

    def _add_global_static(self):
        """Its jQuery and Bootstrap stay at home; ours are in static/vendor."""

    def _add_menu_permissions(self, update_perms=False):
        """The menu is ours (`views/__init__.py`) and shows what the principal may see."""

    def get_url_for_index(self):
        return "/"


def install(app):
    """Wire FAB, sign-in and CSRF into the app; call inside its context, before any view is added."""
    builder = Builder(security_manager_class=Accounts, update_perms=False)
    app.url_map.converters["int"] = RecordNumber
    app.json = Json(app)
    csrf.init_app(app)
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # `_who_asks` checks, once it knows how the caller signed in
    builder.init_app(app, db.session)
    app.before_request(_who_asks)
    app.teardown_appcontext(lambda _error: Accounts._session.remove())
    # FAB's choice writes a cookie for every visitor; ours comes from the profile.
    app.extensions["babel"].locale_selector = _language
    app.extensions["babel"].instance.locale_selector = _language
    return builder


def _who_asks():
    """Before every request: who it is, by bearer token or by cookie, and for whom the session works."""
    g.principal = None
    if request.endpoint == "static":
        return
    if (request.content_length or 0) > current_app.config["MAX_CONTENT_LENGTH"]:
        abort(413)  # here, because FAB's token API would make a fault of it
    is_bearer = request.headers.get("Authorization", "").startswith("Bearer ")
    if is_bearer and request.endpoint not in CSRF_FREE:
        verify_jwt_in_request()
        g.principal = get_current_user()
    else:
        if current_user.is_authenticated:
            g.principal = current_user._get_current_object()
        if request.endpoint not in CSRF_FREE:
            csrf.protect()
    if g.principal is not None:
        door = "api" if request.path.startswith("/api/") else "page"
        access.enter(db.session, g.principal, door=door, writes=request.method not in SAFE_METHODS)


def _language():
    """The reader's language, once there is a catalogue of it; till then the house's."""
    principal = g.get("principal") if g else None
    spoken = principal is not None and principal.language in current_app.config["LANGUAGES"]
    return principal.language if spoken else None


def wants_json():
    """Whether the answer goes to a program: the API, or a script of our pages."""
    return request.path.startswith("/api/") or request.accept_mimetypes.best == "application/json"


# --------------------------------------------------------------------------------------------- views


def allows(verb):
    """Guard a route: only for those whose roles grant `verb` on the view's entity; None asks just for a sign-in."""

    def decorate(method):
        @functools.wraps(method)
        def guarded(self, *args, **kwargs):
            if g.principal is None:
                return _sign_in_first()
            if verb is not None and not g.principal.may(verb, self.entity):
                abort(403)
            return method(self, *args, **kwargs)

        guarded.verb = verb
        return guarded

    return decorate


def _sign_in_first():
    if wants_json():
        return jsonify(message=gettext("Sign in first.")), 401
    target = request.full_path.rstrip("?") if request.method in SAFE_METHODS else None
    return redirect(url_for("SignIn.login", next=target if target != "/" else None))


class PageView(BaseView):
    """A view with pages of its own. `entity` is what its routes are guarded by; see `allows`."""

    entity = None
    default_view = None

    def page(self, template, status=200, **context):
        return render_template(template, view=self, **context), status


class ApiView(BaseApi):
    """A REST resource; guarded like a page, open to the session cookie with CSRF and to bearer tokens."""

    entity = None
    version = "v1"
    csrf_exempt = False


# --------------------------------------------------------------------------------------------- records


_VIEWS = {}


def view_of(kind):
    """The registered view of this class: whoever needs another entity's forms and filters asks it."""
    return _VIEWS[kind]


class RecordView(PageView):
    """List, search, filters, sheet, forms, delete and history of one entity, all from its model.

    A subclass names its model and, where the default does not suit, the columns of list and form; it adds its deeds as
    routes of its own, and what stands around the facts through `around`.
    """

    model = None
    one = many = ""  # what people call it: "Contact", "Contacts"
    icon = "file"
    list_columns = ()
    filter_columns = ()
    default_sort = "-id"
    is_edited_by_deeds = False  # no add, edit and delete forms
    told_elsewhere = ()  # columns that the sheet shows beside the facts

    def __init__(self):
        self.entity = self.model.__tablename__
        if self.is_edited_by_deeds:
            self.exclude_route_methods = {"new", "edit", "delete"}
        super().__init__()
        cells.PATHS[self.entity] = self.route_base
        _VIEWS[type(self)] = self

    # ---- pages

    @expose("/")
    @allows("see")
    def list(self):
        query = self.query_from(request.args)
        found = db.session.scalars(filters.page(self.model, query).options(*self._loads())).all()
        total = db.session.scalar(filters.count(self.model, query))
        rows, has_more = found[: query.size], len(found) > query.size
        return self.page(
            "records/list.html",
            query=query,
            columns=self._heads(query),
            rows=[{"href": self.path(row), "cells": self._cells(row)} for row in rows],
            total=total,
            next_href=self._href(after=filters.cursor_after(rows[-1], query)) if has_more else None,
            filters=self._filter_fields(query),
            chips=self._chips(query),
            keep={"sort": query.sort} if query.sort != self.default_sort else {},
            may_add=not self.is_edited_by_deeds and g.principal.may("add", self.entity),
            **self.list_context(),
        )

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        return self.sheet(self.find(pk))

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        row = self.model(**self.defaults())
        form = self.form(row, formdata=request.form if request.method == "POST" else None)
        if request.method == "GET":
            self._prefill(form)
            return self._form_page(form)
        try:
            if form.validate():
                form.apply(row)
                db.session.add(row)
                self.before_save(row, form)
                db.session.commit()
                flash(gettext("“%(name)s” was added.", name=row), "success")
                return redirect(
                    safe_target(request.form.get("next")) if request.form.get("next") else self.path(row)
                )
        except RuleBroken as error:
            self._put_on_form(error, form)
        return self._form_page(form, status=422)

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        row = self.find(pk)
        self.check_editable(row)
        if request.method == "GET":
            return self._form_page(self.form(row), row)
        form = self.form(row, formdata=request.form)
        if form.version.data != str(row.version):
            return self._conflict(form, row)
        name = str(row)
        try:
            if form.validate():
                form.apply(row)
                self.before_save(row, form)
                db.session.commit()
                flash(gettext("“%(name)s” was saved.", name=row), "success")
                return redirect(self.path(row))
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
        db.session.commit()
        flash(gettext("“%(name)s” was deleted.", name=name), "success")
        return redirect(self.route_base + "/")

    @expose("/<int:pk>/history")
    @allows("see")
    def history(self, pk):
        row, before = self.find(pk), request.args.get("before")
        if before is not None and (before := filters.natural(before)) is None:
            abort(400)
        entries, following = history.entries(db.session, row, before=before)
        next_href = f"{self.path(row)}/history?before={following}" if following else None
        return self.page(
            "records/history.html", row=row, entries=entries, href=self.path(row), next_href=next_href
        )

    @expose("/pick")
    @allows("see")
    def pick(self):
        """Suggestions for a link field: the records that hold the words, as the field writes them."""
        words = request.args.get("q", "").strip()
        statement = select(self.model).order_by(self.model.id.desc()).limit(forms.SUGGESTED)
        if words and security.is_storable(words):
            statement = statement.where(search.matching(self.model, words[:200]))
        return jsonify([{"id": row.id, "label": forms.named(row)} for row in db.session.scalars(statement)])

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
        return values

    def before_save(self, row, form):
        """What the rules have to say about the row before it is stored; raises RuleBroken."""

    def check_editable(self, row):
        """Raises RuleBroken when this row may not be edited or deleted at all."""

    def around(self, row):
        """What stands around the facts of a sheet: `actions`, `related`, `timeline`, `stages` …"""
        return {}

    def list_actions(self):
        """Buttons above the list, beside "add": dicts with label, href and icon."""
        return []

    def list_context(self):
        """What else the list page needs."""
        return {}

    def form(self, row, formdata=None):
        form = forms.form_class(self.model, self.form_columns())(formdata, obj=row)
        if formdata is None:
            form.version.data = str(row.version or "")
        return self.prepare(form, row, formdata)

    def form_columns(self):
        return forms.columns_to_edit(self.model)

    def sections(self, form):
        """The parts of the form as (title, names of fields); None: one part, in the order of the fields."""

    # ---- for subclasses to use

    def path(self, row):
        return f"{self.route_base}/{row.id}"

    def find(self, pk):
        """The row, or 404: foreign and absent answer alike."""
        row = db.session.get(self.model, pk) if pk <= filters.LARGEST_ID else None
        if row is None:
            abort(404)
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
        shown = {
            "template": "records/sheet.html",
            "row": row,
            "sections": self.facts(row),
            "may_edit": is_open and g.principal.may("edit", self.entity),
            "may_delete": is_open and g.principal.may("delete", self.entity),
        }
        shown |= self.around(row) | context
        return self.page(shown.pop("template"), status=status, **shown)

    def is_editable(self, row):
        try:
            self.check_editable(row)
        except RuleBroken:
            return False
        return True

    def facts(self, row):
        """What the sheet says of the row: what people filled in, then who made it and when."""
        columns = [
            column
            for column in forms.reading_order(self.model)
            if column.name not in ("id", "version", "position", "content")
        ]
        beside = {*self.told_elsewhere, *(one.name for one in columns if getattr(row, one.name) == str(row))}
        told = [column for column in columns if column.name not in beside and not column.info.get("stamped")]
        stamps = [column for column in columns if column.info.get("stamped")]
        return [
            {"title": None, "facts": [self._fact(row, one) for one in part]}
            for part in (told, stamps)
            if part
        ]

    def _fact(self, row, column):
        is_long = isinstance(column.type, Text) and getattr(row, column.name)
        return {"label": cells.label(column), "value": cells.cell(row, column.name), "wide": bool(is_long)}

    def query_from(self, args):
        return filters.parse(
            self.model, args, sortable=self.sortable, principal=g.principal, default_sort=self.default_sort
        )

    @property
    def sortable(self):
        columns = self.model.__table__.c
        return {
            "id",
            *(name for name in self.list_columns if name in columns and not columns[name].foreign_keys),
        }

    # ---- the parts of the pages

    def prepare(self, form, row, formdata):
        """Fill the choices of links, and look up the links that are typed."""
        for field in form.fields_shown():
            column = self.model.__table__.c.get(field.name)
            if isinstance(field, forms.LinkField):
                field.use(db.session, getattr(row, field.name), formdata)
            elif column is not None and column.foreign_keys:
                options = choices_for(self.model, field.name, row)
                empty = (
                    [] if any(isinstance(check, InputRequired) for check in field.validators) else [("", "–")]
                )
                field.choices = [*empty, *options]
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

    def _form_page(self, form, row=None, status=200, conflict=None, name=None, action=None):
        return self.page(
            "records/form.html",
            status=status,
            form=form,
            sections=self.sections(form),
            row=row,
            name=name or (str(row) if row is not None else None),
            conflict=conflict,
            action=action or request.path,
            cancel=self.path(row) if row is not None else self.route_base + "/",
            next=request.values.get("next", ""),
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

    def _cells(self, row):
        """The cells of a row in the list; the first opens the record, so it is never empty."""
        first, *others = (cells.cell(row, name) for name in self.list_columns)
        return [first or str(row), *others]

    def _loads(self):
        """The links that the list shows, each fetched in one SELECT for the whole page."""
        columns = self.model.__table__.c
        linked = [name for name in self.list_columns if name in columns and columns[name].foreign_keys]
        return [selectinload(getattr(self.model, cells.relation_name(name))) for name in linked]

    def _heads(self, query):
        heads = []
        for name in self.list_columns:
            column = self.model.__table__.c[name]
            is_number = isinstance(column.type, Exact | Integer) and not column.foreign_keys
            head = {"key": name, "label": cells.label(column), "align": "end" if is_number else "start"}
            if name in self.sortable:
                is_now = query.sort.removeprefix("-") == name
                head["sort_dir"] = ("desc" if query.sort.startswith("-") else "asc") if is_now else None
                head["sort_href"] = self._href(sort=f"-{name}" if query.sort == name else name, after=None)
            heads.append(head)
        return heads

    def _href(self, **changes):
        """This list's address with some parameters changed; None takes one out."""
        args = {key: value for key, value in request.args.items() if value}
        args = {key: value for key, value in (args | changes).items() if value is not None}
        return f"{self.route_base}/?{urlencode(args)}" if args else f"{self.route_base}/"

    def _filter_fields(self, query):
        given = {one.parameter: one.text for one in query.filters}
        fields = []
        for name in self.filter_columns:
            column = self.model.__table__.c[name]
            for operator, kind, options in _filter_kinds(self.model, column):
                parameter = f"{name}.{operator}"
                title = cells.label(column)
                if operator in ("min", "max"):
                    title = f"{title} {gettext(filters.OPERATORS[operator])}"
                fields.append(
                    {
                        "name": parameter,
                        "label": title,
                        "kind": kind,
                        "options": options,
                        "value": given.get(parameter),
                    }
                )
        return fields

    def _chips(self, query):
        chips = []
        for one in query.filters:
            column = self.model.__table__.c[one.name]
            value = _filter_words(self.model, column, one)
            words = f"{cells.label(column)} {gettext(filters.OPERATORS[one.operator])} {value}"
            chips.append({"label": words, "href": self._href(**{one.parameter: None, "after": None})})
        if query.words:
            chips.append({"label": f"“{query.words}”", "href": self._href(q=None, after=None)})
        return chips


def choices_for(model, name, row):
    """What may be chosen in a link to one of the small tables, as (id, words)."""
    target = cells.target_of(model.__table__.c[name])
    if target is Staff:
        people = (
            select(Staff)
            .where(or_(Staff.left_on.is_(None), Staff.id == getattr(row, name)))
            .order_by(Staff.name)
        )
        return [(one.id, one.name) for one in db.session.scalars(people)]
    if target is Stage:
        of_kind = Stage.pipeline.has(Pipeline.kind == model.__tablename__)
        is_open = or_(Stage.outcome == "open", Stage.id == row.stage_id)
        stages = select(Stage).where(of_kind, is_open).order_by(Stage.pipeline_id, Stage.position, Stage.id)
        found = db.session.scalars(stages.options(selectinload(Stage.pipeline))).all()
        several = len({stage.pipeline_id for stage in found}) > 1
        return [(one.id, f"{one.pipeline}: {one}" if several else one.name) for one in found]
    if target is Department and model.__sight__ == "scoped":
        return [(one.id, one.name) for one in writable_departments(model)]
    rows = db.session.scalars(select(target).order_by(target.name, target.id))
    return [(one.id, str(one)) for one in rows if target is not type(row) or one is not row]


def writable_departments(model):
    """The departments into which the principal may put rows of this model."""
    reaches = {grant.reach for grant in g.principal.grants_for("add", model.__tablename__)}
    departments = select(Department).order_by(Department.name)
    if roles.ALL not in reaches:
        near = g.principal.below if roles.BELOW in reaches else {g.principal.department_id}
        departments = departments.where(Department.id.in_(near))
    return db.session.scalars(departments).all()


def _filter_kinds(model, column):
    """(operator, kind of input, options) that this column's type suggests."""
    if column.foreign_keys:
        target = cells.target_of(column)
        rows = db.session.scalars(select(target).order_by(target.name).limit(200))
        mine = [("me", gettext("me"))] if target is Staff else []
        return [("is", "select", [*mine, *((one.id, str(one)) for one in rows)])]
    if "choices" in column.info:
        return [
            ("is", "select", [(value, gettext(words)) for value, words in column.info["choices"].items()])
        ]
    if isinstance(column.type, Boolean):
        return [("is", "select", [("1", gettext("yes")), ("0", gettext("no"))])]
    if isinstance(column.type, Date | Moment):
        return [("min", "date", ()), ("max", "date", ())]
    if isinstance(column.type, Exact | Integer):
        return [("min", "number", ()), ("max", "number", ())]
    return [("has", "text", ())]


def _filter_words(model, column, one):
    """The value of a filter as people read it."""
    if cells.target_of(column) is not None and one.operator in ("is", "not"):
        target, names = cells.target_of(column), []
        for text in one.text.split(","):
            row = g.principal.id if text.strip() == "me" else int(text)
            row = db.session.get(target, row)
            names.append(gettext("not visible") if row is None else str(row))
        return ", ".join(names)
    if "choices" in column.info:
        return ", ".join(
            gettext(column.info["choices"].get(text.strip(), text)) for text in one.text.split(",")
        )
    return "" if one.operator == "empty" else one.text
