"""Values of custom fields on pages: as form fields, as cells of lists and sheets, as lines of a history."""

from functools import lru_cache

from flask import current_app, g
from flask_babel import get_locale, gettext
from wtforms import SelectField, SelectMultipleField, StringField, TextAreaField, ValidationError
from wtforms.widgets import CheckboxInput, DateInput, DateTimeLocalInput, ListWidget, TextInput

from app.extensions import db
from app.models import ENTITIES
from app.rules import RuleBroken, custom_fields
from app.views import cells, forms


def language():
    """The reader's language."""
    return str(get_locale() or "en")


def zone():
    """The clock on which moments are typed and shown."""
    return current_app.config["SETTINGS"].zone


def fields_for(entity):
    """The custom fields of an entity that the reader sees."""
    return custom_fields.fields_for(db.session(), entity)


# --------------------------------------------------------------------------------------------- in forms


def with_custom(form, entity, *, only_required=False):
    """This class of form with the reader's custom fields behind its own."""
    fields = tuple(one for one in fields_for(entity) if one.is_required or not only_required)
    return _with(form, fields) if fields else form


def data_of(entity, row):
    """What stands in the row's custom fields, by the names of the form's fields."""
    custom = row.custom if fields_for(entity) else None
    return {one.key: (custom or {}).get(one.name) for one in fields_for(entity)}


@lru_cache(maxsize=256)
def _with(form, fields):
    return type(form.__name__, (form,), {one.key: _form_field(one) for one in fields})


class Label:
    """What a custom field is called in the reader's language, looked up when it is drawn.

    Somebody typed it. Babel's lazy texts say `__html__` and so go into pages as they are: they are for our own words.
    """

    def __init__(self, one):
        self.one = one

    def __str__(self):
        return self.one.label(language())


def _form_field(one):
    settings = {
        "label": Label(one),
        "validators": [Needed()] if one.is_required else [],
        "one": one,
    }
    if one.kind == "record":
        return CustomLink(target=ENTITIES[one.target], **settings)
    return _FORM_FIELDS.get(one.kind, CustomLine)(**settings)


class Needed:
    """A value must stand there."""

    field_flags = {"required": True}

    def __call__(self, _form, field):
        if not field.process_errors and field.data in (None, ""):
            raise ValidationError(gettext("This is needed."))


class CustomValue:
    """A form field over one custom field: read by the rule that every other door reads with."""

    def __init__(self, *args, one, **kwargs):
        super().__init__(*args, **kwargs)
        self.custom = one

    def process_formdata(self, valuelist):
        """Read what was typed; a field that the page did not have stays as it was."""
        if not valuelist:
            return
        before = self.object_data
        if valuelist[0] == self.text_of(before):  # untouched: also what is shown less exactly than it is kept
            self.data = before
            return
        self.data = self.read(valuelist[0])

    def read(self, value):
        """The value that was typed; raises ValueError with a sentence."""
        try:
            return custom_fields.read_value(
                self.custom, value, session=db.session(), zone=zone(), before=self.object_data
            )
        except RuleBroken as error:
            self.data = None
            raise ValueError(gettext(error.message, **error.values)) from None

    def text_of(self, value):
        return custom_fields.as_text(self.custom, value, zone())

    def sent(self):
        """What a browser would send for it as it stands."""
        return self.text_of(self.data)

    def _value(self):
        return self.raw_data[0] if self.raw_data else self.text_of(self.data)


class CustomLine(CustomValue, StringField):
    """Anything that is typed into one line: text, numbers, days, moments."""

    def __init__(self, *args, one, **kwargs):
        super().__init__(*args, one=one, **kwargs)
        self.widget = {"date": DateInput(), "moment": DateTimeLocalInput()}.get(one.kind, TextInput())
        self.render_kw = dict(_KEYBOARDS.get(one.kind, {}))
        if one.kind in custom_fields.LINES:
            self.render_kw["maxlength"] = custom_fields.LINES[one.kind]


_KEYBOARDS = {
    "number": {"inputmode": "numeric"},
    "decimal": {"inputmode": "decimal"},
    "money": {"inputmode": "decimal"},
    "mail": {"inputmode": "email"},
    "phone": {"inputmode": "tel"},
    "link": {"inputmode": "url"},
}


class CustomProse(CustomValue, TextAreaField):
    """Long text."""

    def __init__(self, *args, one, **kwargs):
        super().__init__(*args, one=one, **kwargs)
        self.type = "TextAreaField"  # drawn like any other


class CustomSelect(CustomValue, SelectField):
    """One of several: a choice, or yes, no and not said."""

    def __init__(self, *args, one, **kwargs):
        super().__init__(*args, one=one, coerce=self._chosen, validate_choice=False, **kwargs)
        self.type = "SelectField"

    def process(self, formdata, *args, **kwargs):
        super().process(formdata, *args, **kwargs)
        if self.custom.kind == "yes_no":
            offered = [("yes", gettext("yes")), ("no", gettext("no"))]
        else:
            offered = self.custom.offered(language(), kept=[self.object_data])
        if self.raw_data and self.process_errors:
            offered.append((self.raw_data[0], self.raw_data[0]))  # what was sent is shown again
            self.data = self.raw_data[0]
        self.choices = [("", "–"), *offered]

    def process_data(self, value):
        self.data = value

    def _chosen(self, value):
        """What of the choices is chosen; also yes and no stand there as words."""
        return {"yes": True, "no": False}.get(value, value) if self.custom.kind == "yes_no" else value or None


class CustomChecks(CustomValue, SelectMultipleField):
    """Several of several, each a box to tick."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()

    def __init__(self, *args, one, **kwargs):
        super().__init__(*args, one=one, validate_choice=False, **kwargs)
        self.type = "SelectMultipleField"

    def process(self, formdata, *args, **kwargs):
        super().process(formdata, *args, **kwargs)
        self.choices = self.custom.offered(language(), kept=self.object_data or ())

    def process_data(self, value):
        self.data = value

    def process_formdata(self, valuelist):
        self.data = self.read(valuelist[0] if len(valuelist) == 1 else valuelist)

    def sent(self):
        return list(self.data or [])


class CustomLink(CustomValue, forms.LinkField):
    """A link to a record, typed and found like any other."""

    def process_formdata(self, valuelist):
        """Nothing yet: `use` looks up, once it knows the session."""

    def sent(self):
        return forms.LinkField._value(self)

    def _value(self):
        return forms.LinkField._value(self)


_FORM_FIELDS = {
    "long_text": CustomProse,
    "choice": CustomSelect,
    "yes_no": CustomSelect,
    "choices": CustomChecks,
}


# --------------------------------------------------------------------------------------------- as people read them


def cell(one, value, names, currency=None):
    """A value as the components show it; `names` as `custom_fields.names_of` gives them."""
    if value is None or value == []:
        return None
    if one.kind == "record":
        return _link(one, value, names)
    label = words(one, value, names, currency)
    if isinstance(value, bool):
        return {"kind": "check", "on": value}
    if one.kind in ("mail", "phone", "link") and isinstance(value, str):
        return {"kind": {"phone": "tel", "link": "web"}.get(one.kind, one.kind), "label": label}
    kind = _CELLS.get(one.kind)
    return {"kind": kind, "label": label} if kind else label


_CELLS = {
    "number": "number",
    "decimal": "number",
    "money": "money",
    "date": "date",
    "moment": "date",
    "choice": "badge",
}


def _link(one, value, names):
    name = names.get((one.target, value))
    if name is None:
        return cells.HIDDEN
    base = cells.PATHS.get(one.target)
    href = f"{base}/{value}" if base and g.principal.may("see", one.target) else None
    return {"kind": "link", "label": name, "href": href}


def words(one, value, names=None, currency=None):
    """A value as plain text, in the reader's language."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if one.kind == "record" and value is not None:
        return (names or {}).get((one.target, value), gettext("not visible"))
    settings = current_app.config["SETTINGS"]
    return custom_fields.shown(
        one,
        value,
        language=language(),
        timezone=settings.TIMEZONE,
        currency=currency or settings.CURRENCY,
        names=names,
    )


def facts(entity, custom, currency=None):
    """The custom fields as facts of a sheet, empty ones too; `custom` is the record's column."""
    fields = fields_for(entity)
    names = custom_fields.names_of(db.session(), fields, [custom])
    return [
        {
            "name": one.key,
            "label": one.label(language()),
            "value": cell(one, (custom or {}).get(one.name), names, currency),
            "wide": one.kind == "long_text" and bool((custom or {}).get(one.name)),
        }
        for one in fields
    ]


def clashes(form, row):
    """The custom fields in which the form differs from the row: label, yours, theirs."""
    fields = [
        field for field in form if hasattr(field, "custom") and not getattr(field, "not_visible", False)
    ]
    theirs = getattr(row, "custom", None) or {}  # not every kind of record takes custom fields
    differing = [field for field in fields if field.data != theirs.get(field.custom.name)]
    both = [theirs, {field.custom.name: field.data for field in differing}]
    names = custom_fields.names_of(db.session(), [field.custom for field in differing], both)
    currency = getattr(row, "currency", None)
    return [
        {
            "label": str(field.label.text),
            "yours": str(field.raw_data[0])
            if field.process_errors and field.raw_data
            else words(field.custom, field.data, names, currency),
            "theirs": words(field.custom, theirs.get(field.custom.name), names, currency),
        }
        for field in differing
    ]
