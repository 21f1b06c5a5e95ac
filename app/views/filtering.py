"""The filters of a list as people see them: sentences with a cross to take them off, and a panel to add one more.

The panel works without a script, in two steps: first the column, then how it is compared and with what. What comes
back is turned into the plain address of the list (`step`).
"""

from dataclasses import replace

from flask import flash, g
from sqlalchemy import select

from app import filters
from app.extensions import N_, db
from app.models import ENTITIES, Department, Pipeline, Staff, Stage
from app.views import cells, forms
from app.views.templating import gettext

PANEL, COLUMN, OPERATOR, VALUE, BESIDE = "filters", "column", "operator", "value", "beside"
OWN = (PANEL, COLUMN, OPERATOR, VALUE, BESIDE, "count", "after")
SPANS = (
    N_("today"),
    N_("yesterday"),
    N_("tomorrow"),
    N_("this week"),
    N_("last week"),
    N_("next week"),
    N_("this month"),
    N_("last month"),
    N_("next month"),
    N_("this quarter"),
    N_("last quarter"),
    N_("this year"),
    N_("last year"),
    N_("last 7 days"),
    N_("last 30 days"),
    N_("last 90 days"),
    N_("next 7 days"),
    N_("next 30 days"),
)
AGES = (N_("7 days"), N_("30 days"), N_("6 months"), N_("1 year"))
MOST_OPTIONS = 300
# How a number or a day is compared, in words that fit it.
_OF_KIND = {("number", "min"): N_("at least"), ("number", "max"): N_("at most")}
_WORDS = {"me": N_("me"), "mine": N_("my department"), "below": N_("my department and those below")}


def address(view, query, **more):
    """The list's address for this query, in its plainest form."""
    return addresses(view, query)(**more)


def addresses(view, query):
    """The function that says the list's address for this query, in this or another order and with more parameters:
    what all of them share is written once. The cursor is no part of it.
    """
    *before, (name, _) = filters.parameters_of(query)
    after = [] if query.size == filters.PAGE_SIZES[1] else [("size", str(query.size))]
    before, after = filters.encoded(before), filters.encoded([*after, *look_kept(view)])
    usual = _usual_sort(view, query)

    def at(sort=query.sort, **more):
        order = "" if sort == usual else f"{name}={sort}"  # the name of a column
        rest = filters.encoded((key, value) for key, value in more.items() if value is not None)
        said = "&".join(filter(None, (before, order, after, rest)))
        return f"{view.route_base}/?{said}" if said else f"{view.route_base}/"

    return at


def look_kept(view):
    """The look of the list as parameters that a form takes along."""
    look = view.look()
    return [*look.parameters, *([("view", look.view)] if look.view else [])]


def _usual_sort(view, query):
    return "-id" if query.words else view.default_sort


# --------------------------------------------------------------------------------------------- sentences


class Speaker:
    """Says filters in words; the names of linked records are looked up once for all that it is to say."""

    def __init__(self, model, asker, tree):
        self.model, self.asker, self.names = model, asker, {}
        wanted = {}
        for leaf, at in _leaves(tree, model):
            place = filters.resolve(at, leaf.path, asker)
            if place.target is not None and leaf.operator in ("is", "not"):
                keys = (filters.natural(value.strip()) for value in leaf.values)
                wanted.setdefault(place.target, set()).update(key for key in keys if key)
        for target, keys in wanted.items():
            found = db.session.execute(select(*cells.name_columns(target)).where(target.id.in_(keys)))
            self.names |= {(target, row.id): cells.name_of(row._mapping) for row in found}

    def say(self, part, model=None):
        """A part of a filter as a sentence."""
        model = model or self.model
        if isinstance(part, filters.Group):
            joint = f" {gettext('and') if part.joint == 'and' else gettext('or')} "
            inner = (self.say(one, model) for one in part.parts)
            return joint.join(
                f"({said})" if isinstance(one, filters.Group) else said
                for one, said in zip(part.parts, inner, strict=True)
            )
        if isinstance(part, filters.Related):
            words = gettext("has") if part.is_there else gettext("has no")
            other = ENTITIES[part.entity]
            inner = f" ({self.say(part.inner, other)})" if part.inner is not None else ""
            return f"{words} {gettext(entity_words(part.entity))}{inner}"
        place = filters.resolve(model, part.path, self.asker)
        words = operator_words(place.kind, part.operator)
        return " ".join(one for one in (path_words(model, place), words, self._values(place, part)) if one)

    def _values(self, place, part):
        if part.operator in ("empty", "filled"):
            return ""
        joint = f" {gettext('and')} " if part.operator == "between" else f" {gettext('or')} "
        return joint.join(self._value(place, one.strip()) for one in part.values)

    def _value(self, place, value):
        if place.target is not None:
            key = filters.natural(value)
            said = self.names.get((place.target, key), gettext("not visible"))
            return gettext(_WORDS[value]) if value in _WORDS else said
        if place.kind in ("choice", "several"):
            return choices_of(place).get(value, value)
        if place.kind == "yes_no":
            return gettext("yes") if value.lower() in ("1", "true", "yes") else gettext("no")
        if place.kind in ("day", "moment"):
            return gettext(value)
        return quoted(value) if place.kind == "text" else value


def _leaves(tree, model):
    """Every condition of a tree with the model that its path begins at."""
    if isinstance(tree, filters.Group):
        for part in tree.parts:
            yield from _leaves(part, model)
    elif isinstance(tree, filters.Related):
        yield from _leaves(tree.inner, ENTITIES[tree.entity])
    elif tree is not None:
        yield tree, model


def entity_words(entity):
    """What people call a kind of record, in the middle of a sentence."""
    return _ENTITY_WORDS.get(entity, entity.replace("_", " "))


_ENTITY_WORDS = {
    "company": N_("a company"),
    "contact": N_("a contact"),
    "deal": N_("a deal"),
    "ticket": N_("a ticket"),
    "activity": N_("an activity"),
    "invoice": N_("an invoice"),
    "campaign_member": N_("a place in a campaign"),
}


def path_words(model, place):
    """The way to a field in words: "Company: Country"."""
    names = [cells.label(column) for column in place.steps]
    if place.custom is not None:
        names.append(place.custom.label)
    else:
        names.append(gettext("Tag") if place.column is None else cells.label(place.column))
    return ": ".join(names)


def operator_words(kind, operator):
    return gettext(_OF_KIND.get((kind, operator), filters.OPERATORS[operator]))


def choices_of(place):
    """Value -> words of a field with fixed choices."""
    if place.custom is not None:
        return dict(place.custom.choices)
    return {value: gettext(words) for value, words in place.column.info["choices"].items()}


def in_words(view, query):
    """What is asked as one sentence, for those who may not see what it links to: such records go by their number."""
    speaker = Speaker(view.model, query.asker, query.tree)
    for target, key in speaker.names:
        if target.__sight__ == "scoped":
            speaker.names[target, key] = f"#{key}"
    said = [speaker.say(part) for part in filters.parts_of(query.tree)]
    return " · ".join([*said, *([quoted(query.words)] if query.words else [])]) or gettext("everything")


def chips(view, query):
    """What is asked, each part with the address of the list without it."""
    speaker = Speaker(view.model, query.asker, query.tree)
    parts = filters.parts_of(query.tree)
    first = replace(query, after=None)
    said = []
    for place, part in enumerate(parts):
        rest = filters.group("and", [*parts[:place], *parts[place + 1 :]])
        said.append({"label": speaker.say(part), "href": address(view, replace(first, tree=rest))})
    if query.words:
        without = replace(first, words="", sort=view.default_sort if query.sort == "-id" else query.sort)
        said.append({"label": quoted(query.words), "href": address(view, without)})
    return said


# --------------------------------------------------------------------------------------------- the panel


def panel(view, query, args):
    """What the panel shows, or None while it is shut: the columns to choose from, or how to compare the chosen one."""
    if args.get(PANEL) != "open":
        return None
    path = args.get(COLUMN, "")
    shown = {
        "action": f"{view.route_base}/",
        "keep": [*filters.parameters_of(query), *look_kept(view), (PANEL, "open")],
        "shut": address(view, query),
    }
    if not path:
        return {**shown, "groups": _columns(view, query.asker)}
    place = filters.resolve(view.model, path, query.asker)
    parts = [one["label"] for one in chips(view, query)[: len(filters.parts_of(query.tree))]]
    return {
        **shown,
        "column": path,
        "label": path_words(view.model, place),
        "operators": [(one, operator_words(place.kind, one)) for one in place.operators],
        "input": _input(place),
        "options": _options(place, view.model),
        "hint": gettext("A day such as 2026-03-31, or a span such as “last 30 days”.")
        if place.kind in ("day", "moment")
        else "",
        "is_optional": "empty" in place.operators,
        "beside": [
            (str(number), gettext("or: %(filter)s", filter=said)) for number, said in enumerate(parts)
        ],
        "back": address(view, query, **{PANEL: "open"}),
    }


def _columns(view, asker):
    """The columns to choose from, in groups: those of the record, then those of what it links to."""
    model = view.model
    own = _fields(model, asker, "")
    usual = [one for name in view.filter_columns for one in own if one[0] == name]
    groups = [
        (gettext("Often used"), usual),
        (gettext(view.one), [one for one in own if one not in usual]),
    ]
    for column in model.__table__.c:
        target = cells.target_of(column)
        if target is None or column.primary_key or column.info.get("stamped"):
            continue
        if target.__sight__ == "scoped" and not g.principal.may("see", target.__tablename__):
            continue
        groups.append((cells.label(column), _fields(target, asker, f"{column.name}.")))
    return [(title, fields) for title, fields in groups if fields]


def _fields(model, asker, prefix):
    names = [column.name for column in model.__table__.c if not column.info.get("hidden")]
    names += [] if prefix else [f"custom.{name}" for name in asker.custom(model.__tablename__)]
    names += ["tag"] if model.__sight__ == "scoped" and not prefix else []
    fields = []
    for name in names:
        try:
            place = filters.resolve(model, name, asker)
        except filters.BadQuery:
            continue  # a column that takes no questions
        if name not in ("version", "position"):
            fields.append((f"{prefix}{name}", path_words(model, place)))
    return sorted(fields, key=lambda one: one[1].casefold())


def _input(place):
    """How a value is given: chosen from a list, ticked, or typed."""
    if place.kind in ("choice", "several", "tag", "yes_no") or (place.target and _is_small(place.target)):
        return "several" if place.kind != "yes_no" else "one"
    return "number" if place.kind == "number" else "text"


def _is_small(target):
    return target.__sight__ == "reference" and target.__tablename__ != "product"


def _options(place, model):
    """(value, words): what may be chosen, or what is suggested to who types."""
    if place.kind == "yes_no":
        return [("yes", gettext("yes")), ("no", gettext("no"))]
    if place.kind in ("choice", "several"):
        return list(choices_of(place).items())
    if place.kind in ("day", "moment"):
        return [(one, gettext(one)) for one in (*SPANS, *AGES)]
    if place.target is None:
        return []
    if not _is_small(place.target):
        newest = select(place.target).order_by(place.target.id.desc()).limit(forms.SUGGESTED)
        return [(forms.named(row), "") for row in db.session.scalars(newest)]
    near = [(key, gettext(words)) for key, words in _WORDS.items() if _takes(place.target, key)]
    return [*near, *_rows_of(place.target, model)]


def _takes(target, word):
    return target is Staff or (target is Department and word != "me")


def _rows_of(target, model):
    order = (Stage.pipeline_id, Stage.position) if target is Stage else (target.name, target.id)
    found = select(*cells.name_columns(target)).order_by(*order).limit(MOST_OPTIONS)
    if target is Stage and model.__tablename__ in Pipeline.__table__.c.kind.info["choices"]:
        found = found.where(Stage.pipeline.has(kind=model.__tablename__))
    return [(str(row.id), cells.name_of(row._mapping)) for row in db.session.execute(found)]


def step(view, query, args):
    """The address that a filled-in panel leads to, or None when there is nothing to add."""
    path, operator = args.get(COLUMN, ""), args.get(OPERATOR, "")
    if not path or not operator:
        return None
    place = filters.resolve(view.model, path, query.asker)
    values = tuple(one.strip() for one in args.getlist(VALUE) if one.strip())
    if operator in ("empty", "filled"):
        values = ()
    elif not values:
        flash(gettext("Say what it is compared with."), "warning")
        return address(view, query, **{PANEL: "open", COLUMN: path})
    elif place.kind == "link" and not _is_small(place.target):
        try:
            values = tuple(_linked(place.target, one) for one in values)
        except forms.Unclear as error:
            flash(str(error.args[0]), "warning")
            return address(view, query, **{PANEL: "open", COLUMN: path})
    elif operator in filters.SINGLE:
        values = values[:1]
    elif place.kind == "number" or (place.kind in ("day", "moment") and operator == "between"):
        values = tuple(
            part.strip() for one in values for part in one.split(";" if ";" in one else " ") if part.strip()
        )
    added = filters.Condition(path, operator, values)
    parts = list(filters.parts_of(query.tree))
    beside = filters.natural(args.get(BESIDE, ""))
    if beside is not None and beside < len(parts):
        parts[beside] = filters.group("or", [parts[beside], added])
    else:
        parts.append(added)
    wanted = replace(query, tree=filters.group("and", parts), after=None, known={})
    filters.conditions(view.model, replace(wanted, words=""))  # says what is wrong with it
    return address(view, wanted)


def _linked(target, text):
    key = filters.natural(text)
    return text if key is not None else str(forms.find_named(db.session(), target, text).id)


def quoted(text):
    """A text in the quotation marks of the reader's language."""
    return gettext("“%(text)s”", text=text)
