"""A served Foyer and a Chromium, for whoever wants to look at pages: the browser tests and the proofs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_SECONDS = 180  # a busy build server is slow


@contextmanager
def served(database_url, home):
    """Foyer's own `serve` on a free port, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "FOYER_HOME": str(home),
        "DATABASE_URL": database_url,
    }
    server = subprocess.Popen(
        [sys.executable, "run.py", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, is_ready = [], threading.Event()

    def listen():
        for line in server.stdout:
            said.append(line)
            if line.startswith("Foyer is ready"):
                is_ready.set()
        is_ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert is_ready.wait(START_SECONDS) and server.poll() is None, "".join(said)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        listener.join(5)
    faults = [line for line in said if line.startswith(("fault ", "Traceback"))]
    assert not faults, "".join(said)
