"""The filter language as text: `(country is Germany or city starts "Ber") and owner_id is me`, read and written.

    filter     ::= all { "or" all }
    all        ::= one { "and" one }
    one        ::= "(" filter ")" | condition | related
    condition  ::= path operator [ value { "," value } ]       company_id.country is Germany, Austria
    related    ::= ( "any" | "no" ) entity [ "(" filter ")" ]   no ticket (stage_id.outcome is open)
    value      ::= a bare word, or "text in quotes" with \\" and \\\\ in it

A text means the same whoever reads it; `me` and "last 30 days" are words in it. What a path or an operator means for a
table, and whether they exist, `conditions` says. `read(write(tree)) == tree` for every tree that `group` has built.
"""

import re
from dataclasses import dataclass

from app.extensions import N_

LONGEST_TEXT = 4000  # letters of one filter
MOST_CONDITIONS, MOST_VALUES, DEEPEST = 30, 100, 6  # more than that, no page of ours asks for

# How an operator reads in a sentence; the second form is for dates.
OPERATORS = {
    "is": N_("is"),
    "not": N_("is not"),
    "has": N_("contains"),
    "lacks": N_("does not contain"),
    "starts": N_("starts with"),
    "min": N_("from"),
    "max": N_("to"),
    "over": N_("more than"),
    "under": N_("less than"),
    "after": N_("after"),
    "before": N_("before"),
    "between": N_("between"),
    "during": N_("in"),
    "older": N_("longer ago than"),
    "empty": N_("is empty"),
    "filled": N_("is not empty"),
}
SINGLE = frozenset(
    {"has", "lacks", "starts", "min", "max", "over", "under", "after", "before", "during", "older"}
)
WITHOUT_VALUE = frozenset({"empty", "filled"})

_TOKEN = re.compile(r'\s*(?:(?P<mark>[(),])|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^\s(),"]+))', re.DOTALL)
_BARE = re.compile(r"[\w.+@#:/-]+")
_RESERVED = {"and", "or", "any", "no"}
_PATH = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,5}")


class BadQuery(Exception):
    """The URL asks for something that does not exist; `message` says what, `values` fills it."""

    def __init__(self, message, **values):
        super().__init__(message)
        self.message, self.values = message, values


@dataclass(frozen=True)
class Condition:
    """One question to one column: its path from the table asked for, an operator, and the values as typed."""

    path: str
    operator: str
    values: tuple = ()

    @property
    def parameter(self):
        """Its name as a parameter of a URL."""
        return f"{self.path}.{self.operator}"


@dataclass(frozen=True)
class Related:
    """Whether any record that points here fulfils something; `is_there` False: that none does."""

    entity: str
    is_there: bool = True
    inner: object = None


@dataclass(frozen=True)
class Group:
    """Several parts of which all (`and`) or one (`or`) must hold."""

    joint: str
    parts: tuple


def group(joint, parts):
    """These parts as one tree; None for no part. A group of the same kind inside is opened."""
    flat = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Group) and part.joint == joint else [part])
    if len(flat) < 2:
        return flat[0] if flat else None
    return Group(joint, tuple(flat))


def parts_of(tree):
    """What must all hold, one by one: the chips of a list."""
    if tree is None:
        return ()
    return tree.parts if isinstance(tree, Group) and tree.joint == "and" else (tree,)


def leaves(tree):
    """Every condition of a tree."""
    if isinstance(tree, Group):
        for part in tree.parts:
            yield from leaves(part)
    elif isinstance(tree, Related):
        yield from leaves(tree.inner)
    elif tree is not None:
        yield tree


def is_path(text):
    """Whether a text can name a column: names joined by dots."""
    return _PATH.fullmatch(text) is not None


# --------------------------------------------------------------------------------------------- writing


def write(tree):
    """The text of a tree; "" for none."""
    if tree is None:
        return ""
    if isinstance(tree, Group):
        return f" {tree.joint} ".join(
            f"({write(part)})" if isinstance(part, Group) else write(part) for part in tree.parts
        )
    if isinstance(tree, Related):
        inner = f" ({write(tree.inner)})" if tree.inner is not None else ""
        return f"{'any' if tree.is_there else 'no'} {tree.entity}{inner}"
    said = write_values(tree.values)
    return f"{tree.path} {tree.operator} {said}".rstrip()


def write_values(values):
    """Several values as a text."""
    return ", ".join(_written(one) for one in values)


def _written(value):
    if _BARE.fullmatch(value) and value not in _RESERVED:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --------------------------------------------------------------------------------------------- reading


def read(text):
    """The tree that a text means, None for an empty one; raises BadQuery with the place of the first fault."""
    reader = _Reader(text)
    if reader.is_at_end:
        return None
    tree = reader.any_of(0)
    if not reader.is_at_end:
        raise reader.fault(N_("At character %(place)s of the filter, “and” or “or” is expected."))
    if sum(1 for _ in leaves(tree)) > MOST_CONDITIONS:
        raise BadQuery(N_("That is more than can be asked for at once."))
    return tree


def read_values(text):
    """Several values out of a text such as `Germany, "Côte d'Ivoire"`."""
    reader = _Reader(text)
    values = reader.values()
    if not reader.is_at_end:
        raise reader.fault(N_("At character %(place)s of the filter, a comma is expected."))
    return values


class _Reader:
    """Where one stands in a text: `kind` and `said` are the token there."""

    def __init__(self, text):
        if len(text) > LONGEST_TEXT:
            raise BadQuery(N_("That is more than can be asked for at once."))
        if "\x00" in text:
            raise BadQuery(N_("The filter holds a character that cannot be searched."))
        self.text, self.next = text, 0
        self.step()

    def step(self):
        """Go on to the next token."""
        self.at = len(self.text) - len(self.text[self.next :].lstrip())
        found = _TOKEN.match(self.text, self.next)
        self.is_at_end = found is None and not self.text[self.next :].strip()
        if found is None:
            if not self.is_at_end:
                raise self.fault(N_("The quotation mark at character %(place)s of the filter is not closed."))
            self.kind, self.said = None, ""
            return
        self.kind, self.said, self.next = found.lastgroup, found[found.lastgroup], found.end()

    def fault(self, message):
        return BadQuery(message, place=self.at + 1)

    def take(self, kind, said=None):
        """Step over this token if it is there; says whether it was."""
        if self.kind != kind or (said is not None and self.said != said):
            return False
        self.step()
        return True

    def word(self, message):
        if self.kind != "word":
            raise self.fault(message)
        said = self.said
        self.step()
        return said

    def any_of(self, depth):
        parts = [self.all_of(depth)]
        while self.take("word", "or"):
            parts.append(self.all_of(depth))
        return group("or", parts)

    def all_of(self, depth):
        parts = [self.one(depth)]
        while self.take("word", "and"):
            parts.append(self.one(depth))
        return group("and", parts)

    def one(self, depth):
        if depth > DEEPEST:
            raise BadQuery(N_("The brackets of the filter are nested too deep."))
        if self.kind == "mark" and self.said == "(":
            return self.bracket(depth)
        if self.kind == "word" and self.said in ("any", "no"):
            is_there = self.said == "any"
            self.step()
            entity = self.word(N_("At character %(place)s of the filter, a kind of record is expected."))
            inner = self.bracket(depth) if self.kind == "mark" and self.said == "(" else None
            return Related(entity, is_there, inner)
        return self.condition()

    def bracket(self, depth):
        self.step()
        inner = self.any_of(depth + 1)
        if not self.take("mark", ")"):
            raise self.fault(N_("At character %(place)s of the filter, “)” is expected."))
        return inner

    def condition(self):
        at = self.at
        path = self.word(N_("At character %(place)s of the filter, a column is expected."))
        if not is_path(path):
            raise BadQuery(N_("At character %(place)s of the filter, a column is expected."), place=at + 1)
        if self.kind != "word" or self.said not in OPERATORS:
            raise self.fault(
                N_("At character %(place)s of the filter, an operator such as “is” is expected.")
            )
        operator = self.said
        self.step()
        if operator in WITHOUT_VALUE:
            return Condition(path, operator)
        at = self.at
        values = self.values()
        if operator in SINGLE and len(values) > 1:
            raise BadQuery(N_("At character %(place)s of the filter, one value is expected."), place=at + 1)
        return Condition(path, operator, values)

    def values(self):
        values = [self.value()]
        while self.take("mark", ","):
            values.append(self.value())
            if len(values) > MOST_VALUES:
                raise BadQuery(N_("That is more than can be asked for at once."))
        return tuple(values)

    def value(self):
        if self.kind not in ("word", "text"):
            raise self.fault(N_("At character %(place)s of the filter, a value is expected."))
        said = re.sub(r"\\(.)", r"\1", self.said, flags=re.DOTALL) if self.kind == "text" else self.said
        self.step()
        return said
