#!/bin/sh
# Runs bench/io/port_floor between three network namespaces of its own (needs root):
#
#   tl-g(g0 198.18.0.1) --- (r0 198.18.0.2)tl-r(r1 198.18.1.1) --- (s0 198.18.1.2)tl-s
#
# The sink has a wrong link address on purpose: what the forwarder sends is dropped on arrival and costs nobody
# else's time. Prints one JSON line per run; the variants alternate, so that a slow minute of the machine hits
# all of them.
#
#   bench/io/port_floor.sh BUILD/bench/io/port_floor [SECONDS [ROUNDS [VARIANT...]]]
set -eu
program=$1
seconds=${2:-2}
rounds=${3:-3}
[ $# -gt 3 ] && shift 3 || set -- bare mmsg-nocopy mmsg uring bare-single mmsg-taps uring-taps

clean() { for n in tl-g tl-r tl-s; do ip netns del "$n" 2>/dev/null || true; done; }
trap clean EXIT INT TERM
clean
for n in tl-g tl-r tl-s; do ip netns add "$n"; done
ip link add g0 netns tl-g type veth peer name r0 netns tl-r
ip link add r1 netns tl-r type veth peer name s0 netns tl-s
ip -n tl-g addr add 198.18.0.1/24 dev g0
ip -n tl-r addr add 198.18.0.2/24 dev r0
ip -n tl-r addr add 198.18.1.1/24 dev r1
ip -n tl-s addr add 198.18.1.2/24 dev s0
for link in tl-g:g0 tl-r:r0 tl-r:r1 tl-s:s0; do ip -n "${link%:*}" link set "${link#*:}" up; done
ip -n tl-r neigh replace 198.18.1.2 lladdr 02:00:00:00:00:99 nud permanent dev r1

round=0
while [ "$round" -lt "$rounds" ]; do
  for variant; do
    case $variant in *-taps) load=paced ;; *) load=generate ;; esac
    ip netns exec tl-g "$program" "$load" 198.18.0.1:4000 198.18.0.2:6000 "$seconds" &
    generator=$!
    ip netns exec tl-r "$program" "$variant" 198.18.0.2:6000 198.18.1.1:5001 198.18.1.2:5002 "$seconds" || true
    wait "$generator" || true
  done
  round=$((round + 1))
done
