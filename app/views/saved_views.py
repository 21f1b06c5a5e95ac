"""Saved views: lists as one has set them up, under a name of their own."""

from urllib.parse import urlencode

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from wtforms import BooleanField, Form, HiddenField, SelectField, StringField
from wtforms.validators import Length

from app.extensions import N_, db
from app.identity import preferences, saved_views
from app.views import forms, looks
from app.views.base import PageView, allows, expose
from app.views.lists import view_of_list


class ViewForm(Form):
    """How a view is called, and for whom it is."""

    entity = HiddenField()
    query = HiddenField(validators=[Length(max=4000), forms.storable])
    name = StringField(
        N_("Name"),
        [forms.Needed(N_("This is needed.")), Length(max=80), forms.storable],
        filters=[forms.tidy],
        render_kw={"maxlength": 80},
    )
    reach = SelectField(N_("For whom"), description=N_("Everybody sees in it only the records that he may see anyway."))
    is_pinned = BooleanField(N_("As a tab above the list"), default=True)
    is_default = BooleanField(N_("My list begins with it"))


class SavedViewView(PageView):
    """One's own saved views: to keep a list as it stands, to change what was kept, to throw it away."""

    entity = "own_account"
    route_base = "/saved-views"

    @expose("/")
    @allows("see")
    def index(self):
        shown = []
        for entity, one in saved_views.mine(g.principal):
            view = view_of_list(entity)
            if view is not None and g.principal.may("see", entity):
                shown.append(
                    {
                        "title": one.name,
                        "href": view.view_address(one),
                        "meta": f"{gettext(view.many)} · {self._for_whom(one)}",
                        "edit": f"/saved-views/{one.id}",
                    }
                )
        return self.page("saved_views/index.html", views=shown)

    @expose("/new", methods=["GET", "POST"])
    @allows("edit")
    def new(self):
        """Keep a list as it stands."""
        sent = request.form if request.method == "POST" else None
        source = request.values
        view = self._list_of(source.get("entity", ""))
        form = self._form(sent, entity=view.entity, query=source.get("query", ""), reach="mine", is_pinned=True)
        if request.method == "GET" or not self._is_good(form, view):
            return self._form_page(form, view, status=422 if sent else 200)
        said = self._said(form, view)
        pk = saved_views.save(g.principal, view.entity, **said)
        if pk is None:
            form.form_errors.append(gettext("You have as many views as one person may: throw some away first."))
            return self._form_page(form, view, status=422)
        return self._kept(form, view, pk)

    @expose("/<int:pk>", methods=["GET", "POST"])
    @allows("edit")
    def change(self, pk):
        """Another name, another reach, or what stands in the list now."""
        found = saved_views.of(g.principal, pk)
        if found is None:
            abort(404)
        one, entity = found
        view, sent = self._list_of(entity), request.form if request.method == "POST" else None
        form = self._form(
            sent,
            entity=entity,
            query=request.values.get("query", one.query),
            name=one.name,
            reach=_key(one.reach, one.department_id),
            is_pinned=one.is_pinned,
            is_default=g.principal.default_views.get(entity) == pk,
        )
        if request.method == "GET" or not self._is_good(form, view):
            return self._form_page(form, view, pk=pk, status=422 if sent else 200)
        said = self._said(form, view)
        if saved_views.save(g.principal, entity, pk=pk, **said) is None:
            abort(404)
        return self._kept(form, view, pk)

    @expose("/<int:pk>/delete", methods=["POST"])
    @allows("edit")
    def delete(self, pk):
        found = saved_views.of(g.principal, pk)
        if found is None or not saved_views.delete(g.principal, pk):
            abort(404)
        self._begin_with(found[1], pk, is_wanted=False)
        flash(gettext("The view “%(name)s” is gone. No record is.", name=found[0].name), "success")
        return redirect("/saved-views/")

    # ---- its parts

    def _list_of(self, entity):
        view = view_of_list(entity)
        if view is None or not g.principal.may("see", entity):
            abort(404)
        return view

    def _form(self, sent, **values):
        form = ViewForm(sent, data=values)
        offered = saved_views.reaches(g.principal)
        names = saved_views.names_of(db.session(), [key for _, key in offered if key])
        said = {"mine": gettext("For me"), "everyone": gettext("For everybody")}
        form.reach.choices = [
            (_key(reach, key), said.get(reach) or gettext("For %(department)s", department=names.get(key, key)))
            for reach, key in offered
        ]
        for field in form:
            field.label.text = gettext(field.label.text)
            field.description = gettext(field.description) if field.description else ""
        return form

    def _is_good(self, form, view):
        if not form.validate():
            return False
        if looks.canonical(view, form.query.data or "", otherwise=None) is None:
            form.form_errors.append(gettext("This list cannot be kept as it stands."))
            return False
        return True

    def _said(self, form, view):
        reach, _, key = form.reach.data.partition("-")
        query = looks.canonical(view, form.query.data or "")
        db.session.rollback()  # what was read for the form: SQLite has one writer, and that is now `saved_views`
        return {
            "name": form.name.data,
            "reach": reach,
            "department_id": int(key) if key else None,
            "query": query,
            "is_pinned": form.is_pinned.data,
        }

    def _kept(self, form, view, pk):
        self._begin_with(view.entity, pk, is_wanted=form.is_default.data)
        flash(gettext("The view “%(name)s” is kept.", name=form.name.data), "success")
        query = looks.canonical(view, form.query.data or "")
        return redirect(f"{view.route_base}/?{query}{'&' if query else ''}{urlencode({looks.VIEW: pk})}")

    def _begin_with(self, entity, pk, *, is_wanted):
        """Let the list begin with this view, or not any more."""
        chosen = dict(g.principal.default_views)
        if is_wanted:
            chosen[entity] = pk
        elif chosen.get(entity) == pk:
            del chosen[entity]
        if chosen != g.principal.default_views:
            preferences.save(g.principal.id, default_views=chosen)

    def _for_whom(self, one):
        if one.reach == "department":
            names = saved_views.names_of(db.session(), [one.department_id])
            return gettext("For %(department)s", department=names.get(one.department_id, "–"))
        return gettext("For everybody") if one.reach == "everyone" else gettext("For me")

    def _form_page(self, form, view, *, pk=None, status=200):
        return self.page("saved_views/form.html", status=status, form=form, list_view=view, pk=pk)


def _key(reach, department_id):
    return f"{reach}-{department_id}" if department_id else reach
