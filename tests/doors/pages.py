"""Pages as a browser would take them apart."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """The elements of a page, its text, and whatever a strict Content-Security-Policy would refuse."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.refused: list[str] = []
        self.text = ""
        self.texts: list[str] = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        inline = tag == "style" or (tag == "script" and "src" not in attributes)
        if inline or any(name == "style" or name.startswith("on") for name in attributes):
            self.refused.append(self.get_starttag_text() or tag)

    def handle_data(self, data: str) -> None:
        self.text += data
        self.texts.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Return the attributes of such elements."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag
            and wanted.items() <= {key: value or "" for key, value in attributes.items()}.items()
        ]

    @property
    def links(self) -> set[str]:
        """Where the page leads."""
        return {link["href"] or "" for link in self.all("a") if "href" in link}
