"""HTML as a tree, read by the standard library."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "wbr"})


@dataclass(eq=False)
class Element:
    """An element: its children are elements and texts."""

    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element | str"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """It and all elements in it, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    @property
    def text(self) -> str:
        """Its text with its white space."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def words(self) -> str:
        """Its text with single spaces."""
        return " ".join(self.text.split())

    def all(self, tag: str | None = None, **attributes: str) -> list["Element"]:
        """Elements in it of a tag, with attributes (`data_value` is data-value; `class_` is one of the classes)."""
        return [element for element in self.walk() if element._fits(tag, attributes)]

    def one(self, tag: str | None = None, **attributes: str) -> "Element":
        """The only element that `all` finds; fails otherwise."""
        elements = self.all(tag, **attributes)
        assert len(elements) == 1, f"{len(elements)} of {tag} {attributes}"
        return elements[0]

    def _fits(self, tag: str | None, attributes: dict[str, str]) -> bool:
        def has(name: str, value: str) -> bool:
            if name == "class_":
                return value in self.attributes.get("class", "").split()
            return self.attributes.get(name.replace("_", "-")) == value

        return tag in (None, self.tag) and all(has(name, value) for name, value in attributes.items())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {tag} {attrs}"
        element = Element(tag, {name: value or "" for name, value in attrs}, self._at)
        self._at.children.append(element)
        if tag not in _VOID:
            self._at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._at.tag == tag, f"</{tag}> ends <{self._at.tag}>"
        assert self._at.parent is not None
        self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        self._at.children.append(data)

    def end(self) -> Element:
        """The tree; fails when an element is not closed."""
        self.close()
        assert self._at is self.root, f"<{self._at.tag}> is open"
        return self.root


def read(text: str) -> Element:
    """The tree of a page; fails when elements are not nested, or an element has an attribute twice."""
    reader = _Reader()
    reader.feed(text)
    return reader.end()
