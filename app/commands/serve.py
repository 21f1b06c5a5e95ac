"""Serve Foyer: bring the database up to date, then answer on HOST and PORT with several workers."""

import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from app.commands import CommandError
from config import BASE, THREADS

# Made by the parent, inherited by the workers it forks: a second start, and a renewed worker, need not wait.
_app = None


def add_arguments(parser):
    parser.add_argument("--demo", action="store_true", help="load the demo company if the database is empty")


def run(args, settings):
    address = _address(settings)
    if args.demo and not settings.is_loopback:
        raise CommandError(_demo_in_public(settings))
    accounts = _prepare(settings, demo=args.demo)
    _serve(settings, address, accounts)


def _address(settings):
    """The numeric address behind HOST; ours and free, which nobody else would tell: workers share a port."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.HOST, settings.PORT, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise CommandError(f"HOST is “{settings.HOST}”, but this machine knows no such address.")
    except OSError as error:
        raise CommandError(_why_not_bound(error, settings))
    return address[0]


def _why_not_bound(error, settings):
    if error.errno == errno.EADDRINUSE:
        return f"Port {settings.PORT} is already in use; stop what uses it, or set PORT to another number."
    if error.errno == errno.EACCES:
        return f"Port {settings.PORT} is reserved for root; set PORT to a number above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST is “{settings.HOST}”, but that is no address of this machine."
    return f"Cannot listen on {settings.HOST}, port {settings.PORT}: {error.strerror}."


def _prepare(settings, *, demo):
    """Migrate, and see that somebody can sign in; returns what to tell the operator about accounts."""
    from app import access, create_app, security
    from app.commands.demo import load_if_empty
    from app.commands.upgrade import upgrade
    from app.extensions import db

    global _app
    gc.disable()  # see run.py
    say = partial(print, flush=True)
    _app = create_app(settings)
    upgrade(_app, say=say)
    if demo:
        load_if_empty(_app, say=say)
    with _app.app_context():
        with access.system_session("the first account", door="command") as session:
            first = security.create_first_admin(session)
            has_demo = security.has_demo_accounts(session)
        db.engine.dispose()  # no worker may inherit a connection
    gc.freeze()  # what is loaded by now stays: no worker need look through it, or copy it by doing so
    gc.enable()
    if has_demo and not settings.is_loopback:
        raise CommandError(_demo_in_public(settings))
    if first:
        username, password = first
        return [f"  The first account: {username}, password {password} (shown once)"]
    if has_demo:
        return [
            f"  Demo accounts, password {security.DEMO_PASSWORD}:",
            f"    {', '.join(security.DEMO_USERNAMES)}",
        ]
    return []


def _demo_in_public(settings):
    return (
        f"HOST is “{settings.HOST}”, but demo accounts have a password that everybody knows: "
        "they are served on 127.0.0.1 only."
    )


def _serve(settings, address, accounts):
    shown = f"[{address}]" if ":" in address else address
    server = _Server(
        "foyer",
        address=address,
        port=settings.PORT,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.WORKERS,
        blocking_threads=THREADS,
        backlog=1024,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        log_level=LogLevels.debug if settings.LOG_LEVEL == "debug" else LogLevels.error,
    )
    server.on_startup(_end_with_the_terminal(server))
    worker = _JobWorker(settings)
    lines = ["", f"Foyer is ready: http://{shown}:{settings.PORT}", *accounts, "  Stop it with Ctrl-C."]

    def ready():
        print(*lines, sep="\n", flush=True)
        worker.start()

    server.ready = ready
    server.main_loop_interrupt = _Interrupt()
    try:
        server.serve(target_loader=_Worker(settings), wrap_loader=False)
    finally:
        worker.end()


class _Server(Server):
    """Granian, which says when it answers: its own word comes before the first worker has loaded."""

    def _spawn_workers(self, spawn_target, target_loader):
        super()._spawn_workers(spawn_target, target_loader)
        threading.Thread(target=self._announce, daemon=True).start()

    def _announce(self):
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind_addr, self.bind_addr)
        while not self.interrupt_signal:
            try:
                socket.create_connection((address, self.bind_port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return self.ready()


class _Interrupt:
    """What Granian's main thread sleeps on until a signal handler, or the end of a worker, sets it.

    A `threading.Event` there may sleep for ever: its own lock is held as the handler asks for it, or the signal
    comes in the moment before it falls asleep. This one has no lock, and looks again. To wait is to clear:
    what is set while the main thread is busy wakes it again.
    """

    PAUSE = 0.1  # seconds

    def __init__(self):
        self.is_set = False

    def set(self):
        self.is_set = True

    def wait(self):
        while not self.is_set:
            time.sleep(self.PAUSE)
        self.is_set = False

    def clear(self):
        """Nothing: a signal that came since `wait` must not be forgotten."""


class _JobWorker:
    """`run.py work` beside the web workers: begun when they answer, begun anew when it dies, ended with them."""

    PAUSE = 5  # seconds before it is begun anew: it may die at once each time

    def __init__(self, settings):
        self.environment = {**os.environ, "FOYER_HOME": str(settings.FOYER_HOME)}
        self.process, self.over = None, threading.Event()
        self.beginning = threading.Lock()  # none is begun once the end has come

    def start(self):
        threading.Thread(target=self._keep_running, daemon=True).start()

    def _keep_running(self):
        while self._began():
            self.process.wait()
            self.over.wait(self.PAUSE)

    def _began(self):
        with self.beginning:
            if self.over.is_set():
                return False
            self.process = subprocess.Popen(
                [sys.executable, str(BASE / "run.py"), "work", "--end-with-parent"],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which then ends it in order
            )
            return True

    def end(self):
        with self.beginning:
            self.over.set()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


class _Worker:
    """Makes the application inside a worker; a class, so that a process that was not forked can get it."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self):
        os.setpgid(0, 0)  # Ctrl-C in a terminal is for the parent, which then ends its workers in order
        end_with_parent()
        gc.set_threshold(20_000, 20, 20)  # a page makes thousands of objects that live no longer than it does
        if _app is not None:
            return _app
        from app import create_app

        return create_app(self.settings)


def end_with_parent():
    """Have the kernel end this worker when the parent is killed: nobody serves without anyone in charge."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _end_with_the_terminal(server):
    """A closed terminal ends the server; Granian would only renew its workers. `nohup` keeps its meaning."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN

    def hook():
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else server.signal_handler_interrupt)

    return hook
