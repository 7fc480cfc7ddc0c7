"""Titles as people say them."""

import re

YEAR = re.compile(r"\s*\((?:\d{4}|V|TV)\)$")
LAST_ARTICLE = re.compile(r"^(.*), (The|A|An|Les?|La|L'|Der|Die|Das|Il|El|Los|Las)$")


def spoken_title(title: str) -> str:
    """Return a title without a year in brackets at its end, and with its article in front.

    Example:
        >>> spoken_title("Usual Suspects, The (1995)")
        'The Usual Suspects'
    """
    plain = title.strip()
    while (shorter := YEAR.sub("", plain)) != plain and shorter:
        plain = shorter
    article = LAST_ARTICLE.match(plain)
    if article is None:
        return plain
    space = "" if article[2].endswith("'") else " "
    return f"{article[2]}{space}{article[1]}"
