"""Planted bugs: where one can be planted in a C++ file, and what the line reads like afterwards.

The idea: a *place* is one condition or one statement, and has one or more *edits*, each a small mistake that a person
could make there: a condition inverted or decided once and for all, an operand of it forgotten, `<` for `<=`, an
assignment or a call left out. Places are found by text, not by a parser: this tree is formatted by a tool, so a
condition stands behind `if (`, a statement on a line of its own, and a function begins in column 0. What is no C++
after the edit does not compile, and is drawn again.

Comments, literals, log lines, counters, texts and contracts are no places: a wrong figure in a counter is no bug of
the protocol, and a contract that is not checked changes nothing by itself.
"""
import dataclasses
import pathlib
import random
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tidy import blank  # noqa: E402

NO_BEHAVIOUR = re.compile(r"\blog\(|\bcounters\.add\(|\bcount_outcome\(|\.record\(|snprintf\(|\bTL_D?CHECK\(|static_assert")
FUNCTION = re.compile(r"(?!namespace|struct|class|enum|union|using|template|constexpr|static_assert|#|[{}/ ])(.*?)([\w:~]+)\(")
METHOD = re.compile(r"  (?!(?:if|for|while|switch|else|return|case|do)\b)([\w:<>,*& ]+ [*&]*)(~?\w+)\([^=;\n]*\{ *\n")
LEFT_SIDE = r"[\w.\[\]()>*:-]+?"
ASSIGNMENT = re.compile(rf"^(?:{LEFT_SIDE} (?:[-+*|&^]|<<|>>)?= .*|(?:\+\+|--){LEFT_SIDE}|{LEFT_SIDE}(?:\+\+|--));$")
CALL = re.compile(r"^[\w.:>\[\]()<&-]+\(.*\);$")
COMPARISON = re.compile(r" (<=?|>=?) ")


@dataclasses.dataclass(frozen=True)
class Edit:
    path: str
    line: int
    function: str
    operator: str
    start: int         # the characters [start, end) of the file are replaced
    end: int
    text: str
    before: str        # the code in question, on one line
    after: str

    def apply(self, source):
        return source[:self.start] + self.text + source[self.end:]


def closing(code, opening):
    """The place of the parenthesis that closes the one at `opening`; -1: none."""
    depth = 0
    for i in range(opening, len(code)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[i], 0)
        if depth == 0:
            return i
    return -1


def operands(code, start, end):
    """[start, end) split at its outermost || or, where there is none, &&; one part: neither."""
    for operator in ("||", "&&"):
        parts, depth, begin = [], 0, start
        for i in range(start, end):
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[i], 0)
            if depth == 0 and code.startswith(operator, i) and code[i - 1] == " ":
                parts.append((begin, i))
                begin = i + 2
        if parts:
            return parts + [(begin, end)]
    return [(start, end)]


class File:
    """One file, and what can be planted in it."""

    def __init__(self, path, text):
        self.path, self.text, self.code = path, text, blank(text)
        self.line_starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.functions = []        # (start, return type, name)
        for start in self.line_starts:
            match = FUNCTION.match(self.code, start) or METHOD.match(self.code, start)
            if match and "\n" not in match.group().rstrip():
                self.functions.append((start, match.group(1).strip(), match.group(2)))

    def line_of(self, at):
        return self.text.count("\n", 0, at) + 1

    def line_text(self, at):
        begin = self.text.rfind("\n", 0, at) + 1
        return self.code[begin:self.code.find("\n", at)]

    def function(self, at):
        """(return type, name) of the function around; None: outside of all."""
        found = None
        for start, kind, name in self.functions:
            if start > at:
                break
            found = kind, name
        return found

    def edit(self, operator, start, end, text, shown=None):
        """`shown`: the wider part [a, b) that is shown before and after."""
        a, b = shown or (start, end)
        after = self.text[a:start] + text + self.text[end:b]
        return Edit(self.path, self.line_of(start), self.function(start)[1], operator, start, end, text,
                    " ".join(self.text[a:b].split()), " ".join(after.split()))

    # ---- conditions

    def condition_edits(self, start, end, shown, may_fix):
        """[start, end): the condition. `may_fix`: it may be decided once and for all."""
        old = self.text[start:end]
        inverted = old[1:] if re.fullmatch(r"!\w[\w.]*(\(\w*\))?", old) else f"!({old})"
        edits = [self.edit("inverted", start, end, inverted, shown)]
        if may_fix:
            edits += [self.edit(f"always {word}", start, end, word, shown) for word in ("true", "false")]
        for match in COMPARISON.finditer(self.code, start, end):
            swapped = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[match.group(1)]
            edits.append(self.edit("off by one", match.start(1), match.end(1), swapped, shown))
        parts = operands(self.code, start, end)
        if len(parts) > 1:
            for i, (a, b) in enumerate(parts):
                kept = [self.text[x:y].strip() for j, (x, y) in enumerate(parts) if j != i]
                joint = f" {self.code[parts[0][1]:parts[0][1] + 2]} "
                edits.append(self.edit("operand dropped", start, end, joint.join(kept), shown))
        return edits

    def conditions(self):
        for match in re.finditer(r"\bif \(", self.code):
            begin, end = match.end(), closing(self.code, match.end() - 1)
            code = self.code[begin:end]
            # A declaration in the condition has to stay.
            if end < 0 or ";" in code or re.search(r"(?<![=!<>])=(?!=)", code) or not self.function(begin):
                continue
            if NO_BEHAVIOUR.search(self.code, begin, self.code.find("\n", end)):
                continue
            yield self.condition_edits(begin, end, (match.start(), end + 1), True)

    def returns(self):
        for match in re.finditer(r"\breturn ([^;{}]+);", self.code):
            begin, end = match.span(1)
            function = self.function(begin)
            if function is None or NO_BEHAVIOUR.search(match.group(1)):
                continue
            if function[0].split()[-1:] == ["bool"]:
                literal = match.group(1) in ("true", "false")
                yield self.condition_edits(begin, end, match.span(), not literal)
            elif function[0].split()[-1:] == ["void"] and CALL.match(match.group(1) + ";"):
                yield [self.edit("call deleted", match.start(), match.end(), "return;")]

    # ---- statements

    def statements(self):
        previous = ""
        for start in self.line_starts:
            line = self.code[start:].split("\n", 1)[0]
            whole = not previous or previous[-1] in ";{}:)" or previous.endswith("else")
            if line.strip():
                previous = line.strip()
            begin = start + len(line) - len(line.lstrip())
            end = start + len(line.rstrip())
            if not whole or end <= begin or self.function(begin) is None:
                continue
            # What follows a condition on the same line.
            while match := re.compile(r"(?:\} )?(?:else )?(?:(if|for|while) \()|else ").match(self.code, begin):
                begin = match.end()
                if match.group(1):
                    shut = closing(self.code, match.end() - 1)
                    begin = end if shut < 0 or shut >= end else shut + 2
            statement = self.code[begin:end]
            if NO_BEHAVIOUR.search(line) or statement.startswith(("return", "case", "break", "using", "delete ")):
                continue
            if statement.count("(") != statement.count(")"):
                continue
            if ASSIGNMENT.match(statement):
                yield [self.edit("assignment deleted", begin, end, "{}")]
            elif CALL.match(statement):
                yield [self.edit("call deleted", begin, end, "{}")]

    def places(self):
        found = [*self.conditions(), *self.returns(), *self.statements()]
        return sorted((edits for edits in found if edits), key=lambda edits: (edits[0].start, edits[0].end))


def places(files):
    """All places of {path: text}, in a fixed order."""
    return [edits for path in sorted(files) for edits in File(path, files[path]).places()]


def draw(files, seed):
    """All places in the order in which `seed` draws them, each with one of its edits: every place is as likely as
    any other, however many mistakes can be made there."""
    rng = random.Random(seed)
    drawn = places(files)
    rng.shuffle(drawn)
    return [rng.choice(edits) for edits in drawn]
