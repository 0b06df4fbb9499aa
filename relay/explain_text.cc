// What an explanation rests on, a row per fact: as text for a terminal, and as JSON for everything else.
#include <algorithm>
#include <string>

#include "relay/explain_facts.h"
#include "relay/json_writer.h"

namespace trunkline::relay {

namespace {

// ---- text

std::string node_text(core::NodeId node) {
  return "node " + std::to_string(node.value);
}

class Rows {
 public:
  explicit Rows(std::string& out) : out_(out) {}
  // The label is written once for rows that belong together.
  void row(std::string_view label, const std::string& text) {
    const std::string_view shown = label == last_ ? std::string_view() : label;
    out_.append("  ").append(shown).append(std::max<size_t>(kWidth, shown.size() + 1) - shown.size(), ' ');
    out_.append(text).append("\n");
    last_ = label;
  }

 private:
  static constexpr size_t kWidth = 13;
  std::string& out_;
  std::string_view last_;
};

std::string attempt_text(const Attempt& attempt, Nanos now) {
  std::string text = node_text(attempt.node) + "  asked " + duration_text(now - attempt.asked) + " ago, ";
  if (attempt.answered) {
    text += std::string(outcome_name(attempt.outcome)) + " after " + duration_text(attempt.answered_after);
  } else {
    text += attempt.pending ? "PENDING: it asks further" : "no answer yet";
  }
  if (attempt.repeats > 0) text += ", repeated " + std::to_string(attempt.repeats) + " times";
  if (attempt.hop_limit > 0)
    text += ", it may ask " + std::to_string(attempt.hop_limit) + " nodes further on";
  return text;
}

std::string publication_text(const Explanation& e) {
  const std::string generation = ", generation " + std::to_string(e.generation);
  switch (e.published) {
    case PublishedHere::kNo:
      return "not here";
    case PublishedHere::kGone:
      return "not here any more: unpublished a moment ago";
    case PublishedHere::kOpening:
      return "here, its source is being opened" + generation;
    case PublishedHere::kLive:
      break;
  }
  std::string text = "here" + generation + (e.publisher_sends ? ", its publisher sends" : ", silent");
  if (e.tap.family != 0) text += ", from the tap " + e.tap.to_string();
  return text + ", served to " + std::to_string(e.served) + (e.served == 1 ? " peer" : " peers");
}

std::string search_text(const Explanation& e) {
  switch (e.search) {
    case SearchState::kQuiet:
      return "no search is under way";
    case SearchState::kSearching:
      return "peers are being asked, until " + duration_text(e.deadline - e.now) + " from now at the latest";
    case SearchState::kRendezvous:
      return "an announcement is awaited, for " + duration_text(e.deadline - e.now) + " at most";
    case SearchState::kWatching:
      return "the first packet is awaited";
    case SearchState::kEstablished:
      return e.replacing ? "another feed is looked for, because this one is silent"
                         : "over: the track is fed";
  }
  return "";
}

std::string flow_text(const FlowFacts& flow, Nanos now) {
  const std::string where = "core " + std::to_string(flow.core.value) + ", flow " + std::to_string(flow.flow);
  if (!flow.answered) return where + ": its data core has not answered";
  std::string text =
      where + ": " + std::to_string(flow.packets) + " packets, " + std::to_string(flow.bytes) + " bytes, ";
  text += flow.last_packet.ns < 0 ? std::string("none yet")
                                  : "the last " + duration_text(now - flow.last_packet) + " ago";
  return text + "; " + std::to_string(flow.outputs) + (flow.outputs == 1 ? " output" : " outputs");
}

std::string peer_text(const PeerView& peer, Nanos now) {
  std::string text = node_text(peer.link.node);
  if (peer.name[0] != 0) text.append(" '").append(peer.name.data()).append("'");
  text.append("  ").append(link_state_name(peer.link.state)).append(" since ");
  text += duration_text(now - peer.link.since);
  if (peer.link.state == LinkState::kIncompatible) text.append(": ").append(peer.link.text.data());
  if (peer.link.rtt_us != 0)
    text += ", round trip " + duration_text(core::from_us(peer.link.rtt_us)) + " (p99 " +
            duration_text(core::from_us(peer.link.rtt_p99_us)) + ")";
  text += peer.heard.ns < 0 ? ", never heard" : ", heard " + duration_text(now - peer.heard) + " ago";
  if (peer.deaf) text += ", does not hear this node";
  if (peer.link.ejected) text += ", ejected";
  return text;
}

std::string waiters_text(const Explanation& e) {
  return std::to_string(e.waiters) + ": " + std::to_string(e.fed) + " with packets, " +
         std::to_string(e.waiting) + " without an outcome";
}

void location_rows(Rows& rows, const Explanation& e) {
  bool any = false;
  for (const PeerView& peer : e.shown_peers()) {
    if (!peer.located) continue;
    any = true;
    std::string text = node_text(peer.link.node);
    text += peer.told   ? "  as another peer says (MOVED)"
            : peer.hint ? "  a hint of configuration or host"
                        : "  announced, generation " + std::to_string(peer.generation) + ", incarnation " +
                              std::to_string(peer.incarnation);
    rows.row("location", text);
  }
  if (!any) rows.row("location", "no peer is said to have it");
}

std::string feed_text(const Explanation& e) {
  std::string text = node_text(e.feed) + ", generation " + std::to_string(e.generation) +
                     (e.said_flowing ? ", said to flow" : ", said to be muted");
  if (e.served > 0)
    text += ", passed on to " + std::to_string(e.served) + (e.served == 1 ? " peer" : " peers");
  if (e.path_length == 0) return text;
  text += ", by way of";
  const uint32_t shown = std::min<uint32_t>(e.path_length, static_cast<uint32_t>(e.path.size()));
  for (uint32_t i = 0; i < shown; ++i) text += " " + std::to_string(e.path[i].value);
  return text;
}

// ---- JSON

void write_attempts(JsonWriter& json, std::span<const Attempt> attempts, Nanos now) {
  json.array("attempts");
  for (const Attempt& attempt : attempts) {
    json.object().number("node", attempt.node.value);
    json.signed_number("asked_us_ago", (now - attempt.asked).us());
    json.text("outcome", attempt.answered ? outcome_name(attempt.outcome) : "none yet");
    if (attempt.answered) json.signed_number("answered_after_us", attempt.answered_after.us());
    json.boolean("pending", attempt.pending && !attempt.answered)
        .number("repeats", attempt.repeats)
        .number("hop_limit", attempt.hop_limit)
        .end_object();
  }
  json.end_array();
}

void write_flight(JsonWriter& json, const Flight& flight, Nanos now) {
  json.object()
      .number("serial", flight.serial)
      .text("track_id", flight.track.hex())
      .number("queue", flight.queue)
      .number("handle", flight.handle)
      .signed_number("submitted_us_ago", (now - flight.submitted).us())
      .signed_number("deadline_us", flight.deadline.us())
      .signed_number("elapsed_us", flight.elapsed.us())
      .text("outcome", outcome_name(flight.outcome))
      .number("node", flight.node.value)
      .number("generation", flight.generation)
      .boolean("authoritative", flight.authoritative)
      .boolean("flowing", flight.flowing)
      .boolean("local", flight.local)
      .number("peers_asked", flight.peers_asked)
      .number("peers_without", flight.peers_without);
  write_attempts(json, flight.asked(), now);
  json.end_object();
}

void write_peers(JsonWriter& json, const Explanation& e) {
  json.array("peers");
  for (const PeerView& peer : e.shown_peers()) {
    json.object()
        .number("node", peer.link.node.value)
        .text("name", peer.name.data())
        .text("link", link_state_name(peer.link.state))
        .signed_number("for_ms", (e.now - peer.link.since).ms())
        .text("text", peer.link.text.data())
        .number("rtt_us", peer.link.rtt_us)
        .signed_number("heard_us_ago", peer.heard.ns < 0 ? -1 : (e.now - peer.heard).us())
        .boolean("deaf", peer.deaf)
        .boolean("ejected", peer.link.ejected)
        .boolean("located", peer.located)
        .boolean("hint", peer.hint)
        .number("generation", peer.generation)
        .number("incarnation", peer.incarnation)
        .end_object();
  }
  json.end_array();
}

void write_flow(JsonWriter& json, const Explanation& e) {
  json.object("flow")
      .boolean("open", e.flow.open)
      .boolean("answered", e.flow.answered)
      .number("core", e.flow.core.value)
      .number("flow", e.flow.flow)
      .number("packets", e.flow.packets)
      .number("bytes", e.flow.bytes)
      .signed_number("last_packet_us_ago", e.flow.last_packet.ns < 0 ? -1 : (e.now - e.flow.last_packet).us())
      .number("outputs", e.flow.outputs)
      .end_object();
}

const char* published_name(PublishedHere published) {
  static constexpr const char* kNames[] = {"no", "opening", "live", "gone"};
  return kNames[static_cast<size_t>(published)];
}
const char* search_name(SearchState search) {
  static constexpr const char* kNames[] = {"quiet", "searching", "rendezvous", "watching", "established"};
  return kNames[static_cast<size_t>(search)];
}

}  // namespace

// ---- the whole

std::string explain_text(const Explanation& e, std::string_view name) {
  std::string out = first_line(e, name) + "\n\n";
  Rows rows(out);
  rows.row("next", next_step(e));
  rows.row("track", name.empty() ? e.track.hex() : std::string(name) + "  " + e.track.hex());
  rows.row("published", publication_text(e));
  location_rows(rows, e);
  if (e.feed.value != 0) rows.row("fed by", feed_text(e));
  if (e.flow.open) rows.row("packets", flow_text(e.flow, e.now));
  rows.row("waiters", waiters_text(e));
  rows.row("search", search_text(e));
  const Requests asked = requests(e);
  for (const Attempt& attempt : asked.attempts) rows.row("requests", attempt_text(attempt, e.now));
  if (asked.peers > asked.attempts.size())
    rows.row("requests", std::to_string(asked.peers - asked.attempts.size()) + " more peers were asked");
  for (const PeerView& peer : e.shown_peers()) rows.row("links", peer_text(peer, e.now));
  if (e.peers > e.peer_count)
    rows.row("links", std::to_string(e.peers_up) + " of " + std::to_string(e.peers) + " links are up in all");
  for (const Flight& flight : e.flights()) rows.row("acquires", flight_text(flight, e.now));
  if (e.asking_for > 0)
    rows.row("relaying", "this node asks further for " + std::to_string(e.asking_for) + " peers");
  if (e.draining.on) rows.row("draining", "this node answers new requests of peers with DRAINING");
  return out;
}

std::string explain_json(const Explanation& e, std::string_view name) {
  const Reason reason = find_reason(e);
  JsonWriter json;
  json.object()
      .text("line", first_line(e, name))
      .text("cause", cause_name(reason.cause))
      .number("cause_node", reason.node.value)
      .text("next", next_step(e))
      .text("text", explain_text(e, name))
      .text("track_id", e.track.hex())
      .number("node", e.self.value)
      .text("published", published_name(e.published))
      .number("generation", e.generation)
      .number("served", e.served)
      .number("asking_for", e.asking_for)
      .text("search", search_name(e.search))
      .number("waiters", e.waiters)
      .number("waiting", e.waiting)
      .number("fed", e.fed)
      .number("feed", e.feed.value)
      .boolean("said_flowing", e.said_flowing);
  json.array("path");
  for (uint32_t i = 0; i < std::min<uint32_t>(e.path_length, static_cast<uint32_t>(e.path.size())); ++i)
    json.number({}, e.path[i].value);
  json.end_array();
  write_flow(json, e);
  const Requests asked = requests(e);
  json.number("peers_asked", asked.peers).number("peers_without", asked.without);
  write_attempts(json, asked.attempts, e.now);
  json.number("peers_total", e.peers)
      .number("peers_up", e.peers_up)
      .number("peers_refused", e.peers_refused)
      .boolean("draining", e.draining.on);
  write_peers(json, e);
  json.array("flights");
  for (const Flight& flight : e.flights()) write_flight(json, flight, e.now);
  json.end_array().end_object();
  return json.take();
}

std::string flight_json(const Flight& flight, Nanos now) {
  JsonWriter json;
  write_flight(json, flight, now);
  return json.take();
}

std::string flight_text(const Flight& flight, Nanos now) {
  std::string text = duration_text(now - flight.submitted) + " ago  " + outcome_name(flight.outcome) +
                     " after " + duration_text(flight.elapsed);
  if (flight.deadline.ns > 0) text += " of " + duration_text(flight.deadline);
  if (flight.local) {
    text += ", published here";
  } else if (flight.node.value != 0) {
    text += ", " + node_text(flight.node);
  }
  return text + ", " + std::to_string(flight.peers_asked) + (flight.peers_asked == 1 ? " peer" : " peers") +
         " asked";
}

}  // namespace trunkline::relay
