"""tools/tidy.py: each rule finds what it is for, and leaves clean text alone."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import tidy  # noqa: E402

HEADER = "// What it is for.\n#pragma once\n"

# name, path, text, the rules it breaks
CASES = [
    ("a clean header", "core/a.h", HEADER + '#include <array>\n#include "core/time.h"\n', []),
    ("core sees relay", "core/a.h", HEADER + '#include "relay/wire.h"\n', ["include-direction"]),
    ("io sees relay", "io/a.h", HEADER + '#include "relay/wire.h"\n', ["include-direction"]),
    ("relay sees io's contract", "relay/a.h", HEADER + '#include "io/port.h"\n', []),
    ("relay sees a concrete port", "relay/a.h", HEADER + '#include "io/mmsg_port.h"\n', ["concrete-port"]),
    ("product sees tests", "tools/a.cc", '// X.\n#include "tests/x.h"\n', ["include-direction"]),
    ("include beside itself", "core/a.h", HEADER + '#include "time.h"\n', ["include-root"]),
    ("a clock in core", "core/a.h", HEADER + "#include <chrono>\n", ["core-std-only"]),
    ("a socket in core", "core/a.h", HEADER + "#include <sys/socket.h>\n", ["core-std-only"]),
    ("a lock in relay", "relay/a.cc", "// X.\n#include <mutex>\n", ["no-locks"]),
    ("a lock in tools", "tools/a.cc", "// X.\n#include <mutex>\n", []),
    ("bare atomic", "io/a.cc", "// X.\nstd::atomic<int> a;\n", ["atomic"]),
    ("an atomic header", "io/a.cc", "// X.\n#include <atomic>\n", ["atomic"]),
    ("sequential consistency", "relay/a.cc", "// X.\nx.load(std::memory_order_seq_cst);\n", ["atomic"]),
    ("a fence", "core/a.h", HEADER + "std::atomic_thread_fence(o);\n", ["atomic"]),
    ("volatile", "core/a.h", HEADER + "volatile int x;\n", ["atomic"]),
    ("volatile assembly", "core/a.h", HEADER + "asm volatile(\"\");\n", []),
    ("atomic in a comment or text", "core/a.h", HEADER + 'auto x = "std::atomic";  // std::atomic\n', []),
    ("atomic where it lives", "core/atomic.h", HEADER + "#include <atomic>\nstd::atomic<int> a;\n", []),
    ("an edge without a tag", "core/a.h", HEADER + "x.store_release(1);\n", ["edge-tag"]),
    ("an edge with a tag", "core/a.h", HEADER + "x.store_release(1);  // R1\n", []),
    ("an edge below its tag", "core/a.h", HEADER + "// A2: pairs with R2.\nx->load_acquire();\n", []),
    ("no opening comment", "core/a.cc", "int x;\n", ["opening-comment"]),
    ("a Python file without docstring", "tools/a.py", "import os\n", ["opening-comment"]),
    ("a shebang before the comment", "tools/a.sh", "#!/bin/sh\n# X.\n", []),
    ("no pragma once", "core/a.h", "// X.\nint x;\n", ["pragma-once"]),
    ("a long file", "core/a.cc", "// X.\n" + "int x;\n" * 500, ["file-length"]),
    ("a file at the cap", "core/a.cc", "// X.\n" + "int x;\n" * 499, []),
    ("a long function", "core/a.cc", "// X.\nvoid f(int a) {\n" + "  g();\n" * 80 + "}\n", ["function-length"]),
    ("a function at the cap", "core/a.cc", "// X.\nvoid f(int a) {\n" + "  g();\n" * 78 + "}\n", []),
    ("a long table of cases", "tests/core/a.cc", "// X.\nvoid f(int a) {\n" + "  g();\n" * 118 + "}\n", []),
    ("a table beyond its cap", "tests/core/a.cc", "// X.\nvoid f(int a) {\n" + "  g();\n" * 119 + "}\n",
     ["function-length"]),
    ("a long class of short functions", "core/a.cc",
     "// X.\nclass C {\n" + "  int f() {\n    return 1;\n  }\n" * 40 + "};\n", []),
    ("a long line", "core/a.cc", "// " + "x" * 108 + "\n", ["line-length"]),
    ("a long row of a table", "core/a.cc",
     "// X.\n  // clang-format off\n// " + "x" * 117 + "\n// clang-format on\n", []),
    ("a long line after a table", "core/a.cc",
     "// X.\n// clang-format off\n// clang-format on\n// " + "x" * 117 + "\n", ["line-length"]),
    ("blanks at the end", "core/a.cc", "// X. \n", ["whitespace"]),
    ("a tab", "core/a.cc", "// X.\n\tint x;\n", ["whitespace"]),
    ("no last line break", "core/a.cc", "// X.", ["whitespace"]),
    ("an unowned promise", "core/a.cc", "// X.\n// TO" + "DO: later\n", ["unowned"]),
    ("an owned promise", "core/a.cc", "// X.\n// TO" + "DO(ada): later\n", []),
    ("a place outside", "docs/a.md", "see ../" + "shared/x\n", ["outside"]),
    ("somebody's home", "docs/a.md", "see /ho" + "me/ada\n", ["outside"]),
    ("a comparison that tells by its time", "relay/sealed_x.cc", "// X.\nbool f() { return memcmp(a, b, 16) == 0; }\n",
     ["constant-time"]),
    ("one that does not", "relay/sealed_x.cc", "// X.\nbool f() { return sodium_memcmp(a, b, 16) == 0; }\n", []),
    ("one of what is no secret", "relay/text.cc", "// X.\nbool f() { return memcmp(a, b, 16) == 0; }\n", []),
    ("an exemption with its reason", "core/a.h",
     HEADER + "volatile int x;  // tidy: allow(atomic) a device register\n", []),
    ("an exemption without reason", "core/a.h", HEADER + "volatile int x;  // tidy: allow(atomic)\n", ["atomic"]),
    ("an exemption from another rule", "core/a.h",
     HEADER + "volatile int x;  // tidy: allow(edge-tag) no\n", ["atomic"]),
]


class Tidy(unittest.TestCase):
    def test_each_rule_finds_what_it_is_for(self):
        for name, path, text, expected in CASES:
            with self.subTest(name):
                self.assertEqual([f[2] for f in tidy.check([tidy.parse(path, text)])], expected)

    def test_every_rule_has_a_case(self):
        source = pathlib.Path(tidy.__file__).read_text(encoding="utf-8")
        covered = {rule for *_, rules in CASES for rule in rules} | {"vendor-header"}
        named = set(tidy.re.findall(r'yield [^"\n]*"([a-z-]+)", ', source))
        self.assertEqual(named - covered, set())

    def test_the_second_file_around_a_vendors_header_is_found(self):
        text = "// X.\n#include <liburing.h>\n"
        one = [tidy.parse("io/a.cc", text), tidy.parse("tests/io/a_test.cc", text)]
        self.assertEqual(tidy.check(one), [])
        two = one + [tidy.parse("io/b.cc", text)]
        self.assertEqual([(f[0], f[2]) for f in tidy.check(two)], [("io/b.cc", "vendor-header")])

    def test_line_numbers_point_at_the_line(self):
        found = tidy.check([tidy.parse("core/a.h", HEADER + "\n/* two\nlines */ volatile int x;\n")])
        self.assertEqual([f[1] for f in found], [5])


if __name__ == "__main__":
    unittest.main()
