"""The holes that `tools/dev attacks` plants in what a datagram meets: its header, its records, RTP, messages, texts.

Those in handshakes, keys and certificates stand in attacks.py. docs/attacks.md has a row for each, under its name.
"""
import dataclasses


RELAY, RECORDER = "tests/relay/relay_tests", "tests/sim/key_recorder_tests"


@dataclasses.dataclass(frozen=True)
class Hole:
    attack: str
    file: str
    without: str        # in the source, once
    becomes: str
    tests: str          # of GoogleTest's filter: these are to fail
    also: tuple = ()    # a check that stands in several places: their (without, becomes) in the same file
    program: str = RELAY    # where the tests are


OPEN, PATH, EDGES = "relay/packet_path_open.cc", "relay/packet_path.cc", "relay/packet_path_edges.cc"
DROPS = "PacketPathDrops.EachReasonIsCountedAloneAndWhatIsRightStillGoesThrough"
FRAMES = "PacketPathFrames.RefusesWhatWasSeenWhatIsForgedAndWhatHasNoHopLeft"
LENGTHS = "PacketPathAttack.DatagramsOfAnyLengthAreCountedAndNothingMore"
OVERSIZED = "PacketPathAttack.APeersOversizedRecordsAndTrailingBytesAreDropped"

ADDRESSES = (
    Hole("an authentic datagram that is sent on from elsewhere, to move the peer there", OPEN,
         "  opening_ = session;\n", "  opening_ = session;\n  session->peer_address = packet.address;\n",
         "PacketPathAttack.AnAuthenticDatagramFromElsewhereMovesNothing"),
    Hole("a stranger who asks at an egress tap", "relay/taps.cc", "    if (!(tap.to == source)) continue;\n", "",
         "PacketPathAttack.AStrangerAtATapIsNeitherHeardNorGivenMedia"),
    Hole("RTP of another address at an ingest tap", EDGES,
         "    if (!heard) return accounting_.drop(DropReason::unknown_source);\n", "    (void)heard;\n", "PacketPathAttack.AStrangerAtAnIngestTapPublishesNothingAndGetsNoRequests"),
    Hole("RTP of another SSRC at an ingest tap", "relay/taps.cc",
         "    if (detail.tap_ssrc != 0 && detail.tap_ssrc != rtp->ssrc()) return DropReason::unknown_source;\n", "", DROPS),
    Hole("a HELLO that names port 0 as where media is to go", "relay/mesh/hello.cc",
         "    if (hello.cores[i].port == 0) return false;\n", "", "Hello.RefusesBadValuesInRequiredFields"),
)

DATAGRAMS = (
    Hole("records without the key: media, feedback, control, heartbeats, probes", OPEN,
         "    if (!job.authentic) {\n      refuse(DropReason::not_authentic);\n      continue;\n    }\n", "",
         "PacketPathAttack.WhatIsNotAuthenticIsNeitherAnsweredNorDeliveredNorASignOfLife"),
    Hole("a lone video packet without the key", OPEN, "  return job.authentic && header.length()", "  return header.length()",
         FRAMES),
    Hole("a flood of forged tags on a valid index, to move the replay window", OPEN,
         "      refuse(DropReason::not_authentic);\n      continue;\n",
         "      refuse(DropReason::not_authentic);\n      (void)opening_window_->commit(open_counters_[i]);\n      continue;\n",
         "PacketPathAttack.AFloodOfForgedTagsOnAValidIndexTakesNothingFromThePeer"),
    Hole("forged datagrams that keep a dead link up", OPEN, "  if (opened != 0) liveness_.heard(",
         "  if (open_count_ != 0) liveness_.heard(",
         "PacketPathAttack.WhatIsNotAuthenticIsNeitherAnsweredNorDeliveredNorASignOfLife"),
    Hole("a copy in the same burst", OPEN,
         "    if (opening_window_->commit(open_counters_[i]) != LaneReplayWindow::Verdict::kNew) {\n",
         "    (void)opening_window_->commit(open_counters_[i]);\n    if (false) {\n", DROPS),
    Hole("a copy of a lone video packet in the same burst", OPEN,
         "    if (opening_window_->commit(open_counters_[i]) != LaneReplayWindow::Verdict::kNew) [[unlikely]] {\n",
         "    (void)opening_window_->commit(open_counters_[i]);\n    if (false) {\n", FRAMES),
    Hole("a late copy, from before the window", "relay/replay_window.h",
         "    if (end_ - counter > kDepth) return Verdict::kTooOld;\n", "", "ReplayWindow*"),
    Hole("a counter that leaps by 2^47, and copies from before the leap", "relay/replay_window.h",
         "words_[w & (kWords - 1)] = 0;", "(void)w;", "ReplayWindow*"),
    Hole("a scan of session indexes", "relay/session_table.h", " && s.receive_index == session_index ? &s", " ? &s",
         "PacketPathAttack.AScanOfSessionIndexesFindsNothing"),
    Hole("the index of a session that is gone", "relay/session_table.h",
         "s.state != Session::State::kFree && s.receive_index == session_index", "s.receive_index == session_index",
         "PacketPathDrops.NoDatagramIsOfTheLaneThatThereIsNot"),
    Hole("an index that follows from that of the session before", "relay/mesh/sessions.cc",
         "static_cast<uint16_t>(rng.next())", "uint16_t{7}", "SealedAttack.TheIndexOfASessionDoesNotFollowFromTheOneBefore"),
    Hole("a lane that the peer does not have", OPEN,
         "  if (header.lane >= session->peer_cores) return refuse(DropReason::bad_lane), false;\n", "", DROPS),
    Hole("a datagram that is moved to another lane", "relay/lane_key.cc", "= from.value;", "= 0;",
         "*SealedSuites.ADatagramOfOneLaneOpensInNoOther*"),
    Hole("a header with another phase, type, lane, counter or index", "relay/aead_ipsec_mb.cc",
         "nonces[i].bytes, jobs[i].data,\n               header, ", "nonces[i].bytes, jobs[i].data,\n               0, ",
         "*SealedSuites.EveryDamagedBitAndEveryCutIsRefused*",
         (("nonces[i].bytes, jobs[i].data, header, tag, kTagBytes);", "nonces[i].bytes, jobs[i].data, 0, tag, kTagBytes);"),)),
    Hole("a tag of which only the first half is right", "relay/aead_ipsec_mb.cc",
         " | (load_be64(a + 8) ^ load_be64(b + 8))", "", "*SealedSuites.EveryDamagedBitAndEveryCutIsRefused*"),
    Hole("datagrams of 0 to 27 bytes", OPEN,
         "  if (length < kHeaderBytes + kTagBytes) return refuse(DropReason::short_datagram);\n", "", LENGTHS),
    Hole("a handshake of 65 507 bytes", EDGES, "slot.empty() || datagram.size() > kMaxFrameBytes", "slot.empty()", LENGTHS),
    Hole("probes that answer each other for ever", EDGES, "      if (header.layer == 0) {", "      if (true) {",
         "PacketPathLinks.AnswersAPathProbeOnceWithTheSameBytes"),
    Hole("one class of packets that takes every buffer", "relay/transmitter.cc",
         "pool_.free_count() > reserve ? pool_.try_alloc()", "pool_.free_count() > 0 ? pool_.try_alloc()", DROPS),
    Hole("datagrams at a wrong port, until every buffer for handing over is taken", "relay/handover.cc",
         "  if (lane.credit() == 0) return false;\n", "", DROPS),
)

RECORDS = (
    Hole("a control segment that is longer than its place", EDGES,
         "      if (header.length > kMaxFrameBytes) return accounting_.drop(DropReason::bad_record);\n", "", OVERSIZED),
    Hole("media that is longer than a host's slot", PATH, "    if (record.length > HostPacket::kMaxBytes) {",
         "    if (false) {", OVERSIZED),
    Hole("a record that reaches past its datagram", OPEN, "    if (header.length() > left - kRecordHeaderBytes) {",
         "    if (false) {", DROPS),
    Hole("bytes behind the last record", OPEN, "      if (!all_zero(at, end)) refuse(DropReason::bad_record);\n", "",
         OVERSIZED),
    Hole("a label that was granted to another link", PATH, "  if (!from_output) return DropReason::foreign_label;\n", "",
         "PacketPathAttack.AfterTheEndOfASubscriptionItsLabelsAreWorthNothing"),
    Hole("media on another link's track while it flows", "relay/flow_table.h",
         "(state & kCompared) == (kExpected | from)", "(state & kCompared & ~uint64_t{0xffff}) == kExpected",
         "PacketPathAttack.ATrackThatFlowsIsSentOnForItsOwnerUnderItsLabelOnly"),
    Hole("a label of an earlier holder", PATH, "  if (flow.label != record.label) {", "  if (flow.label.value == 0) {", DROPS),
    Hole("a label of an earlier holder, of a track that flows", "relay/flow_table.h", "return label == packet_label && (state",
         "return (state", "PacketPathAttack.ATrackThatFlowsIsSentOnForItsOwnerUnderItsLabelOnly"),
    Hole("a label whose index had no rest", "relay/mesh/labels.cc", " && now >= core.rested_at[core.oldest_resting]", "",
         "Labels.AnIndexThatAPeerMayStillUseRests"),
    Hole("a label that comes back as it was", "relay/mesh/labels.cc",
         "static_cast<uint16_t>((entry.generation & Label::kMaxGeneration) + 1)", "uint16_t{1}",
         "Labels.AnIndexComesBackWithAnotherGenerationWhichIsNeverZero"),
    Hole("a packet that goes in circles", PATH, "    if (record.ttl == 0) {", "    if (false) {", DROPS),
    Hole("a lone video packet that goes in circles", OPEN, "  return header.ttl() != 0 && header.length()",
         "  return header.length()", FRAMES),
    Hole("keyframe requests without end", "relay/feedback.cc",
         "  return !detail.keyframe_asked || now - detail.keyframe_sent >= interval;", "  return interval.ns >= 0;",
         "PacketPathFeedback.AtMostOneKeyframeRequestPerIntervalWhoeverAsks"),
    Hole("the same NACK again and again", "relay/feedback.cc",
         "  if (slot.key == key && now - slot.sent < interval) return false;\n", "",
         "PacketPathFeedback.ANackIsSentOncePerSequenceNumberAndRoundTrip"),
    Hole("a NACK of thousands of packets", "relay/feedback.cc", "        if (wish.nacks == kMaxNacks) return;\n", "",
         "PacketPathAttack.AnAvalancheOfNacksIsCutToWhatOneDatagramMayAsk"),
    Hole("a repetition where sequence numbers wrap", "relay/flow_table.cc", "  return behind < 0x8000;",
         "  return record_sequence(record) <= detail.resume_sequence;",
         "PacketPathDrops.ANewSourceIsHeardTheOldOneIsNotAndNothingIsDeliveredTwice"),
)

RTP = (
    Hole("RTP whose padding is longer than its payload", "relay/rtp.cc",
         "    if (padding == 0 || padding > in.remaining()) return refuse(RtpFault::kPadding);\n", "", "RtpView*"),
    Hole("RTP whose CSRC list reaches past its end", "relay/rtp.cc",
         "  if (!in.ok()) return refuse(RtpFault::kCsrcPastEnd);\n", "", "RtpView*"),
    Hole("RTP whose extension reaches past its end", "relay/rtp.cc",
         "    if (!in.ok()) return refuse(RtpFault::kExtensionPastEnd);\n", "", "RtpView*"),
    Hole("an extension element that reaches past its block", "relay/rtp.cc",
         "      return refuse(RtpFault::kExtensionElement);\n", "", "RtpView*"),
    Hole("one-byte extension elements with id 15 or 0", "relay/rtp.h",
         "    if (one_byte && (id == kOneByteStop || id == 0)) return true;\n", "", "RtpView*"),
    Hole("two-byte extension elements with id 0", "relay/rtp.h", "    if (first == 0) continue;",
         "    if (one_byte && first == 0) continue;", "RtpView*"),
    Hole("RTCP of fewer bytes than a header", "relay/rtcp.cc", "    if (!in.ok()) return refuse(RtpFault::kRtcpTooShort);\n",
         "", "RtcpView*"),
    Hole("RTCP whose length reaches past its end", "relay/rtcp.cc", "    if (!in.ok()) return refuse(RtpFault::kRtcpLength);\n",
         "", "RtcpView*"),
    Hole("RTCP whose padding is longer than its body", "relay/rtcp.cc", " || padding > 4 * words)", ")", "RtcpView*"),
    Hole("a BYE whose reason reaches past its end", "relay/rtcp.cc",
         "require(bye_in_bounds(body(), count()), RtpFault::kRtcpBye)", "RtpFault::kNone", "RtcpView*"),
    Hole("an SDES whose items reach past its end", "relay/rtcp.cc",
         "require(sdes_in_bounds(body(), count()), RtpFault::kRtcpSdes)", "RtpFault::kNone", "RtcpView*"),
    Hole("a report with more blocks than bytes", "relay/rtcp.cc",
         "require(body().size() >= kReceiverInfo + kReportBlock * count(), RtpFault::kRtcpReport)", "RtpFault::kNone",
         "RtcpView*"),
    Hole("feedback without its SSRCs", "relay/rtcp.cc",
         "  if (is_feedback() && body().size() < kFeedbackSsrcs) return RtpFault::kRtcpFeedback;\n", "", "RtcpView*"),
    Hole("a TWCC that announces more deltas than it has", "relay/rtcp.cc",
         "require(transport_cc_in_bounds(feedback_entries()), RtpFault::kRtcpTransportCc)", "RtpFault::kNone", "RtcpView*"),
)

HELLO = "Hello.RefusesEveryMalformedField"
MESSAGES = "MessageReader.RefusesEveryMalformedMessage"
CONTROL = (
    Hole("a HELLO with a field twice", "relay/mesh/hello.cc", "    if (tag == last && !repeatable) return std::nullopt;\n", "",
         HELLO),
    Hole("a HELLO whose fields are not in order", "relay/mesh/hello.cc", " || tag == 0 || tag < last)", " || tag == 0)", HELLO),
    Hole("a HELLO whose field reaches past its end", "relay/mesh/hello.cc", "    if (!in.ok() || tag == 0", "    if (tag == 0",
         HELLO),
    Hole("a HELLO that lacks a field", "relay/mesh/hello.cc",
         "  if ((seen & kRequiredTags) != kRequiredTags) return std::nullopt;\n", "", HELLO),
    Hole("a HELLO with more settings than there is room for", "relay/mesh/hello.cc",
         "  if (hello.setting_count == kMaxHelloSettings) return false;\n", "", HELLO),
    Hole("a HELLO with more accepted values than there is room for", "relay/mesh/hello.cc",
         "  if (setting.accepted_count < 1 || setting.accepted_count > kMaxAcceptedValues) return false;\n",
         "  if (setting.accepted_count < 1) return false;\n", HELLO),
    Hole("a HELLO with more cores than there is room for", "relay/mesh/hello.cc", " || count > core::kMaxCores) return",
         ") return", "Hello.RefusesBadValuesInRequiredFields"),
    Hole("a setting that is not written in the one way", "relay/mesh/hello.cc",
         "  return good && in.ok() && in.remaining() == 0;", "  return good;", HELLO),
    Hole("a message with bytes behind its fields", "relay/mesh/messages.cc",
         "return ok_ && in_.ok() && in_.remaining() == 0;", "return ok_ && in_.ok();", MESSAGES),
    Hole("a message that is cut", "relay/mesh/messages.cc", "return ok_ && in_.ok() && in_.remaining() == 0;",
         "return ok_ && in_.remaining() == 0;", MESSAGES),
    Hole("a message with a flag that is not defined", "relay/mesh/messages.cc", "    require(value < bit);\n", "", MESSAGES),
    Hole("a message whose path is longer than there is room for", "relay/mesh/messages.cc",
         "    length = in_.u8();\n    require(length <= kMaxPath);\n", "    length = in_.u8();\n", MESSAGES),
    Hole("what stands behind a malformed message", "relay/mesh/messages.cc", "  rest_ = {};\n  return Item::kMalformed;",
         "  return Item::kMalformed;", "MessageReader.LooksAtNothingBehindAMalformedMessage"),
    Hole("a control segment that was changed on the way", "relay/mesh/control_stream.cc",
         "  if (load_be32(p + checked) != crc32c(segment.first(checked))) return Received::kRejected;\n", "", "ControlStream*"),
    Hole("an acknowledgement of what was never sent", "relay/mesh/control_stream.cc",
         "  if (named > static_cast<int64_t>(sent_ - unacked_)) {", "  if (false) {", "ControlStream*"),
    Hole("a control segment from beyond the window", "relay/mesh/control_stream.cc",
         "  if (ahead >= static_cast<int64_t>(window_)) return Received::kOutOfWindow;\n", "", "ControlStream*"),
    Hole("a control segment that came before", "relay/mesh/control_stream.cc",
         "  if (ahead < 0) return Received::kDuplicate;\n", "", "ControlStream*"),
    Hole("control segments whose numbers wrap", "relay/mesh/control_stream.cc",
         "  return static_cast<int32_t>(wire - static_cast<uint32_t>(near));",
         "  return int64_t{wire} - static_cast<int64_t>(near);", "ControlStreamPipe.NumbersMayWrapOnTheWire"),
    Hole("names and texts that forge log lines or steer a terminal", "relay/text.h",
         "    if (byte < 0x20 || byte == 0x7f) return false;\n", "    (void)byte;\n",
         "Text.ATextWithControlCharactersIsNotPlain:Hello*:Refusal*:Certificates*"),
    Hole("a text that breaks out of its place in JSON", "relay/json_writer.h", "      if (c == '\"' || c == '\\\\') {",
         "      if (false) {", "JsonWriter*"),
    Hole("a log that is filled with refusals", "relay/mesh/refusal.cc", "  if (!l.told && may_log(l)) {",
         "  if (!l.told) {", "SealedAttack.APeerThatIsRefusedForAnotherReasonEachTimeDoesNotFillTheLog"),
)

HOLES = ADDRESSES + DATAGRAMS + RECORDS + RTP + CONTROL
