"""What the firm is: plain Python, one module a domain. Rules import no Flask, never commit, and get user and clock.

What is forbidden raises `RuleBroken` with the sentence the user will read; the edge translates it and fills it in.
"""


class RuleBroken(Exception):
    """A rule says no. `message` is a gettext id with %(name)s places, `values` fills them; `field`
    is where to show it."""

    def __init__(self, message, *, field=None, **values):
        super().__init__(message)
        self.message, self.field, self.values = message, field, values

    def __str__(self):
        return self.message % self.values if self.values else self.message
