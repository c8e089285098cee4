"""Where the texts come from: named, own and downloaded ones, and all that servers, caches and files can do wrong."""

import gzip
import hashlib
import os
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
    monkeypatch.setattr(corpora, "BOOK_SHA256", hashlib.sha256(BOOK).hexdigest())


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


def redirect(to):
    def answer(handler, stop):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib leaves a bad redirect's socket
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
    pytest.param(lambda handler, stop: None, "closed connection|[Rr]eset", id="closed at once"),
    pytest.param(lambda handler, stop: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), r"SSH-2\.0", id="no HTTP"),
    pytest.param(None, "refused", id="no server"),
    *(pytest.param(redirect(to), r"\S", id=to) for to in ("http://[", "http://a:b/", "//\t", "ftp:x", "file:///etc/passwd")),
    pytest.param(redirect("/"), "infinite loop", id="redirects to itself"),
])  # fmt: skip
def test_a_bad_answer_is_named_and_not_kept(answer, reason, cache, serve, unreachable, book_is_small, capfd):
    if answer:
        serve(answer)
    timeout = 0.5 if answer in (drip, hang) else 30  # the others answer at once, however busy the machine
    with pytest.raises(corpora.DownloadError, match=f"The Time Machine was not downloaded: .*({reason})") as caught:
        corpora.download_book(timeout)
    assert files_in(cache) == []
    assert capfd.readouterr().err == ""
    message = str(caught.value)
    assert message.isprintable()  # one line
    assert ("no answer" in message or "timed out" in message) == (answer in (drip, hang))
    assert len(message) < 200


def test_a_look_up_that_hangs_is_given_up(monkeypatch):
    """Sockets' time-outs do not bound the look-up of a name; the thread does, and keeps no Python alive."""
    found, before = threading.Event(), set(threading.enumerate())

    def look_up(url, timeout):
        found.wait(10)
        raise OSError("too late")

    monkeypatch.setattr(corpora.urllib.request, "urlopen", look_up)
    with pytest.raises(corpora.DownloadError, match=r"no answer within 0\.1 seconds"):
        corpora.download_book(timeout=0.1)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    found.set()
    thread.join()


def test_bytes_are_on_the_disk_before_they_get_their_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "a.txt", []
    monkeypatch.setattr(corpora.os, "fsync", lambda file: seen.append((os.fstat(file).st_size, path.exists())))
    for data in (b"first", b"and second"):
        corpora.write_atomically(path, data)
        assert path.read_bytes() == data
    assert seen == [(5, False), (10, True)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_is_wrapped_where_the_page_ends_and_paths_stay_in_one_piece():
    for line in ("x" * 43 + " " + "x" * 44, "a-b" * 40, "ab/" * 40):
        assert corpora.wrapped(line) == line
    assert corpora.wrapped("x" * 44 + " " + "x" * 44) == "x" * 44 + "\n" + "x" * 44


def test_https_comes_first_and_then_what_the_book_asks_for(monkeypatch):
    asked = []
    monkeypatch.setattr(corpora, "_answer", lambda *asks: asked.append(asks) or f"{len(asked)}. failed")
    with pytest.raises(corpora.DownloadError, match=r"2\. failed"):
        corpora.download_book(timeout=3)
    assert asked == [(corpora.BOOK_URL, 1.5), (d2l.DATA_HUB["time_machine"][0], 1.5)]
    monkeypatch.setattr(corpora, "_answer", lambda url, _: b"the book" if url.startswith("https:") else "too late")
    assert corpora.download_book().read_bytes() == b"the book"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_pipe_where_the_cache_should_be_counts_as_absent(cache, serve, book_is_small):
    cache.parent.mkdir(parents=True)
    os.mkfifo(cache)
    serve(reply(BOOK))
    assert corpora.download_book(30).read_bytes() == BOOK


@pytest.mark.parametrize("hash", ["BOOK_SHA1", "BOOK_SHA256"])
def test_both_hashes_count(hash, cache, serve, book_is_small, monkeypatch):
    monkeypatch.setattr(corpora, hash, "0")
    serve(reply(BOOK))
    with pytest.raises(corpora.DownloadError, match="something else"):
        corpora.download_book(30)


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


FORBIDDEN, FULL = PermissionError(13, "Permission denied"), OSError(28, "No space left on device")
SPOILED = {
    "a file for a directory": lambda cache, _: (cache.parents[1].mkdir(), cache.parent.write_text("a file")),
    "a directory, which counts as absent": lambda cache, _: cache.mkdir(parents=True),
    "a full disk": lambda _, patch: patch.setattr(corpora.os, "replace", mock.Mock(side_effect=FULL)),
    "no right to write": lambda _, patch: patch.setattr(corpora.Path, "mkdir", mock.Mock(side_effect=FORBIDDEN)),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_cache_that_cannot_be_written_leaves_the_story(name, cache, serve, book_is_small, monkeypatch, capsys):
    serve(reply(BOOK))
    SPOILED[name](cache, monkeypatch)
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
    assert d2l.DATA_HUB["time_machine"] == (corpora.BOOK_URL.replace("https:", "http:"), corpora.BOOK_SHA1)


@needs_book
def test_the_real_book_is_within_the_limit():
    assert corpora._is_book(common.BOOK)
    assert common.BOOK.stat().st_size < corpora.BOOK_SIZE_LIMIT


@pytest.mark.parametrize(("content", "message"), [
    pytest.param(b"", "is empty", id="empty"),
    pytest.param(b" \n\t\r\n", "is empty", id="white space"),
    pytest.param("\ufeff\u00a0\u2003".encode(), "is empty", id="white space of other kinds"),
    pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "is a binary file", id="picture"),
    pytest.param(b"GIF89a\0\1\0", "is a binary file", id="binary in ASCII"),
    pytest.param(bytes(range(256)) * 9, "is a binary file", id="all bytes"),
    pytest.param(gzip.compress(b"time traveller"), "is compressed with gzip; unpack it", id="gzip"),
    pytest.param("für die schöne Müllerin ".encode() * 9 + b"\xfc", r"characters are damaged \(1\)", id="damaged"),
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


OWN = {
    "de": "Es war einmal mitten im Winter, und die Schneeflocken fielen wie Federn. Da saß eine Königin und nähte. "
    "»Hätt ich ein Kind, so weiß wie Schnee!« Bald darauf bekam sie ein Töchterlein, das war so schön wie sie.\n",
    "zh": "床前明月光，疑是地上霜。举头望明月，低头思故乡。白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n",
    "zh_TW": "舉頭望明月，低頭思故鄉。白日依山盡，黃河入海流。欲窮千里目，更上一層樓。夜來風雨聲，獨釣寒江雪。\n",
    "ja": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。ニャーニャー泣いていた。\n",
    "el": "Ο γέρος ψαράς κοίταζε τη θάλασσα κάθε πρωί, ώσπου ένα καράβι φάνηκε μακριά στον ορίζοντα.\n",
    "he": "הדייג הזקן יצא בכל בוקר אל האגם, ואיש לא ידע מה יביא יום המחר אל הכפר הקטן שלו.\n",
    "ar": "كان الصياد العجوز يخرج كل صباح إلى البحيرة ولم يعرف أحد ماذا سيحمل الغد إلى القرية الصغيرة.\n",
    "ko": "늙은 어부는 아침마다 호수로 나갔고, 마을 사람들은 내일 무슨 일이 생길지 아무도 몰랐다.\n",
    "ru": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n",
}
ENCODINGS = [
    *[("de", "cp1252", "Windows-1252"), ("ru", "cp1251", "Windows-1251"), ("ru", "koi8_r", "KOI8-R")],
    *[("zh", "gb18030", "GB18030"), ("zh", "gbk", "GB18030"), ("zh_TW", "big5", "Big5")],
    *[("ja", "shift_jis", "Shift JIS"), ("ja", "euc_jp", "EUC-JP")],
    *[(language, encoding, "UTF-16") for language in OWN for encoding in ("utf-16", "utf_16_le", "utf_16_be")],
    *[(language, encoding, "UTF-32") for language in OWN for encoding in ("utf-32", "utf_32_be")],
    *[("el", "cp1253", "Windows-1253"), ("he", "cp1255", "Windows-1255"), ("ar", "cp1256", "Windows-1256")],
    *[("ru", "cp866", "DOS 866"), ("ru", "iso8859_5", "ISO 8859-5"), ("ko", "euc_kr", "EUC-KR")],
]


@pytest.mark.parametrize("times", [3, 60])
@pytest.mark.parametrize(("language", "encoding", "name"), ENCODINGS)
def test_an_encoding_is_recognised_and_named(language, encoding, name, times, tmp_path, capsys):
    path, text = tmp_path / "own.txt", OWN[language] * times
    path.write_bytes(text.encode(encoding))
    assert corpora.find(path).text == text
    load_data_time_machine(2, 3, corpus=path)
    assert f"Text: own.txt (read as {name}; if that is wrong, save it as UTF-8). " in unwrapped(capsys.readouterr().out)


LATIN = {  # a text whose letters are those of one language, and the encodings it is kept in
    "O avô não achou os óculos; às três, o pão já tinha acabado. “Está bem”, disse ele.\n": "cp1252 mac_roman",
    "Perché la città è così lontana? Più giù c’è già il mare — disse lei.\n": "cp1252 mac_roman",
    "Łódź śpi, księżyc świeci, a źrebię pije wodę; mąż wróci później.\n": "cp1250 iso8859_2 cp852",
    "Őszi fény ült a hűvös tó fölött; később elindult az öreg révész.\n": "cp1250 iso8859_2",
    "Güneş doğdu, küçük kız ağaçların altında çay içti; şarkı söylüyordu.\n": "cp1254",
    "Žvejys kiekvieną rytą eidavo prie ežero, į šaltį; jį lydėjo šuo ir trys žąsys.\n": "cp1257",
    "The café was closed, and “nobody” knew why … she said — twice.\n": "cp1252 mac_roman",
    "Äiti lähti järvelle, ja hän jäi kotiin; sää oli hyvä.\n": "cp1252 mac_roman",
}


@pytest.mark.parametrize("times", [3, 400])
@pytest.mark.parametrize(("text", "encoding"), [(text, one) for text in LATIN for one in LATIN[text].split()])
def test_of_the_encodings_of_latin_letters_the_one_counts_that_makes_one_language(text, encoding, times, tmp_path):
    (tmp_path / "own.txt").write_bytes((text * times).encode(encoding))
    assert corpora.find(tmp_path / "own.txt").text == text * times


@pytest.mark.parametrize("language", OWN)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_needs_no_guess(language, mark, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora.charset_normalizer, "from_bytes", mock.Mock(side_effect=AssertionError))
    (tmp_path / "own.txt").write_bytes((mark + OWN[language]).encode())
    assert corpora.read(tmp_path / "own.txt") == (OWN[language], [])


@pytest.mark.parametrize(("header", "footer"), [
    ("*** START OF THE PROJECT GUTENBERG EBOOK X,\nOR Y ***", "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicence"),
    ("***START OF THIS PROJECT GUTENBERG EBOOK X***", "***END OF THIS PROJECT GUTENBERG EBOOK X***"),
    ("*** START OF THIS PROJECT GUTENBERG ETEXT X ***", "End of Project Gutenberg's X, by Y\n\n*** END OF THIS ..."),
    ("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*", "End of the Project Gutenberg EBook of X"),
    ("*** START OF THE PROJECT GUTENBERG EBOOK X ***", ""),
    (None, "*** END OF THE PROJECT GUTENBERG EBOOK X ***"),
])  # fmt: skip
def test_what_project_gutenberg_adds_is_left_out_and_the_line_says_so(header, footer, tmp_path, capsys):
    path = tmp_path / "own.txt"
    text = "\nI\n\nProject Gutenberg is *** the start *** of it.\nThe end of it, and more.\n"
    path.write_text((f"Licence\n{header}\n" if header else "") + text + (f"\n{footer}\n" if footer else ""))
    assert corpora.find(path).text.strip() == text.strip()
    load_data_time_machine(2, 3, corpus=path)
    assert "(Project Gutenberg's header and licence left out)" in unwrapped(capsys.readouterr().out)
