"""The library and the command link no DPDK: it stays in its plug-in, and a machine without it runs everything else."""
import subprocess
import sys

for path in sys.argv[1:]:
    entries = subprocess.run(["readelf", "--dynamic", path], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in entries.splitlines() if "(NEEDED)" in line]
    dpdk = [name for name in needed if name.startswith(("librte_", "libdpdk"))]
    if dpdk:
        sys.exit(f"{path} links {', '.join(dpdk)}")
    if not needed:
        sys.exit(f"{path} needs no library at all: that is not what was meant to be looked at")
    print(f"{path}: {', '.join(needed)}")
