"""Extension of griffe: docstrings of the library in the words that the site understands."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?([^`]+)`")
EXAMPLE = re.compile(r"^Example::?$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Turn roles into code, and the section ``Example`` into one with a prompt."""

    def on_object(self, *, obj: Any, **rest: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring is not None:
            text = ROLE.sub(
                lambda role: f"`{role.group(1).rpartition('.')[2]}`", obj.docstring.value
            )
            obj.docstring.value = EXAMPLE.sub("Examples:", text)
