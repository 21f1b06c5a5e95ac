"""Foyer's command line. Each verb is a module in app/commands/; `run.py VERB --help` explains one."""

import argparse
import ast
import gc
import importlib
import sys

from config import BASE, WrongSetting, load_settings

# Verb -> its module. Only that of the verb in use is imported: the others would cost their start-up time.
VERBS = {
    "serve": "serve",
    "work": "work",
    "upgrade": "upgrade",
    "demo": "demo",
    "import": "import_",  # `import` is taken by Python
    "user": "user",
    "directory": "directory",
    "check": "check",
    "reindex": "reindex",
}


def main(argv=None):
    """Run one verb; returns the exit code: 0 done, 1 refused or failed, 2 wrong setting or arguments."""
    gc.disable()  # or a fifth of the start-up goes into looking for garbage among modules
    from app.commands import CommandError

    argv = sys.argv[1:] if argv is None else argv
    used = argv[0] if argv and argv[0] in VERBS else None
    module = importlib.import_module(f"app.commands.{VERBS[used]}") if used else None
    gc.enable()
    args = _parser(used, module).parse_args(argv)
    try:
        return module.run(args, load_settings()) or 0
    except WrongSetting as wrong:
        return _say(wrong, 2)
    except CommandError as refused:
        return _say(refused, 1)
    except KeyboardInterrupt:
        return _say("Interrupted.", 130)


def _parser(used, module):
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Foyer, the CRM of the house.",
        epilog="Settings come from the environment or from $FOYER_HOME/foyer.env; config.py lists them.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    for verb, name in VERBS.items():
        verb_parser = verbs.add_parser(verb, help=_first_line(name), description=_first_line(name))
        if verb == used:
            module.add_arguments(verb_parser)
    return parser


def _first_line(name):
    """What a verb does, in its module's own words, read without importing it."""
    source = (BASE / "app" / "commands" / f"{name}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0].replace("%", "%%")


def _say(sentence, code):
    print(sentence, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
