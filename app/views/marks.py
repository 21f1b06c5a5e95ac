"""The smallest marks of a page, drawn in Python: a list of fifty rows draws hundreds of them.

The components `icon`, `badge`, `avatar`, `not_visible`, `cell` and the rows of `record_list` say here what they look
like; whoever writes a template uses the components.
"""

import re
from functools import cache

from flask_babel import gettext
from markupsafe import Markup, escape

from app.extensions import N_
from app.views import templating
from app.views.assets import asset

SPRITE = "vendor/tabler-icons-3.51.0/sprite.svg"
_DASH = '<span class="none" aria-hidden="true">–</span>'


@cache
def _sprite():
    return asset(SPRITE)


@cache
def icon(name, large=False):
    """One icon of the sprite, hidden from screen readers; the words stand beside it."""
    look = "icon icon-large" if large else "icon"
    href = escape(f"{_sprite()}#{name}")
    return Markup(f'<svg class="{look}" aria-hidden="true" focusable="false"><use href="{href}"/></svg>')


def badge(label, color=None):
    """A small word for a state, in one of the colors grey, accent, green, amber, red, blue, violet."""
    tint = f" pill-{escape(color)}" if color and color != "grey" else ""
    return Markup(f'<span class="pill{tint}">{escape(label)}</span>')


def avatar(name, initials=None, large=False, with_name=False):
    """The initials of a person; the tint follows from the name."""
    words = (name or "?").split() or ["?"]
    letters = initials or words[0][0] + (words[-1][0] if len(words) > 1 else "")
    look = f"face face-{len(name or '') % 5 + 1}{' face-large' if large else ''}"
    letters, name = escape(str(letters).upper()), escape(name)
    if with_name:
        face = f'<span class="{look}" aria-hidden="true">{letters}</span>'
        return Markup(f'<span class="person">{face} <span>{name}</span></span>')
    return Markup(f'<span class="{look}" role="img" aria-label="{name}" title="{name}">{letters}</span>')


def not_visible():
    """Stands where a link leads to a row beyond the reader's reach."""
    return Markup(f'<span class="not-visible">{icon("eye-off")}{escape(gettext("not visible"))}</span>')


def _safe(text):
    """`escape` for the many: most texts hold nothing to escape, and `Markup` costs more than the look."""
    return text if type(text) is str and not _MARKS.search(text) else escape(text)


_MARKS = re.compile("[&<>\"']")


def _check(said):
    if said["on"]:
        return f'{icon("check")}<span class="visually-hidden">{escape(gettext("yes"))}</span>'
    return f'{_DASH}<span class="visually-hidden">{escape(gettext("no"))}</span>'


def _link(said):
    href, label = said.get("href"), _safe(said["label"])
    return f'<a href="{_safe(href)}">{label}</a>' if href else label


def _figure(said):
    return f'<span class="figure">{_safe(said["label"])}</span>'


def _tel(said):
    label = _safe(said["label"])
    return f'<a class="figure" href="tel:{label.replace(" ", "")}">{label}</a>'


def _mail(said):
    label = _safe(said["label"])
    return f'<a href="mailto:{label}">{label.replace("@", "@<wbr>", 1)}</a>'


def _web(said):
    label = _safe(re.sub(r"(?i)^https?://(?=\S)", "", said["label"]))
    return f'<a href="{_safe(said.get("href") or said["label"])}" rel="noreferrer noopener">{label}</a>'


_KINDS = {
    "badge": lambda said: badge(said["label"], said.get("color")),
    "person": lambda said: avatar(said["label"], said.get("initials"), with_name=True),
    "link": _link,
    "tel": _tel,
    "mail": _mail,
    "web": _web,
    "money": _figure,
    "date": _figure,
    "number": _figure,
}


def cell(value, lead_href=None):
    """One value of a list or sheet, as `components/cell.html` explains it."""
    return Markup(_cell(value, lead_href))


def _cell(value, lead_href=None):
    if isinstance(value, dict):
        kind = value["kind"]
        if kind == "hidden":
            return not_visible()
        if kind == "check":
            return _check(value)
        label = value.get("label")
    else:
        kind, label = None, value
    if label is None or label == "":
        return _DASH
    if lead_href:
        return f'<a class="row-link" href="{_safe(lead_href)}">{_safe(label)}</a>'
    draw = _KINDS.get(kind)
    return draw(value) if draw else _safe(label)


def rows(rows, columns):
    """The rows of a list's table: {"href", "cells", "id"}; the first cell opens the row. With "pick" on a row, a box
    to select it stands first."""
    heads = [_head_of_cell(one, place == 0) for place, one in enumerate(columns)]
    drawn, select = [], templating.said(N_("Select %(name)s"))
    for row in rows:
        drawn.append("<tr>")
        if row.get("pick") is not None:
            drawn.append(_box(row, select))
        href = row["href"]
        for value, (filled, empty) in zip(row["cells"], heads, strict=True):
            if value is None or value == "":
                drawn.append(empty)
            elif href is None and type(value) is str:
                drawn.append(f"{filled}{_safe(value)}</td>")
            else:
                inside = _cell(value, href)
                if href is not None and row.get("is_shared"):
                    inside = f"{inside} {badge(gettext('shared'), 'violet')}"
                drawn.append(f"{filled}{inside}</td>")
            href = None  # the first cell alone opens the row
        drawn.append("</tr>")
    return Markup("".join(drawn))


def _head_of_cell(column, is_first):
    """How a filled cell of this column begins, and the whole of an empty one."""
    look = "lead" if is_first else ""
    align = f" {escape(column['align'])}" if column.get("align") in ("end", "center") else ""
    label = escape(column["label"])
    empty = f'<td class="{look}{align} none" data-label="{label}">{_DASH}</td>'
    return f'<td class="{look}{align}" data-label="{label}">', empty


def _box(row, select):
    name = row["cells"][0]
    label = escape(select % {"name": name["label"] if isinstance(name, dict) else name})
    box = f'<input type="checkbox" class="pick" name="id" value="{int(row["pick"])}" form="bulk" aria-label="{label}">'
    return f'<td class="pick-cell">{box}</td>'


FILTERS = {"list_rows": rows}
MARKS = {f"draw_{one.__name__}": one for one in (icon, badge, avatar, not_visible, cell)}
