"""tools/dev.d/mutation.py: which small mistakes can be planted where, and which places are left alone."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "dev.d"))
import mutation  # noqa: E402


def edits(body, kind="void"):
    """All edits of one function's body, as (operator, the line afterwards)."""
    text = f"{kind} Node::f(int a) {{\n{body}\n}}\n"
    return [(e.operator, e.after) for place in mutation.File("a.cc", text).places() for e in place]


class Mutation(unittest.TestCase):
    def test_a_condition_is_inverted_fixed_moved_by_one_and_loses_an_operand(self):
        self.assertEqual(edits("  if (a < 1 && g(b || c)) return;"), [
            ("inverted", "if (!(a < 1 && g(b || c)))"), ("always true", "if (true)"), ("always false", "if (false)"),
            ("off by one", "if (a <= 1 && g(b || c))"),
            ("operand dropped", "if (g(b || c))"), ("operand dropped", "if (a < 1)")])

    def test_a_condition_may_stand_on_two_lines(self):
        self.assertIn(("operand dropped", "if (b)"), edits("  if (a ||\n      b) {\n    g(1);\n  }"))

    def test_a_negation_is_inverted_by_leaving_it_out(self):
        self.assertIn(("inverted", "if (l.alive())"), edits("  if (!l.alive()) return;"))

    def test_a_returned_condition_is_one_only_where_the_function_returns_bool(self):
        self.assertIn(("off by one", "return a >= b;"), edits("  return a > b;", "bool"))
        self.assertEqual(edits("  return a > b ? a : b;", "int"), [])

    def test_true_becomes_false(self):
        self.assertEqual(edits("  return true;", "bool"), [("inverted", "return !(true);")])

    def test_statements_are_left_out_also_behind_a_condition(self):
        self.assertEqual(edits("  t.state = State::kNew;\n  ++t.count;\n  mark(t);"),
                         [("assignment deleted", "{}"), ("assignment deleted", "{}"), ("call deleted", "{}")])
        self.assertEqual(edits("  if (a) mark(t);")[-1], ("call deleted", "{}"))
        self.assertEqual(edits("  } else if (a) {\n    b.c |= 4;\n")[-1], ("assignment deleted", "{}"))

    def test_a_call_that_ends_a_function_is_left_out_and_the_function_still_ends(self):
        self.assertEqual(edits("  return mark(t);"), [("call deleted", "return;")])

    def test_declarations_and_parts_of_statements_are_left_alone(self):
        for body in ("  const int b = a;", "  Event e(a);", "  const auto b =\n      g(a);", "  if (const int b = g(a); b) return;",
                     "  if (const auto* p = g(a)) return;", "  using A = B;"):
            self.assertEqual(edits(body), [], body)

    def test_comments_texts_logs_counters_and_contracts_are_left_alone(self):
        for body in ("  // if (a) b = c;", '  log(Level::kInfo, "if (a) b = c;");', "  if (a) counters.add(Counter::x);",
                     "  TL_CHECK(a < b);", '  std::snprintf(text, 8, "%s", a);'):
            self.assertEqual(edits(body), [], body)

    def test_what_is_outside_of_functions_is_left_alone(self):
        self.assertEqual(mutation.File("a.cc", "static_assert(sizeof(A) <= 64);\nusing A = B;\nint x = 1;\n").places(), [])

    def test_an_edit_changes_its_place_and_nothing_else(self):
        text = "void f() {\n  // x = 1;\n  x = 1;\n  g(x);\n}\n"
        place = mutation.File("a.cc", text).places()[0]
        self.assertEqual(place[0].apply(text), "void f() {\n  // x = 1;\n  {}\n  g(x);\n}\n")
        self.assertEqual((place[0].line, place[0].function), (3, "f"))

    def test_a_seed_draws_the_same_bugs_again_and_no_place_twice(self):
        files = {"b.cc": "void f() {\n" + "".join(f"  x{i} = {i};\n  g(x{i});\n" for i in range(50)) + "}\n"}
        drawn = mutation.draw(files, 7)
        self.assertEqual(drawn, mutation.draw(files, 7))
        self.assertNotEqual(drawn, mutation.draw(files, 8))
        self.assertEqual(len({e.start for e in drawn}), 100)


if __name__ == "__main__":
    unittest.main()
