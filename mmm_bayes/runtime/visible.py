r"""Show names and texts as they are, with every character that cannot be seen written as an escape.

Names of columns, geos and files come from whoever made the table. Printed raw, an ESC in a name
colours or clears a terminal, and a right-to-left override turns the rest of the line round. What is
shown to people passes through :func:`visible` or :func:`visible_text`: errors and warnings,
representations of objects, printed tables, progress, figures, HTML and the command line. What is
computed with, or written to a file of data, keeps the name as it is.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable

# Control characters, soft hyphens, marks of direction, invisible spaces and joiners, line and
# paragraph separators, tags, and halves of surrogate pairs. The joiners U+200C and U+200D stay:
# Persian, Indian languages and emoji are written with them.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_NAMES = re.compile(f"[{_UNSEEN}\t\n]")
_IN_TEXTS = re.compile(f"[{_UNSEEN}]")


def visible(name: object) -> str:
    r"""Return a name as one line in which every character can be seen.

    Examples
    --------
    >>> print(visible("tv\x1b[2J"), visible("a\nb"), visible("\u202ecba"), visible("名前"))
    tv\x1b[2J a\nb \u202ecba 名前
    """
    return _IN_NAMES.sub(_escape, str(name))


def visible_text(text: str) -> str:
    r"""Return a text of several lines in which every character can be seen.

    Line ends and tabs stay as they are.

    Examples
    --------
    >>> print(visible_text("channels  tv\x1b[2J\ntarget    sales"))
    channels  tv\x1b[2J
    target    sales
    """
    return _IN_TEXTS.sub(_escape, text)


def visible_html(text: object) -> str:
    r"""Return a text as HTML that shows it, whatever characters it has.

    Examples
    --------
    >>> visible_html("<b>tv\u202e</b>")
    '&lt;b&gt;tv\\u202e&lt;/b&gt;'
    """
    return html.escape(visible_text(str(text)))


def shown_safely[F: Callable[..., str]](method: F) -> F:
    """Pass what ``__str__`` or ``__repr__`` returns through :func:`visible_text`."""

    @functools.wraps(method)
    def show(self: object) -> str:
        return visible_text(method(self))

    show.shows_safely = True  # type: ignore[attr-defined]  # a test asks every class
    return show  # type: ignore[return-value]


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
