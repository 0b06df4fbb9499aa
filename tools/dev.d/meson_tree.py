"""What a configured meson tree contains, and building exactly the part that a verb needs.

Used by tools/dev (bench, figures, fuzz) and by run_tests.py. Everything comes from meson's own introspection
files, so adding a test, a bench or a figure to a meson.build is all that its author has to do.
"""
import fnmatch
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = "trunkline"


def introspect(build, what):
    """meson keeps build/meson-info/intro-WHAT.json up to date; reading it is faster than asking meson."""
    return json.loads((build / "meson-info" / f"intro-{what}.json").read_text())


def suites(test):
    """The suites of a test without the project's name in front; no suite means `unit`."""
    names = {s.split(":", 1)[1] for s in test["suite"] if ":" in s}
    return names or {"unit"}


def files_of(build, target_ids):
    """The output files, relative to the build directory, of these target ids: what ninja wants to hear."""
    wanted = set(target_ids)
    out = []
    for target in introspect(build, "targets"):
        if target["id"] in wanted:
            out += [str(pathlib.Path(f).relative_to(build.resolve())) for f in target["filename"]]
    return sorted(set(out))


def ninja(build, files):
    """Builds these files on all cores; what the compiler says is shown on failure. True when all are there."""
    if not files:
        return True
    done = subprocess.run(["ninja", "-C", str(build), "--quiet", *files], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stdout.write(done.stdout.decode("utf-8", "replace"))
        sys.stdout.flush()
    return done.returncode == 0


def matching(build, folder, pattern):
    """Executables below `folder` of the source tree whose name matches `pattern`, as (name, file)."""
    found = []
    for target in introspect(build, "targets"):
        defined = pathlib.Path(target["defined_in"]).parent.relative_to(ROOT)
        inside = str(defined).startswith(folder.rstrip("/"))
        if target["type"] == "executable" and inside and fnmatch.fnmatch(target["name"], pattern):
            found.append((target["name"], pathlib.Path(target["filename"][0])))
    return sorted(found)


def scripts(folder, pattern):
    """Executable scripts of the same kind: `bench/figures_sockets.py` may drive several programs."""
    base = ROOT / folder
    return sorted((p.stem, p) for p in base.glob(pattern + ".py")) if base.is_dir() else []


def run(build, folder, pattern, args):
    """Builds and runs all matching executables, one after the other. Exit code of the first that failed."""
    programs = matching(build, folder, pattern)
    found_scripts = scripts(folder, pattern)
    if not programs and not found_scripts:
        known = [name for name, _ in matching(build, folder.split("/")[0], "*")]
        print(f"tools/dev: nothing under '{folder}' is called '{pattern}'; there is: "
              f"{', '.join(known) or 'nothing yet'}", file=sys.stderr)
        return 1
    # A script drives programs of this tree, so with one of them everything in the folder is built.
    targets = introspect(build, "targets")
    files = [str(f.relative_to(build.resolve())) for _, f in programs]
    if found_scripts:
        files = files_of(build, [t["id"] for t in targets if t["build_by_default"]])
    if not ninja(build, files):
        return 1
    for name, program in programs + found_scripts:
        print(f"tools/dev: {name}", file=sys.stderr)
        command = [sys.executable, str(program)] if program.suffix == ".py" else [str(program)]
        if program.suffix == ".py":
            command += ["--build", str(build)]
        code = subprocess.run(command + args, check=False).returncode
        if code != 0:
            print(f"tools/dev: {name} ended with {code}", file=sys.stderr)
            return code if code > 0 else 1
    return 0


def main():
    if len(sys.argv) < 6 or sys.argv[1] != "run" or sys.argv[5] != "--":
        sys.exit("usage: meson_tree.py run BUILD FOLDER PATTERN -- ARGS...")
    sys.exit(run(pathlib.Path(sys.argv[2]).resolve(), sys.argv[3], sys.argv[4], sys.argv[6:]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
