"""Real servers of others, started by the tests on loopback: a directory (slapd) and an OpenID Connect provider."""

import socket
import time


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, log, seconds=120):
    """Wait until somebody listens on this port; what he wrote is told when he does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"it does not listen on {port}: {log.read_text()}")


def stop(process):
    """End a server that was started here."""
    process.terminate()
    try:
        process.wait(60)
    except Exception:
        process.kill()
        process.wait()
        raise
