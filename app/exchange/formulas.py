"""What a spreadsheet would take for a formula: written behind a mark, and read back without it.

A text that begins with one of these signs would be calculated, not shown, and could fetch or run what it likes (CSV
injection; the signs are those of the OWASP list). An apostrophe before it makes it text for every spreadsheet. A
text that has such an apostrophe of its own gets another, so that each comes back as it was: +49 30 -> '+49 30.
"""

import re

_SIGNS = "[=+\\-@\t\r\n＝＋－＠]"
_ARMED = re.compile(f"'*{_SIGNS}")
_DISARMED = re.compile(f"'(?='*{_SIGNS})")


def disarmed(text):
    """The text as it may stand in a CSV."""
    return f"'{text}" if _ARMED.match(text) else text


def restored(text):
    """The text as it was before `disarmed`."""
    return text[1:] if _DISARMED.match(text) else text


def is_armed(text):
    """Whether a spreadsheet would calculate it."""
    return bool(_ARMED.match(text))
