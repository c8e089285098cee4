"""Where the texts come from: named, own and downloaded ones, and all that servers, caches and files can do wrong."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import common
import platformdirs
import pytest
from common import STORY, needs_book

from course_utils import corpora, d2l, load_data_time_machine

BOOK = b"The Time Traveller (for so it will be convenient to speak of him)\n" * 100


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own, and nothing tried yet in this session."""
    monkeypatch.setattr(corpora, "cache_path", lambda: tmp_path / "cache" / "rnn-course" / "timemachine.txt")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    corpora._book_or_reason.cache_clear()
    yield corpora.cache_path()
    corpora._book_or_reason.cache_clear()


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a server at the book's address, with `answer(handler, stop)`; returns its requests."""
    servers, stop = [], threading.Event()

    def start(answer):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                answer(self, stop)

            def log_message(self, *words):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(corpora, "BOOK_URL", f"http://127.0.0.1:{servers[-1].server_address[1]}/timemachine.txt")
        return requests

    yield start
    stop.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def book_is_small(monkeypatch):
    monkeypatch.setattr(corpora, "BOOK_SHA1", hashlib.sha1(BOOK).hexdigest())


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setattr(corpora, "BOOK_URL", "http://127.0.0.1:9/timemachine.txt")  # the discard port refuses at once


def reply(data, status=200, length=None):
    def answer(handler, stop):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def drip(handler, stop):
    """Send a byte now and then, for ten seconds: no single read ever waits long enough for a socket's time-out."""
    handler.send_response(200)
    handler.end_headers()
    for byte in BOOK[:100]:
        if stop.wait(0.1):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def hang(handler, stop):
    stop.wait(60)


def reset(handler, stop):
    """Close the connection without a word."""


def garbage(handler, stop):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def unwrapped(printed):
    """The printed lines as one; each must fit the page unless it is a single long path."""
    assert all(len(line) <= 88 or " " not in line for line in printed.splitlines())
    return printed.replace("\n", " ")


def files_in(cache):
    return [path for path in cache.parent.parent.rglob("*") if path.is_file()]


def test_a_download_is_checked_kept_and_not_repeated(cache, serve, book_is_small, capsys):
    requests = serve(reply(BOOK))
    for _ in range(2):
        corpora._book_or_reason.cache_clear()  # as a new session would
        assert corpora.find() == corpora.find("auto") == corpora.find("time_machine")
        assert corpora.find().path == corpora.download_book() == cache
    load_data_time_machine(2, 3)
    assert capsys.readouterr().out.startswith("Text: The Time Machine, by H. G. Wells. ")
    assert cache.read_bytes() == corpora.find().text.encode() == BOOK
    assert files_in(cache) == [cache]
    assert len(requests) == 1


@pytest.mark.parametrize(("answer", "reason"), [
    pytest.param(reply(b"<html>Please log in</html>"), "26 bytes of something else", id="error page, status 200"),
    pytest.param(reply(BOOK[:-1]), f"{len(BOOK) - 1:,} bytes of something else", id="one byte short"),
    pytest.param(reply(b""), "0 bytes of something else", id="empty"),
    pytest.param(reply(BOOK[:700], length=len(BOOK)), "700 bytes of something else|IncompleteRead", id="truncated"),
    pytest.param(reply(b"x" * 1_500_000), "1,000,000 bytes of something else", id="too long"),
    pytest.param(reply(BOOK, status=404), "HTTP Error 404: Not Found", id="404"),
    pytest.param(reply(BOOK, status=500), "HTTP Error 500", id="500"),
    pytest.param(drip, "no answer within 0.5 seconds", id="slow drip"),
    pytest.param(hang, "no answer within 0.5 seconds|timed out", id="hanging"),
    pytest.param(reset, "closed connection|[Rr]eset", id="closed at once"),
    pytest.param(garbage, r"SSH-2\.0", id="no HTTP"),
    pytest.param(None, "refused", id="no server"),
])  # fmt: skip
def test_a_bad_answer_is_named_and_not_kept(answer, reason, cache, serve, unreachable, book_is_small):
    if answer:
        serve(answer)
    timeout = 0.5 if answer in (drip, hang) else 30  # the others answer at once, however busy the machine
    with pytest.raises(corpora.DownloadError, match=f"The Time Machine was not downloaded: .*({reason})"):
        corpora.download_book(timeout)
    assert files_in(cache) == []


def test_a_look_up_that_hangs_is_given_up(monkeypatch):
    """Sockets' time-outs do not bound the look-up of a name; the thread does."""
    found = threading.Event()

    def look_up(url, timeout):
        found.wait(10)
        raise OSError("too late")

    monkeypatch.setattr(corpora.urllib.request, "urlopen", look_up)
    with pytest.raises(corpora.DownloadError, match=r"no answer within 0\.1 seconds"):
        corpora.download_book(timeout=0.1)
    found.set()


@pytest.mark.parametrize("content", [b"", BOOK[:-1], b"<html>"])
def test_a_damaged_file_in_the_cache_is_never_used_but_replaced(content, cache, unreachable, serve, book_is_small):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    assert corpora.find("auto").path == STORY
    serve(reply(BOOK))
    assert corpora.download_book().read_bytes() == BOOK
    assert files_in(cache) == [cache]


def test_many_at_once_agree(cache, serve, book_is_small):
    serve(reply(BOOK))
    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(corpora.download_book, [30] * 6)] == [cache] * 6
    assert cache.read_bytes() == BOOK
    assert files_in(cache) == [cache]


def block_directory(cache, monkeypatch):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the cache directory should be")


def block_file(cache, monkeypatch):
    cache.mkdir(parents=True)  # it cannot be read either, and counts as absent


def fill_disk(cache, monkeypatch):
    monkeypatch.setattr(corpora.os, "replace", mock.Mock(side_effect=OSError(28, "No space left on device")))


def forbid_directory(cache, monkeypatch):
    monkeypatch.setattr(corpora.Path, "mkdir", mock.Mock(side_effect=PermissionError(13, "Permission denied")))


@pytest.mark.parametrize("spoil", [block_directory, block_file, fill_disk, forbid_directory])
def test_a_cache_that_cannot_be_written_leaves_the_story(spoil, cache, serve, book_is_small, monkeypatch, capsys):
    serve(reply(BOOK))
    spoil(cache, monkeypatch)
    before = files_in(cache)
    assert corpora.find("auto").path == STORY
    load_data_time_machine(2, 3)
    words = f"Text: the course's own story (The Time Machine cannot be kept in {cache.parent}: "
    assert unwrapped(capsys.readouterr().out).startswith(words)
    assert files_in(cache) == before


def test_auto_tries_once_in_a_session(serve, capsys):
    requests = serve(reply(b"", status=404))
    assert corpora.find("story").path == STORY
    assert requests == []
    for _ in range(3):
        _, vocab = load_data_time_machine(32, 35)
    assert len(requests) == 1
    assert len(vocab) == 28
    printed = unwrapped(capsys.readouterr().out)
    reason = "The Time Machine was not downloaded: HTTP Error 404: Not Found"
    assert printed.count(f"Text: the course's own story ({reason}). 10,000 tokens to train on, ") == 3


def test_the_book_by_name_is_never_replaced_by_the_story(unreachable):
    for _ in range(2):
        with pytest.raises(corpora.DownloadError):
            load_data_time_machine(32, 35, corpus="time_machine")


def test_the_cache_is_in_the_users_cache_directory(monkeypatch):
    monkeypatch.undo()
    assert corpora.cache_path() == platformdirs.user_cache_path("rnn-course") / "timemachine.txt"


def test_the_address_and_the_hash_are_the_books():
    assert d2l.DATA_HUB["time_machine"] == (corpora.BOOK_URL, corpora.BOOK_SHA1)


@needs_book
def test_the_real_book_is_within_the_limit():
    assert hashlib.sha1(common.BOOK.read_bytes()).hexdigest() == corpora.BOOK_SHA1
    assert common.BOOK.stat().st_size < corpora.BOOK_SIZE_LIMIT


@pytest.mark.parametrize(("content", "message"), [
    pytest.param(b"", "is empty", id="empty"),
    pytest.param(b" \n\t\r\n", "is empty", id="white space"),
    pytest.param(b"\x89PNG\r\n\x1a\n\0\0", r"is not UTF-8 text \(byte 0\)", id="picture"),
    pytest.param(b"GIF89a\0\1\0", "is a binary file", id="binary in ASCII"),
    pytest.param("time traveller".encode("utf-16"), r"is not UTF-8 text \(byte 0\)", id="UTF-16"),
    pytest.param("time traveller".encode("utf-16-le"), "is a binary file", id="UTF-16 without a mark"),
    pytest.param("voyageur zélé".encode("latin-1"), r"is not UTF-8 text \(byte 10\)", id="Latin-1"),
])  # fmt: skip
def test_own_files_that_are_no_text(content, message, tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_data_time_machine(1, 1, corpus=path)
    assert str(path) in str(caught.value)


def test_own_files_that_are_not_there(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    for name in ("folder.txt", "missing.txt"):
        with pytest.raises(FileNotFoundError, match=f"there is no text file .*{name}"):
            corpora.find(tmp_path / name)
    for name in ("Story", "time machine", "notes.docx", "", "auto.TEXT", "story.txt.gz"):
        with pytest.raises(ValueError, match=r'it must be "auto", "time_machine", "story" or a \.txt file'):
            corpora.find(name)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_an_own_file_by_any_path(kind, tmp_path, monkeypatch):
    path = tmp_path / "Mein Text.TXT"
    path.write_bytes("\ufeffzwei\r\nZeilen\rund drei".encode())
    found = corpora.find(kind(path))
    assert found.text == "zwei\nZeilen\nund drei"
    assert str(found) == "Text: Mein Text.TXT."
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert corpora.find("~/Mein Text.TXT").path == path
    monkeypatch.chdir(tmp_path)
    assert corpora.find("Mein Text.TXT").text == found.text
