// The tester tested: each broken promise is planted by hand, and the auditor must name it; what is allowed
// must pass.
#include "tools/sim/auditor.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace trunkline::sim {
namespace {

using relay::HostEvent;
using relay::HostEventKind;
using relay::Outcome;

constexpr Nanos at_ms(int64_t ms) {
  return core::from_ms(ms);
}

core::TrackId track_id(uint8_t track) {
  core::TrackId id;
  id.bytes.fill(static_cast<uint8_t>(track + 1));
  return id;
}

// Node 0 publishes track 0 from the start, confirmed; node 1 asks for it at 1000 ms with 500 ms of time.
struct Stage {
  Report report;
  Auditor auditor{3, report};
  uint64_t publication = 0;
  uint64_t acquire = 0;

  Stage() {
    Publication p;
    p.id = track_id(0);
    p.generation = 7;
    publication = auditor.publish(p);
    HostEvent e;
    e.kind = HostEventKind::kPublished;
    e.handle = publication;
    e.generation = 7;
    auditor.event(0, e, at_ms(1));
    auditor.publication(publication).sent = 3;
    acquire = ask(1, 0);
  }

  uint64_t ask(NodeIndex node, uint8_t track, Expect expect = Expect::kNothing, Nanos within = {}) {
    Acquisition a;
    a.node = node;
    a.track = track;
    a.id = track_id(track);
    a.submitted = at_ms(1'000);
    a.deadline = at_ms(500);
    a.expect = expect;
    a.expect_within = within;
    return auditor.acquire(a);
  }
  HostEvent outcome(uint64_t handle, Outcome what, core::NodeId by = {1}) {
    HostEvent e;
    e.kind = HostEventKind::kOutcome;
    e.handle = handle;
    e.track = auditor.acquisition(handle).id;
    e.outcome = what;
    e.node = by;
    e.generation = 7;
    return e;
  }
  HostEvent ended(uint64_t handle, Outcome why) {
    HostEvent e = outcome(handle, why);
    e.kind = HostEventKind::kEnded;
    return e;
  }
  void say(NodeIndex node, const HostEvent& event, Nanos now) { auditor.event(node, event, now); }
  void packet(uint64_t handle, const Stamp& stamp, uint32_t length = 100, uint32_t damage_at = UINT32_MAX) {
    std::vector<uint8_t> bytes(length);
    write_stamp(stamp, bytes);
    if (damage_at < length) bytes[damage_at] ^= 1;
    auditor.packet(auditor.acquisition(handle).node, handle, bytes, at_ms(1'100));
  }
  // Node 2 publishes track 0 too, younger; returns the publication's number.
  uint32_t publish_younger() {
    Publication p;
    p.node = 2;
    p.id = track_id(0);
    p.generation = 9;
    p.from = at_ms(1'000);
    HostEvent e;
    e.kind = HostEventKind::kPublished;
    e.handle = auditor.publish(p);
    e.generation = 9;
    auditor.event(2, e, at_ms(1'001));
    auditor.publication(e.handle).sent = 3;
    return static_cast<uint32_t>(e.handle >> 1);
  }
  Stamp stamp(uint32_t number) const {
    return {track_id(0), static_cast<uint32_t>(publication >> 1), number};
  }
};

struct Case {
  const char* name;
  std::function<void(Stage&)> plant;
  const char* named;  // in the violation's text; nullptr: there must be none
};

const Case kCases[] = {
    {"an answer in time", [](Stage& s) { s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'501)); },
     nullptr},
    {"silence until the last moment", [](Stage& s) { s.auditor.check(at_ms(1'501)); }, nullptr},
    {"silence beyond the deadline", [](Stage& s) { s.auditor.check(at_ms(1'502)); }, "has not ended"},
    {"an answer too late", [](Stage& s) { s.say(1, s.outcome(s.acquire, Outcome::no_reply), at_ms(1'502)); },
     "ended too late"},
    {"two answers",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'101));
     },
     "ended again"},
    {"an answer for nobody",
     [](Stage& s) {
       HostEvent e = s.outcome(s.acquire, Outcome::ok);
       e.handle = 1'000;
       s.say(1, e, at_ms(1'100));
     },
     "which nobody was given"},
    {"an answer on another node", [](Stage& s) { s.say(2, s.outcome(s.acquire, Outcome::ok), at_ms(1'100)); },
     "an event on node 3"},
    {"an answer of another track",
     [](Stage& s) {
       HostEvent e = s.outcome(s.acquire, Outcome::ok);
       e.track = track_id(1);
       s.say(1, e, at_ms(1'100));
     },
     "of another track"},
    {"an end without a beginning",
     [](Stage& s) { s.say(1, s.ended(s.acquire, Outcome::gone), at_ms(1'100)); },
     "ended without having been OK"},
    {"cancelled by nobody",
     [](Stage& s) { s.say(1, s.outcome(s.acquire, Outcome::cancelled), at_ms(1'100)); },
     "nobody released it"},
    {"cancelled after release",
     [](Stage& s) {
       s.auditor.release(s.acquire, at_ms(1'050));
       s.say(1, s.outcome(s.acquire, Outcome::cancelled), at_ms(1'100));
     },
     nullptr},
    {"OK from a node that carries it",
     [](Stage& s) { s.say(1, s.outcome(s.acquire, Outcome::ok, {3}), at_ms(1'100)); }, nullptr},
    {"OK for a track that nobody ever published",
     [](Stage& s) { s.say(1, s.outcome(s.ask(1, 1), Outcome::ok, {3}), at_ms(1'100)); },
     "nobody ever published it"},
    {"local, and it is not",
     [](Stage& s) {
       HostEvent e = s.outcome(s.acquire, Outcome::ok);
       e.local = true;
       s.say(1, e, at_ms(1'100));
     },
     "nobody ever published it"},
    {"denied by its publisher",
     [](Stage& s) {
       HostEvent e = s.outcome(s.acquire, Outcome::not_here);
       e.authoritative = true;
       s.say(1, e, at_ms(1'100));
     },
     "which had it all the time"},
    {"denied by its publisher after it was unpublished",
     [](Stage& s) {
       s.auditor.unpublish(s.publication, at_ms(1'050));
       HostEvent e = s.outcome(s.acquire, Outcome::gone);
       e.authoritative = true;
       s.say(1, e, at_ms(1'100));
     },
     nullptr},
    {"denied on the node that has it",
     [](Stage& s) { s.say(0, s.outcome(s.ask(0, 0), Outcome::not_here, {2}), at_ms(1'100)); },
     "on the node that publishes it"},
    {"not had although all is well",
     [](Stage& s) { s.say(1, s.outcome(s.ask(1, 0, Expect::kOk), Outcome::no_reply), at_ms(1'100)); },
     "NO_REPLY instead of OK"},
    {"had too slowly although all is well",
     [](Stage& s) { s.say(1, s.outcome(s.ask(1, 0, Expect::kOk, at_ms(50)), Outcome::ok), at_ms(1'051)); },
     "more than 50.000 ms"},
    {"denied as expected",
     [](Stage& s) { s.say(1, s.outcome(s.ask(1, 1, Expect::kNotHere), Outcome::not_here), at_ms(1'001)); },
     nullptr},
    {"its own packets",
     [](Stage& s) {
       s.packet(s.acquire, s.stamp(1));
       s.packet(s.acquire, s.stamp(0));
     },
     nullptr},
    {"a packet of another track",
     [](Stage& s) {
       s.packet(s.acquire, {track_id(1), 0, 0});
     },
     "got a packet of track"},
    {"a packet that was changed", [](Stage& s) { s.packet(s.acquire, s.stamp(1), 100, 60); },
     "changed on the way"},
    {"a packet that lost its tail to another", [](Stage& s) { s.packet(s.acquire, s.stamp(1), 100, 35); },
     "nobody sent"},
    {"a packet that was never sent", [](Stage& s) { s.packet(s.acquire, s.stamp(3)); }, "nobody sent"},
    {"a packet twice",
     [](Stage& s) {
       s.packet(s.acquire, s.stamp(0));
       s.packet(s.acquire, s.stamp(2));
       s.packet(s.acquire, s.stamp(0));
     },
     "got packet 0 twice"},
    {"a packet on another node",
     [](Stage& s) {
       std::vector<uint8_t> bytes(100);
       write_stamp(s.stamp(0), bytes);
       s.auditor.packet(2, s.acquire, bytes, at_ms(1'100));
     },
     "on another node"},
    {"a packet for nobody", [](Stage& s) { s.auditor.packet(1, 1'000, {}, at_ms(1'100)); },
     "which is no acquisition"},
    {"published twice",
     [](Stage& s) {
       HostEvent e;
       e.kind = HostEventKind::kPublished;
       e.handle = s.publication;
       s.say(0, e, at_ms(1'100));
     },
     "was published twice"},
    {"an older generation than asked for",
     [](Stage& s) {
       Publication p;
       p.node = 2;
       p.track = 1;
       p.generation = 5;
       HostEvent e;
       e.kind = HostEventKind::kPublished;
       e.handle = s.auditor.publish(p);
       e.generation = 4;
       s.say(2, e, at_ms(1'100));
     },
     "older generation"},
    {"unpublished by nobody",
     [](Stage& s) {
       HostEvent e;
       e.kind = HostEventKind::kUnpublished;
       e.handle = s.publication;
       s.say(0, e, at_ms(1'100));
     },
     "by nobody"},
    {"an older publication's packet while the younger lives",
     [](Stage& s) {
       const uint32_t younger = s.publish_younger();
       s.packet(s.acquire, {track_id(0), younger, 0});
       s.packet(s.acquire, s.stamp(0));
     },
     "generation 7 of node 1 after generation 9 of node 3 was delivered"},
    {"an older publication's packet when the younger is gone",
     [](Stage& s) {
       const uint32_t younger = s.publish_younger();
       s.packet(s.acquire, {track_id(0), younger, 0});
       s.auditor.unpublish(Auditor::publication_handle(younger), at_ms(1'050));
       s.packet(s.acquire, s.stamp(0));
     },
     nullptr},
    {"a packet of the generation that the host was told of",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.packet(s.acquire, s.stamp(0));
     },
     nullptr},
    {"a younger publication's packet that the host was not told of",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.packet(s.acquire, {track_id(0), s.publish_younger(), 0});
     },
     "generation 9 of node 3, and its host was told of generation 7"},
    {"a packet, and then an OK of another generation",
     [](Stage& s) {
       s.packet(s.acquire, {track_id(0), s.publish_younger(), 0});
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
     },
     "generation 9 of node 3, and its host was told of generation 7"},
    {"a packet of a younger publication that ended, and then an OK of what is left",
     [](Stage& s) {
       const uint32_t younger = s.publish_younger();
       s.packet(s.acquire, {track_id(0), younger, 0});
       s.auditor.unpublish(Auditor::publication_handle(younger), at_ms(1'150));
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'200));
     },
     nullptr},
    {"an end although nothing happened",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.say(1, s.ended(s.acquire, Outcome::link_down), at_ms(1'200));
     },
     "as well as ever"},
    {"an end because the publisher ended",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.auditor.unpublish(s.publication, at_ms(1'150));
       s.say(1, s.ended(s.acquire, Outcome::gone), at_ms(1'200));
     },
     nullptr},
    {"an end because another publishes it",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.publish_younger();
       s.say(1, s.ended(s.acquire, Outcome::moved), at_ms(1'200));
     },
     nullptr},
    {"an end because the wire failed",
     [](Stage& s) {
       struct Cut final : Evidence {
         bool well(NodeIndex, NodeIndex, Nanos) const override { return false; }
         bool link_up(NodeIndex, NodeIndex) const override { return false; }
       } cut;
       s.auditor.use(cut);
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.say(1, s.ended(s.acquire, Outcome::link_down), at_ms(1'200));
     },
     nullptr},
    {"an end that is blamed on wires that nobody sees",
     [](Stage& s) {
       s.auditor.wires_are_unknown();
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.say(1, s.ended(s.acquire, Outcome::stalled), at_ms(1'200));
     },
     nullptr},
    {"an end that is blamed on a publisher who is there, whatever the wires are like",
     [](Stage& s) {
       s.auditor.wires_are_unknown();
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.say(1, s.ended(s.acquire, Outcome::gone), at_ms(1'200));
     },
     "as well as ever"},
    {"packets that stop while all is well",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.auditor.begin_steady();
       s.auditor.publication(s.publication).sent = 20;
       for (uint32_t n = 3; n < 10; ++n) s.packet(s.acquire, s.stamp(n));
       s.auditor.end_steady(at_ms(2'000), at_ms(100), at_ms(100));
     },
     "got 7 of the 14 packets"},
    {"packets that are still on their way",
     [](Stage& s) {
       s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
       s.auditor.begin_steady();
       s.auditor.publication(s.publication).sent = 20;
       for (uint32_t n = 3; n < 18; ++n) s.packet(s.acquire, s.stamp(n));
       s.auditor.end_steady(at_ms(2'000), at_ms(100), at_ms(100));
     },
     nullptr},
    {"something left at the end", [](Stage& s) { s.auditor.finish(at_ms(1'100)); }, "still open"},
    {"a node that stands still is not late",
     [](Stage& s) {
       s.auditor.still(1, at_ms(1'400), at_ms(3'000));
       s.auditor.check(at_ms(2'999));
       s.say(1, s.outcome(s.acquire, Outcome::no_reply), at_ms(3'000));
     },
     nullptr},
    {"a node that goes on must end it at once",
     [](Stage& s) {
       s.auditor.still(1, at_ms(1'400), at_ms(3'000));
       s.auditor.check(at_ms(3'001));
     },
     "has not ended"},
    {"standing still earlier is no excuse",
     [](Stage& s) {
       s.auditor.still(1, at_ms(1'100), at_ms(1'400));
       s.auditor.check(at_ms(1'502));
     },
     "has not ended"},
    {"a slow node has its delay, and no more",
     [](Stage& s) {
       s.auditor.late_by(1, at_ms(20));
       s.auditor.check(at_ms(1'521));
       EXPECT_FALSE(s.auditor.failed());
       s.auditor.check(at_ms(1'522));
     },
     "has not ended"},
    {"a crashed node owes nothing",
     [](Stage& s) {
       s.auditor.stopped(1, at_ms(1'200));
       s.auditor.check(at_ms(9'000));
     },
     nullptr},
};

TEST(Auditor, KnowsTheMomentAtWhichNobodyWantedATrack) {
  Stage s;
  const core::TrackId track = track_id(0);
  s.say(1, s.outcome(s.acquire, Outcome::ok), at_ms(1'100));
  EXPECT_TRUE(s.auditor.wanted_throughout(1, track, at_ms(1'100)));
  EXPECT_FALSE(s.auditor.wanted_throughout(1, track, at_ms(1'000))) << "not before it was asked for";
  EXPECT_FALSE(s.auditor.wanted_throughout(2, track, at_ms(1'100)));
  EXPECT_FALSE(s.auditor.wanted_throughout(1, track_id(1), at_ms(1'100)));
  // Another host takes over before the first lets go; what is refused keeps nothing.
  const auto ask_at = [&s](Nanos at) {
    Acquisition a;
    a.node = 1;
    a.id = track_id(0);
    a.submitted = at;
    a.deadline = at_ms(500);
    return s.auditor.acquire(a);
  };
  const uint64_t second = ask_at(at_ms(1'200));
  s.auditor.release(s.acquire, at_ms(1'300));
  EXPECT_TRUE(s.auditor.wanted_throughout(1, track, at_ms(1'150)));
  const uint64_t refused = ask_at(at_ms(1'310));
  s.say(1, s.outcome(refused, Outcome::local_limit), at_ms(1'320));
  s.auditor.release(second, at_ms(1'330));
  ask_at(at_ms(1'331));
  EXPECT_FALSE(s.auditor.wanted_throughout(1, track, at_ms(1'150)));
  EXPECT_TRUE(s.auditor.wanted_throughout(1, track, at_ms(1'332)));
}

TEST(Auditor, NamesEveryPlantedViolationAndNothingElse) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    Stage stage;
    c.plant(stage);
    const auto& violations = stage.auditor.violations();
    if (c.named == nullptr) {
      EXPECT_TRUE(violations.empty()) << (violations.empty() ? "" : violations.front().text);
      continue;
    }
    ASSERT_FALSE(violations.empty());
    EXPECT_NE(violations.front().text.find(c.named), std::string::npos) << violations.front().text;
  }
}

}  // namespace
}  // namespace trunkline::sim
