"""`tools/dev attacks`: every check that keeps an attacker out, taken out in turn, and the test that must notice.

A check that no test misses is a check that the next change may lose. So each line of the table below, and of the one in
attack_holes.py, is planted alone in a private copy of the tree (mutant_tree.py), the relay room's tests and the recorder of
keys are built, and those that the attack is named by must fail. Without a planted hole all of them pass, which is looked at first.
docs/attacks.md lists the same attacks for people, and those that no hole stands for.

usage: tools/dev attacks [--only WORD] [--check]
       tools/dev attacks --forge [N]
       tools/dev attacks --record [N]
    --only WORD   the attacks whose name or file has it
    --check       plants nothing: each hole's place is there, once, and docs/attacks.md is true. For the short tier of
                  tests
    --forge N     plants nothing: so many forged and repeated datagrams (100 000 000 unless said) are thrown at the packet
                  path, and what became of them is printed (tests/relay/forgeries_test.cc)
    --record N    plants nothing: two nodes seal so many datagrams (10 000 000 unless said), and whether a key met a nonce
                  twice, and what else was seen, is printed (tests/sim/key_recorder_test.cc)

Exit code 0: each hole was noticed.
"""
import argparse
import sys
import time

import attack_holes
import attack_page
import meson_tree
from attack_holes import RECORDER, RELAY, Hole
from mutant_tree import Tree, run

LIMIT_S = 120
RECORDED = "KeyRecorder.NoKeyMeetsANonceTwiceOverLanesRekeysRestartsAndSnapshots"

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
         "  if (l->alive && (stale || l->old_until.ns != 0)) {\n", "  if (l->alive && l->old_until.ns != 0) {\n", "SealedAttack*"),
    Hole("a cookie that was given to another address", "relay/sealed_identity.cc",
         "message_mac(cookie_of(*secret, from), kMsg1, covered)",
         "message_mac(cookie_of(*secret, core::UdpAddress{}), kMsg1, covered)", "SealedUnderLoad.ACookieIsOfOneAddressAndPort"),
    Hole("a flood from addresses that exist", "relay/sealed_handshake.cc",
         "if (identity_.limiter().try_take(from, now)) return {Verdict::kRead};", "return {Verdict::kRead};", "SealedUnderLoad*"),
    Hole("a flood that is never seen as one", "relay/mesh/handshake.cc",
         "  crypto.under_load(++msg1_count > calm || msg1_load_before);\n", "", "SealedAttack*"),
    Hole("a peer that says in its HELLO that it is another node", "relay/mesh/handshake.cc",
         "if (l == nullptr || (holder != nullptr && holder->node != theirs->node)) {", "if (l == nullptr) {",
         "SealedAttack*"),
    Hole("an old life's msg1 that ends the exchange under way", "relay/mesh/handshake.cc",
         "    return refuse_stranger(frame, outlived(known, theirs->incarnation));",
         "    l->step = HandshakeStep::kIdle, l->made = -1;\n"
         "    return refuse_stranger(frame, outlived(known, theirs->incarnation));", "SealedAttack*"),
    Hole("a byte of a handshake that was changed on the way: fewer features, another version, another certificate",
         "relay/noise.cc", "nonce.bytes, key_.data()) != 0) {", "nonce.bytes, key_.data()) > 0) {",
         "NoisePair.EveryDamagedBitAndEveryCutOfAMessageIsRefused"),
    Hole("a handshake that is not bound to its protocol and to what was said before", "relay/noise.cc",
         "  crypto_hash_sha256_update(&state, data.data(), data.size());\n", "  (void)data;\n", "NoisePair*"),
    Hole("the confirm of another exchange", "relay/sealed_handshake.cc",
         "  if (!noise::CipherState(confirm_key_).decrypt(transcript_, message, payload)) {",
         "  (void)noise::CipherState(confirm_key_).decrypt(transcript_, message, payload);\n  if (false) {",
         "Sealed.MessagesOutOfOrderOrOfAnotherExchangeAreRefused"),
    Hole("a second confirm under the same key and nonce", "relay/sealed_handshake.cc",
         "step_ != Step::kEstablished || confirmed_ || ", "step_ != Step::kEstablished || ",
         "Sealed.MessagesOutOfOrderOrOfAnotherExchangeAreRefused"),
    Hole("a mac1 of which only the first half is right", "relay/secret.cc", "sodium_memcmp(a.data(), b.data(), a.size())",
         "sodium_memcmp(a.data(), b.data(), a.size() / 2)", "Sealed.ForgedAndCutMessagesChangeNothing"),
    Hole("no version in common", "relay/mesh/judge.cc", "  if (version == 0 && rules.versions) {", "  if (false) {", "Judge*"),
    Hole("a feature that one end requires and the other lacks", "relay/mesh/judge.cc",
         "  if (auto refusal = judge_features(mine, theirs)) return refusal;\n", "", "Judge*"),
    Hole("messages of another meaning under the same version", "relay/mesh/judge.cc",
         "  if ((my_schema != their_schema || my_schema == 0) && rules.versions) {", "  if (false) {", "Judge*"),
    Hole("a HELLO of another cluster", "relay/mesh/judge.cc", "  if (mine.cluster != theirs.cluster) {", "  if (false) {",
         "Judge*"),
    Hole("another node's certificate, without its key", "relay/sealed_identity.cc",
         "  if (out.public_key != key) return CertificateFault::kWrongKey;\n", "", "Sealed.ACertificateOfAnotherKeyGivesNothing"),
    Hole("a certificate that is longer than one", "relay/certificate.cc",
         "  if (bytes.size() > kCertificateBytes) return CertificateFault::kTrailingBytes;\n", "",
         "Certificates.LengthAndVersionAreNamed"),
    Hole("a certificate that is written in another way", "relay/certificate.cc",
         "  return whole ? CertificateFault::kNone : CertificateFault::kNotCanonical;",
         "  (void)whole;\n  return CertificateFault::kNone;", "Certificates.AnEncodingThatSignNeverWritesIsNotCanonical"),
    Hole("being told something without a certificate", "relay/sealed_handshake.cc",
         "(!may_be_told(read.fault) || step_ == Step::kSentMsg2)) return read;", "step_ == Step::kSentMsg2) return read;",
         "Sealed.WhomNoTrustedSignerVouchedForIsToldNothing"),
    Hole("a cookie that was given minutes ago", "relay/sealed_identity.cc", "  if (age < kCookieSecretLife) return;\n",
         "  if (age < kCookieSecretLife * 100) return;\n", "SealedUnderLoad.ACookieIsGoodForTwoMinutesAndNotForFour"),
    Hole("a forged cookie reply, and one to another msg1", "relay/sealed_envelope.cc",
         "mac1.data(), mac1.size(), in.data(), key.data()) != 0) {", "mac1.data(), mac1.size(), in.data(), key.data()) > 0) {",
         "SealedUnderLoad.AForgedCookieReplyChangesNothing:SealedUnderLoad.AReplyToAnotherMsg1IsRefused"),
    Hole("handshakes of one source, as many as it likes", "relay/handshake_limiter.cc",
         "  if (full_at - now > kEmpty) return false;\n", "",
         "SealedUnderLoad.OneSourceIsReadFiveTimesAtOnceAndTwentyTimesASecond"),
    Hole("handshakes of a neighbour in the /64 of a configured peer", "relay/handshake_limiter.cc",
         "std::copy(std::begin(from.ip), std::end(from.ip), host.begin());", "host = {};\n  std::copy_n(from.ip, 8, host.begin());",
         "Limiter.ANeighbourInItsNetworkTakesNothingFromAConfiguredPeer"),
    Hole("a short msg1 of the null suite, so that the answer is longer", "relay/null_suite.cc",
         "  if (message == kMsg1 && in.size() != kMaxHandshakeBytes) return {};  // a reply could be longer\n", "",
         "NullSuite.AShortMsg1IsNotReadSoThatNoReplyIsLonger"),
    Hole("a session that is used before its peer has shown that it has the keys", "relay/mesh/handshake.cc",
         "  l.retry_at = now + kProof;\n  send_message(l, frame.address);\n",
         "  l.retry_at = now + kProof;\n  send_message(l, frame.address);\n  proven(l);\n", "SealedAttack*"),
    Hole("a rekey whose confirm is lost", "relay/mesh/liveness.cc",
         "  if (l.step == HandshakeStep::kAwaitProof && parity == l.made && e.heard > l.exchange_at) proven(l);\n", "",
         "*SealedLinks.ARekeyWhoseConfirmIsAlwaysLostLosesNothing*"),
    Hole("a rekey that ends the old keys while their packets are under way", "relay/mesh/sessions.cc",
         "l.old_until = now + std::max(kOldSession, l.rtt.smoothed() * 2);", "l.old_until = now;",
         "*SealedLinks.KeysAreReplacedUnderTraffic*"),
    Hole("a rekey in a partition", "relay/mesh/handshake.cc",
         "  if (!config.rules.retry_links) l.retry_at = core::kNever;", "  l.retry_at = core::kNever;",
         "*SealedLinks.ARekeyThatAPartitionCutsShortEndsInOneSession*"),
    Hole("a restored snapshot that is taken for a recording for ever", "relay/mesh/handshake.cc",
         "  if (stale) return refuse_stranger(frame, outlived(l->ordered_incarnation, theirs->incarnation));\n", "  if (stale) return;\n",
         "SealedAttack.ANodeRestoredFromAnOldSnapshotComesBack"),
    Hole("both ends restored at once, that draw the same random numbers", "relay/sealed_identity.cc",
         "  store_be64(moment, static_cast<uint64_t>(now_.ns));\n", "  store_be64(moment, 0);\n", RECORDED, program=RECORDER),
    Hole("an answerer that draws nothing new, so that who is restored gets its keys again", "relay/sealed_handshake.cc",
         "  noise::HandshakeState state = noise_;\n  const auto ephemeral = identity_.fresh_key_pair();\n",
         "  noise::HandshakeState state = noise_;\n  const auto& ephemeral = identity_.key();\n", RECORDED, program=RECORDER),
    Hole("a session that is begun with keys that were in use", "relay/session_table.cc",
         "  crypto_.key_session(*s.crypto, from.keys);\n",
         "  static SessionKeys first = from.keys;\n  crypto_.key_session(*s.crypto, first);\n", RECORDED, program=RECORDER),
    Hole("a counter that is used again where packets leave in the frame that they came in", "relay/lane_writer.cc",
         "  to.lane->send_counter += count;\n", "  to.lane->send_counter += count - (count > 1);\n", RECORDED, program=RECORDER),
    Hole("a peer that remembers ever later starts of this node", "relay/mesh/refusal.cc", "    if (now < l.heed_at) {",
         "    if (false) {", "SealedAttack.APeerThatRemembersEverLaterStartsDoesNotKeepThisNodeAsking"),
    Hole("the last life's msg1 that ends the exchange under way", "relay/mesh/handshake.cc",
         "awaits_proof ? std::max(l->incarnation, l->made_incarnation) : l->incarnation;", "awaits_proof ? l->incarnation : l->incarnation;",
         "SealedAttack.TheLastLifes*"),
    Hole("a msg1 under another header, taken for another msg1", "relay/mesh/handshake.cc",
         "std::span(frame.bytes).subspan(kHeaderBytes, frame.length - kHeaderBytes - without)",
         "std::span(frame.bytes).first(frame.length - without)", "SealedAttack.ACopyOfAMsg1*"),
    Hole("a link that moves to where a msg1 for new keys was sent on from", "relay/mesh/handshake.cc",
         "return stays ? l.sessions[l.active].address : frame.address;", "return stays ? frame.address : frame.address;",
         "SealedAttack.ACopyOfAMsg1*"),
    Hole("a peer with a new key that is never answered", "relay/mesh/handshake.cc",
         "config.id < l->node && can_read_ours &&", "config.id < l->node && (can_read_ours || true) &&", "SealedAttack.APeerWithANewKey*"),
    Hole("recordings of a peer that has only answered so far", "relay/mesh/handshake.cc",
         "  l->order = read.order != 0 ? read.order + 1 : 0;\n", "", "SealedAttack.WhoHasOnlyAsked*"),
    Hole("a second refusal in the words of the first", "relay/mesh/handshake.cc",
         "  stranger->begin();  // so that nothing of this exchange is left for the next\n", "", "SealedAttack.TwoThatAreRefused*"),
    Hole("an old msg1 with other settings that ends a link that is up", "relay/mesh/refusal.cc",
         "  if (l.alive) return;\n  if (l.step", "  if (l.step", "SealedAttack.ARefusalForASetting*"),
    Hole("a peer whose start is a hundred years ahead", "relay/mesh/judge.cc",
         "  if (most - least > kFurthestIncarnation) {", "  if (false) {", "Judge.*"),
    Hole("an old msg1 with other settings that ends the exchange under way", "relay/mesh/handshake.cc",
         "    refuse_stranger(frame, *refusal);\n", "    refuse_stranger(frame, *refusal);\n    l->step = HandshakeStep::kIdle, l->made = -1;\n",
         "SealedAttack*"),
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
    Hole("a peer without the role publish that announces tracks", "relay/mesh/locations.cc",
         "  if (!may(l, Role::kPublish)) return missed_role(l, Role::kPublish, MeshCounter::announcements_unauthorized);\n", "",
         "SealedRoles*"),
    Hole("a peer without the role publish, or relay, that says it has a track", "relay/mesh/answers.cc",
         "  if (!may_feed(l, m.nodes())) return Outcome::unauthorized;\n", "  (void)l;\n", "SealedRoles*"),
    Hole("a peer without the role acquire that asks for tracks", "relay/mesh/serve.cc",
         "!may(l, role)) {", "!may(l, role) && role == Role::kRelay) {", "SealedRoles*"),
    Hole("a peer without the role relay that asks on behalf of others", "relay/mesh/serve.cc",
         "!may(l, role)) {", "!may(l, role) && role == Role::kAcquire) {", "SealedRoles*"),
    Hole("a peer without the role relay that is asked to", "relay/mesh/candidates.cc",
         " || !may(l, Role::kRelay)) return false;", ") return false;", "SealedRoles*"),
    Hole("a peer without the role to, that gave or got before its certificate was replaced", "relay/mesh/roles.cc",
         "  if ((l.roles & ~roles) != 0) l.view_valid = l.view;\n", "", "SealedRoles*"),
    Hole("a peer without the role publish any more, that goes on feeding", "relay/mesh/pump.cc",
         "(died || !may_feed(l, path))", "died", "SealedRoles*"),
    Hole("a host that publishes without the role", "relay/mesh/publish.cc",
         "  if (!may(Role::kPublish)) {", "  if (false) {", "SealedRoles*"),
    Hole("a host that acquires without the role", "relay/mesh/acquire.cc",
         "  if (!may(Role::kAcquire)) {", "  if (false) {", "SealedRoles*"),
    Hole("a node that relays without the role", "relay/mesh/serve.cc",
         "  if (!may(Role::kRelay)) return decline_relaying(l, m, t);\n", "", "SealedRoles*"),
    Hole("a configuration that needs a role which the certificate has not", "relay/node_keys.cc",
         "  if (auto allowed = check_roles(config, own); !allowed) return allowed.error();\n", "  (void)check_roles;\n",
         "NodeKeys*"),
    Hole("a copy of a packet for several in the same burst", "relay/packet_path_open.cc",
         "  if (opening_window_->commit(open_counters_[at]) != LaneReplayWindow::Verdict::kNew) {\n",
         "  if (opening_window_->commit(open_counters_[at]); false) {\n", "Forgeries*"),
    Hole("being talked out of sealing", "relay/config_validate.cc", "  if (null && sealed) {", "  if (false) {",
         "SecurityConfig*"),
    Hole("a secret key that others can read", "relay/key_files.cc", "  if ((content.mode & 077u) != 0) {",
         "  if (false) {", "KeyFiles*:NodeKeys*"),
) + attack_holes.HOLES


def edits(hole):
    return ((hole.without, hole.becomes), *hole.also)


def text_of(root, hole):
    return (root / hole.file).read_text(encoding="utf-8")


def misplaced(holes):
    return [f"{h.file}: '{without.strip().splitlines()[0]}' is there {text_of(meson_tree.ROOT, h).count(without)} times"
            for h in holes for without, _ in edits(h) if text_of(meson_tree.ROOT, h).count(without) != 1]


def judged(tree, program, tests):
    return run([str(tree.build / program), f"--gtest_filter={tests}", "--gtest_brief=1"], LIMIT_S, tree.root)


def first_failure(output):
    for line in output.splitlines():
        if "[  FAILED  ]" in line:
            return line.split("]", 1)[1].split("(")[0].split(",")[0].strip()
    return "ended by its time limit, or by a contract"


def plant(tree, hole):
    """Returns what the table says of it, and whether it was noticed."""
    path = tree.root / hole.file
    source = path.read_text(encoding="utf-8")
    planted = source
    for without, becomes in edits(hole):
        planted = planted.replace(without, becomes)
    path.write_text(planted, encoding="utf-8")
    try:
        built, said = tree.compile()
        if not built:
            return "does not compile: " + next((l for l in said.splitlines() if "error" in l), said[-200:]), False
        result = judged(tree, hole.program, hole.tests)
    finally:
        path.write_text(source, encoding="utf-8")
    if result.well:
        return f"**not noticed** by {hole.tests}", False
    return first_failure(result.output), True


def main():
    parser = argparse.ArgumentParser(prog="tools/dev attacks", description=__doc__.splitlines()[0],
                                     epilog="Instead: tools/dev attacks --forge [N]: N forged and repeated datagrams at the packet path; "
                                            "--record [N]: N sealed datagrams, and whether a (key, nonce) came twice")
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    holes = [h for h in HOLES if options.only in h.attack or options.only in h.file]
    wrong = misplaced(holes) + (attack_page.faults(HOLES) if options.check else [])
    if wrong or options.check:
        print("\n".join(wrong) or f"{len(holes)} holes have their place, and docs/attacks.md says so")
        return 1 if wrong else 0
    tree = Tree(meson_tree.ROOT / "build/attacks", (RELAY, RECORDER))
    print("attacks: a copy is made and built", flush=True)
    said = tree.prepare()
    if said:
        print(said[-2000:])
        return 1
    for program, tests in sorted({(h.program, h.tests) for h in holes}):
        if not judged(tree, program, tests).well:
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
