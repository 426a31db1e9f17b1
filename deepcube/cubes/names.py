"""How names of things on Earth are compared, whoever wrote them; imports nothing heavy."""

import re
import unicodedata

_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "þ": "th", "ß": "ss"})
"""Letters that are no accented ones, which Unicode takes apart by itself."""


def plain_name(name: object) -> str:
    """Return a name without case, accents, spaces and punctuation: ``Cerro Azul`` and ``cerro_azul`` are one.

    Parameters
    ----------
    name : object
        A name; anything else is taken as text.

    Returns
    -------
    str
        Small letters a to z and digits; empty where the name has none.
    """
    text = unicodedata.normalize("NFKD", str(name).lower().translate(_LETTERS)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", text)
