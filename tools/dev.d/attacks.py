"""`tools/dev attacks`: every check that keeps an attacker out, taken out in turn, and the test that must notice.

A check that no test misses is a check that the next change may lose. So each line of the table below is planted alone
in a private copy of the tree (mutant_tree.py), the relay room's tests are built, and those that the attack is named by
must fail. Without a planted hole all of them pass, which is looked at first.

usage: tools/dev attacks [--only WORD] [--check]
    --only WORD   the attacks whose name or file has it
    --check       plants nothing: each hole's place is there, once. For the short tier of tests

Exit code 0: each hole was noticed.
"""
import argparse
import dataclasses
import sys
import time

import meson_tree
from mutant_tree import Tree, run

PROGRAM = "tests/relay/relay_tests"
LIMIT_S = 120


@dataclasses.dataclass(frozen=True)
class Hole:
    attack: str
    file: str
    without: str        # in the source, once
    becomes: str
    tests: str          # of GoogleTest's filter: these are to fail


HOLES = (
    Hole("a handshake that is not meant for this node's key", "relay/sealed_handshake.cc",
         "const bool right = equal_in_constant_time(message_mac(key, message, covered), mac1);", "const bool right = true;",
         "Sealed.*:SealedUnderLoad*"),
    Hole("a node that no trusted signer has signed", "relay/certificate.cc",
         "    return CertificateFault::kBadSignature;\n  }", "  }", "Certificate*:Sealed.*"),
    Hole("a signer that is not trusted", "relay/certificate.cc",
         "if (anchor == trusted.end()) return CertificateFault::kUnknownSigner;",
         "if (anchor == trusted.end()) return CertificateFault::kNone;", "Certificate*:SealedLinks*:NodeKeys*"),
    Hole("a certificate of another cluster", "relay/certificate.cc",
         "if (out.cluster.view() != trust.cluster) return CertificateFault::kWrongCluster;", "", "Certificate*:NodeKeys*"),
    Hole("a revoked certificate", "relay/certificate.cc", "    return CertificateFault::kRevoked;\n", "    {}\n",
         "Certificate*:NodeKeys*"),
    Hole("an expired certificate", "relay/certificate.cc",
         "if (unix_s >= out.expires) return CertificateFault::kExpired;", "", "Certificate*:NodeKeys*"),
    Hole("a certificate that is not valid yet", "relay/certificate.cc",
         "if (unix_s < out.not_before) return CertificateFault::kNotYetValid;", "", "Certificate*"),
    Hole("another node of the cluster in a peer's place", "relay/sealed_handshake.cc",
         "if (fault == CertificateFault::kNone && foreign) fault = CertificateFault::kWrongNode;", "(void)foreign;",
         "Sealed.*:SealedUnderLoad*"),
    Hole("a public key of low order", "relay/noise.cc",
         "if (crypto_scalarmult(shared.data(), secret.data(), public_key.data()) != 0) return false;",
         "(void)!crypto_scalarmult(shared.data(), secret.data(), public_key.data());", "Noise*"),
    Hole("a second, different msg2", "relay/sealed_handshake.cc",
         "if (!authentic || (accepted && state.hash() != transcript_)) {", "if (!authentic) {", "Sealed.*:SealedUnderLoad*"),
    Hole("a msg1 that is short, so that the cookie is longer", "relay/sealed_handshake.cc",
         "  if (msg1.size() != kMaxHandshakeBytes) {\n", "  if (msg1.size() < kMacsBytes) {\n", "SealedUnderLoad*"),
    Hole("a recorded msg1, sent again", "relay/mesh/handshake.cc",
         "  if (stale) {\n", "  if (stale && false) {\n", "SealedAttack*"),
    Hole("a cookie that was given to another address", "relay/sealed_identity.cc",
         "message_mac(cookie_of(*secret, from), kMsg1, covered)",
         "message_mac(cookie_of(*secret, core::UdpAddress{}), kMsg1, covered)", "SealedUnderLoad*:SealedAttack*"),
    Hole("a flood from addresses that exist", "relay/sealed_handshake.cc",
         "if (identity_.limiter().try_take(from, now)) return {Verdict::kRead};", "return {Verdict::kRead};", "SealedUnderLoad*"),
    Hole("a flood that is never seen as one", "relay/mesh/handshake.cc",
         "  crypto.under_load(++msg1_count > calm || msg1_load_before);\n", "", "SealedAttack*"),
    Hole("a peer that says in its HELLO that it is another node", "relay/mesh/handshake.cc",
         "if (l == nullptr || (holder != nullptr && holder->node != theirs->node)) {", "if (l == nullptr) {",
         "SealedAttack*"),
    Hole("an old life's msg1 that ends the exchange under way", "relay/mesh/handshake.cc",
         "    return refuse_stranger(frame, outlived(l->incarnation, theirs->incarnation));",
         "    return send_refusal(*l, frame, outlived(l->incarnation, theirs->incarnation), hash);", "SealedAttack*"),
    Hole("a datagram with a forged tag (AES-GCM)", "relay/aead_ipsec_mb.cc",
         "jobs[i].authentic = tags_equal(tag, text + length);", "jobs[i].authentic = true;", "*SealedSuite*:*Aead*"),
    Hole("a datagram with a forged tag (ChaCha20-Poly1305)", "relay/aead_ipsec_mb.cc",
         "jobs[i].authentic = tags_equal(tag, jobs[i].data + header + length);", "jobs[i].authentic = true;",
         "*SealedSuite*:*Aead*"),
    Hole("a datagram beyond what its key may protect", "relay/sealed_suite.cc",
         "return job.length >= kHeaderBytes + kTagBytes && counter_of(job.data) < limit;",
         "return job.length >= kHeaderBytes + kTagBytes && limit != 0;", "*SealedSuite*"),
    Hole("a datagram that was seen before", "relay/packet_path_open.cc",
         "    const bool seen = verdict == LaneReplayWindow::Verdict::kSeen;\n"
         "    return refuse(seen ? DropReason::replayed : DropReason::too_old);",
         "    (void)verdict;", "PacketPath*"),
    Hole("being talked out of sealing", "relay/config_validate.cc", "  if (null && sealed) {", "  if (false) {",
         "SecurityConfig*"),
    Hole("a secret key that others can read", "relay/key_files.cc", "  if ((content.mode & 077u) != 0) {",
         "  if (false) {", "KeyFiles*:NodeKeys*"),
)


def text_of(root, hole):
    return (root / hole.file).read_text(encoding="utf-8")


def misplaced(holes):
    return [f"{h.file}: '{h.without.strip().splitlines()[0]}' is there {text_of(meson_tree.ROOT, h).count(h.without)} times"
            for h in holes if text_of(meson_tree.ROOT, h).count(h.without) != 1]


def judged(tree, tests):
    return run([str(tree.build / PROGRAM), f"--gtest_filter={tests}", "--gtest_brief=1"], LIMIT_S, tree.root)


def first_failure(output):
    for line in output.splitlines():
        if "[  FAILED  ]" in line:
            return line.split("]", 1)[1].split("(")[0].split(",")[0].strip()
    return "ended by its time limit, or by a contract"


def plant(tree, hole):
    """Returns what the table says of it, and whether it was noticed."""
    path = tree.root / hole.file
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace(hole.without, hole.becomes), encoding="utf-8")
    try:
        built, said = tree.compile()
        if not built:
            return "does not compile: " + next((l for l in said.splitlines() if "error" in l), said[-200:]), False
        result = judged(tree, hole.tests)
    finally:
        path.write_text(source, encoding="utf-8")
    if result.well:
        return f"**not noticed** by {hole.tests}", False
    return first_failure(result.output), True


def main():
    parser = argparse.ArgumentParser(prog="tools/dev attacks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    holes = [h for h in HOLES if options.only in h.attack or options.only in h.file]
    wrong = misplaced(holes)
    if wrong or options.check:
        print("\n".join(wrong) or f"{len(holes)} holes have their place")
        return 1 if wrong else 0
    tree = Tree(meson_tree.ROOT / "build/attacks", (PROGRAM,))
    print("attacks: a copy is made and built", flush=True)
    said = tree.prepare()
    if said:
        print(said[-2000:])
        return 1
    for tests in sorted({h.tests for h in holes}):
        if not judged(tree, tests).well:
            print(f"attacks: {tests} fail without a hole: nothing can be learnt")
            return 1
    noticed = 0
    for hole in holes:
        begin = time.monotonic()
        what, caught = plant(tree, hole)
        noticed += caught
        print(f"{'ok  ' if caught else 'OPEN'} {hole.attack} ({hole.file}): {what} ({time.monotonic() - begin:.0f} s)",
              flush=True)
    print(f"attacks: {noticed} of {len(holes)} holes were noticed")
    return 0 if noticed == len(holes) else 1


if __name__ == "__main__":
    sys.exit(main())
