// See control_text.h.
#include "tools/sim/control_text.h"

#include <cstdio>
#include <variant>

#include "relay/mesh/control_stream.h"
#include "relay/mesh/messages.h"

namespace trunkline::sim {

namespace {

// Tracks are told apart by their first bytes, requests by their last: a line is to stay readable.
std::string short_name(const core::TrackId& track) {
  return track.hex().substr(0, 6);
}
std::string number(uint64_t value) {
  return std::to_string(value);
}
std::string request(uint64_t id) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(id & 0xffffffffff));
  return text;
}
std::string path(std::span<const core::NodeId> nodes) {
  std::string text;
  for (const core::NodeId node : nodes) text += (text.empty() ? "" : ">") + number(node.value);
  return text;
}

struct Words {
  std::string operator()(const relay::Announce& m) const {
    return "ANNOUNCE " + short_name(m.track) + " g" + number(m.generation) + (m.flowing ? " flowing" : "");
  }
  std::string operator()(const relay::Withdraw& m) const {
    return "WITHDRAW " + short_name(m.track) + " g" + number(m.generation);
  }
  std::string operator()(const relay::SnapshotEnd&) const { return "SNAPSHOT_END"; }
  std::string operator()(const relay::Acquire& m) const {
    std::string text = "ACQUIRE " + request(m.request_id) + " " + short_name(m.track) + " budget " +
                       number(m.budget_us / 1'000) + " ms, path " + path(m.nodes());
    if (m.hop_limit > 0) text += ", may ask " + number(m.hop_limit) + " further";
    if (m.believed_generation > 0) text += ", believes g" + number(m.believed_generation);
    return text;
  }
  std::string operator()(const relay::Answer& m) const {
    std::string text = "ANSWER " + request(m.request_id) + " ";
    if (m.pending) return text + "PENDING, next by " + number(m.next_by_us / 1'000) + " ms";
    text += relay::outcome_name(m.outcome);
    if (m.authoritative) text += " for certain";
    if (m.generation > 0) text += " g" + number(m.generation);
    if (m.node.value != 0) text += " to " + number(m.node.value);
    if (m.flowing) text += " flowing";
    if (m.path_length > 0) text += " through " + path(m.nodes());
    return text;
  }
  std::string operator()(const relay::Release& m) const { return "RELEASE " + request(m.request_id); }
  std::string operator()(const relay::Ended& m) const {
    return "ENDED " + request(m.request_id) + " " + relay::outcome_name(m.reason);
  }
};

}  // namespace

std::string control_text(std::span<const uint8_t> segment) {
  if (segment.size() <= relay::kSegmentOverhead) return {};
  relay::MessageReader reader(
      segment.subspan(relay::kSegmentHeaderBytes, segment.size() - relay::kSegmentOverhead));
  std::string text;
  for (auto item = reader.next(); item != relay::MessageReader::Item::kEnd; item = reader.next()) {
    if (!text.empty()) text += " | ";
    text += item == relay::MessageReader::Item::kMessage ? std::visit(Words{}, reader.message()) : "?";
  }
  return text;
}

}  // namespace trunkline::sim
