"""XML text to plain objects: a small reader of a safe part of XML (no DTD, no entities, bounded depth and size).

The shape is that of exported agents: an element is the text in it, or an object of the elements in it when their names
differ, or a list of objects with one key each when a name repeats. Attributes join as ``@name``, text beside elements
as ``#text``.
Models and scripts print elements one after the other: they are the keys of one object, if their names differ.
"""

import re
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 100
MAX_ELEMENTS = 200_000

_TAG_END = re.compile(r"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>""")
_NAME_START = re.compile(r"\s*+[\w:]")
_ATTRIBUTE = re.compile(r"""(?<!\s)\s++(?P<name>[^\s=<>"'/]++)\s*+=\s*+(?P<value>"[^"<]*"|'[^'<]*')""")
_SKIPPED = (("<!--", "-->"), ("<?", "?>"))


class XmlFault(Exception):
    """The text is not XML that can be read; the message says what is wrong, for people."""


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def value(self) -> Any:
        """What stands for the element in the result."""
        text = "".join(self.texts).strip()
        if not self.children and not self.attributes:
            return text
        entries: list[dict[str, Any]] = [{f"@{name}": value} for name, value in self.attributes.items()]
        entries += self.children
        if text:
            entries.append({"#text": text})
        names = [name for child in self.children for name in child]
        if len(set(names)) < len(names):
            return entries
        return {name: value for entry in entries for name, value in entry.items()}


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.open: list[_Element] = []
        self.roots: dict[str, Any] = {}
        self.elements = 0

    def read(self) -> dict[str, Any]:
        position = 0
        while position < len(self.text):
            start = self.text.find("<", position)
            self._take_text(self.text[position : start if start >= 0 else len(self.text)])
            if start < 0:
                break
            position = self._take_markup(start)
        if self.open:
            raise XmlFault(f"the tag <{self.open[-1].name}> is never closed")
        if not self.roots:
            raise XmlFault("there is no element in it")
        return self.roots

    def _take_text(self, text: str) -> None:
        if self.open:
            self.open[-1].texts.append(text)
        elif text.strip():
            raise XmlFault(f"there is text outside the root element: {text.strip()[:40]!r}")

    def _take_markup(self, start: int) -> int:
        """Read what begins with ``<`` at ``start``; the position after it."""
        for opening, closing in _SKIPPED:
            if self.text.startswith(opening, start):
                return self._end_of(closing, start)
        if self.text.startswith("<![CDATA[", start):
            end = self._end_of("]]>", start)
            self._take_text(self.text[start + 9 : end - 3])
            return end
        if self.text.startswith("<!", start):
            raise XmlFault("document types and entity declarations are not allowed")
        closing_tag = self.text.startswith("</", start)
        body_start = start + (2 if closing_tag else 1)
        tag = _TAG_END.match(self.text, body_start)
        if tag is None or not _NAME_START.match(self.text, body_start):
            raise XmlFault(f"a '<' does not begin a tag: {self.text[start : start + 20]!r} (write it as &lt; in text)")
        body = self.text[body_start : tag.end() - 1]
        if closing_tag:
            self._close(_normal(body))
        else:
            self._open(body)
        return tag.end()

    def _end_of(self, closing: str, start: int) -> int:
        end = self.text.find(closing, start)
        if end < 0:
            raise XmlFault(f"{self.text[start : start + 9]!r} is never ended by {closing!r}")
        return end + len(closing)

    def _open(self, body: str) -> None:
        self_closing = body.endswith("/")
        name, attributes = _name_and_attributes(body.removesuffix("/"))
        if not self.open and name in self.roots:
            raise XmlFault(f"there is more than one root element <{name}>")
        self.elements += 1
        if self.elements > MAX_ELEMENTS or len(self.open) >= MAX_DEPTH:
            raise XmlFault(f"it has more than {MAX_ELEMENTS:,} elements, or is nested deeper than {MAX_DEPTH}")
        self.open.append(_Element(name, attributes))
        if self_closing:
            self._close(name)

    def _close(self, name: str) -> None:
        if not self.open or self.open[-1].name != name:
            expected = f"</{self.open[-1].name}>" if self.open else "no closing tag"
            raise XmlFault(f"</{name}> where {expected} was expected")
        element = self.open.pop()
        done = {name: element.value()}
        if self.open:
            self.open[-1].children.append(done)
        else:
            self.roots.update(done)


def _normal(name: str) -> str:
    """Names are in lower case; a name of several words is one name."""
    return "_".join(name.split()).lower()


def _name_and_attributes(body: str) -> tuple[str, dict[str, str]]:
    name_end = next((match.start() for match in _ATTRIBUTE.finditer(body)), len(body))
    attributes: dict[str, str] = {}
    position = name_end
    while match := _ATTRIBUTE.match(body, position):
        attributes[match["name"]] = match["value"][1:-1]
        position = match.end()
    name = _normal(body[:name_end])
    if body[position:].strip() or any(mark in name for mark in "=\"'"):
        raise XmlFault(f"the tag <{body[:40]}> cannot be read")
    return name, attributes


def read(text: str) -> dict[str, Any]:
    """The root elements by name: an object that has, as a rule, one key.

    Raises:
        XmlFault: it is not well-formed, holds a document type, or is too large or too deep.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise XmlFault("it is empty")
    return _Reader(text).read()


def read_in_worker(text: str) -> dict[str, Any]:
    """The entry for worker processes: ``{"value": ...}``, or ``{"fault": ...}`` saying what is wrong."""
    try:
        return {"value": read(text)}
    except XmlFault as fault:
        return {"fault": str(fault)}
