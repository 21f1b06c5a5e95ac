"""What a spreadsheet would take for a formula: written behind a mark, and read back without it.

A text that begins with one of these signs would be calculated, not shown, and could fetch or run what it likes (CSV
injection; the signs are those of the OWASP list). An apostrophe before it makes it text for every spreadsheet. A
text that has such an apostrophe of its own gets another, so that each comes back as it was: +49 30 -> '+49 30.
"""

import re

_SIGNS = "[=+\\-@\t\r\n＝＋－＠]"
_FIRST = frozenset("'=+-@\t\r\n＝＋－＠")  # asked before the patterns: most texts begin with a letter
_ARMED = re.compile(f"'*{_SIGNS}")
_DISARMED = re.compile(f"'(?='*{_SIGNS})")


def disarmed(text):
    """The text as it may stand in a CSV."""
    return f"'{text}" if is_armed(text) else text


def restored(text):
    """The text as it was before `disarmed`."""
    return text[1:] if text[:1] == "'" and _DISARMED.match(text) else text


def is_armed(text):
    """Whether a spreadsheet would calculate it, or an import take its apostrophe for the mark."""
    return text[:1] in _FIRST and bool(_ARMED.match(text))
