"""HTML in which text is escaped unless it is known to be HTML already."""

import html
import json
from typing import Any


class Markup(str):
    """HTML; any other string is text."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element with its attributes and children.

    Args:
        name: the element's name, such as "p".
        *children: what is in it: `Markup` stays as it is, None is left out, and
            anything else is escaped as text.
        **attributes: the attributes, which are escaped. A trailing underscore of a
            name is dropped, and inner ones become hyphens. True makes an attribute
            without a value, None or False makes none.

    Example:
        >>> print(tag("p", "1 < 2", tag("br"), class_="a&b", hidden=True))
        <p class="a&amp;b" hidden>1 &lt; 2<br></p>
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(str(value))}"')
    inner = joined(*children)
    end = "" if name in _EMPTY else f"</{name}>"
    return Markup(f"<{' '.join(words)}>{inner}{end}")


_EMPTY = {"br", "img", "input", "meta", "hr"}


def joined(*children: Any) -> Markup:
    """The children one after another, with text escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def data(name: str, value: Any) -> Markup:
    r"""JSON for a script to read; nothing in it can end its element.

    Example:
        >>> print(data("x", {"name": "</script>"}))
        <script type="application/json" id="x">{"name":"\u003c/script>"}</script>
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")
    return tag("script", Markup(text), type="application/json", id=name)
