"""Where a text comes from: the course's own story, The Time Machine, or a file of the reader's.

The story is part of the package, so that everything works offline. The Time Machine is downloaded on demand from the
address the book's own code uses, checked against the book's SHA-1 and kept in the user's cache directory.
"""

import functools
import hashlib
import http.client
import os
import queue
import socket
import tempfile
import textwrap
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import platformdirs

BOOK_URL = "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
BOOK_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"
BOOK_SIZE_LIMIT = 1_000_000  # bytes; the real file has about 180,000
STORY_PATH = Path(__file__).parent / "data" / "story.txt"


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
        """The whole text, read anew each time; ValueError if the file is empty or no text in UTF-8."""
        return read_text(self.path)

    def __str__(self):
        return f"Text: {self.name}{self.note}."


def find(corpus="auto"):
    """Return a `Corpus`: "auto" (the book if it can be had, else the story), "time_machine", "story" or a .txt file.

    Raises:
        DownloadError: "time_machine" is neither cached nor to be downloaded.
        FileNotFoundError, ValueError: the file is missing, or no .txt file.
    """
    if corpus == "story":
        return Corpus("the course's own story", STORY_PATH)
    if corpus == "time_machine":
        return Corpus("The Time Machine, by H. G. Wells", download_book())
    if corpus == "auto":
        path, reason = _book_or_reason()
        if path:
            return Corpus("The Time Machine, by H. G. Wells", path)
        return Corpus("the course's own story", STORY_PATH, f" ({reason})")
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
    data = _fetch(BOOK_URL, timeout)
    if _sha1(data) != BOOK_SHA1:
        raise DownloadError(f"The Time Machine was not downloaded: {len(data):,} bytes of something else came")
    try:
        write_atomically(path, data)
    except OSError as error:
        raise DownloadError(f"The Time Machine cannot be kept in {path.parent}: {error.strerror}") from error
    return path


@functools.cache
def _book_or_reason():
    """The path of the book, or the reason why it is not to be had: tried once in a session, not before every cell."""
    try:
        return download_book(), ""
    except OSError as error:
        return None, str(error)


def _fetch(url, timeout):
    """Return the bytes at `url`; a thread of its own bounds the name look-up too, which sockets' time-outs do not."""
    answers = queue.Queue()

    def read():
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                answers.put(response.read(BOOK_SIZE_LIMIT))
        except (OSError, http.client.HTTPException) as error:  # no route, no name, refused, or no web server at all
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            answers.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise DownloadError(f"The Time Machine was not downloaded: no answer within {timeout:g} seconds") from None
    if isinstance(answer, Exception):
        reason = answer if isinstance(answer, urllib.error.HTTPError) else getattr(answer, "reason", answer)
        reason = "there is no connection" if isinstance(reason, socket.gaierror) else reason  # no name server answers
        raise DownloadError(f"The Time Machine was not downloaded: {reason}") from answer
    return answer


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
    """Whether the whole book is at `path`; a file that is damaged or cannot be read counts as absent."""
    try:
        return _sha1(path.read_bytes()) == BOOK_SHA1
    except OSError:
        return False


def _sha1(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def read_text(path):
    """Read a text in UTF-8, with or without a byte-order mark, its line ends as newlines."""
    data = Path(path).read_bytes()
    if not data.strip():
        raise ValueError(f"the text file {path} is empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8, load it again") from None
    if "\0" in text:
        raise ValueError(f"{path} is a binary file, not a text")
    return text.replace("\r\n", "\n").replace("\r", "\n")
