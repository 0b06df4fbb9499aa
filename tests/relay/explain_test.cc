// The first line of an explanation says the true cause: a row per cause, the facts and the sentence. And what
// the rows below it rest on.
#include "relay/explain.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace trunkline::relay {
namespace {

constexpr Nanos kNow = core::from_s(1'000);

core::TrackId cam() {
  core::TrackId id;
  id.bytes[0] = 0xca;
  return id;
}

Nanos ms_ago(int64_t ms) {
  return kNow - core::from_ms(ms);
}

// Node 1 asks; nodes 2 to 5 are its peers, all up, 20 ms away; nobody has said anything about the track.
struct Scene {
  Scene() {
    e.track = cam();
    e.now = kNow;
    e.self = {1};
    e.peers = e.peers_up = e.peer_count = 4;
    for (uint32_t i = 0; i < 4; ++i) {
      PeerView& peer = e.peer[i];
      peer.link.node = {i + 2};
      peer.link.state = LinkState::kUp;
      peer.link.rtt_us = 20'000;
      peer.link.rtt_p99_us = 20'000;
      peer.link.since = ms_ago(60'000);
      peer.heard = ms_ago(12);
    }
  }
  PeerView& peer(uint64_t node) { return e.peer[node - 2]; }
  void down(uint64_t node, int64_t since_ms) {
    peer(node).link.state = LinkState::kDown;
    peer(node).link.since = ms_ago(since_ms);
    --e.peers_up;
  }
  void refuse(uint64_t node) {
    peer(node).link.state = LinkState::kIncompatible;
    std::snprintf(peer(node).link.text.data(), 192, "wire.track_namespace: mine 'prod', theirs 'staging'");
    --e.peers_up;
    ++e.peers_refused;
  }
  void refusal(uint64_t node, const char* text) {
    std::snprintf(peer(node).link.text.data(), 192, "%s", text);
  }
  void located(uint64_t node, bool hint = false) {
    peer(node).located = true;
    peer(node).hint = hint;
    peer(node).generation = hint ? 0 : 3;
  }
  void wanted(SearchState search = SearchState::kSearching) {
    e.search = search;
    e.waiters = e.waiting = 1;
    e.deadline = kNow + core::from_ms(500);
  }
  void asked(uint64_t node, int64_t ago_ms) { e.attempts.asked(cam(), {node}, 0, ms_ago(ago_ms)); }
  void said(uint64_t node, Outcome outcome, int64_t ago_ms) {
    e.attempts.answered(cam(), {node}, outcome, ms_ago(ago_ms));
  }
  void denied(uint64_t node, int64_t ago_ms, Outcome outcome = Outcome::not_here) {
    asked(node, ago_ms + 20);
    said(node, outcome, ago_ms);
  }
  void fed_by(uint64_t node, SearchState state = SearchState::kEstablished, bool said_flowing = true) {
    e.search = state;
    e.feed = {node};
    e.said_flowing = said_flowing;
    e.waiters = e.fed = 1;
    e.flow.open = true;
  }
  void packets(uint64_t count, int64_t last_ms) {
    e.flow.open = e.flow.answered = true;
    e.flow.packets = count;
    e.flow.bytes = count * 1'000;
    e.flow.last_packet = count > 0 ? ms_ago(last_ms) : Nanos{-1};
    e.flow.outputs = 1;
  }
  void published(PublishedHere how, bool sends) {
    e.published = how;
    e.publisher_sends = sends;
    e.generation = 3;
  }
  Flight& ended(Outcome outcome, uint64_t node, int64_t ago_ms) {
    for (uint32_t i = e.flight_count++; i > 0; --i) e.flight[i] = e.flight[i - 1];
    Flight& flight = e.flight[0] = Flight{};
    flight.track = cam();
    flight.outcome = outcome;
    flight.node = {node};
    flight.elapsed = core::from_ms(100);
    flight.deadline = core::from_ms(1'000);
    flight.submitted = ms_ago(ago_ms) - flight.elapsed;
    flight.set_attempts(e.attempts);
    return flight;
  }
  Explanation e;
};

struct Row {
  Cause cause;
  std::function<void(Scene&)> facts;
  std::string line;  // behind "track 'cam' "
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.line);
    Scene scene;
    row.facts(scene);
    EXPECT_EQ(first_line(scene.e, "cam"), "track 'cam' " + row.line);
    EXPECT_STREQ(cause_name(find_reason(scene.e).cause), cause_name(row.cause));
    EXPECT_FALSE(next_step(scene.e).empty());
    EXPECT_EQ(first_line(scene.e, "cam").find('\n'), std::string::npos);
  }
}

std::vector<Row> flowing_rows() {
  return {
      {Cause::flows, [](Scene& s) { s.fed_by(2), s.packets(99, 12), s.e.path_length = 1, s.e.path[0] = {2}; },
       "flows from node 2 (direct), last packet 12 ms ago"},
      {Cause::flows,
       [](Scene& s) {
         s.fed_by(3), s.packets(9, 4), s.e.path_length = 2, s.e.path = {{{7}, {3}}};
       },
       "flows from node 3 (over 1 relay, published at node 7), last packet 4.0 ms ago"},
      {Cause::flows, [](Scene& s) { s.fed_by(2), s.packets(99, 999); },
       "flows from node 2, last packet 999 ms ago"},
      {Cause::flows, [](Scene& s) { s.fed_by(2); },
       "flows from node 2, its data core has not said when the last packet came"},
      // A link that is down keeps its media.
      {Cause::flows, [](Scene& s) { s.fed_by(2), s.packets(99, 12), s.down(2, 300); },
       "flows from node 2, last packet 12 ms ago"},
      {Cause::flows_here, [](Scene& s) { s.published(PublishedHere::kLive, true), s.packets(5, 20); },
       "flows: it is published here, last packet 20 ms ago"},
      {Cause::muted, [](Scene& s) { s.fed_by(2, SearchState::kEstablished, false), s.packets(0, 0); },
       "is muted: node 2 serves it and its publisher sends nothing"},
      {Cause::muted, [](Scene& s) { s.fed_by(2), s.packets(50, 14'000); },
       "is muted: node 2 serves it and its publisher sends nothing (no packet for 14 s)"},
      {Cause::muted_here, [](Scene& s) { s.published(PublishedHere::kLive, false), s.packets(0, 0); },
       "is muted: it is published here and its publisher sends nothing"},
      {Cause::opening, [](Scene& s) { s.published(PublishedHere::kOpening, false); },
       "does not flow: it is being published here: its source is not open yet"},
      {Cause::starting, [](Scene& s) { s.fed_by(2, SearchState::kWatching), s.packets(0, 0); },
       "is about to flow: node 2 serves it, the first packet is awaited"},
      {Cause::feed_cut, [](Scene& s) { s.fed_by(2), s.packets(50, 295), s.down(2, 150); },
       "does not flow: the link to node 2, which feeds it, is down since 150 ms: nothing heard; being "
       "retried "
       "(no packet for 295 ms)"},
      {Cause::feed_cut, [](Scene& s) { s.fed_by(2), s.packets(50, 3'400), s.down(2, 3'200); },
       "does not flow: the link to node 2, which feeds it, is down since 3.2 s: nothing heard; being retried "
       "(no packet for 3.4 s)"},
      // It was fed by node 2 until that died; node 4 said yes since, and has not yet noticed the same.
      {Cause::feed_cut,
       [](Scene& s) {
         s.fed_by(4), s.packets(50, 327), s.down(2, 180);
         s.e.path_length = 3, s.e.path = {{{2}, {3}, {4}}};
       },
       "does not flow: the link to node 2, which publishes it, is down since 180 ms: nothing heard; being "
       "retried; it comes by way of node 4 (no packet for 327 ms)"},
      {Cause::feed_cut,
       [](Scene& s) {
         s.fed_by(4), s.packets(50, 1'327), s.down(3, 1'180);
         s.e.path_length = 3, s.e.path = {{{2}, {3}, {4}}};
       },
       "does not flow: the link to node 3, which passes it on, is down since 1.1 s: nothing heard; being "
       "retried; it comes by way of node 4 (no packet for 1.3 s)"},
      // The relay's own link to the publisher is well.
      {Cause::flows,
       [](Scene& s) {
         s.fed_by(4), s.packets(50, 12), s.down(2, 180);
         s.e.path_length = 2, s.e.path = {{{2}, {4}}};
       },
       "flows from node 4 (over 1 relay, published at node 2), last packet 12 ms ago"},
  };
}

TEST(Explain, SaysWhetherPacketsArriveAndFromWhere) {
  check(flowing_rows());
}

std::vector<Row> link_rows() {
  return {
      {Cause::refused, [](Scene& s) { s.located(3), s.refuse(3); },
       "does not flow: node 3 refuses this node: wire.track_namespace: mine 'prod', theirs 'staging'"},
      // Nobody announces it, the others do not have it: who was refused may.
      {Cause::refused, [](Scene& s) { s.refuse(3), s.denied(2, 12), s.denied(4, 12), s.denied(5, 12); },
       "does not flow: node 3 refuses this node: wire.track_namespace: mine 'prod', theirs 'staging'; "
       "3 of 3 "
       "nodes "
       "that could be asked do not have it"},
      {Cause::refused, [](Scene& s) { s.refuse(2), s.refuse(3), s.refuse(4), s.refuse(5); },
       "does not flow: node 2 refuses this node: wire.track_namespace: mine 'prod', theirs 'staging'; "
       "so do node 3, "
       "node 4 and node 5"},
      {Cause::refused,
       [](Scene& s) {
         s.refuse(2), s.refuse(3), s.refuse(4);
         s.refusal(2, "wire.mtu: mine '1320', theirs '1340'");
         s.refusal(3, "wire.mtu: mine '1320', theirs '1360'");
       },
       "does not flow: node 2 refuses this node: wire.mtu: mine '1320', theirs '1340'; so do node 3 "
       "(theirs '1360') and node 4 (wire.track_namespace: mine 'prod', theirs 'staging')"},
      // More than are shown.
      {Cause::refused, [](Scene& s) { s.refuse(2), s.refuse(3), s.e.peers = 40, s.e.peers_refused = 30; },
       "does not flow: node 2 refuses this node: wire.track_namespace: mine 'prod', theirs 'staging'; "
       "so do node 3 and 28 more"},
      {Cause::link_down, [](Scene& s) { s.located(4), s.down(4, 3'200); },
       "does not flow: the link to node 4, which has it, is down since 3.2 s: nothing heard; being "
       "retried"},
      {Cause::link_down, [](Scene& s) { s.located(4), s.down(4, 3'200), s.peer(4).deaf = true; },
       "does not flow: the link to node 4, which has it, is down since 3.2 s: it does not hear this "
       "node; "
       "being "
       "retried"},
      {Cause::link_down,
       [](Scene& s) { s.located(4, true), s.down(4, 3'200), s.peer(4).link.state = LinkState::kConnecting; },
       "does not flow: the link to node 4, which has it, is not up: handshakes are tried since 3.2 s, "
       "and no "
       "answer "
       "came"},
      // Its lease is over, so nobody announces it any more; the others were asked since.
      {Cause::link_down,
       [](Scene& s) {
         s.ended(Outcome::ok, 4, 30'000), s.down(4, 14'000);
         s.denied(2, 12), s.denied(3, 12), s.denied(5, 12), s.ended(Outcome::not_here, 5, 12);
       },
       "does not flow: the link to node 4, which had it, is down since 14 s: nothing heard; being "
       "retried"},
      {Cause::isolated,
       [](Scene& s) { s.down(2, 5'000), s.down(3, 5'100), s.down(4, 5'000), s.down(5, 4'900), s.wanted(); },
       "does not flow: this node can ask nobody: no link of 4 is up, since 4.9 s"},
      {Cause::no_peers, [](Scene& s) { s.e.peers = s.e.peers_up = s.e.peer_count = 0; },
       "does not flow: it is not published here, and this node has no peers"},
  };
}

TEST(Explain, NamesTheLinkThatIsInTheWay) {
  check(link_rows());
}

std::vector<Row> answer_rows() {
  const auto answered = [](Outcome outcome) {
    return [outcome](Scene& s) { s.located(2), s.denied(2, 12, outcome); };
  };
  return {
      {Cause::silent, [](Scene& s) { s.located(2), s.wanted(), s.asked(2, 900); },
       "does not flow: node 2 was asked and has not answered for 900 ms"},
      {Cause::silent, [](Scene& s) { s.located(2), s.asked(2, 3'200), s.ended(Outcome::no_reply, 2, 2'200); },
       "does not flow: node 2 was asked 3.2 s ago and did not answer"},
      {Cause::silent, [](Scene& s) { s.denied(3, 700), s.asked(5, 800), s.asked(4, 700), s.wanted(); },
       "does not flow: node 5 was asked and has not answered for 800 ms"},
      {Cause::ejected,
       [](Scene& s) {
         s.located(2), s.wanted(), s.asked(2, 1'000);
         s.peer(2).link.ejected = true, s.peer(2).link.probe_at = kNow + core::from_ms(1'200);
       },
       "does not flow: node 2 was asked and has not answered for 1.0 s; it is ejected, next probe in 1.2 s"},
      {Cause::ejected,
       [](Scene& s) { s.located(2), s.denied(2, 3'200, Outcome::stalled), s.peer(2).link.ejected = true; },
       "does not flow: node 2 failed repeatedly, the last time with STALLED, 3.2 s ago; it is ejected, the "
       "next "
       "request is its probe"},
      {Cause::asking, [](Scene& s) { s.located(2), s.wanted(), s.asked(2, 18); },
       "does not flow: node 2 was asked 18 ms ago, its answer is awaited"},
      {Cause::asking, [](Scene& s) { s.wanted(); }, "does not flow: nobody has been asked yet"},
      {Cause::pending, [](Scene& s) { s.wanted(), s.asked(3, 150), s.e.attempts.pending(cam(), {3}); },
       "does not flow: node 3 asks further on behalf of this node since 150 ms"},
      {Cause::pending,
       [](Scene& s) {
         s.located(4), s.down(4, 900), s.wanted(), s.asked(3, 150), s.e.attempts.pending(cam(), {3});
       },
       "does not flow: node 3 asks further on behalf of this node since 150 ms"},
      {Cause::draining, answered(Outcome::draining),
       "does not flow: node 2 has it and is draining: it takes no new subscribers, 12 ms ago"},
      {Cause::busy, answered(Outcome::busy),
       "does not flow: node 2 has it and has no room for another request, 12 ms ago"},
      {Cause::unauthorized, answered(Outcome::unauthorized),
       "does not flow: node 2 does not serve this node (peer.serve = false there), 12 ms ago"},
      {Cause::unauthorized,
       [](Scene& s) {
         s.denied(2, 12, Outcome::unauthorized);
         std::snprintf(s.peer(2).role_text.data(), 128, "the certificate of node 1 has no role 'acquire'");
       },
       "does not flow: not between node 2 and this node: the certificate of node 1 has no role 'acquire', 12 "
       "ms "
       "ago"},
      {Cause::unauthorized, [](Scene& s) { s.located(2), s.ended(Outcome::unauthorized, 0, 12); },
       "does not flow: the certificate of this node has no role 'acquire'"},
      {Cause::epoch, answered(Outcome::stale_epoch),
       "does not flow: node 2 and this node know different publications of it (STALE_EPOCH, 12 ms ago)"},
      {Cause::loop, answered(Outcome::loop),
       "does not flow: the way over node 2 leads in a circle, 12 ms ago"},
      {Cause::stalled, answered(Outcome::stalled),
       "does not flow: node 2 said that it flows, and no packet came, 12 ms ago"},
      {Cause::upstream_late, answered(Outcome::deadline),
       "does not flow: node 2 asked further and ran out of its budget, 12 ms ago"},
      {Cause::failed, answered(Outcome::internal), "does not flow: node 2 answered INTERNAL, 12 ms ago"},
  };
}

TEST(Explain, SaysWhatThePeerThatHasItAnswered) {
  check(answer_rows());
}

std::vector<Row> absent_rows() {
  const auto all_deny = [](Scene& s) {
    for (uint64_t node = 2; node <= 5; ++node) s.denied(node, 12);
  };
  return {
      {Cause::absent, all_deny, "does not flow: nobody has it: 4 of 4 nodes said so, 12 ms ago"},
      {Cause::absent, [=](Scene& s) { all_deny(s), s.wanted(SearchState::kRendezvous); },
       "does not flow: nobody has it: 4 of 4 nodes said so, 12 ms ago"},
      // The record of the track is gone: the recorder still knows.
      {Cause::absent, [=](Scene& s) { all_deny(s), s.ended(Outcome::not_here, 5, 12), s.e.attempts = {}; },
       "does not flow: nobody has it: 4 of 4 nodes said so, 12 ms ago"},
      {Cause::partly_absent,
       [](Scene& s) { s.denied(2, 12), s.denied(3, 12), s.denied(5, 12), s.down(4, 3'200); },
       "does not flow: nobody that could be asked has it (3 of 3 nodes said so, 12 ms ago); the link to node "
       "4 is "
       "down since 3.2 s: nothing heard; being retried"},
      {Cause::gone, [](Scene& s) { s.denied(2, 12, Outcome::gone), s.denied(3, 12); },
       "does not flow: it was published at node 2, and is no longer, 12 ms ago"},
      {Cause::gone, [](Scene& s) { s.published(PublishedHere::kGone, false); },
       "does not flow: it was published here, and is no longer"},
      {Cause::gone, [](Scene& s) { s.denied(2, 9'000, Outcome::ok); },
       "does not flow: it came from node 2, and nobody announces it any more"},
      {Cause::gone, [](Scene& s) { s.located(2, true), s.denied(2, 12); },
       "does not flow: it was published at node 2, and is no longer, 12 ms ago"},
      {Cause::local_limit, [](Scene& s) { s.ended(Outcome::local_limit, 0, 12); },
       "does not flow: this node has no room for another acquire (limits)"},
      {Cause::not_wanted, [](Scene& s) { s.located(2); },
       "does not flow: nobody on this node asks for it; node 2 has it"},
      // Announced since it said no.
      {Cause::not_wanted,
       [](Scene& s) { s.denied(2, 5'000), s.ended(Outcome::not_here, 2, 5'000), s.located(2); },
       "does not flow: nobody on this node asks for it; node 2 has it; the last acquire ended NOT_HERE 5.0 s "
       "ago"},
      {Cause::unknown, [](Scene&) {},
       "does not flow: nobody announces it, and nobody on this node has asked for it"},
  };
}

TEST(Explain, TellsAbsentFromNotAsked) {
  check(absent_rows());
}

TEST(Explain, EveryCauseHasARow) {
  std::set<Cause> seen;
  for (const auto& rows : {flowing_rows(), link_rows(), answer_rows(), absent_rows()})
    for (const Row& row : rows) seen.insert(row.cause);
  for (uint32_t i = 0; i < static_cast<uint32_t>(Cause::kCount); ++i)
    EXPECT_TRUE(seen.contains(static_cast<Cause>(i))) << cause_name(static_cast<Cause>(i));
}

TEST(Explain, TheNewestEpochIsWhoHasIt) {
  Scene s;
  s.located(2), s.located(3), s.down(3, 100);
  EXPECT_EQ(find_reason(s.e).node.value, 2u);  // the peers come in the order of their epochs
}

TEST(Explain, CallsATrackWithoutANameByItsId) {
  EXPECT_EQ(first_line(Scene().e, "").substr(0, 45), "track ca000000000000000000000000000000 does n");
}

TEST(Explain, TheTextBeginsWithTheFirstLineAndShowsWhatItRestsOn) {
  Scene s;
  s.located(2), s.wanted(), s.asked(2, 900), s.denied(3, 100), s.down(4, 3'200);
  s.ended(Outcome::no_reply, 2, 2'000);
  const std::string text = explain_text(s.e, "cam");
  EXPECT_EQ(text.substr(0, text.find('\n')), first_line(s.e, "cam"));
  for (const char* row : {
           "  next         see whether node 2 is paused or overloaded",
           "  track        cam  ca000000000000000000000000000000\n",
           "  published    not here\n",
           "  location     node 2  announced, generation 3, incarnation 0\n",
           "  waiters      1: 0 with packets, 1 without an outcome\n",
           "  search       peers are being asked, until 500 ms from now at the latest\n",
           "  requests     node 2  asked 900 ms ago, no answer yet\n",
           "               node 3  asked 120 ms ago, NOT_HERE after 20 ms\n",
           "  links        node 2  UP since 60 s, round trip 20 ms (p99 20 ms), heard 12 ms ago\n",
           "               node 4  DOWN since 3.2 s, round trip 20 ms (p99 20 ms), heard 12 ms ago\n",
           "  acquires     2.1 s ago  NO_REPLY after 100 ms of 1.0 s, node 2, 2 peers asked\n",
       }) {
    EXPECT_NE(text.find(row), std::string::npos) << row << "\nis not in\n" << text;
  }
}

TEST(Explain, TheJsonHasTheLineTheCauseAndTheFacts) {
  Scene s;
  s.located(2), s.denied(2, 12, Outcome::busy), s.ended(Outcome::busy, 2, 12);
  const std::string json = explain_json(s.e, "a \"quoted\" name");
  for (const char* part :
       {R"("line":"track 'a \"quoted\" name' does not flow: node 2 has it and has no room)",
        R"("cause":"BUSY")", R"("cause_node":2)", R"("published":"no")", R"("search":"quiet")",
        R"("located":true)",
        R"("attempts":[{"node":2,"asked_us_ago":32000,"outcome":"BUSY","answered_after_us":20000)",
        R"("flights":[{"serial":0,"track_id":"ca000000000000000000000000000000")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\nis not in\n" << json;
  }
}

TEST(Explain, AFlightWithoutAnAnswerSaysNoneYet) {
  Scene s;
  s.asked(2, 1'000);
  const Flight& flight = s.ended(Outcome::no_reply, 2, 0);
  EXPECT_NE(flight_json(flight, kNow).find(R"("outcome":"none yet")"), std::string::npos);
}

TEST(Explain, DurationsHaveTheDigitsThatMatter) {
  const std::pair<int64_t, const char*> rows[] = {
      {-5, "0.0 ms"},         {0, "0.0 ms"},          {420, "0.4 ms"},        {9'999, "9.9 ms"},
      {10'000, "10 ms"},      {999'999, "999 ms"},    {1'000'000, "1.0 s"},   {3'249'000, "3.2 s"},
      {10'000'000, "10 s"},   {119'000'000, "119 s"}, {120'000'000, "2 min"}, {7'199'000'000, "119 min"},
      {7'200'000'000, "2 h"},
  };
  for (const auto& [us, text] : rows) EXPECT_EQ(duration_text(core::from_us(us)), text) << us;
}

}  // namespace
}  // namespace trunkline::relay
