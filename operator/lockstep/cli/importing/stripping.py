"""BEGIN and COMMIT that are around the whole of a text, taken out so that all else stays in its place. Pure.

Lockstep begins and ends transactions itself, so these two say nothing. Whatever else a text does with transactions was
meant: it is left as it is, and said.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lockstep.cli.importing.changes import Change, Text
from lockstep.engines import lexer
from lockstep.engines.lexing import LexError, Statement
from lockstep.engines.refused_texts import few

_Words = tuple[str, ...]
_Pair = tuple[Statement, Statement]


class _Plain(Struct, frozen=True):
    """What begins and ends a transaction in a dialect, and asks for nothing else."""

    begins: frozenset[_Words]
    ends: frozenset[_Words]


def _forms(*heads: str, tails: Sequence[str]) -> frozenset[_Words]:
    return frozenset(tuple(f"{head} {tail}".split()) for head in heads for tail in ("", *tails))


_START: Final = frozenset({("START", "TRANSACTION")})
_MYSQL: Final = _Plain(_START | _forms("BEGIN", tails=["WORK"]), _forms("COMMIT", tails=["WORK"]))
_PLAIN: Final = {
    "postgresql": _Plain(
        _START | _forms("BEGIN", tails=["WORK", "TRANSACTION"]), _forms("COMMIT", "END", tails=["WORK", "TRANSACTION"])
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    # How it locks is of no matter: a run has the file for itself.
    "sqlite": _Plain(
        _forms("BEGIN", "BEGIN DEFERRED", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", tails=["TRANSACTION"]),
        _forms("COMMIT", "END", tails=["TRANSACTION"]),
    ),
}
_ENDING: Final = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})


class Stripped(Struct, frozen=True):
    """What has become of the changes' texts."""

    changes: tuple[Change, ...]
    taken: tuple[str, ...]
    """Files of the texts that had both around them."""
    left: tuple[str, ...]
    """Where they are left as they are, and why."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of it."""
        taken = f"BEGIN and COMMIT around {len(self.taken)} of the texts are taken out ({few(self.taken)})"
        return (taken, *self.left) if self.taken else self.left


class _LeftError(Exception):
    """A text does more with transactions than to be in one; the message says what to do."""

    def __init__(self, part: Statement, why: str) -> None:
        super().__init__(why)
        self.line = part.line


def strip(changes: Sequence[Change], engine: str) -> Stripped:
    """Return the changes without the BEGIN and COMMIT that are around the whole of a text.

    Args:
        changes: as they were read.
        engine: whose SQL they are.
    """
    made, taken, left = list[Change](), list[str](), list[str]()
    for change in changes:
        bare: list[Text] = []
        freed: dict[str, Text] = {}
        for way, text in (("up", change.up), ("down", change.down)):
            if text is None:
                continue
            try:
                parts = tuple(lexer(engine)(text.text))
                pair = _around(parts, engine)
            except LexError:
                # A run refuses it, and says why.
                continue
            except _LeftError as error:
                left.append(f"{text.file}, line {text.line - 1 + error.line}: {error}")
                continue
            if pair is not None:
                freed[way] = replace(text, text=_without(text.text, pair))
            elif parts:
                bare.append(text)
        if change.never and freed and bare:
            left += [_half(text, bare[0]) for text in freed.values()]
            freed = {}
        taken += [text.file for text in freed.values()]
        # What had a transaction of its own shall have one, whatever its tool would do.
        never = change.never and not freed
        made.append(replace(change, up=freed.get("up", change.up), down=freed.get("down", change.down), never=never))
    return Stripped(tuple(made), tuple(taken), tuple(left))


def _half(text: Text, other: Text) -> str:
    return (
        f"{text.file}, line {text.line}: BEGIN and COMMIT are left as they are: the change is marked to use no "
        f"transaction, which is so in {other.file}, and spec.transaction: Never would hold for both ways: take the "
        "mark away, or BEGIN and COMMIT where each statement may be committed by itself"
    )


def _around(parts: Sequence[Statement], engine: str) -> _Pair | None:
    """Return the two statements that do nothing but put all others into one transaction; None: there is no control.

    Raises:
        _LeftError: if there is more to it.
    """
    control = [part for part in parts if _is_control(part.words, engine)]
    begins = [part for part in control if part.words[0] in {"BEGIN", "START"}]
    ends = [part for part in control if part.words[0] in _ENDING and not _stays_inside(part.words)]
    if not begins and not ends:
        return None
    plain = _PLAIN[engine]
    for several in (begins, ends):
        if len(several) > 1:
            raise _LeftError(several[1], _several(_shown(several[1]), engine))
    other = [part for part in control if part.words not in plain.begins | plain.ends]
    if other:
        raise _LeftError(
            other[0],
            f"{_shown(other[0])} is more than BEGIN and COMMIT around everything, so that it is all left as it is: "
            "Lockstep begins and ends transactions; take out what is refused, if the rest is right without it",
        )
    if not ends:
        raise _LeftError(begins[0], f"{_shown(begins[0])} is left as it is: no COMMIT follows: take it out")
    if not begins:
        raise _LeftError(ends[0], f"{_shown(ends[0])} is left as it is: no BEGIN stands before it: take it out")
    (begin,), (end,) = begins, ends
    others = [part for part in parts if not _says_keys(part, engine)]
    sides = ((others[0], begin, f"before {_shown(begin)}"), (others[-1], end, f"behind {_shown(end)}"))
    for outside, own, place in sides:
        if outside is not own:
            raise _LeftError(
                outside,
                f"{' '.join(outside.words[:3])} stands {place}, so that the transaction is left as it is: take BEGIN "
                "and COMMIT out where all may be in one, or make a version of each part",
            )
    return begin, end


def _says_keys(part: Statement, engine: str) -> bool:
    """Tell whether it is SQLite's pragma that has to stand outside of a transaction, from where a run takes it."""
    return engine == "sqlite" and part.words[:1] == ("PRAGMA",) and "FOREIGN_KEYS" in part.keywords


def _is_control(words: _Words, engine: str) -> bool:
    head = words[:1]
    if head == ("SET",):
        return "TRANSACTION" in words[1:4] or "AUTOCOMMIT" in words
    if words[:3] == ("BEGIN", "NOT", "ATOMIC") and engine != "postgresql":
        return False
    return head in {(word,) for word in ("BEGIN", "SAVEPOINT", "RELEASE", "XA", *_ENDING)} or words[:2] in {
        ("START", "TRANSACTION"),
        ("PREPARE", "TRANSACTION"),
    }


def _stays_inside(words: _Words) -> bool:
    """Tell whether it goes back to a savepoint."""
    return words[0] == "ROLLBACK" and "TO" in words[1:3]


def _shown(part: Statement) -> str:
    return " ".join(part.words[:5])


def _several(shown: str, engine: str) -> str:
    never = "" if engine == "sqlite" else "; with spec.transaction: Never each statement is committed by itself"
    return (
        f"{shown} makes a second transaction, so that all are left as they are: make a version of each, or take BEGIN "
        f"and COMMIT out everywhere, where one transaction will do{never}"
    )


def _without(text: str, pair: _Pair) -> str:
    """Return a text without two statements; whatever else it holds keeps its line and its column."""
    for part in reversed(pair):
        behind = text[part.end :].lstrip()
        # What ends it in another way, as a DELIMITER of MySQL's does, ends nothing any more.
        end = len(text) - len(behind) + 1 if behind.startswith(";") else part.end
        gone = "".join(char if char in "\r\n" else " " for char in text[part.start : end])
        if text[end : end + 1] in {"", "\r", "\n"}:
            gone = gone.rstrip(" ")
        text = text[: part.start] + gone + text[end:]
    return text
