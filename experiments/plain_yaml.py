"""YAML as plain as JSON: text, numbers, booleans, lists and mappings, of bounded size and depth."""

from __future__ import annotations

from typing import Any

import yaml

from kerasjoint.errors import ArgumentError, describe

MOST_BYTES = 10**6
MOST_DEPTH = 20


class PlainLoader(yaml.SafeLoader):
    """Refuses what would hang, run or surprise: aliases, tags, keys that come twice, and deep nesting.

    Dates stay the text that they are.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node after looking at the event that it begins with."""
        event: Any = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken", problem_mark=mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem="tags (!name) are not taken", problem_mark=mark)
        if self._depth >= MOST_DEPTH:
            problem = f"nested more than {MOST_DEPTH} levels deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping whose keys all differ."""
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.MarkedYAMLError(problem="a key that comes twice", problem_mark=node.start_mark)
        return mapping


def read_yaml(path: Any, source: str) -> Any:
    """Read a file of UTF-8 text, at most a megabyte; messages begin with ``source``.

    Example
    -------
    >>> read_yaml(Path("mine.yaml"), "preset mine.yaml")["name"]
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ArgumentError(source, "a readable file", error.strerror) from None
    if len(content) > MOST_BYTES:
        raise ArgumentError(source, f"at most {MOST_BYTES:,} bytes", "more")
    loader = None
    try:
        loader = PlainLoader(content.decode())
        return loader.get_single_data()
    except UnicodeDecodeError as error:
        raise ArgumentError(source, "text in UTF-8", error) from None
    except yaml.YAMLError as error:
        raise ArgumentError(source, "YAML", " ".join(str(error).split())[:500]) from None
    except (ValueError, OverflowError, RecursionError) as error:
        # Numbers that are none, such as 1__.0_e or one of 5,000 digits.
        raise ArgumentError(source, "YAML with numbers that Python holds", describe(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def check_plain(value: Any, depth: int = 0) -> Any:
    """Return a value if it is made of text, finite numbers, booleans, ``None``, lists and mappings by text alone."""
    if depth > MOST_DEPTH:
        raise ValueError(f"nested at most {MOST_DEPTH} levels deep")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("mappings with text as keys")
        for one in value.values():
            check_plain(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            check_plain(one, depth + 1)
    elif isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError("integers of 64 bits")
    elif isinstance(value, float):
        if value != value:
            raise ValueError("numbers instead of NaN")
    elif value is not None and not isinstance(value, str):
        raise ValueError(f"text, numbers, booleans, lists and mappings instead of {type(value).__name__}")
    return value
