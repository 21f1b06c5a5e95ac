"""What run.py's verbs do: each module has `add_arguments(parser)` and `run(args, settings)` -> exit code."""


class CommandError(Exception):
    """A verb cannot do what was asked; its text is the one sentence the operator reads."""
