"""Where a text comes from: the course's own story, The Time Machine, or a file of the reader's.

The story is part of the package, so that everything works offline. The Time Machine is downloaded on demand from the
address the book's own code uses, checked against its hashes and kept in the user's cache directory.
"""

import collections
import contextlib
import functools
import hashlib
import http.client
import os
import queue
import re
import socket
import tempfile
import textwrap
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import charset_normalizer
import platformdirs

from course_utils.language import say

# The book's own code asks by HTTP, which is tried next
BOOK_URL = "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
BOOK_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"  # as in the book
BOOK_SHA256 = "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"
BOOK_SIZE_LIMIT = 1_000_000  # bytes; the real file has about 180,000
STORY_PATH = Path(__file__).parent / "data" / "story.txt"
CLUES = {  # encoding, in the order tried -> signs that make up 3 % of a text and more if it is the right one, else none
    "utf_32_le": "(?s:.)", "utf_32_be": "(?s:.)", "utf_16_le": "[ \n。，、]", "utf_16_be": "[ \n。，、]",
    "utf_8": "(?s:.)", "cp932": "[ぁ-ん]", "euc_jp": "[ぁ-ん]",
}  # fmt: skip
NAMES = {
    "utf_16_le": "UTF-16", "utf_16_be": "UTF-16", "utf_32_le": "UTF-32", "utf_32_be": "UTF-32",
    "gb18030": "GB18030", "big5": "Big5", "cp949": "EUC-KR", "cp932": "Shift JIS", "euc_jp": "EUC-JP",
    "koi8_r": "KOI8-R", "koi8_u": "KOI8-U", "mac_roman": "Mac Roman", "mac_cyrillic": "Mac Cyrillic",
    **{f"cp125{number}": f"Windows-125{number}" for number in range(8)},
    **{f"iso8859_{number}": f"ISO 8859-{number}" for number in (2, 5, 6, 7, 8, 15)},
    **{f"cp{number}": f"DOS {number}" for number in (850, 852, 866)},
}  # fmt: skip
LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2", "iso8859_15", "mac_roman", "cp850", "cp852")
LETTERS = (  # beyond ASCII, of one language or of its kin
    "àáâãçéêíóôõúü", "àáèéíïòóúüçñ", "àèéìíîòóùú", "àâæçèéêëîïôœùûüÿ", "äöüß", "åäöéæø", "áéíóúýðþæö", "ëéïöüèê",
    "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţșț", "čćđšž", "çğıöşüâîûİ",
    "ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž",
)  # fmt: skip
MARKS = set("“”„‘’‚–—…«»‹›¿¡°§€·ªº\xa0")
GUTENBERG = (  # all up to the text itself and all after it, with the markers of its newer and its older files
    r"\A.*(\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG E[^*]*\*\*\*|\*END\*? ?THE SMALL PRINT)[^\n]*\n",
    r"\n[* ]*END OF (THE |THIS )?PROJECT GUTENBERG.*\Z",
)


class DownloadError(OSError):
    """The Time Machine could not be downloaded; the message says why."""


@dataclass(frozen=True)
class Corpus:
    """A text with the name to show for it and, where the book was tried in vain, a note that says why."""

    name: str
    path: Path
    note: str = ""

    @property
    def text(self):
        """The whole text, read anew each time, see `read`."""
        return read(self.path)[0]

    def __str__(self):
        return say("Text: {name}{note}.", name=self.name, note=self.note)


def find(corpus="auto"):
    """Return a `Corpus`: "auto" (the book if it can be had, else the story), "time_machine", "story" or a .txt file.

    Raises:
        DownloadError: "time_machine" is neither cached nor to be downloaded.
        FileNotFoundError, ValueError: the file is missing, or no .txt file.
    """
    if corpus == "story":
        return Corpus(say("the course's own story"), STORY_PATH)
    if corpus == "time_machine":
        return Corpus(say("The Time Machine, by H. G. Wells"), download_book())
    if corpus == "auto":
        path, reason = _book_or_reason()
        if path:
            return Corpus(say("The Time Machine, by H. G. Wells"), path)
        return Corpus(say("the course's own story"), STORY_PATH, say(" ({reason})", reason=reason))
    path = Path(corpus).expanduser()
    if path.suffix.lower() != ".txt":
        raise ValueError(f'corpus is {str(corpus)!r}; it must be "auto", "time_machine", "story" or a .txt file')
    if not path.is_file():
        raise FileNotFoundError(f"there is no text file {str(corpus)!r} (looked for it at {path.absolute()})")
    return Corpus(path.name, path)


def wrapped(line):
    """Break a printed line where the page of a notebook ends; paths stay in one piece."""
    return textwrap.fill(line, 88, break_long_words=False, break_on_hyphens=False)


def cache_path():
    """The file in the user's cache directory that holds The Time Machine once it is downloaded."""
    return platformdirs.user_cache_path("rnn-course") / "timemachine.txt"


def download_book(timeout=5.0):
    """Return the path of The Time Machine, downloading it if it is not in the cache yet.

    Raises:
        DownloadError: there is no connection, no answer within `timeout` seconds (name look-up included), what came is
            not the book, or the cache directory cannot be written.
    """
    path = cache_path()
    if _is_book(path):
        return path
    data = _fetch(timeout)
    try:
        write_atomically(path, data)
    except OSError as error:
        text = say("The Time Machine cannot be kept in {folder}: {why}", folder=path.parent, why=error.strerror)
        raise DownloadError(text) from error
    return path


@functools.cache
def _book_or_reason():
    """The path of the book, or the reason why it is not to be had: tried once in a session, not before every cell."""
    try:
        return download_book(), ""
    except OSError as error:
        return None, str(error)


def _fetch(timeout):
    """Return the bytes of the book, or raise `DownloadError`.

    A thread of its own bounds the whole. pooch would be the library, but it cannot be told to give up in time: the
    time-outs of sockets, and so of requests, bound neither the look-up of a name nor an answer that only drips.
    """
    answers, urls = queue.Queue(), dict.fromkeys([BOOK_URL, BOOK_URL.replace("https:", "http:")])

    def read():
        for url in urls:
            answer = _answer(url, timeout / len(urls))
            if isinstance(answer, bytes):
                break
        answers.put(answer)

    threading.Thread(target=read, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        answer = say("no answer within {timeout:g} seconds", timeout=timeout)
    if isinstance(answer, bytes):
        return answer
    reason = textwrap.shorten("".join(c if c.isprintable() else " " for c in answer), 150)  # one line, whatever came
    raise DownloadError(say("The Time Machine was not downloaded: {reason}", reason=reason))


def _answer(url, timeout):
    """Return the bytes of the book, or a string that says why they did not come."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            data = response.read(BOOK_SIZE_LIMIT)
    except urllib.error.HTTPError as error:
        error.close()
        return str(error)
    except (OSError, ValueError, http.client.HTTPException) as error:  # no route, name, server or address to go on to
        reason = getattr(error, "reason", error)
        return say("there is no connection") if isinstance(reason, socket.gaierror) else str(reason)
    return data if _is_the_book(data) else say("{n:,} bytes of something else came", n=len(data))


def write_atomically(path, data):
    """Write `data` to `path` in one step, so that a half-written file is never found there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or after a power cut the name may stand for an empty file
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _is_book(path):
    """Whether the whole book is at `path`; a file that is damaged, special or cannot be read counts as absent."""
    try:
        return path.is_file() and _is_the_book(path.read_bytes())
    except OSError:
        return False


def _is_the_book(data):
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    return (sha1, hashlib.sha256(data).hexdigest()) == (BOOK_SHA1, BOOK_SHA256)


def is_of_the_course(path, text):
    """Whether a text is the course's story or The Time Machine, by whatever name it was asked for."""
    return path.samefile(STORY_PATH) or _is_the_book(text.encode())


def read(path):
    """Return a text, its line ends as newlines, and a list of remarks: the encoding if it is not UTF-8, what was cut.

    Raises:
        ValueError: the file is empty, compressed, binary, or in an encoding that is not recognised.
    """
    data = Path(path).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        raise ValueError(f"{path} is compressed with gzip; unpack it, then load the text in it")
    text, encoding = _decoded(path, data)
    if re.search(r"[\0-\x08\x0e-\x19\x7f]", text):
        raise ValueError(f"{path} is a binary file, or in an encoding that is not recognised; save it as UTF-8 text")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    guessed = say("read as {name}; if that is wrong, save it as UTF-8", name=NAMES.get(encoding))
    remarks = [guessed] if encoding in NAMES else []
    whole = text
    for part in GUTENBERG:
        text = re.sub(part, "", text, count=1, flags=re.DOTALL | re.IGNORECASE)
    if text != whole:
        remarks.append(say("Project Gutenberg's header and licence left out"))
    if not text.strip():
        raise ValueError(f"the text file {path} is empty")
    return text, remarks


def _decoded(path, data):
    """Return the bytes as text in the encoding that suits them, and its name; a NUL where none does."""
    for encoding, clue in CLUES.items():
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if text.startswith("\ufeff") or len(re.findall(clue, text)) >= 0.03 * len(text):
                return text.removeprefix("\ufeff"), encoding
    text = data.decode(errors="replace")
    damaged, others = text.count("\ufffd"), len(re.findall("[\x80-\ufffc\U00010000-\U0010ffff]", text))
    if damaged < 0.1 * others:
        raise ValueError(f"{path} is UTF-8 text in which characters are damaged ({damaged}); save it anew as UTF-8")
    guess = charset_normalizer.from_bytes(data, threshold=0.4, cp_isolation=list(NAMES)).best()
    if guess is None:
        return "\0", ""
    encoding = _of_latin_letters(data) if guess.encoding in LATIN else guess.encoding
    return data.decode(encoding), encoding


def _of_latin_letters(data):
    """Return the encoding, of equal ones the more usual, in which most signs are letters of one language, or marks."""
    counts = collections.Counter(data.translate(None, bytes(range(128))))  # each byte is a sign
    known = {}
    for encoding in LATIN:
        with contextlib.suppress(UnicodeDecodeError):
            signs = {bytes([byte]).decode(encoding): count for byte, count in counts.items()}
            alphabets = (MARKS.union(letters, letters.upper()) for letters in LETTERS)
            fitting = max(sum(signs[sign] for sign in letters & signs.keys()) for letters in alphabets)
            known[encoding] = fitting, sum(count for sign, count in signs.items() if not sign.isupper())  # rare
    return max(known, key=known.get)
