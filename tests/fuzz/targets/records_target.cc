// The records of an authentic datagram, whatever its sender wrote: a second, plain reading says how many
// there are and whether the last of them fits, and the path counts the same.
#include "tests/fuzz/target.h"
#include "tests/support/path_harness.h"

using namespace trunkline::tests;
namespace relay = trunkline::relay;

namespace {

struct Expected {
  uint64_t records = 0;
  uint64_t odd = 0;  // control and heartbeats of a length that they cannot have
  bool bad = false;
};

Expected plain_reading(trunkline::fuzz::Bytes bytes) {
  Expected out;
  size_t at = 0;
  while (bytes.size() - at >= relay::kRecordHeaderBytes && bytes[at + 4] >= 16) {
    const size_t length = size_t{bytes[at + 6]} << 8 | bytes[at + 7];
    at += relay::kRecordHeaderBytes;
    if (length > bytes.size() - at) {
      out.bad = true;
      return out;
    }
    const unsigned kind = bytes[at - 4] >> 4;
    out.odd +=
        (kind == 3 && length > relay::kMaxFrameBytes) || (kind == 4 && length != relay::kHeartbeatBytes);
    at += length;
    ++out.records;
  }
  out.bad = std::any_of(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(),
                        [](uint8_t byte) { return byte != 0; });
  return out;
}

}  // namespace

// One byte of choices, then datagrams: a length in 16 bits, and the records.
TRUNKLINE_FUZZ_TARGET(records) {
  trunkline::fuzz::Input in(input);
  const uint8_t choices = in.u8();
  PathHarness harness;
  Peer& peer = harness.link_up(0);
  harness.upstream_flow(1, 0, TrafficClass::kVideoBase);
  if ((choices & 1) != 0) harness.output(1, PathHarness::to_queue(0));
  if ((choices & 2) != 0) {
    harness.link_up(1);
    harness.output(1, PathHarness::to_link(1));
  }
  harness.run();
  const uint64_t before = harness.count(CoreCounter::records_in);
  Expected sum;
  uint64_t bad = 0, datagrams = 0;
  for (; !in.empty() && datagrams < 8; ++datagrams) {
    ByteVector records = trunkline::fuzz::copy_of(in.counted16());
    records.resize(std::min<size_t>(records.size(), 1'400));
    // Labels of the first byte 0xff stand for the flow's.
    for (size_t at = 0; at + 8 <= records.size() && records[at] == 0xff;) {
      relay::store_be32(&records[at], harness.label(1).value);
      at += 8 + (size_t{records[at + 6]} << 8 | records[at + 7]);
    }
    const Expected expected = plain_reading(records);
    sum.records += expected.records;
    sum.odd += expected.odd;
    bad += expected.bad;
    harness.arrive(peer, {records});
    if ((choices & 4) != 0) harness.run();
  }
  harness.run();
  EXPECT_EQ(harness.count(CoreCounter::records_in) - before, sum.records);
  EXPECT_GE(harness.drops(DropReason::bad_record), bad);
  EXPECT_LE(harness.drops(DropReason::bad_record), bad + sum.odd) << "the frame ring may have been full";
  EXPECT_EQ(harness.drops(DropReason::not_authentic), 0u);
  (void)harness.sent_to(0);
  if ((choices & 2) != 0) (void)harness.sent_to(1);
}
