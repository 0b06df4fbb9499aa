"""The style rules that a program can check, as a test: `file:line: rule: what to do`, exit code 1 on any.

A rule is a function over one parsed file. A line that must break one says so, with the reason, where it stands:
`// tidy: allow(rule) why`. Without a reason the exemption does not count. The last line is a ratchet: the longest
file, function and line, so that growth is seen before it hurts. Rules of the whole tree (how many files wrap a
vendor's header) come after those of single files.

Usage: tidy.py [ROOT]. Takes well under a second; needs Python 3 and nothing else.
"""
import dataclasses
import os
import pathlib
import re
import sys

FILE_LINES, FILE_LINES_MAX = 400, 500           # the aim, and where it is an error
FUNCTION_LINES, FUNCTION_LINES_MAX = 60, 80
TABLE_LINES_MAX = 120                           # in tests and benches, where a function may be a table of cases
LINE_COLUMNS = 110

CXX = {".h", ".hpp", ".c", ".cc"}
COMMENTED = CXX | {".py", ".sh"}
TEXT = COMMENTED | {".build", ".md", ".txt", ".toml", ".json", ".in", ".map"}

# Includes point one way: a room sees itself and those before it.
SEES = {
    "core": {"core"},
    "io": {"core", "io"},
    "relay": {"core", "io", "relay"},
    "tools": {"core", "io", "relay", "tools"},
    "bench": {"core", "io", "relay", "tools", "bench", "tests"},
    "tests": {"core", "io", "relay", "tools", "bench", "tests"},
}
LIBRARY = {"core", "io", "relay"}
PUBLIC_HEADERS = {"trunkline.h", "trunkline.hpp"}
CONCRETE_PORT = re.compile(r"^io/(mmsg|uring|dpdk)")

# core is the standard library without what sleeps, locks, or reads a clock; intrinsics are allowed.
NOT_IN_CORE = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|semaphore|future|latch|barrier|stop_token|chrono|ctime|time\.h"
    r"|iostream|fstream|filesystem|pthread\.h|unistd\.h|fcntl\.h|poll\.h|(sys|netinet|arpa|net|linux)/.*)$")
LOCKS = re.compile(r"^(mutex|shared_mutex|condition_variable|semaphore|latch|barrier|future)$")
# DPDK's start, once per process: devices may be opened by any thread, and DPDK's own threads write its log.
MAY_LOCK = {"io/dpdk/eal.cc"}

# Each vendor's header is included by one file of the library and its command; tests and benches may look directly.
VENDORS = {
    "liburing": re.compile(r"^liburing"),
    "Intel's multi-buffer library": re.compile(r"^intel-ipsec-mb\.h"),
    "DPDK": re.compile(r"^rte_"),
    "toml++": re.compile(r"^toml\+\+/"),
    "spdlog": re.compile(r"^spdlog/"),
    "mimalloc": re.compile(r"^mimalloc"),
}

# Files that hold what a sender says of itself against what it should say.
AUTHENTICATES = re.compile(r"^relay/(aead|noise|sealed_|secret|hkdf|lane_key)[\w]*\.(h|cc)$")
COMPARES = re.compile(r"(?<!sodium_)\b(memcmp|std::equal|std::mismatch|lexicographical_compare)\s*\(")

ORDERING = re.compile(
    r"std::atomic|\bmemory_order|atomic_(thread|signal)_fence|__atomic_|__sync_"
    r"|(?<!asm )(?<!__asm__ )\bvolatile\b")
EDGE = re.compile(r"\b(load_acquire|store_release|exchange_acq_rel|compare_exchange_acq_rel)\s*\(")
EDGE_TAG = re.compile(r"//.*\b[A-Z]\d+\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
ALLOW = re.compile(r"(?://|#)\s*tidy: allow\(([\w-]+)\)\s+\S+")
# Assembled from pieces, so that this file does not break its own rules.
UNOWNED = re.compile(r"\b(" + "TO" + r"DO(?!\([\w.-]+\))|FIX" + "ME|XX" + r"X)\b")
OUTSIDE = re.compile(r"\.\." + r"/shared\b|(?<![\w.\-/])/(root|home)/\w|(?<![\w.\-/])/wo" + r"rk/\w")
CONTROL = re.compile(r"^(if|for|while|switch|else|do|try|catch|namespace|extern|class|struct|union|enum|return)\b")


@dataclasses.dataclass
class Source:
    path: str
    lines: list      # as written
    code: list       # the same lines with comments and literals blanked (C and C++ only)

    @property
    def room(self):
        return self.path.split("/")[0] if "/" in self.path else ""

    @property
    def suffix(self):
        return pathlib.PurePath(self.path).suffix


def blank(text):
    """C++ text with comments and the insides of literals turned to spaces; line breaks stay."""
    pattern = re.compile(
        r'R"(?P<d>[^\s()\\]{0,16})\(.*?\)(?P=d)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def parse(path, text):
    cxx = pathlib.PurePath(path).suffix in CXX
    return Source(path, text.split("\n"), (blank(text) if cxx else text).split("\n"))


def includes(source):
    for number, line in enumerate(source.lines, 1):
        match = INCLUDE.match(line)
        if match and source.suffix in CXX:
            yield number, match.group(1) == '"', match.group(2)


# --- rules: each yields (line, rule, what to do) --------------------------------------------------------------------

def rule_include(source):
    if source.room not in SEES:
        return
    for number, ours, name in includes(source):
        room = name.split("/")[0]
        if ours and "/" not in name and name not in PUBLIC_HEADERS:
            yield number, "include-root", f'write "room/{name}": includes are relative to the root'
        elif ours and room in SEES and room not in SEES[source.room]:
            yield number, "include-direction", f"{source.room} may not see {room}; move the code or invert the call"
        elif source.room == "relay" and ours and CONCRETE_PORT.match(name):
            yield number, "concrete-port", "relay knows the port contract only; choose the port outside"
        elif source.room == "core" and not ours and NOT_IN_CORE.match(name):
            yield number, "core-std-only", f"core has no sockets, threads or clocks: do without <{name}>"
        elif source.room in LIBRARY and source.path not in MAY_LOCK and not ours and LOCKS.match(name):
            yield number, "no-locks", f"threads meet in rings only: do without <{name}>"


def rule_ordering(source):
    if source.room not in LIBRARY or source.path == "core/atomic.h" or source.suffix not in CXX:
        return
    for number, ours, name in includes(source):
        if not ours and name in ("atomic", "stdatomic.h"):
            yield number, "atomic", 'include "core/atomic.h" and use Atomic<T>'
    previous = ""
    for number, (line, code) in enumerate(zip(source.lines, source.code), 1):
        match = ORDERING.search(code)
        if match:
            yield number, "atomic", f"'{match.group()}' lives in core/atomic.h only: use Atomic<T>'s named operations"
        # A call on a tagged line, or directly below a tagged comment, names its edge. Declarations have no dot.
        called = EDGE.search(code)
        if called and code[:called.start()].rstrip().endswith((".", "->")):
            if not EDGE_TAG.search(line) and not EDGE_TAG.search(previous):
                yield number, "edge-tag", f"say which edge this {called.group(1)} is: // R1 or // A1, as in the header"
        previous = line if line.strip().startswith("//") else ""


def rule_opening(source):
    if source.suffix not in COMMENTED:
        return
    lines = [line for line in source.lines if not line.startswith("#!")]
    first = next((line.strip() for line in lines if line.strip()), "")
    starts = ("//", "/*") if source.suffix in CXX else ('"""', "#") if source.suffix == ".py" else ("#",)
    if first and not first.startswith(starts):
        yield 1, "opening-comment", "open with what the file is for, the idea, who owns it, what it costs"


def rule_once(source):
    if source.suffix in (".h", ".hpp"):
        if not any(line.startswith(("#pragma once", "#ifndef TRUNKLINE_")) for line in source.lines):
            yield 1, "pragma-once", "add #pragma once below the opening comment"


def rule_size(source):
    if source.suffix in COMMENTED and len(source.lines) - 1 > FILE_LINES_MAX:
        yield len(source.lines), "file-length", f"over {FILE_LINES_MAX} lines (aim: {FILE_LINES}): split it by idea"
    limit = TABLE_LINES_MAX if source.room in ("tests", "bench") else FUNCTION_LINES_MAX
    for start, length in functions(source):
        if length > limit:
            yield start, "function-length", f"{length} lines, over {limit} (aim: {FUNCTION_LINES}): name its parts"


def rule_lines(source):
    table = False
    for number, line in enumerate(source.lines, 1):
        # A table that clang-format may not touch gets ten columns more: rows beat line breaks.
        table = {"// clang-format off": True, "// clang-format on": False}.get(line.strip(), table)
        limit = LINE_COLUMNS + 10 * table
        if source.suffix in CXX and len(line) > limit and "http" not in line:
            yield number, "line-length", f"{len(line)} columns, over {limit}: break it"
        if line != line.rstrip() and source.suffix != ".md":
            yield number, "whitespace", "remove the blanks at the end"
        if "\t" in line and source.suffix in CXX:
            yield number, "whitespace", "indent with spaces"
        if UNOWNED.search(line):
            yield number, "unowned", "say whose it is, (name) after the word, or do it now"
        match = OUTSIDE.search(line)
        if match:
            yield number, "outside", f"'{match.group()}' is a place outside this repository: leave it out"
    if source.lines[-1]:
        yield len(source.lines), "whitespace", "end the file with a line break"


def rule_constant_time(source):
    """Who compares authenticators reads all bytes of both, or tells by the time it takes where they first differ."""
    if not AUTHENTICATES.match(source.path):
        return
    for number, code in enumerate(source.code, 1):
        if match := COMPARES.search(code):
            yield number, "constant-time", f"'{match.group(1)}' stops at the first difference: equal_in_constant_time"


FILE_RULES = (rule_include, rule_ordering, rule_opening, rule_once, rule_size, rule_lines, rule_constant_time)


def functions(source):
    """(first line, length) of each function body, by matching braces. A heuristic: good enough to see growth."""
    if source.suffix not in CXX:
        return []
    found, stack, head, head_line, inside = [], [], "", 1, None
    for number, line in enumerate(source.code, 1):
        if line.lstrip().startswith("#"):
            continue
        for char in line:
            if char == "{":
                text = head.strip()
                is_function = inside is None and ")" in text and "=" not in text.split("(")[0] \
                    and not CONTROL.match(text) and not text.endswith(("=", ",", "("))
                if is_function:
                    inside = (len(stack), head_line)
                stack.append(number)
                head = ""
            elif char == "}":
                if stack:
                    stack.pop()
                if inside is not None and len(stack) == inside[0]:
                    found.append((inside[1], number - inside[1] + 1))
                    inside = None
                head = ""
            elif char == ";":
                head = ""
            else:
                if not head.strip() and not char.isspace():
                    head_line = number
                head += char
        head += " "
    return found


def check_vendors(sources):
    """One file of the product wraps each vendor's headers."""
    for vendor, pattern in VENDORS.items():
        wrapping = {}
        for source in sources:
            if source.room in LIBRARY | {"tools"}:
                for number, _, name in includes(source):
                    if pattern.match(name):
                        wrapping.setdefault(source.path, number)
        for path in sorted(wrapping)[1:]:
            yield path, wrapping[path], "vendor-header", f"{vendor} is wrapped by {min(wrapping)}: go through it"


def check(sources):
    """All findings over parsed files, exemptions applied, as (path, line, rule, advice)."""
    findings = [(s.path, *finding) for s in sources for rule in FILE_RULES for finding in rule(s)]
    findings += check_vendors(sources)
    lines = {s.path: s.lines for s in sources}

    def allowed(path, number, rule):
        near = lines[path][max(0, number - 2):number]
        return any(m.group(1) == rule for line in near for m in ALLOW.finditer(line))

    return sorted(f for f in findings if not allowed(f[0], f[1], f[2]))


def read_tree(root):
    sources = []
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if not n.startswith(("build", ".git")) and n != "__pycache__"]
        for name in files:
            path = pathlib.Path(folder, name)
            suffix = path.suffix or (".sh" if path.name in ("dev", "run") else "")
            if suffix in TEXT:
                sources.append(parse(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")))
    return sources


def ratchet(sources):
    """The longest file and function, in words."""
    code = [s for s in sources if s.suffix in CXX]
    if not code:
        return "no C++ files"
    longest = max(code, key=lambda s: len(s.lines))
    length, path, line = max(((n, s.path, first) for s in code for first, n in functions(s)), default=(0, "-", 0))
    return (f"{len(code)} C++ files; longest file {longest.path} ({len(longest.lines) - 1} lines), "
            f"longest function {path}:{line} ({length} lines)")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    sources = read_tree(root)
    findings = check(sources)
    for path, number, rule, advice in findings:
        print(f"{path}:{number}: {rule}: {advice}")
    print(f"tidy: {len(findings)} findings in {len(sources)} files; {ratchet(sources)}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
