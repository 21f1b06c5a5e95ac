"""Forms from the model: a field for each column, by its type. Pages and API validate through the same."""

import re
from functools import cache

from flask_babel import gettext, lazy_gettext
from sqlalchemy import Boolean, Date, Integer, Text, bindparam, select
from wtforms import (
    BooleanField,
    DateField,
    Form,
    HiddenField,
    IntegerField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.fields.core import Flags, Label
from wtforms.meta import DefaultMeta
from wtforms.utils import unset_value
from wtforms.validators import InputRequired, Length, NumberRange, Optional, StopValidation

from app import search
from app.filters import LARGEST_ID
from app.models import ENTITIES, Exact, Moment
from app.past import with_custom
from app.rules import RuleBroken, values
from app.rules.money import typed_number
from app.views.cells import name_columns, name_of

# Links to these tables are chosen from a list; all others are typed and found by name.
CHOSEN = {"department", "staff", "stage", "pipeline", "tax_rate"}
SUGGESTED = 30


class Needed(InputRequired):
    """A value must stand there; blanks are none."""

    def __call__(self, form, field):
        super().__call__(form, field)
        if field.data is None and not field.process_errors:
            field.errors[:] = []
            raise StopValidation(self.message)


class ExactField(StringField):
    """A decimal number with no more places than its column keeps, read as `typed_number` reads it."""

    def __init__(self, *args, kind, least=None, most=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.kind, self.least, self.most = kind, least, most
        self.render_kw = {"inputmode": "decimal", **(self.render_kw or {})}

    def _value(self):
        if self.raw_data:
            return self.raw_data[0]
        return "" if self.data is None else f"{self.data.normalize():f}"

    def process_formdata(self, valuelist):
        self.data = None
        try:
            value = typed_number(valuelist[0] if valuelist else "", self.kind.scale)
        except RuleBroken as error:
            raise ValueError(gettext(error.message, **error.values)) from None
        if value is None:
            return
        if abs(value) >= 10 ** (self.kind.precision - self.kind.scale):
            raise ValueError(gettext("This number is too large."))
        self.data = value

    def pre_validate(self, _form):
        value = self.data
        if value is None:
            return
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            raise ValidationError(_range_words(self.least, self.most))


class ChosenField(SelectField):
    """A link to one of a few records, chosen from a list, which is fetched only when it is drawn.

    Of what was chosen only that is asked whether it is on the list; what stood there before may stay.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.type = "SelectField"  # drawn like any other
        self.is_offered = None

    def offer(self, choices, is_offered):
        """What may be chosen: a function for the list of (key, words), and one that knows of a key whether it is."""
        self.choices, self.is_offered = choices, is_offered

    def pre_validate(self, _form):
        is_new = self.data is not None and self.data != self.object_data
        if is_new and not self.process_errors and not self.is_offered(self.data):
            raise ValidationError(self.gettext("Not a valid choice."))


class LinkField(StringField):
    """A link to a record, typed by name and found again by its number: "Around the Horn (#4)".

    `not_visible` stands for a link to a row the reader may not see: it is shown as such and kept as it is. `pick` is
    where a script asks for more to choose from, `add` where a new record is made; None where the reader may not.
    A form sends back beside the text what stood there (`shown`), so that a link left alone need not be looked up.
    """

    pick = add = None

    def __init__(self, *args, target, session=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.target, self.session, self.not_visible, self._suggested = target, session, False, None
        self._now = None  # (id, how it is written) of what stands in the link
        self.shown = None

    def use(self, session, row_id, formdata, *, is_current=False):
        """Look up what stands in the link now, and what was typed, through the session's sight.

        `is_current` says that the form shows the record as it stands.
        """
        self.session = session
        if is_current and row_id is not None and formdata is not None:
            self.shown = formdata.get(f"{self.name}-shown")
            if self.shown and formdata.get(self.name) == self.shown:
                return
        self._now = _written_by_id(session, self.target, row_id) if row_id is not None else None
        self.not_visible = row_id is not None and self._now is None
        self.shown = self._now and self._now[1]
        if formdata is None or self.not_visible:
            return
        text = formdata.get(self.name, "").strip()
        try:
            if self.name in formdata:
                is_as_before = self._now is not None and text == self._now[1]
                if not is_as_before:
                    self.data = find_named(session, self.target, text).id if text else None
        except Unclear as error:
            self._suggested = error.candidates or None
            self.process_errors = [*self.process_errors, error.args[0]]

    @property
    def suggestions(self):
        if self._suggested is not None:
            return [named(row) for row in self._suggested]
        return [] if self.not_visible else newest(self.session, self.target)

    def _value(self):
        if self.raw_data:
            return self.raw_data[0]
        if self.data is None:
            return ""
        is_as_before = self._now is not None and self._now[0] == self.data
        found = self._now if is_as_before else _written_by_id(self.session, self.target, self.data)
        return "" if found is None else found[1]

    def process_formdata(self, valuelist):
        """Nothing yet: `use` looks up, once it knows the session."""


class Unclear(ValueError):
    """A typed name that is no record, or several: `candidates` are those it could mean."""

    def __init__(self, message, candidates=()):
        super().__init__(message)
        self.candidates = candidates


def find_named(session, target, text):
    """The record of `target` that a typed text means: "Name (#12)", "#12" or a name; raises Unclear.

    A number behind another name is no number of ours: a company may well be called "Studio #1".
    """
    number = re.search(r"#(\d{1,10})\)?$", text)
    if number:
        key = int(number.group(1))
        row = session.get(target, key) if key <= LARGEST_ID else None
        if row is not None and search.fold(text) in (f"#{key}", search.fold(named(row))):
            return row
        if text == number.group(0):
            raise Unclear(gettext("There is no such record."))
    if not search.fold(text) or "\x00" in text:
        raise Unclear(gettext("There is no such record."))
    like = session.scalars(select(target).where(search.matching_for(session, target, text)).limit(SUGGESTED)).all()
    same = [row for row in like if search.fold(row) == search.fold(text)]
    if len(same) == 1:
        return same[0]
    if not like:
        raise Unclear(gettext("Nothing is named “%(text)s”.", text=text[:80]))
    candidates = same or like
    names = ", ".join(named(row) for row in candidates[:5])
    raise Unclear(gettext("Which one? %(names)s", names=names), candidates)


def newest(session, target):
    """How the newest records of `target` are written, of those that are seen."""
    return [written(row) for row in session.execute(_newest(target))]


@cache
def _newest(target):
    return select(*name_columns(target)).order_by(target.id.desc()).limit(SUGGESTED)


def _written_by_id(session, target, key):
    """(id, how it is written) of a record that the session sees, or None."""
    row = session.execute(_name_of(target), {"key": key}).first()
    return None if row is None else (row.id, written(row))


@cache
def _name_of(target):
    return select(*name_columns(target)).where(target.id == bindparam("key"))


def written(row):
    """How a record is written into a text field, given its `name_columns`: like `named`."""
    return f"{name_of(row._mapping)} (#{row.id})"


def typed(field):
    """What stands in a field, as text."""
    if isinstance(field, SelectField):
        return next((str(words) for value, words in field.choices if str(value) == str(field.data)), "")
    if isinstance(field, BooleanField):
        return gettext("yes") if field.data else gettext("no")
    return field._value()


def sent(field):
    """What a browser would send for the field as it stands; None for nothing."""
    if hasattr(field, "custom"):
        return field.sent()
    if isinstance(field, BooleanField):
        return "y" if field.data else None
    if isinstance(field, SelectMultipleField):
        return [str(one) for one in field.data or ()]
    if isinstance(field, SelectField):
        return "" if field.data is None else str(field.data)
    return field._value()


def named(row):
    """How a record is written into a text field."""
    return f"{row} (#{row.id})"


class _Prepared(DefaultMeta):
    """A field of a form is bound once; each form gets a copy, with a label, flags, lists and dicts of its own."""

    def bind_field(self, form, unbound_field, options):
        """The field for this form, by this way only for those of records (`_of_record`)."""
        if options["prefix"] or not hasattr(unbound_field, "of_record"):
            return super().bind_field(form, unbound_field, options)
        if unbound_field.of_record is None:
            made = super().bind_field(form, unbound_field, options)
            made.meta = made._form = None
            unbound_field.of_record = (
                made,
                [name for name, value in vars(made).items() if isinstance(value, list | dict)],
                vars(made.flags),
            )
        made, containers, flags = unbound_field.of_record
        field = object.__new__(type(made))  # what WTForms makes of the class by itself is an unbound field
        mine = vars(field)
        mine.update(vars(made))
        for name in containers:
            mine[name] = mine[name].copy()
        mine["flags"], mine["label"] = Flags(), Label(made.label.field_id, made.label.text)
        vars(mine["flags"]).update(flags)
        mine["meta"], mine["_form"] = self, form
        return field


def _of_record(unbound_field):
    """A field of which `_Prepared` may make copies."""
    unbound_field.of_record = None
    return unbound_field


class RecordForm(Form):
    """What all record forms share: the version that the reader saw, and how values come and go."""

    Meta = _Prepared

    version = _of_record(HiddenField())

    def process(self, formdata=None, obj=None, data=None, **more):
        """WTForms', which looks for a filter of each field on the form, too: ours stand with their fields. And a text
        that comes back as it stands in the record is left alone, and not checked anew.
        """
        formdata, data = self.meta.wrap_formdata(self, formdata), {**(data or {}), **more}
        is_stored = formdata is not None and getattr(obj, "id", None) is not None
        for name, field in self._fields.items():
            stands = getattr(obj, name, unset_value)
            sent = dict.get(formdata, name) if is_stored and type(field) in _TEXTS else None  # a list
            if sent and _comes_back(field, sent[0], stands):
                _leave(field, sent, stands)
            else:
                field.process(formdata, data.get(name, unset_value) if stands is unset_value else stands)
        self.post_process(formdata)

    def fields_shown(self):
        return [field for field in self if field.name != "version"]

    def apply(self, row):
        """Put what was typed onto the row; links that were not shown stay as they are."""
        columns = _names_of(type(row))
        for field in self.fields_shown():
            if field.name not in columns or getattr(field, "not_visible", False):
                continue
            if getattr(row, field.name) != field.data:
                setattr(row, field.name, field.data)
        self.apply_custom(row)

    def apply_custom(self, row):
        """Put the values of custom fields onto the row; those that its writer does not see stay as they are."""
        fields = [
            field for field in self if hasattr(field, "custom") and not getattr(field, "not_visible", False)
        ]
        if fields:
            values = with_custom(row.custom, {field.custom.name: field.data for field in fields})
            if values != row.custom:
                row.custom = values


_TEXTS = (StringField, TextAreaField)


def _comes_back(field, sent, stands):
    """Whether a field was sent as it stands; nothing does where something is needed."""
    return sent == stands if stands else sent == "" and stands is None and not field.flags.required


def _leave(field, sent, stands):
    """What `process` makes of such a field; it has nothing to `validate`."""
    field.raw_data, field.data, field.object_data, field.process_errors = [*sent], stands, stands, []
    field.validate = _is_valid


def _is_valid(_form, _more=()):
    return True


@cache
def _names_of(model):
    return frozenset(model.__table__.c.keys())


@cache
def form_class(model, names):
    """The form over these columns of a model."""
    fields = {name: _of_record(_field(model, model.__table__.c[name])) for name in names}
    return type(f"{model.__name__}Form", (RecordForm,), fields)


@cache
def columns_to_edit(model):
    """The columns that people fill in: not keys, stamps, positions, nor what a deed writes."""
    left_out = {"id", "position"} if hasattr(model, "owner_id") else {"id"}
    return tuple(
        column.name
        for column in reading_order(model)
        if column.name not in left_out and not column.info.get("stamped") and not column.info.get("deed")
    )


@cache
def reading_order(model):
    """The columns with a name for people: its own columns first, then who it belongs to, then the long texts."""
    columns = [column for column in model.__table__.c if column.info.get("label")]
    return sorted(
        columns,
        key=lambda column: (
            isinstance(column.type, Text),
            column.name in ("department_id", "owner_id"),
            list(model.__table__.c).index(column) if column.name not in _ADDRESS else 500,
        ),
    )


_ADDRESS = ("street", "postal_code", "city", "region", "country")


def _field(model, column):
    info, kind = column.info, column.type
    label, hint = lazy_gettext(info["label"]), lazy_gettext(info["hint"]) if info.get("hint") else ""
    required = not column.nullable and not isinstance(kind, Boolean) and column.default is None
    checks = [Needed(lazy_gettext("This is needed."))] if required else [Optional()]
    settings = {"label": label, "description": hint}
    if column.foreign_keys:
        target = ENTITIES[next(iter(column.foreign_keys)).column.table.name]
        if target.__tablename__ in CHOSEN:
            return ChosenField(validators=checks, coerce=_key, **settings)
        return LinkField(validators=checks, target=target, **settings)
    if "choices" in info:
        choices = [(value, lazy_gettext(words)) for value, words in info["choices"].items()]
        return SelectField(
            validators=[InputRequired()], choices=choices, default=column.default.arg, **settings
        )
    if isinstance(kind, Boolean):
        return BooleanField(default=column.default.arg if column.default is not None else False, **settings)
    if isinstance(kind, Exact):
        return ExactField(
            validators=checks,
            kind=kind,
            least=info.get("at_least"),
            most=info.get("at_most"),
            default=_default(column),
            **settings,
        )
    if isinstance(kind, Integer):
        least, most = info.get("at_least", -LARGEST_ID), info.get("at_most", LARGEST_ID)
        between = NumberRange(least, most, _range_words(least, most))
        return IntegerField(validators=[*checks, between], default=_default(column), **settings)
    if isinstance(kind, Date):
        return DateField(validators=checks, **settings)
    if isinstance(kind, Moment):
        raise TypeError(f"{column}: moments are stamped, not typed")
    if isinstance(kind, Text):
        checks += [Length(max=values.LONGEST_PROSE), storable]
        return TextAreaField(validators=checks, filters=[tidy], **settings)
    checks += [Length(max=kind.length), storable, *_FORMATS.get(info.get("format"), ())]
    if info.get("currency"):
        checks.append(_currency_code)
    return StringField(
        validators=checks, filters=[_one_line, tidy], render_kw={"maxlength": kind.length}, **settings
    )


def _default(column):
    return column.default.arg if column.default is not None and column.default.is_scalar else None


def _key(value):
    return int(value) if value not in (None, "", "None") else None


def _one_line(text):
    """A line break pasted into a line is a space: names stand in headings, headers and file names."""
    return values.one_line(text) if isinstance(text, str) else text


def tidy(text):
    """Without blanks around it; None for nothing."""
    text = text.strip() if isinstance(text, str) else text
    return text or None


def _range_words(least, most):
    if most is None or most == LARGEST_ID:
        return gettext("Not less than %(least)s.", least=least)
    return gettext("From %(least)s to %(most)s.", least=least, most=most)


def storable(_form, field):
    """What no database keeps (NUL, half of a surrogate pair) is refused here, not by the database."""
    if field.data:
        _obey(values.check_storable, field.data)


def email(_form, field):
    if field.data:
        _obey(values.check_email, field.data)


def _phone(_form, field):
    if field.data:
        _obey(values.check_phone, field.data)


def _currency_code(_form, field):
    _obey(values.check_currency, field.data or "")


def _obey(check, text):
    """Ask the rule, and say at the field what it says."""
    try:
        check(text)
    except RuleBroken as error:
        raise ValidationError(gettext(error.message, **error.values)) from None


_FORMATS = {"email": (email,), "phone": (_phone,)}
