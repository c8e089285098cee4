"""The length of the longest stretch of a text that stands in the training text."""

import itertools
import random


def longest_copy(text, training_text):
    longest = 0
    for end in range(len(text)):
        if text[end - longest : end + 1] in training_text:  # one more than the longest so far
            longest += 1
    return longest


def inputs():
    yield "the time machine", "he told us of a time machine"
    yield from [("", "abc"), ("abc", ""), ("xyz", "abc"), ("time", "the time machine"), ("c", "abc"), ("ab", "b")]
    chance = random.Random(0)
    for length, letters in itertools.product([3, 8, 15], ["ab", "abc", "the "]):
        yield tuple("".join(chance.choices(letters, k=count)) for count in (length, 2 * length))


ERRORS = [
    (
        "text[end - longest : end + 1] in training_text",
        "text[: end + 1] in training_text",
        "You look only at stretches that begin where the text begins. A stretch may begin anywhere.",
    ),
    (
        "text[end - longest : end + 1] in training_text",
        "text[end] in training_text",
        "You count characters that occur somewhere. They must stand together, in the same order, in both texts.",
    ),
    (
        "text[end - longest : end + 1] in training_text",
        "text[end : end + 1] == training_text[end : end + 1]",
        "You compare equal places of both texts. The same stretch may stand in another place of the training text.",
    ),
    (
        "range(len(text))",
        "range(len(text) - 1)",
        "No stretch of yours reaches the last character of the text. A slice ends before its second number.",
    ),
    (
        "    longest = 0\n",
        "    start = longest = 0\n"
        "    for end in range(len(text)):\n"
        "        start = start if text[start : end + 1] in training_text else end\n"
        "        if text[start : end + 1] in training_text:\n"
        "            longest = max(longest, end + 1 - start)\n"
        "    return longest\n",
        "When a stretch ends, you begin again at the character that ended it. A longer one may begin earlier, inside "
        "the stretch that you have just given up.",
    ),
    (
        "return longest",
        "places = range(len(text) + 1)\n"
        "    found = [text[a:b] for a in places for b in places if text[a:b] in training_text]\n"
        "    return max(found, key=len)",
        "You return the stretch itself. Its length is asked for.",
    ),
]
