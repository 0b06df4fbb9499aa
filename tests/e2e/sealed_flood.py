"""A flood of handshakes at a node that relays media: the honest peer loses next to none of it, its keys are still
replaced, its link stays up, and whoever floods gets less back than was sent.

    media_load ==> [ node 1 ] ==sealed, keys replaced each second==> [ node 2 ] ==> media_load
                         handshake_flood, from 1000 addresses ==msg1==> [ node 2 ]

Each flood beside the same media without one. The rates are ten times what a node reads of msg1 before it takes them for a
load (handshake.cc: 64 in 250 ms), and ten times what one core could read at all (42 us each, docs/protocol.md). Who has a
thousand addresses and answers for them fills the limiter's table; the honest peer, being configured, needs no place in it.
`sealed` in the statistics says what became of a msg1.

TRUNKLINE: the command. TRUNKLINE_MEDIA_LOAD, TRUNKLINE_HANDSHAKE_FLOOD: media_load.cc, handshake_flood.cc.
TRUNKLINE_E2E_SECONDS: of each flood; 1.1 unless said.
"""
import json
import os

import lab
from lab import check, say
from sealed_load import FLAWS, Pair

MEDIA_PER_S, SOURCES = 2_000, 1_000
READ_IN_CALM_PER_S = 64 * 4
READ_BY_A_CORE_PER_S = 24_000
LOST_AT_MOST = 0.05
FLOODS = (("right", 10 * READ_IN_CALM_PER_S), ("right", 10 * READ_BY_A_CORE_PER_S), ("wrong", 10 * READ_BY_A_CORE_PER_S),
          ("cookies", READ_BY_A_CORE_PER_S))


def flooder():
    return os.environ.get("TRUNKLINE_HANDSHAKE_FLOOD") or lab.skip("needs handshake_flood: set TRUNKLINE_HANDSHAKE_FLOOD")


def seen_by(node):
    stats = node.stats()
    return {"received": stats["mesh"]["handshakes_received"],
            "full": sum(core["drops"]["handshake_full"] for core in stats["cores"]),
            **{name: stats["sealed"][name] for name in ("cookies_sent", "limited", "wrong_mac1", "forged")}}


def share_lost(result):
    return result["lost"] / result["sent"]


def media(pair, seconds):
    result = pair.run(MEDIA_PER_S, seconds)
    for flaw in FLAWS[1:]:
        check(result[flaw] == 0, f"{flaw}: {result[flaw]}")
    check(result["links_down"] == 0, f"links went down: {result['links_down']}")
    return result


def told(result):
    return (f"{share_lost(result):.2%} of {result['sent']} packets lost, p99 {result['us']['p99'] / 1e3:.1f} ms, "
            f"max {result['us']['max'] / 1e3:.1f} ms, keys replaced {result['rekeys']} times")


def flooded(bench, pair, number, kind, per_s, seconds):
    node = pair.nodes[1]
    before = seen_by(node)
    flood = bench.process([flooder(), kind, lab.keys().public_key(2), pair.mesh_ports[1], SOURCES, per_s, seconds + 0.6],
                          f"flood-{number}")
    result = media(pair, seconds)
    check(flood.wait(seconds + 10) == 0, f"handshake_flood: {flood.text()}")
    sent = json.loads(flood.text())
    after = seen_by(node)
    became = {name: after[name] - before[name] for name in after}
    gain = sent["received_bytes"] / sent["sent_bytes"]
    say(f"  {kind}, {sent['per_s']:,.0f} msg1/s: {told(result)}; {gain:.3f} bytes came back per byte; node 2: {became}")
    check(share_lost(result) <= LOST_AT_MOST, f"{kind}, {per_s} msg1/s: {share_lost(result):.2%} of the media was lost")
    check(gain <= 1, f"who floods gets {gain:.2f} bytes back per byte")
    check(sent["per_s"] >= 0.5 * per_s, f"only {sent['per_s']} msg1/s were sent: no flood")
    check(became["received"] > 0, "no msg1 reached the mesh thread")
    return result, sent, became


def media_goes_on_under_a_flood_of_handshakes():
    seconds = float(os.environ.get("TRUNKLINE_E2E_SECONDS", "1.1"))
    with lab.Lab() as bench:
        pair = Pair(bench, rekey_s=1)
        say(f"  no flood: {told(media(pair, seconds))}")
        rekeys = 0
        for number, (kind, per_s) in enumerate(FLOODS):
            result, sent, became = flooded(bench, pair, number, kind, per_s, seconds)
            # A second, and what a lost msg1 takes to be repeated.
            due = int(seconds / 1.5)
            check(result["rekeys"] >= due, f"{kind}: keys were replaced {result['rekeys']} times, {due} are due")
            rekeys += result["rekeys"]
            if kind == "right":
                calm = READ_IN_CALM_PER_S * (seconds + 2)
                check(became["cookies_sent"] > 0 and became["forged"] < calm, f"a flood was not taken for one: {became}")
            if kind == "cookies":
                check(sent["proven"] > SOURCES // 2 and became["limited"] > 0, f"no source was limited: {became}")
        check(rekeys >= len(FLOODS), f"keys were replaced {rekeys} times in {len(FLOODS)} floods")


if __name__ == "__main__":
    lab.run(media_goes_on_under_a_flood_of_handshakes)
