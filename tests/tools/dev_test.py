"""tools/dev.d/gtest_results.py: no ending of a test process is taken for success that was none."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "dev.d"))
import gtest_results as results  # noqa: E402

OUTPUT = """[ RUN      ] Ring.PushesAndPops
[       OK ] Ring.PushesAndPops (0 ms)
[ RUN      ] Ring.Wraps
"""


def report(cases):
    path = pathlib.Path(tempfile.mkdtemp()) / "report.json"
    path.write_text(json.dumps({"testsuites": [{"name": "Ring", "testsuite": cases}]}), encoding="utf-8")
    return path


RAN = {"name": "A", "status": "RUN", "result": "COMPLETED"}
FAILED = {**RAN, "name": "B", "failures": [{"failure": "x_test.cc:3\nexpected"}]}
SKIPPED = {**RAN, "name": "C", "result": "SKIPPED"}
DISABLED = {"name": "D", "status": "NOTRUN", "result": "SUPPRESSED"}


class GtestResults(unittest.TestCase):
    def verdicts(self, *args):
        return {name: case.verdict for name, case in results.cases("core", *args).items()}

    def test_a_report_gives_one_verdict_per_case(self):
        self.assertEqual(self.verdicts(report([RAN, FAILED, SKIPPED, DISABLED]), "", "exit code 1"),
                         {"core: Ring.A": "passed", "core: Ring.B": "failed", "core: Ring.C": "skipped"})

    def test_a_crash_fails_the_case_that_was_running(self):
        self.assertEqual(self.verdicts(pathlib.Path("/nonexistent"), OUTPUT, "ended by signal 11"),
                         {"core: Ring.PushesAndPops": "passed", "core: Ring.Wraps": "failed"})

    def test_a_skipped_case_keeps_its_reason(self):
        output = "[ RUN      ] Ring.C\nx_test.cc:3: Skipped\nno such device\n\n[  SKIPPED ] Ring.C (0 ms)\n"
        for path in (report([SKIPPED]), pathlib.Path("/nonexistent")):
            self.assertEqual(results.cases("core", path, output, "")["core: Ring.C"],
                             results.Case("skipped", "no such device"))

    def test_an_exit_code_that_no_case_explains_is_a_failure(self):
        self.assertEqual(self.verdicts(report([RAN]), "", "exit code 1"),
                         {"core: Ring.A": "passed", "core: process": "failed"})

    def test_a_process_without_report_is_a_failure_even_with_exit_code_zero(self):
        self.assertEqual(self.verdicts(pathlib.Path("/nonexistent"), "", ""), {"core: process": "failed"})

    def test_a_binary_in_which_nothing_ran_is_a_failure(self):
        self.assertEqual(self.verdicts(report([DISABLED]), "", ""), {"core: process": "failed"})

    def test_a_case_fails_if_it_failed_in_any_build(self):
        total = {}
        for verdict in ("passed", "failed", "skipped"):
            results.merge(total, {"x": results.Case(verdict)})
        self.assertEqual(results.tally(total), (0, 1, 0))

    def test_a_case_skipped_in_one_build_and_passed_in_another_passed(self):
        total = {}
        for verdict in ("skipped", "passed", "skipped"):
            results.merge(total, {"x": results.Case(verdict)})
        self.assertEqual(results.count(total), "1 passed, 0 failed, 0 skipped")

    def test_nothing_run_and_all_skipped_are_not_success(self):
        self.assertEqual(results.exit_code({}), 1)
        self.assertEqual(results.exit_code({"x": results.Case("skipped")}), 1)
        self.assertEqual(results.exit_code({"x": results.Case("passed")}), 0)


if __name__ == "__main__":
    unittest.main()
