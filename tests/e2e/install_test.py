"""An installed libtrunkline is all that a C or C++ host needs: the library is installed into a fresh prefix, the
example host is built out of tree against it by pkg-config and by CMake, both are run, and so is a C++ host of the
header-only wrapper. What the library exports is tl_... and nothing else; its name carries the ABI version.

Usage: install_test.py BUILD_DIR
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = ROOT / "tools" / "examples" / "host.c"
HOST_LINES_MAX = 60

CMAKE = f"""cmake_minimum_required(VERSION 3.18)
project(host C)
set(CMAKE_C_STANDARD 11)
find_package(trunkline 0.1 REQUIRED)
add_executable(host {HOST})
target_link_libraries(host PRIVATE trunkline::trunkline)
"""

WRAPPER = r"""
#include <cstdio>
#include <trunkline/trunkline.hpp>
int main() {
  const auto refused = trunkline::Node::open({.config_text = "[node]\n"});
  if (refused) return 1;
  std::printf("%s: %s\n", tl_error_name(refused.error().code), refused.error().text.c_str());
  auto node = trunkline::Node::open({.config_text =
      "[node]\nid = 9\ncluster = 'lab-hpp'\nregion = 'here'\nlab = true\nlisten = '127.0.0.1:0'\n"
      "[wire]\ntrack_namespace = 'example'\nmtu = 1500\nsuite = 'null'\n"});
  if (!node) return std::puts(node.error().text.c_str()), 1;
  auto queue = node->queue(0);
  auto track = node->track_id("camera");
  if (!queue || !track) return 1;
  const auto handle = queue->acquire({.track = *track});
  trunkline::Event event;
  while (queue->events({&event, 1}).empty()) {}
  std::printf("%s\n", tl_outcome_name(event.outcome));
  return handle && event.handle == *handle && event.outcome == TL_OUTCOME_NOT_HERE ? 0 : 1;
}
"""


def run(*command, env=None, cwd=None):
    """The output of a command that must succeed within a minute."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, env=env, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"FAILED ({done.returncode}): {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def installed(build, prefix):
    """Installs below `prefix`; the folder of the library there."""
    run("meson", "install", "-C", build, "--no-rebuild", "--destdir", prefix.parent / "dest")
    configured = next(o["value"] for o in __import__("json").loads(
        run("meson", "introspect", "--buildoptions", build)) if o["name"] == "prefix")
    shutil.copytree(f"{prefix.parent}/dest{configured}", prefix)
    return next(prefix.rglob("libtrunkline.so.1")).parent


def exports_are_clean(library):
    names = [line.split() for line in run("nm", "-D", "--defined-only", library).splitlines()]
    foreign = [n[-1] for n in names if not n[-1].startswith("tl_") and not n[-1].startswith("TRUNKLINE_")]
    check(not foreign, f"only tl_... is exported: {foreign[:5] or 'nothing else'}")
    check(len(names) > 25, f"{len(names)} symbols are exported")
    header = (ROOT / "relay/include/trunkline/trunkline.h").read_text(encoding="utf-8")
    declared = {line.split("(")[0].split()[-1].lstrip("*") for line in header.splitlines()
                if line.startswith("TL_API")}
    exported = {n[-1].split("@")[0] for n in names}
    check(declared <= exported, f"every declared function is there: missing {sorted(declared - exported)}")
    check("Library soname: [libtrunkline.so.1]" in run("readelf", "-d", library), "its SONAME is libtrunkline.so.1")
    check("mimalloc" not in run("readelf", "-d", library), "it brings no allocator")


def main(build):
    lines = len(HOST.read_text(encoding="utf-8").splitlines())
    check(lines <= HOST_LINES_MAX, f"host.c has {lines} lines, at most {HOST_LINES_MAX}")
    # A sanitizer's runtime must come first in a process, and the host has none: this test is of the release build.
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        prefix = scratch / "prefix"
        folder = installed(build, prefix)
        exports_are_clean(folder / "libtrunkline.so.1")
        env = dict(os.environ, LD_LIBRARY_PATH=str(folder), PKG_CONFIG_PATH=str(folder / "pkgconfig"))
        flags = run("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", "trunkline",
                    env=env).split()
        check("-lmimalloc" not in flags and "-ltrunkline" in flags, f"pkg-config says {' '.join(flags)}")
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", HOST, "-o", scratch / "host", *flags)
        check("100 received" in run(scratch / "host", env=env), "a C host built by pkg-config moves 100 packets")
        source = scratch / "cmake"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(CMAKE, encoding="utf-8")
        run("cmake", "-S", source, "-B", scratch / "cmake-build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", scratch / "cmake-build")
        check("100 received" in run(scratch / "cmake-build" / "host", env=env),
              "a C host built by CMake moves 100 packets")
        (scratch / "wrapper.cc").write_text(WRAPPER, encoding="utf-8")
        run("c++", "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-exceptions", "-fno-rtti",
            scratch / "wrapper.cc", "-o", scratch / "wrapper", *flags)
        said = run(scratch / "wrapper", env=env)
        check("NOT_HERE" in said and "TL_ECONFIG: config:1:1: node.id: is required" in said,
              "a C++ host of trunkline.hpp reads results and errors")


if __name__ == "__main__":
    main(*sys.argv[1:])
