"""Do the jobs of Foyer: imports, exports, bulk work, mail. `serve` starts one beside the web workers."""

from functools import partial

from app import create_app, jobs
from app.commands import CommandError
from app.commands.serve import end_with_parent


def add_arguments(parser):
    parser.add_argument("--once", action="store_true", help="do what waits, then end")
    parser.add_argument("--end-with-parent", action="store_true", help="end when whoever started it is gone")


def run(args, settings):
    say = partial(print, flush=True)
    if args.end_with_parent:
        end_with_parent()
    app = create_app(settings)
    if args.once:
        jobs.sweep(app)
        return
    if settings.is_sqlite and not settings.FOYER_HOME.is_dir():
        raise CommandError(f"There is no instance in {settings.FOYER_HOME}; `run.py upgrade` makes one.")
    say("Working. Stop it with Ctrl-C.")
    jobs.work(app)
