"""`tools/dev fuzz`: every target for its share of the time, and what the kept inputs cover of the parser it is for.

Three steps for each: fuzz, keep (when asked), measure. Two builds: build/fuzz (libFuzzer, AddressSanitizer, UBSan) makes inputs, build/fuzzcov (instrumented, no sanitizer)
replays them. New inputs stay in build/fuzz/corpus; one that ends a target goes to tests/fuzz/corpus/regress and is
replayed by the short tier from then on. A parser's branches are counted over the functions that the table below
names, both sides of each; templates and inline functions count once, however many copies of them there are.

Exit code 1: a target failed, or a parser is below 95 %.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import meson_tree

FUZZ, COVERAGE = meson_tree.ROOT / "build" / "fuzz", meson_tree.ROOT / "build" / "fuzzcov"
KEPT = meson_tree.ROOT / "tests" / "fuzz" / "corpus"
FLOOR = 95.0

# Target -> the files and functions of its parser: (file, pattern of demangled names). An empty list: no parser but a
# machine with a state, which is fuzzed and not measured.
PARSERS = {
    "rtp": [("relay/rtp.cc", r"RtpView::parse|RtpView::extension|classify|keyframe_start|begins_keyframe")],
    "rtcp": [("relay/rtcp.cc", r"RtcpPacket::|RtcpView::|summarize"), ("relay/rtcp.h", r"RtcpPacket::|RtcpView::")],
    "rtp_extensions": [("relay/rtp.h", r"walk_extension_elements")],
    "datagram_header": [("relay/wire.h", r"decode_|encode_|is_handshake|RecordWord::|SessionIndex::")],
    "records": [("relay/packet_path_open.cc", r"PacketPath::(split|take_record|prefetch_flows)")],
    "sealed_msg1": [("relay/sealed_handshake.cc", r"::(read_msg1|admit|open_plaintext|check_mac1)\(")],
    "sealed_msg2": [("relay/sealed_handshake.cc", r"::(read_msg2|open_plaintext|check_mac1|established)\(")],
    "sealed_confirm": [("relay/sealed_handshake.cc", r"::(read_confirm|read_cookie|stamp|check_mac1)\("),
                       ("relay/sealed_envelope.cc", r"open_cookie")],
    "null_handshake": [("relay/null_suite.cc", r"NullHandshake::read|all_zero")],
    "hello": [("relay/mesh/hello.cc", r"decode_hello|payload_kind|read_|short_text\(trunkline::relay::ByteReader"),
              ("relay/mesh/judge.cc", r"judge\(|agree|setting_refusal|refusal_code_name|decode_refusal|Refusal::text")],
    "certificate": [("relay/certificate.cc", r"::decode\(|::verify\(|read_|is_")],
    "control_stream": [("relay/mesh/control_stream.cc", r"ControlStream::")],
    "messages": [("relay/mesh/messages.cc", r"Decoder|MessageReader|is_outcome|is_answer|is_class")],
    "config": [("relay/config_toml.cc", r"read_|parse_|setting_text")],
    "key_file": [("relay/key_files.cc", r"find_line|::parse\(|kind_of|trouble|check_private|read_k|read_n|read_cl|read_ce")],
    "admin": [("tools/node/admin_protocol.cc", r"_member|allow_only|read_track|hex_digit|did_you_mean|"
               r"AdminProtocol::(received|call|publish|acquire|end|hint|drain|explain|flights)\(")],
    "replay_window": [("relay/replay_window.h", r"ReplayWindow")],
    "session_table": [],
    "packet_path": [],
    "mesh_node": [],
}


def say(text):
    print(text, flush=True)


# ---- fuzzing

Run = collections.namedtuple("Run", "executions per_second new_units crash")


def keep_crash(target, file):
    """A failing input among the kept ones: the short tier replays it from now on."""
    data = file.read_bytes()
    kept = KEPT / "regress" / target / hashlib.sha256(data).hexdigest()[:16]
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return kept


def fuzz(target, seconds):
    """One target for so long. Its own corpus grows; what the repository keeps is read, not written."""
    work, crashes = FUZZ / "corpus" / target, FUZZ / "crashes" / target
    shutil.rmtree(crashes, ignore_errors=True)
    for folder in (work, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(d) for d in (KEPT / target, KEPT / "regress" / target) if d.is_dir()]
    command = [str(FUZZ / "tests" / "fuzz" / f"{target}_fuzzer"), f"-max_total_time={seconds}", "-timeout=10",
               "-max_len=4096", "-rss_limit_mb=3000", "-print_final_stats=1", f"-artifact_prefix={crashes}/", str(work),
               *seeds]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
                   "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", env=environment)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    crash = None
    if done.returncode != 0:
        files = sorted(f for f in crashes.iterdir() if not f.name.startswith("slow-unit"))
        crash = str(keep_crash(target, files[0])) if files else "no input was kept"
        say(done.stderr[-6000:])
    return Run(int(stats.get("number_of_executed_units", 0)), int(stats.get("average_exec_per_sec", 0)),
               int(stats.get("new_units_added", 0)), crash)


def keep(target):
    """The smallest of the new inputs for each edge of the program that the kept ones do not take, into the repository."""
    (KEPT / target).mkdir(parents=True, exist_ok=True)
    subprocess.run([str(FUZZ / "tests" / "fuzz" / f"{target}_fuzzer"), "-merge=1", "-use_counters=0", "-max_len=512",
                    str(KEPT / target), str(FUZZ / "corpus" / target)], check=True, capture_output=True)


# ---- coverage

def demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True)
    return dict(zip(names, done.stdout.split("\n")))


def branches(export, parser):
    """(file, line, column) -> [times true, times false] of the parser's functions."""
    sides = {}
    functions = export["data"][0]["functions"]
    names = demangled([f["name"].split(":")[-1] for f in functions])
    for function in functions:
        name = names[function["name"].split(":")[-1]]
        for branch in function["branches"]:
            file = function["filenames"][branch[6]]
            if any(file.endswith("/" + wanted) and re.search(pattern, name) for wanted, pattern in parser):
                seen = sides.setdefault((file, branch[0], branch[1]), [0, 0])
                seen[0] += branch[4]
                seen[1] += branch[5]
    return sides


# The three readers of a sealed handshake share functions, each of which sees only its own messages there.
REPLAYED = {"sealed_msg1": "sealed_*", "sealed_msg2": "sealed_*"}


def cover(target, parser):
    """(sides taken, sides, places whose other side was never taken) over the kept and the new inputs."""
    program = COVERAGE / "tests" / "fuzz" / "fuzz_smoke_test"
    raw, profile = COVERAGE / f"{target}.profraw", COVERAGE / f"{target}.profdata"
    done = subprocess.run([str(program), f"--gtest_filter=Fuzz.{REPLAYED.get(target, target)}"], check=False, capture_output=True, text=True,
                          errors="replace",
                          env={**os.environ, "TRUNKLINE_FUZZ_MS": "0", "TRUNKLINE_FUZZ_CORPUS": str(FUZZ / "corpus"),
                               "LLVM_PROFILE_FILE": str(raw)})
    if done.returncode != 0:
        say(done.stdout[-3000:])
        return None
    subprocess.run(["llvm-profdata", "merge", "-sparse", str(raw), "-o", str(profile)], check=True)
    export = subprocess.run(["llvm-cov", "export", str(program), f"-instr-profile={profile}", "-format=text"],
                            check=True, capture_output=True, text=True).stdout
    sides = branches(json.loads(export), parser)
    missed = [f"{pathlib.Path(file).name}:{line}:{column} never {'true' if not true else 'false'}"
              for (file, line, column), (true, false) in sorted(sides.items()) if not true or not false]
    taken = sum((true > 0) + (false > 0) for true, false in sides.values())
    return taken, 2 * len(sides), missed


# ---- all of it

def percent(covered):
    taken, sides, _ = covered
    return 100.0 * taken / sides if sides else 100.0


def main():
    arguments = argparse.ArgumentParser(prog="tools/dev fuzz")
    arguments.add_argument("--minutes", type=float, default=1.0, help="of all targets together (default 1)")
    arguments.add_argument("--target", action="append", help="only this one; may be repeated")
    arguments.add_argument("--replay", action="store_true", help="make no new inputs, only measure the kept ones")
    arguments.add_argument("--keep", action="store_true",
                           help="copy into tests/fuzz/corpus what reaches code that nothing there reaches")
    arguments.add_argument("--missed", action="store_true", help="list the sides of branches that nothing reached")
    chosen = arguments.parse_args()
    unknown = set(chosen.target or []) - set(PARSERS)
    if unknown:
        sys.exit(f"tools/dev fuzz: no target is called {', '.join(sorted(unknown))}; there are {', '.join(PARSERS)}")
    targets = chosen.target or list(PARSERS)
    if not meson_tree.ninja(FUZZ, [f"tests/fuzz/{t}_fuzzer" for t in targets]) or \
            not meson_tree.ninja(COVERAGE, ["tests/fuzz/fuzz_smoke_test"]):
        return 1
    seconds = max(1, round(60 * chosen.minutes / len(targets)))
    say(f"{len(targets)} targets" + ("" if chosen.replay else f", {seconds} s each"))
    say(f"{'target':<16}{'executions':>12}{'per second':>12}{'new units':>11}{'branches':>18}")
    failed = []
    for target in targets:
        began = time.monotonic()
        run = Run(0, 0, 0, None) if chosen.replay else fuzz(target, seconds)
        if chosen.keep and not run.crash:
            keep(target)
        covered = cover(target, PARSERS[target]) if PARSERS[target] else None
        if run.crash:
            failed.append(f"{target}: ended; the input is {run.crash}")
        text = "not measured"
        if PARSERS[target] and covered is None:
            failed.append(f"{target}: the kept inputs do not pass")
            text = "failed"
        elif covered is not None:
            text = f"{covered[0]}/{covered[1]} {percent(covered):5.1f} %"
            if percent(covered) < FLOOR:
                failed.append(f"{target}: {percent(covered):.1f} % of its parser's branches, below {FLOOR:.0f} %: " +
                              "; ".join(covered[2]))
        say(f"{target:<16}{run.executions:>12}{run.per_second:>12}{run.new_units:>11}{text:>18}"
            f"   {time.monotonic() - began:.0f} s")
        if chosen.missed and covered:
            for place in covered[2]:
                say(f"    {place}")
    for line in failed:
        say("FAILED " + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
