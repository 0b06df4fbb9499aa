// The first line of an explanation, and what to do next: one sentence per cause.
#include <algorithm>
#include <string>

#include "relay/explain_facts.h"

namespace trunkline::relay {

namespace {

std::string node_text(core::NodeId node) {
  return "node " + std::to_string(node.value);
}

std::string ago(const Explanation& e, Nanos at) {
  return duration_text(e.now - at) + " ago";
}

std::string last_packet(const Explanation& e) {
  if (!e.flow.answered) return "its data core has not said when the last packet came";
  return "last packet " + ago(e, e.flow.last_packet);
}

std::string no_packet(const Explanation& e) {
  if (!e.flow.answered || e.flow.last_packet.ns < 0) return "";
  return " (no packet for " + duration_text(e.now - e.flow.last_packet) + ")";
}

std::string way(const Explanation& e) {
  if (e.path_length == 1) return " (direct)";
  if (e.path_length == 0) return "";
  return " (over " + std::to_string(e.path_length - 1) + (e.path_length == 2 ? " relay" : " relays") +
         ", published at " + node_text(e.path[0]) + ")";
}

// "down since 3.2 s: nothing heard; being retried".
std::string link_text(const Explanation& e, const PeerView& peer) {
  if (peer.link.state == LinkState::kConnecting)
    return "not up: handshakes are tried since " + duration_text(e.now - peer.link.since) +
           ", and no answer came";
  return "down since " + duration_text(e.now - peer.link.since) + ": " +
         (peer.deaf ? "it does not hear this node" : "nothing heard") + "; being retried";
}

// "4 of 4 nodes said so, 12 ms ago".
std::string who_denied(const Explanation& e) {
  const Requests asked = requests(e);
  std::string text = std::to_string(asked.without) + " of " + std::to_string(asked.peers) + " nodes said so";
  if (const Nanos last = last_answer(e); last.ns >= 0) text += ", " + ago(e, last);
  return text;
}

std::string when_answered(const Explanation& e, core::NodeId node) {
  const Attempt* attempt = find_attempt(e, node);
  if (attempt == nullptr || !attempt->answered) return "";
  return ", " + ago(e, attempt->asked + attempt->answered_after);
}

// What another peer refused, as far as it differs from `first`: "theirs '1360'", or all of it, or nothing.
std::string_view difference(std::string_view first, std::string_view other) {
  if (first == other) return {};
  const size_t theirs = other.rfind(", theirs ");
  const bool same_setting =
      theirs != std::string_view::npos && first.substr(0, theirs) == other.substr(0, theirs);
  return same_setting ? other.substr(theirs + 2) : other;
}

// "; so do node 3 (theirs '1360') and node 4", "; so does node 3".
std::string others_refused(const Explanation& e, const PeerView& first) {
  constexpr uint32_t kNamed = 4;
  const char* so = e.peers_refused == 2 ? "; so does " : "; so do ";
  std::string text;
  uint32_t named = 0;
  for (const PeerView& peer : e.shown_peers()) {
    if (peer.link.state != LinkState::kIncompatible || peer.link.node == first.link.node || named == kNamed)
      continue;
    const bool last = named + 2 == e.peers_refused;
    text += named == 0 ? so : last ? " and " : ", ";
    text += node_text(peer.link.node);
    const std::string_view more = difference(first.link.text.data(), peer.link.text.data());
    if (!more.empty()) text.append(" (").append(more).append(")");
    ++named;
  }
  const uint32_t left = e.peers_refused - 1 - named;
  if (left == 0) return text;
  const char* others = left == 1 ? " other" : " others";
  return text + (named == 0 ? so : " and ") + std::to_string(left) + (named == 0 ? others : " more");
}

std::string refused(const Explanation& e, const PeerView& peer) {
  std::string text = node_text(peer.link.node) + " refuses this node: " + peer.link.text.data();
  if (e.peers_refused > 1) text += others_refused(e, peer);
  const Requests asked = requests(e);
  if (asked.without > 0)
    text += "; " + std::to_string(asked.without) + " of " + std::to_string(asked.peers) +
            " nodes that could be asked do not have it";
  return text;
}

std::string unreachable(const Explanation& e, const Reason& reason, std::string_view what) {
  const PeerView* peer = find_peer(e, reason.node);
  if (peer == nullptr) return "the link to " + node_text(reason.node) + " is down";
  if (peer->link.state == LinkState::kIncompatible) return refused(e, *peer);
  return "the link to " + node_text(reason.node) + ", " + std::string(what) + ", is " + link_text(e, *peer);
}

std::string feed_cut(const Explanation& e, const Reason& reason) {
  if (reason.node == e.feed) return unreachable(e, reason, "which feeds it") + no_packet(e);
  const std::string what = reason.node == e.path[0] ? "which publishes it" : "which passes it on";
  return unreachable(e, reason, what) + "; it comes by way of " + node_text(e.feed) + no_packet(e);
}

std::string silent(const Explanation& e, core::NodeId node) {
  const Attempt* attempt = find_attempt(e, node);
  if (attempt == nullptr) return node_text(node) + " was asked and has not answered";
  if (is_wanted(e))
    return node_text(node) + " was asked and has not answered for " + duration_text(e.now - attempt->asked);
  return node_text(node) + " was asked " + ago(e, attempt->asked) + " and did not answer";
}

std::string ejected(const Explanation& e, const Reason& reason) {
  std::string text = silent(e, reason.node);
  if (reason.outcome != Outcome::no_reply)
    text = node_text(reason.node) + " failed repeatedly, the last time with " + outcome_name(reason.outcome) +
           when_answered(e, reason.node);
  text += "; it is ejected";
  const PeerView* peer = find_peer(e, reason.node);
  if (peer == nullptr || peer->link.probe_at == core::kNever) return text;
  if (peer->link.probe_at <= e.now) return text + ", the next request is its probe";
  return text + ", next probe in " + duration_text(peer->link.probe_at - e.now);
}

std::string asking(const Explanation& e, core::NodeId node) {
  const Attempt* attempt = find_attempt(e, node);
  if (attempt == nullptr) return "nobody has been asked yet";
  return node_text(node) + " was asked " + ago(e, attempt->asked) + ", its answer is awaited";
}

std::string pending(const Explanation& e, core::NodeId node) {
  const Attempt* attempt = find_attempt(e, node);
  const std::string since = attempt == nullptr ? "" : " since " + duration_text(e.now - attempt->asked);
  return node_text(node) + " asks further on behalf of this node" + since;
}

std::string gone(const Explanation& e, const Reason& reason) {
  if (reason.node == e.self) return "it was published here, and is no longer";
  if (reason.outcome == Outcome::ok)
    return "it came from " + node_text(reason.node) + ", and nobody announces it any more";
  return "it was published at " + node_text(reason.node) + ", and is no longer" +
         when_answered(e, reason.node);
}

std::string partly_absent(const Explanation& e) {
  std::string text = "nobody that could be asked has it (" + who_denied(e) + ")";
  for (const PeerView& peer : e.shown_peers()) {
    if (peer.link.state == LinkState::kUp) continue;
    text += "; the link to " + node_text(peer.link.node) + " is " + link_text(e, peer);
    break;
  }
  const uint32_t others = e.peers - e.peers_up - 1;
  return others == 0 ? text : text + "; " + std::to_string(others) + " more could not be asked";
}

std::string isolated(const Explanation& e) {
  std::string text = "this node can ask nobody: no link of " + std::to_string(e.peers) + " is up";
  Nanos newest{-1};
  for (const PeerView& peer : e.shown_peers()) newest = std::max(newest, peer.link.since);
  return newest.ns < 0 ? text : text + ", since " + duration_text(e.now - newest);
}

std::string not_wanted(const Explanation& e, core::NodeId node) {
  std::string text = "nobody on this node asks for it; " + node_text(node) + " has it";
  if (e.flight_count == 0) return text;
  const Flight& last = e.flight[0];
  return text + "; the last acquire ended " + outcome_name(last.outcome) + " " +
         ago(e, last.submitted + last.elapsed);
}

bool has_role_text(const Explanation& e, core::NodeId node) {
  const PeerView* peer = find_peer(e, node);
  return peer != nullptr && peer->role_text[0] != 0;
}

std::string unauthorized(const Explanation& e, const Reason& reason) {
  if (reason.node == e.self) return "the certificate of this node has no role 'acquire'";
  if (has_role_text(e, reason.node))
    return "not between " + node_text(reason.node) +
           " and this node: " + find_peer(e, reason.node)->role_text.data();
  return node_text(reason.node) + " does not serve this node (peer.serve = false there)";
}

// What follows "does not flow: ".
std::string sentence(const Explanation& e, const Reason& reason) {
  const std::string node = node_text(reason.node);
  const std::string when = when_answered(e, reason.node);
  const PeerView* peer = find_peer(e, reason.node);
  switch (reason.cause) {
    case Cause::refused:
      return peer != nullptr ? refused(e, *peer) : node + " refuses this node";
    case Cause::link_down:
      return unreachable(e, reason, peer != nullptr && peer->located ? "which has it" : "which had it");
    case Cause::feed_cut:
      return feed_cut(e, reason);
    case Cause::isolated:
      return isolated(e);
    case Cause::ejected:
      return ejected(e, reason);
    case Cause::silent:
      return silent(e, reason.node);
    case Cause::asking:
      return asking(e, reason.node);
    case Cause::pending:
      return pending(e, reason.node);
    case Cause::absent:
      return "nobody has it: " + who_denied(e);
    case Cause::partly_absent:
      return partly_absent(e);
    case Cause::gone:
      return gone(e, reason);
    case Cause::draining:
      return node + " has it and is draining: it takes no new subscribers" + when;
    case Cause::busy:
      return node + " has it and has no room for another request" + when;
    case Cause::unauthorized:
      return unauthorized(e, reason) + when;
    case Cause::epoch:
      return node + " and this node know different publications of it (" + outcome_name(reason.outcome) +
             when + ")";
    case Cause::loop:
      return "the way over " + node + " leads in a circle" + when;
    case Cause::stalled:
      return node + " said that it flows, and no packet came" + when;
    case Cause::upstream_late:
      return node + " asked further and ran out of its budget" + when;
    case Cause::local_limit:
      return "this node has no room for another acquire (limits)";
    case Cause::not_wanted:
      return not_wanted(e, reason.node);
    case Cause::no_peers:
      return "it is not published here, and this node has no peers";
    case Cause::opening:
      return "it is being published here: its source is not open yet";
    case Cause::unknown:
      return "nobody announces it, and nobody on this node has asked for it";
    default:
      return node + " answered " + outcome_name(reason.outcome) + when;
  }
}

}  // namespace

std::string duration_text(Nanos span) {
  const int64_t us = std::max<int64_t>(span.us(), 0);
  const auto tenths = [](int64_t value, const char* unit) {
    return std::to_string(value / 10) + "." + std::to_string(value % 10) + unit;
  };
  if (us < 10'000) return tenths(us / 100, " ms");
  if (us < 10'000'000)
    return us < 1'000'000 ? std::to_string(us / 1'000) + " ms" : tenths(us / 100'000, " s");
  const int64_t s = us / 1'000'000;
  if (s < 120) return std::to_string(s) + " s";
  if (s < 7'200) return std::to_string(s / 60) + " min";
  return std::to_string(s / 3'600) + " h";
}

std::string first_line(const Explanation& e, std::string_view name) {
  const Reason reason = find_reason(e);
  const std::string track = "track " + (name.empty() ? e.track.hex() : "'" + std::string(name) + "'");
  switch (reason.cause) {
    case Cause::flows:
      return track + " flows from " + node_text(reason.node) + way(e) + ", " + last_packet(e);
    case Cause::flows_here:
      return track + " flows: it is published here, " + last_packet(e);
    case Cause::muted:
      return track + " is muted: " + node_text(reason.node) + " serves it and its publisher sends nothing" +
             no_packet(e);
    case Cause::muted_here:
      return track + " is muted: it is published here and its publisher sends nothing" + no_packet(e);
    case Cause::starting:
      return track + " is about to flow: " + node_text(reason.node) +
             " serves it, the first packet is awaited";
    default:
      return track + " does not flow: " + sentence(e, reason);
  }
}

std::string next_step(const Explanation& e) {
  const Reason reason = find_reason(e);
  const std::string node = node_text(reason.node);
  switch (reason.cause) {
    case Cause::flows:
    case Cause::flows_here:
      return e.flow.answered && e.flow.outputs == 0 ? "nobody takes it here: acquire it" : "nothing";
    case Cause::muted:
      return "ask why the publisher is silent: trunkline explain on the node that publishes it";
    case Cause::muted_here:
      return e.tap.family != 0 ? "see whether anything is sent to " + e.tap.to_string() +
                                     ", and the drops of its data core (stats)"
                               : "see whether the host sends, and the drops of its data core (stats)";
    case Cause::opening:
      return "wait a moment; if it stays, see the log for the tap's error";
    case Cause::starting:
    case Cause::asking:
    case Cause::pending:
      return "nothing yet: it ends by its deadline, one way or the other";
    case Cause::refused:
      return "make the named setting agree on both nodes: [wire.accept] everywhere first, then [wire]";
    case Cause::link_down:
    case Cause::feed_cut:
      return "see whether " + node +
             " runs and the path to it, in both directions (UDP); the link comes back by itself";
    case Cause::isolated:
      return "see this node's network and its [[peer]] addresses; links come back by themselves";
    case Cause::ejected:
    case Cause::silent:
      return "see whether " + node + " is paused or overloaded: its link is up and its answers do not come";
    case Cause::absent:
    case Cause::gone:
      return "publish it; if somebody says it is published, compare the track's name and "
             "wire.track_namespace there";
    case Cause::partly_absent:
      return "publish it, or bring back the nodes that could not be asked";
    case Cause::draining:
      return "let its publisher move to another node, or end the drain of " + node + " (undrain)";
    case Cause::busy:
      return "see limits.max_requests and limits.max_outputs_per_core of " + node;
    case Cause::unauthorized:
      if (reason.node == e.self || has_role_text(e, reason.node))
        return "if it is to be allowed, have a certificate signed that has the role, and give it to that "
               "node";
      return "if this node is to be served, set peer.serve = true for it in the configuration of " + node;
    case Cause::epoch:
      return "acquire it again: locations agree within a round trip of the last announcement";
    case Cause::loop:
      return "acquire it again; if it stays, run trunkline explain on " + node;
    case Cause::stalled:
      return "run trunkline explain on " + node + ", and see its drops and transmit counters (stats)";
    case Cause::upstream_late:
    case Cause::failed:
      return "run trunkline explain on " + node;
    case Cause::local_limit:
      return "see limits of this node, and who asks for so much (stats: usage, queues)";
    case Cause::not_wanted:
      return "acquire it, here or with [[egress]]";
    case Cause::unknown:
      return "publish it somewhere, or acquire it to have every peer asked";
    case Cause::no_peers:
      return "publish it here, or add [[peer]]";
    case Cause::kCount:
      break;
  }
  return "";
}

}  // namespace trunkline::relay
