"""What IT and the heads set up: products, taxes, pipelines, departments, staff with their accounts."""

from flask import current_app, flash, g, redirect, request
from flask_appbuilder.security.sqla.models import User
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from wtforms import BooleanField, PasswordField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, Length, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from app import access, in_hand, security
from app.extensions import N_, db
from app.models import Deal, Department, Pipeline, Product, Staff, Stage, Tag, TaxRate, Ticket
from app.rules import RuleBroken, passwords
from app.rules import members as members_rules
from app.views import accounts, custom_values, forms, members, previews
from app.views.base import allows, expose
from app.views.companies import box
from app.views.hand_overs import HandOverRoutes
from app.views.reading import today
from app.views.records import RecordView


class ProductView(RecordView):
    """What one sells."""

    model = Product
    route_base = "/products"
    one, many, icon = N_("Product"), N_("Products"), "package"
    list_columns = ("name", "sku", "category", "unit", "price", "is_active")
    filter_columns = ("category", "is_active", "price")
    default_sort = "name"


class TaxRateView(RecordView):
    """Rates of sales tax."""

    model = TaxRate
    route_base = "/tax-rates"
    one, many, icon = N_("Tax rate"), N_("Tax rates"), "percentage"
    list_columns = ("name", "percent")
    default_sort = "percent"


# How a stage may end, by what its pipeline is for.
OUTCOMES = {"deal": ("open", "won", "lost"), "ticket": ("open", "solved")}


class TagView(RecordView):
    """The words that people stick on records."""

    model = Tag
    route_base = "/tags"
    one, many, icon = N_("Tag"), N_("Tags"), "tag"
    list_columns = ("name", "color")
    filter_columns = ("color",)
    default_sort = "name"

    def before_save(self, row, form):
        with db.session.no_autoflush:
            same = select(Tag.id).where(Tag.name == row.name, Tag.id != (row.id or 0))
            if db.session.scalar(same) is not None:
                raise RuleBroken(N_("There is a tag of this name already."), field="name")


class PipelineView(RecordView):
    """The ways that deals and tickets go."""

    model = Pipeline
    route_base = "/pipelines"
    one, many, icon = N_("Pipeline"), N_("Pipelines"), "git-branch"
    list_columns = ("name", "kind", "position")
    filter_columns = ("kind",)
    default_sort = "position"

    def before_save(self, row, form):
        """What it is for cannot change under the feet of its cards, nor leave new ones without a place to start."""
        before = form.kind.object_data
        if row.id is None or row.kind == before:
            return
        if _has_cards(Stage.pipeline_id == row.id):
            raise RuleBroken(N_("Deals or tickets stand in this pipeline; it keeps its kind."), field="kind")
        others = (Pipeline.kind == before, Pipeline.id != row.id, Stage.outcome == "open")
        with db.session.no_autoflush:
            other = db.session.scalar(select(Stage.id).join(Stage.pipeline).where(*others).limit(1))
            outcomes = db.session.scalars(select(Stage.outcome).where(Stage.pipeline_id == row.id)).all()
        if other is None:
            raise RuleBroken(N_("This is the last pipeline of its kind with an open stage."), field="kind")
        if not set(outcomes) <= set(OUTCOMES[row.kind]):
            raise RuleBroken(N_("It has stages that end otherwise; change those first."), field="kind")

    def around(self, row):
        stages = box(
            N_("Stages"),
            Stage,
            Stage.pipeline_id == row.id,
            add={"pipeline_id": row.id},
            order=Stage.position,
        )
        return {"boxes": [stages]}


class StageView(RecordView):
    """The steps of the pipelines."""

    model = Stage
    route_base = "/stages"
    one, many, icon = N_("Stage"), N_("Stages"), "columns"
    list_columns = ("name", "pipeline_id", "position", "outcome", "probability")
    filter_columns = ("pipeline_id", "outcome")

    def before_save(self, row, form):
        kind = db.session.get(Pipeline, row.pipeline_id).kind
        if row.outcome not in OUTCOMES[kind]:
            raise RuleBroken(N_("A stage of this pipeline cannot end like that."), field="outcome")
        changed = [name for name in ("outcome", "pipeline_id") if form[name].data != form[name].object_data]
        if row.id is not None and changed and _has_cards(Stage.id == row.id):
            raise RuleBroken(N_("Deals or tickets stand in this stage; move them first."), field=changed[0])


def _has_cards(condition):
    """Whether deals or tickets stand in such a stage: yes or no is all that is told, for the asker may not see them."""
    with access.system_session("are there cards in this stage?", writes=False) as session:
        return any(
            session.scalar(select(kind.id).join(kind.stage).where(condition).limit(1)) is not None
            for kind in (Deal, Ticket)
        )


class DepartmentView(RecordView):
    """The tree of departments."""

    model = Department
    route_base = "/departments"
    one, many, icon = N_("Department"), N_("Departments"), "sitemap"
    edits_values = False
    list_columns = ("name", "parent_id")
    default_sort = "name"

    def before_save(self, row, form):
        above, seen = row.parent_id, {row.id}
        while above is not None:
            if above in seen:
                raise RuleBroken(N_("A department cannot lie below itself."), field="parent_id")
            seen.add(above)
            above = db.session.get(Department, above).parent_id
        with db.session.no_autoflush:
            same = select(Department.id).where(Department.name == row.name, Department.id != (row.id or 0))
            if db.session.scalar(same) is not None:
                raise RuleBroken(N_("There is a department of this name already."), field="name")

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        """Elsewhere in the tree other roles reach it: what that does is looked at first."""
        return self._hang_elsewhere(pk) or super().edit(pk)

    def _hang_elsewhere(self, pk):
        if request.method == "GET":
            return None
        row = self.find(pk)
        form = self.form(row, request.form)
        above = form.parent_id.data
        if form.version.data != str(row.version) or above == row.parent_id or not form.validate():
            return None
        try:
            form.apply(row)
            self.before_save(row, form)
            db.session.rollback()
            if previews.is_looked_at():
                return None
        except RuleBroken as error:
            self._put_on_form(error, form)
            return self._form_page(form, self.find(pk), status=422)

        def change(session):
            session.get(Department, pk).parent_id = above

        title = gettext("Move: %(department)s", department=self.find(pk))
        return previews.page(self, change, title=title, back=request.path)

    def around(self, row):
        below = box(
            N_("Departments below"), Department, Department.parent_id == row.id, order=Department.name
        )
        staff = box(
            N_("Staff"),
            Staff,
            Staff.department_id == row.id,
            meta=lambda one: one.job_title,
            order=Staff.name,
        )
        return {"boxes": [below, staff]}


class AccountFields:
    """The part of the staff form that is the account: name, roles, password, whether it is open."""

    username = StringField(lazy_gettext("User name"), [InputRequired(), Length(max=128), forms.storable])
    email = StringField(
        lazy_gettext("E-mail"), [InputRequired(), Length(max=320), forms.storable, forms.email]
    )
    role_names = SelectMultipleField(
        lazy_gettext("Roles in this department"),
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    password = PasswordField(
        lazy_gettext("New password"),
        [Optional(), forms.storable],
        description=lazy_gettext(
            "Leave it empty to keep the one there is. It must be replaced at the next sign-in."
        ),
        render_kw={"autocomplete": "new-password"},
    )
    is_open = BooleanField(lazy_gettext("May sign in"), default=True)


class StaffView(HandOverRoutes, RecordView):
    """Colleagues, and for those who hold the accounts, how they sign in and what they may."""

    model = Staff
    route_base = "/staff"
    one, many, icon = N_("Colleague"), N_("Staff"), "user-circle"
    edits_values = False
    list_columns = ("name", "job_title", "department_id", "phone", "reports_to_id", "left_on")
    filter_columns = ("department_id",)
    default_sort = "name"
    exclude_route_methods = {
        "delete"
    }  # what colleagues did keeps their name: they leave, they are not deleted

    def form_columns(self):
        return tuple(name for name in super().form_columns() if name != "left_on")

    def sections(self, form):
        profile = [name for name in self.form_columns() if name in form]
        account = [
            field.name
            for field in form.fields_shown()
            if field.name not in profile and not hasattr(field, "custom")
        ]
        return [(None, profile), (gettext("Account"), account)]

    def form(self, row, formdata=None):
        fields = {name: value for name, value in vars(AccountFields).items() if not name.startswith("_")}
        kind = type("StaffForm", (forms.form_class(self.model, self.columns_to_fill(row)),), fields)
        kind = custom_values.with_custom(kind, self.entity)
        user = db.session.get(User, row.id) if row.id is not None else None
        account = (
            {}
            if user is None
            else {
                "username": user.username,
                "email": user.email,
                "role_names": security.roles_of(db.session, row.id),
                "is_open": bool(user.active),
            }
        )
        form = kind(formdata, obj=row, data={**account, **custom_values.data_of(self.entity, row)})
        form.role_names.choices = [(name, name) for name in members_rules.names_of_roles(db.session)]
        if formdata is None:
            form.version.data = str(row.version or "")
        return self.prepare(form, row, formdata)

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        form = self.form(Staff(**self.defaults()), request.form if request.method == "POST" else None)
        if request.method == "GET":
            return self._form_page(form)
        if not form.validate():
            return self._form_page(form, status=422)
        try:
            self._check_account(form, None)
            profile = {field: form[field].data for field in self.form_columns() if field in form and field != "name"}
            first, _, last = form.name.data.rpartition(" ")
            if form.password.data:
                names = [form.username.data, form.name.data, form.email.data.partition("@")[0]]
                passwords.check(form.password.data, person=names, company=_settings().COMPANY_NAME)
            row = security.create_account(
                db.session,
                username=form.username.data,
                first_name=first,
                last_name=last,
                email=form.email.data,
                roles=form.role_names.data,
                password=form.password.data,
                must_change=bool(form.password.data),
                active=form.is_open.data,
                **profile,
            )
            form.apply_custom(row)
            db.session.commit()
        except RuleBroken as error:
            self._put_on_form(error, form)
            return self._form_page(form, status=422)
        flash(gettext("“%(name)s” was added.", name=row), "success")
        return redirect(self.path(row))

    def before_save(self, row, form):
        self._check_account(form, row.id)
        seen, above = {row.id}, row.reports_to_id
        while above is not None:
            if above in seen:
                raise RuleBroken(N_("Nobody reports to himself."), field="reports_to_id")
            seen.add(above)
            above = db.session.get(Staff, above).reports_to_id
        user = db.session.get(User, row.id)
        user.username, user.email = form.username.data, form.email.data
        user.first_name, _, user.last_name = row.name.rpartition(" ")
        security.set_roles(db.session, row.id, form.role_names.data)
        if row.id == g.principal.id and not (form.is_open.data and "admin" in form.role_names.data):
            raise RuleBroken(N_("You cannot shut yourself out."), field="is_open")
        try:
            security.set_active(db.session, row.id, form.is_open.data, today=today())
        except in_hand.StillInHand:
            raise RuleBroken(
                N_("%(person)s still has work in hand: go by “Leaves the house” on the sheet."),
                field="is_open",
                person=row.name,
            ) from None
        if form.password.data:
            if row.id == g.principal.id:
                raise RuleBroken(
                    N_("Your own password is replaced on the page “Your account”."), field="password"
                )
            company, keep = _settings().COMPANY_NAME, _settings().PASSWORD_HISTORY
            passwords.replace(
                db.session, user, form.password.data, company=company, keep=keep, must_change=True
            )

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        """A move to another department, or other roles there: what it does is looked at first."""
        return self._look(pk) or super().edit(pk)

    def _look(self, pk):
        """The look at what other rights do, unless they stay or it was looked at."""
        if request.method == "GET":
            return None
        row = self.find(pk)
        form = self.form(row, request.form)
        place, names = form.department_id.data, form.role_names.data or []
        stays = place == row.department_id and set(names) == set(security.roles_of(db.session, pk))
        if stays or form.version.data != str(row.version) or not form.validate():
            return None
        try:
            if form.password.data:
                raise RuleBroken(N_("A new password is set on its own, not with other rights."), field="password")
            if previews.is_looked_at():
                return None

            def change(session):
                session.get(Staff, pk).department_id = place
                session.flush()
                security.set_roles(session, pk, names)

            title = gettext("What other rights of %(person)s would change", person=row)
            return previews.page(self, change, title=title, back=request.path)
        except RuleBroken as error:
            self._put_on_form(error, form)
            return self._form_page(form, self.find(pk), status=422)

    def around(self, row):
        team = box(N_("Reports to this person"), Staff, Staff.reports_to_id == row.id, order=Staff.name)
        boxes = [*members.boxes_of(row), team]
        if g.principal.may("see", "account"):
            boxes.append(self._sign_in_box(row))
        links = []
        if g.principal.may("edit", "account") and not row.has_left and row.id != g.principal.id:
            href = f"{self.path(row)}/hand-over"
            links.append({"label": gettext("Leaves the house"), "href": href, "icon": "logout"})
        return {"boxes": boxes, "links": links, "subtitle": row.job_title, "may_delete": False}

    def _sign_in_box(self, row):
        """What happened to the account lately, for those who hold the accounts."""
        return {
            "title": gettext("Sign-in"),
            "rows": [
                {"title": one["what"], "href": f"/accounts/{row.id}", "meta": one["how"], "end": one["at"]}
                for one in accounts.told(security.events_of(db.session, row.id, 4))
            ],
            "count": None,
            "all_href": f"/accounts/{row.id}",
        }

    def _check_account(self, form, user_id):
        for name, words in (
            ("username", N_("This user name is taken.")),
            ("email", N_("This mail address is taken.")),
        ):
            same = select(User.id).where(getattr(User, name) == form[name].data, User.id != (user_id or 0))
            with db.session.no_autoflush:
                if db.session.scalar(same) is not None:
                    raise RuleBroken(words, field=name)


def _settings():
    return current_app.config["SETTINGS"]
