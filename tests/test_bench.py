"""The measuring itself, at a thousand contacts: what it builds holds together, and every page it asks for answers."""

import json
import socket
import sqlite3
import threading
from contextlib import closing

import pytest

from bench import __main__ as bench
from bench import data, home
from bench.measure import Browser, Series, Wrong, form_fields, measure

ROWS = 1000


@pytest.fixture(scope="module")
def bench_home(tmp_path_factory):
    """A home for the measuring, with nothing in it yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOYER_BENCH_HOME", str(tmp_path_factory.mktemp("bench")))
        patch.setenv("WORKERS", "1")
        yield home.folder()


@pytest.fixture(scope="module")
def built(bench_home):
    """The database of so many contacts."""
    data.ensure("sqlite", ROWS, say=_silent)
    return bench_home / f"{data.database(ROWS)}.db"


def test_every_row_has_its_change_and_its_search_entry(built):
    sizes = data.Sizes(ROWS)
    expected = {
        "company": sizes.companies,
        "contact": sizes.contacts,
        "deal": sizes.deals,
        "activity": sizes.activities,
    }
    for table, number in expected.items():
        assert _ask(built, f"SELECT count(*) FROM {table}") == [(number,)]
        changes = "SELECT count(DISTINCT record_id) FROM change WHERE action = 'add' AND entity = ?"
        assert _ask(built, changes, table) == [(number,)]
        assert _ask(built, "SELECT count(*) FROM search_entry WHERE entity = ?", table) == [(number,)]
    assert _ask(built, "PRAGMA foreign_key_check") == []


def test_the_rep_sees_the_least_and_the_head_a_part(built):
    person = {name: bench.foyer.Person("sqlite", ROWS, name, browser=None) for name in data.PEOPLE}
    seen = {
        name: _ask(built, f"SELECT count(*) FROM contact WHERE {one.seen}")[0][0]
        for name, one in person.items()
    }
    assert 0 < seen["rep"] < seen["head"] < seen["director"] == ROWS


def test_what_was_built_for_an_older_schema_is_brought_up_to_date(built):
    before, stamp = built.stat().st_ino, home.instance("sqlite", ROWS) / "built.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"schema": "an older one"}))
    data.ensure("sqlite", ROWS, say=_silent)
    assert built.stat().st_ino == before and json.loads(stamp.read_text()) == data._stamp(ROWS)


def test_what_is_built_is_not_built_again(built):
    before = built.stat().st_ino
    data.ensure("sqlite", ROWS, say=pytest.fail)
    assert built.stat().st_ino == before


def test_every_line_is_measured_and_written_down(built, capsys):
    code = bench.main(["--engine", "sqlite", "--rows", str(ROWS), "--tries", "1", "--no-peers"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    for line in ("first page", "page 10,000", "search", "record", "save"):
        assert f"  {line} " in printed
    written = json.loads((home.folder() / "partial.json").read_text())["engines"]["sqlite"]
    assert {row["who"] for row in written["lines"][0]["foyer"]} == set(data.PEOPLE)
    assert written["export"]["rows"] == ROWS


def test_tries_are_taken_in_turns():
    order = []

    def asker(name):
        return lambda number: order.append((name, number)) or float(number)

    several = [Series("line", name, 1, asker(name), house=name[:3]) for name in ("one", "one more", "other")]
    measure(several, tries=20, warm_ups=1)
    rounds = [[name for name, at in order if at == number] for number in range(21)]
    assert all(sorted(one) == ["one", "one more", "other"] for one in rounds)
    assert all(one.index("other") != 1 for one in rounds)  # a house's questions stand together
    assert len({tuple(one) for one in rounds}) == 4  # in every order that leaves
    assert all(one.times == [float(number) for number in range(1, 21)] for one in several)


def test_a_line_that_grows_too_much_is_missed():
    own = [Series("list", "rep", rows, None, [time]) for rows, time in ((10, 1.0), (1000, 2.5))]
    missed = []
    bench._judged("list", own, None, None, missed)
    assert missed == ["list, rep: 2.5 times slower than at 10 rows"]


def test_a_line_that_is_not_fast_enough_is_missed():
    own = [Series("list", "rep", rows, None, [2.0]) for rows in (10, 1000)]
    peer = Series("list", "Flask-Admin", 1000, None, [8.0])
    missed = []
    bench._judged("list", own, peer, bench.Promise(5), missed)
    assert missed == ["list, rep: 4.0 times faster than Flask-Admin, not 5"]


def test_a_form_is_sent_back_as_a_browser_would():
    page = """<form><input name="q"></form>
      <form><input name="city" value="K&ouml;ln"><input type="checkbox" name="a"><input type="submit" name="b">
      <select name="kind"><option value="1">One</option><option value="2" selected>Two</option></select>
      <textarea name="notes">a &lt; b</textarea></form>"""
    assert form_fields(page, "city") == {"city": "Köln", "kind": "2", "notes": "a < b"}
    with pytest.raises(Wrong):
        form_fields(page, "country")


def _ask(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def _silent(_line):
    pass


ANSWERS = {
    "by its length": b"HTTP/1.1 200 OK\r\nContent-Length:3\r\n\r\nyes",
    "in pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n2;x=1\r\nes\r\n0\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyes",
    "after a word before": b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
    "with a cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\nContent-Length: 3\r\n\r\nyes",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_browser_of_the_bench_reads_what_servers_answer_whole_or_in_bits(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = []

        def serve():
            """The whole answer on the first connection, byte by byte on the second; hangs up after each."""
            for bits in ([answer], [answer[place : place + 1] for place in range(len(answer))]):
                connection, _ = server.accept()
                with connection:
                    told.append(connection.recv(1 << 16))
                    for bit in bits:
                        connection.sendall(bit)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        browser = Browser(server.getsockname()[1])
        assert [browser.get("/", holds="yes").body for _ in range(2)] == ["yes", "yes"]
        serving.join(60)
    assert told[0].startswith(b"GET / HTTP/1.1\r\n") and told[1].startswith(b"GET / HTTP/1.1\r\n")
    assert browser.cookies == ({"a": "b", "c": "d"} if b"Set-Cookie" in answer else {})
