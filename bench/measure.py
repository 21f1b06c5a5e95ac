"""How it is measured: a browser without a screen, a server that is started and ended, and the middle of many tries."""

import html
import http.client
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin

WARM_UPS, TRIES = 5, 40
SEED = 20260101  # of the order in which all are asked


class Wrong(Exception):
    """A page that is not what was to be measured: its time would say nothing."""


@dataclass
class Answer:
    """What came back, and after how many milliseconds."""

    status: int
    body: str
    location: str | None
    milliseconds: float


class Browser:
    """One visitor: keeps his cookies and, where the server does, his connection. Redirects are not followed.

    It reads what HTTP asks for and no more, because the standard library's client takes a millisecond for a page,
    which would be measured along with a server that takes five.
    """

    def __init__(self, port):
        self.port, self.cookies, self.wire = port, {}, None

    def get(self, path, *, holds=""):
        """A page that must come, with these words on it."""
        answer = self._ask("GET", path)
        if answer.status != 200 or holds not in answer.body:
            raise Wrong(f"GET {path}: {answer.status}, without “{holds}”\n{answer.body[:2000]}")
        return answer

    def post(self, path, fields):
        """Send a form off; a form that was accepted is answered by the way to the next page."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Referer": f"http://127.0.0.1:{self.port}{path}",
        }
        answer = self._ask("POST", path, urlencode(fields), headers)
        if answer.status not in (302, 303):
            raise Wrong(f"POST {path}: {answer.status}, not accepted\n{answer.body[:2000]}")
        return answer

    def stream(self, path, take):
        """A long answer, piece by piece into `take`; returns its length and its seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        began, length = time.perf_counter(), 0
        connection.request("GET", path, headers=self._headers())
        response = connection.getresponse()
        if response.status != 200:
            raise Wrong(f"GET {path}: {response.status}")
        while piece := response.read(1 << 16):
            length += len(piece)
            take(piece)
        connection.close()
        return length, time.perf_counter() - began

    def _headers(self):
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Accept": "text/html,*/*"} | ({"Cookie": cookies} if cookies else {})

    def _ask(self, method, path, body="", headers=None):
        body = body.encode()
        headers = {"Host": f"127.0.0.1:{self.port}", **self._headers(), **(headers or {})}
        if method == "POST":
            headers["Content-Length"] = len(body)
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        began = time.perf_counter()
        try:
            status, fields, content = self._exchange(request)
        except ConnectionError:
            # The server has closed the connection it had kept: what every browser does then.
            self._hang_up()
            status, fields, content = self._exchange(request)
        milliseconds = (time.perf_counter() - began) * 1000
        location = None
        for name, value in fields:
            if name == "set-cookie":
                cookie, _, rest = value.partition("=")
                self.cookies[cookie] = rest.split(";")[0]
            elif name == "location":
                location = urljoin(path, value)
        return Answer(status, content.decode("utf-8", "replace"), location, milliseconds)

    def _exchange(self, request):
        """Send a request; returns status, header fields as (lower-case name, value), and the whole content."""
        if self.wire is None:
            self.wire = socket.create_connection(("127.0.0.1", self.port), timeout=300)
            self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire.sendall(request)
        status, content = 100, b""
        while status < 200:  # what comes before the answer itself is passed over
            head, content = self._until(content, b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            status = int(first.split(" ", 2)[1])
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        told = dict(fields)
        if status in (204, 304):
            content = b""
        elif "content-length" in told:
            pieces, missing = [content], int(told["content-length"]) - len(content)
            while missing > 0:
                pieces.append(self._receive())
                missing -= len(pieces[-1])
            content = b"".join(pieces)
        elif told.get("transfer-encoding") == "chunked":
            content = self._chunks(content)
        else:  # all that comes until the server closes
            pieces = [content]
            while piece := self.wire.recv(1 << 18):
                pieces.append(piece)
            content = b"".join(pieces)
            self._hang_up()
        if told.get("connection", "").lower() == "close":
            self._hang_up()
        return status, fields, content

    def _chunks(self, rest):
        pieces = []
        while True:
            size, rest = self._until(rest, b"\r\n")
            length = int(size.partition(b";")[0], 16)
            if not length:
                self._until(rest, b"\r\n")
                return b"".join(pieces)
            while len(rest) < length + 2:
                rest += self._receive()
            pieces.append(rest[:length])
            rest = rest[length + 2 :]

    def _until(self, seen, mark):
        """(what comes before this mark, what has come behind it), after what was seen already."""
        while mark not in seen:
            seen += self._receive()
        before, _, behind = seen.partition(mark)
        return before, behind

    def _receive(self):
        piece = self.wire.recv(1 << 18)
        if not piece:
            raise ConnectionResetError("the server has hung up")
        return piece

    def _hang_up(self):
        if self.wire is not None:
            self.wire.close()
            self.wire = None


FIELD = re.compile(
    r"<input\b([^>]*)>|<textarea\b([^>]*)>(.*?)</textarea>|<select\b([^>]*)>(.*?)</select>", re.DOTALL
)
FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
OPTION = re.compile(r"<option\b([^>]*)>")


def form_fields(page, field_name):
    """name -> value of the form that has this field, as a browser would send it back."""
    form = next((one for one in FORM.findall(page) if f'name="{field_name}"' in one), None)
    if form is None:
        raise Wrong(f"no form with the field “{field_name}”\n{page[:2000]}")
    fields = {}
    for of_input, of_text, text, of_select, options in FIELD.findall(form):
        attributes = of_input or of_text or of_select
        name, kind = _attribute(attributes, "name"), _attribute(attributes, "type") or "text"
        is_untaken = kind in ("submit", "button", "image", "reset", "file")
        is_unticked = kind in ("checkbox", "radio") and not re.search(r"\bchecked\b", attributes)
        if not name or is_untaken or is_unticked or re.search(r"\bdisabled\b", attributes):
            continue
        if of_select:
            chosen = [one for one in OPTION.findall(options) if re.search(r"\bselected\b", one)]
            first = chosen or ([] if re.search(r"\bmultiple\b", attributes) else OPTION.findall(options))
            if first:
                fields[name] = _attribute(first[0], "value") or ""
        else:
            fields[name] = (
                html.unescape(text).lstrip("\r\n") if of_text else _attribute(attributes, "value") or ""
            )
    return fields


def _attribute(attributes, name):
    found = re.search(rf'(?:^|\s){name}="([^"]*)"', attributes)
    return html.unescape(found[1]) if found else None


class Server:
    """A web server in processes of its own, on a free port, from entering to leaving."""

    def __init__(self, command, *, log, path="/", folder=None, environment=None, patience=300):
        self.port = _free_port()
        self.command = [str(part).replace("{port}", str(self.port)) for part in command]
        self.log, self.path, self.folder, self.patience = log, path, folder, patience
        self.environment = {**os.environ, **(environment or {}), "PORT": str(self.port)}

    def __enter__(self):
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + self.patience
        while not self._answers():
            if self.running.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise Wrong(f"{' '.join(self.command)} does not answer; its log: {self.log}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_error):
        if self.running.poll() is None:
            os.killpg(self.running.pid, signal.SIGTERM)
            try:
                self.running.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.running.pid, signal.SIGKILL)
                self.running.wait()

    def _answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):  # not there yet, or too slow while others keep the machine busy
            return False
        finally:
            connection.close()

    # ---- memory, where the system tells (Linux)

    def forget_peaks(self):
        """From now on the peak of each process begins anew."""
        for process in self._processes():
            with open(f"/proc/{process}/clear_refs", "w") as file:
                file.write("5")

    def peak_megabytes(self):
        """The most memory that any one of its processes has held at once."""
        return max(self._peak(process) for process in self._processes()) / 1024

    def _processes(self):
        children = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since it was listed
            children.setdefault(parent, []).append(int(name))
        found, stack = [], [self.running.pid]
        while stack:
            found.append(stack.pop())
            stack.extend(children.get(found[-1], ()))
        return found

    @staticmethod
    def _peak(process):
        with open(f"/proc/{process}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Series:
    """One question asked again and again: of whom, how, and how long each answer took."""

    line: str
    who: str  # a peer, or Foyer's role
    rows: int
    ask: object  # called with the number of the try; returns milliseconds
    times: list = field(default_factory=list)
    house: str = "Foyer"  # whose servers are asked

    @property
    def median(self):
        return statistics.median(self.times)

    @property
    def p95(self):
        return sorted(self.times)[round(0.95 * (len(self.times) - 1))]


def measure(several, tries=TRIES, warm_ups=WARM_UPS):
    """Ask all of them in turns, so that what else the machine does hits all alike: one house after the other, and its
    questions one after the other. In which order is drawn for each round, the same every time: whoever always came
    after a peer's long scan would always find the machine's caches empty, and whoever came next would not.
    """
    drawn, houses = random.Random(SEED), {}
    for one in several:
        houses.setdefault(one.house, []).append(one)
    for number in range(warm_ups + tries):
        for one in _drawn_order(drawn, [*houses.values()]):
            milliseconds = one.ask(number)
            if number >= warm_ups:
                one.times.append(milliseconds)


def _drawn_order(drawn, houses):
    for asked in drawn.sample(houses, len(houses)):
        yield from drawn.sample(asked, len(asked))


@dataclass
class Page:
    """Paths asked in turns by one browser; each must hold its words."""

    browser: Browser
    paths: list
    holds: str = ""

    def __call__(self, number):
        path = self.paths[number % len(self.paths)]
        return self.browser.get(path, holds=self.holds).milliseconds
