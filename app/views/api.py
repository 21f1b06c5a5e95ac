"""REST over the same entities, with the same forms and rules as the pages: `/api/v1/contacts/<id>` and its kin.

A body is a JSON object of columns; a link is an id; values of custom fields stand together under `custom`. Writing
needs the version that was read, in the body or as `If-Match` (DELETE: as `If-Match` or `?version=`); a stale one is
answered 409 with both versions.
"""

from flask import abort, g, jsonify, request
from flask_babel import gettext
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.datastructures import MultiDict
from wtforms import SelectMultipleField

from app import filters
from app.extensions import db
from app.ledger import plain
from app.rules import RuleBroken, custom_fields
from app.views import cells, custom_values, forms
from app.views.base import ApiView, allows, expose
from app.views.campaigns import CampaignView
from app.views.companies import CompanyView, ContactView
from app.views.deals import DealView
from app.views.records import view_of
from app.views.tickets import TicketView


class RecordApi(ApiView):
    """What every resource does; `record_view` says for which entity; its forms and rules hold here too."""

    record_view = None

    def __init__(self):
        self.view = view_of(self.record_view)
        self.model, self.entity = self.view.model, self.view.entity
        self.resource_name = self.view.route_base.strip("/")
        super().__init__()

    @expose("/", methods=["GET"])
    @allows("see")
    def list(self):
        query = self.view.query_from(request.args)
        found = filters.fetch(db.session, self.model, query, options=tuple(self._links()))
        following = filters.cursor_after(found.rows[-1], query) if found.has_more else None
        total = found.total
        if total is None:
            total = db.session.scalar(filters.count(self.model, found.query))
        return jsonify(count=total, result=self._all_shown(found.rows), next=following)

    @expose("/<int:pk>", methods=["GET"])
    @allows("see")
    def get(self, pk):
        return self._answer(self.view.find(pk))

    @expose("/", methods=["POST"])
    @allows("add")
    def post(self):
        row, body = self.model(**self.view.defaults()), self._body()
        reason = body.pop("sealed_reason", "")
        return self._save(row, body, status=201, reason=reason if isinstance(reason, str) else "")

    @expose("/<int:pk>", methods=["PUT", "PATCH"])
    @allows("edit")
    def put(self, pk):
        row, body = self.view.find(pk), self._body()
        if str(body.pop("version", None) or _if_match()) != str(row.version):
            return self._stale(row, body)
        self.view.check_editable(row)
        return self._save(row, body, status=200)

    @expose("/<int:pk>", methods=["DELETE"])
    @allows("delete")
    def delete(self, pk):
        row = self.view.find(pk)
        version = _if_match() or request.args.get("version", "")
        if not version:
            return jsonify(message=gettext("Say which version you mean: as If-Match or ?version=.")), 428
        if version != str(row.version):
            return self._stale(row, None)
        self.view.check_editable(row)
        db.session.delete(row)
        db.session.commit()
        return jsonify(message="OK")

    # ---- in and out

    def _body(self):
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            abort(400)
        return dict(body)

    def _save(self, row, body, *, status, reason=None):
        form, problems = self._form(row, body)
        try:
            if form.validate() and not problems:
                if reason is not None and (told := self.view.sealed_on_form(form, reason)):
                    return _sealed(told)
                form.apply(row)
                db.session.add(row)
                self.view.before_save(row, form)
                db.session.commit()
                return self._answer(row, status)
        except RuleBroken as error:
            problems = {error.field or "": [gettext(error.message, **error.values)]}
        except StaleDataError:
            db.session.rollback()
            return self._stale(row, body)
        db.session.rollback()
        return jsonify(
            message=gettext("Some values cannot be stored."),
            errors={**form.errors, **problems} if form else problems,
        ), 422

    def _form(self, row, body):
        """The page's form, filled with what the body says over what the row holds; and what the body got wrong."""
        form = self.view.form(row)
        sent, problems = MultiDict(), {}
        known = {field.name for field in form.fields_shown()}
        for field in form.fields_shown():
            if not getattr(field, "not_visible", False):
                _put(sent, field, field.data)
        for name, value in _flat(body).items():
            if name not in known:
                problems[name] = [gettext("There is no such field, or it cannot be written.")]
            elif isinstance(value, list | dict) and not (
                isinstance(value, list) and _takes_several(form[name])
            ):
                problems[name] = [gettext("This takes a single value.")]
            elif getattr(form[name], "not_visible", False):
                problems[name] = [gettext("This link leads to a record you may not see; it stays as it is.")]
            else:
                _put(sent, form[name], value)
        return self.view.form(row, formdata=sent), problems

    def _links(self):
        """Every link of the rows, each fetched in one SELECT for the whole page."""
        linked = [column.name for column in self.model.__table__.c if cells.target_of(column) is not None]
        return [selectinload(getattr(self.model, cells.relation_name(name))) for name in linked]

    def _shown(self, row):
        return self._all_shown([row])[0]

    def _all_shown(self, rows):
        """Rows as the API gives them; a link out of sight is named as such, not told."""
        fields = custom_values.fields_for(self.entity)
        names = custom_fields.names_of(db.session(), fields, [row.custom for row in rows]) if fields else {}
        return [self._one_shown(row, fields, names) for row in rows]

    def _one_shown(self, row, fields, names):
        shown, hidden, kept = {}, [], g.principal.hidden_on(row)
        for column in row.__table__.c:
            if column.info.get("custom") or column.name in kept:
                continue
            value = getattr(row, column.name)
            is_link = value is not None and cells.target_of(column) is not None
            if is_link and getattr(row, cells.relation_name(column.name)) is None:
                hidden.append(column.name)
                value = None
            shown[column.name] = plain(value)
        custom = custom_fields.values_of(fields, row.custom)
        for one in fields:
            if (
                one.kind == "record"
                and custom[one.name] is not None
                and (one.target, custom[one.name]) not in names
            ):
                hidden.append(one.key)
                custom[one.name] = None
        return {**shown, "custom": custom, "not_visible": hidden}

    def _answer(self, row, status=200):
        response = jsonify(id=row.id, version=row.version, result=self._shown(row))
        response.headers["ETag"] = f'"{row.version}"'
        response.status_code = status
        return response

    def _stale(self, row, body):
        message = gettext("Somebody else changed this in the meantime.")
        return jsonify(message=message, yours=body, theirs=self._shown(row), version=row.version), 409


def _sealed(told):
    """A new record that exists beyond the caller's reach; with a `sealed_reason` it is added all the same."""
    message = gettext("This customer exists already, in %(department)s.", **told["line"])
    return jsonify(message=message, sealed=told["line"]), 409


def _if_match():
    """The version that the caller read, as its header says."""
    return request.headers.get("If-Match", "").strip('" ')


def _flat(body):
    """The body with the values of custom fields named as the form names them: "custom.size"."""
    custom = body.get("custom")
    if not isinstance(custom, dict):
        return body
    flat = {name: value for name, value in body.items() if name != "custom"}
    return flat | {f"{custom_fields.PREFIX}{name}": value for name, value in custom.items()}


def _takes_several(field):
    return isinstance(field, SelectMultipleField)


def _put(sent, field, value):
    """Add a JSON value to what is sent, as the form field expects it from a browser."""
    if _takes_several(field):
        sent.setlist(field.name, [str(one) for one in value] if isinstance(value, list) else [value or ""])
    elif hasattr(field, "custom") and not isinstance(field, forms.LinkField):
        sent[field.name] = value if isinstance(value, str) else custom_fields.as_text(field.custom, value)
    else:
        sent[field.name] = _as_typed(field, value)


def _as_typed(field, value):
    """A JSON value as the form field expects it from a keyboard."""
    if value is None or value is False:
        return ""
    if isinstance(field, forms.LinkField):
        return f"#{value}"
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return "1" if value is True else str(value)


class CompanyApi(RecordApi):
    """Companies."""

    record_view = CompanyView


class ContactApi(RecordApi):
    """Contacts."""

    record_view = ContactView


class DealApi(RecordApi):
    """Deals."""

    record_view = DealView


class TicketApi(RecordApi):
    """Tickets."""

    record_view = TicketView


class CampaignApi(RecordApi):
    """Campaigns."""

    record_view = CampaignView
