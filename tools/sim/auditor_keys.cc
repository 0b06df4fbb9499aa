// See auditor_keys.h.
#include "tools/sim/auditor_keys.h"

#include <algorithm>
#include <cstring>

#include "core/hash.h"
#include "relay/handshake_messages.h"
#include "relay/wire.h"
#include "tools/sim/auditor_links.h"

namespace trunkline::sim {

namespace {

constexpr core::HashKey kOwn{0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u};
// Of a handshake message: where a cookie is put into a msg1 after it was written.
constexpr size_t kLastBytes = 16;
// What a lane remembers of what it sealed: twice the largest replay window. What is older is not accepted.
constexpr size_t kRemembered = 2 * 65'536;

uint16_t lane_of(core::CoreId from, core::CoreId to) {
  return static_cast<uint16_t>(from.value << 8 | to.value);
}

// What was sealed before is kept in order, and nearly all that is opened was sealed a moment ago.
uint64_t tag_of(const KeyAuditor::Direction::Lane& lane, uint64_t counter, bool& there) {
  const auto at = std::lower_bound(lane.sealed.begin(), lane.sealed.end(), counter,
                                   [](const auto& entry, uint64_t wanted) { return entry.first < wanted; });
  there = at != lane.sealed.end() && at->first == counter;
  return there ? at->second : 0;
}

uint64_t tag_of(std::span<const uint8_t> datagram) {
  uint64_t tag;
  std::memcpy(&tag, datagram.data() + datagram.size() - sizeof tag, sizeof tag);
  return tag;
}

std::string named(uint64_t counter, core::CoreId from, core::CoreId to) {
  return "counter " + std::to_string(counter) + " of lane " + std::to_string(from.value) + " to " +
         std::to_string(to.value);
}

}  // namespace

size_t KeyAuditor::Hash::operator()(const Secret& secret) const {
  size_t word;
  std::memcpy(&word, secret.data(), sizeof word);
  return word;
}

void KeyAuditor::Totals::add(const Totals& other) {
  secrets += other.secrets;
  lanes += other.lanes;
  sealed += other.sealed;
  opened += other.opened;
  refused += other.refused;
  messages_read += other.messages_read;
  messages_refused += other.messages_refused;
}

KeyAuditor::Life KeyAuditor::starts(const relay::NodeConfig& config) {
  lives_.push_back(config);
  return static_cast<Life>(lives_.size() - 1);
}

std::string KeyAuditor::name(Life life) const {
  return life == kNobody ? "nobody" : "node " + std::to_string(lives_[life].id.value);
}

// ---- secrets

KeyAuditor::Direction& KeyAuditor::find(relay::Suite suite, const Secret& secret) {
  const auto [at, is_new] = by_secret_.try_emplace(secret, nullptr);
  if (is_new) {
    ++totals_.secrets;
    at->second = &directions_.emplace_back();
    at->second->suite = suite;
  }
  if (at->second->suite != suite) complain_("S8: two ends of a session seal with different suites");
  return *at->second;
}

KeyAuditor::Direction& KeyAuditor::sends(Life life, relay::Suite suite, const Secret& secret) {
  return take_end(life, find(suite, secret), &Direction::sender, "seal");
}

KeyAuditor::Direction& KeyAuditor::receives(Life life, relay::Suite suite, const Secret& secret) {
  return take_end(life, find(suite, secret), &Direction::receiver, "open");
}

KeyAuditor::Direction& KeyAuditor::take_end(Life life, Direction& direction, Life Direction::*end,
                                            const std::string& verb) {
  if (direction.*end != kNobody && direction.*end != life) {
    complain_("S6: " + name(life) + " " + verb + "s with a key that " + name(direction.*end) + " " + verb +
              "ed with in another life");
  }
  direction.*end = life;
  judge_pair(direction);
  return direction;
}

void KeyAuditor::judge_pair(const Direction& direction) {
  if (direction.sender == kNobody || direction.receiver == kNobody) return;
  const relay::NodeConfig& a = lives_[direction.sender];
  const relay::NodeConfig& b = lives_[direction.receiver];
  if (a.id == b.id) return complain_("S8: " + name(direction.sender) + " has a session with itself");
  // Without these rules, which variants of replays leave out, links are made that are of no use.
  const auto judges = [](const relay::NodeConfig& c) {
    return c.rules.versions && c.rules.required_settings;
  };
  if (!judges(a) || !judges(b)) return;
  const std::string differs = differing_setting(a, b);
  if (differs.empty()) return;
  complain_("S8: " + name(direction.sender) + " and " + name(direction.receiver) +
            " share a secret and disagree on " + differs);
}

// ---- datagrams

void KeyAuditor::sealed(Direction& direction, core::CoreId from, core::CoreId to,
                        std::span<const uint8_t> datagram) {
  ++totals_.sealed;
  const uint16_t cores = lane_of(from, to);
  auto lane = std::find_if(direction.lanes.begin(), direction.lanes.end(),
                           [&](const Direction::Lane& l) { return l.cores == cores; });
  if (lane == direction.lanes.end()) {
    ++totals_.lanes;
    lane = direction.lanes.insert(lane, Direction::Lane{});
    lane->cores = cores;
  }
  const uint64_t counter = relay::decode_header(datagram.data()).counter;
  if (counter < lane->next) {
    return complain_("S6: " + name(direction.sender) + " seals a second time with " +
                     named(counter, from, to));
  }
  lane->next = counter + 1;
  lane->sealed.emplace_back(counter, tag_of(datagram));
  if (lane->sealed.size() >= 2 * kRemembered)
    lane->sealed.erase(lane->sealed.begin(), lane->sealed.begin() + kRemembered);
}

void KeyAuditor::opened(const Direction& direction, core::CoreId from, core::CoreId to, uint64_t counter,
                        uint64_t tag) {
  ++totals_.opened;
  const uint16_t cores = lane_of(from, to);
  for (const Direction::Lane& lane : direction.lanes) {
    if (lane.cores != cores) continue;
    bool there = false;
    if (tag_of(lane, counter, there) == tag && there) return;
  }
  complain_("S7: " + name(direction.receiver) + " takes a datagram for genuine that nobody sealed, " +
            named(counter, from, to));
}

void KeyAuditor::note(std::span<const uint8_t> datagram, RecordKinds kinds) {
  kinds_[tag_of(datagram)] = kinds;
}

RecordKinds KeyAuditor::kinds_of(std::span<const uint8_t> datagram) const {
  const auto at = kinds_.find(tag_of(datagram));
  return at == kinds_.end() ? RecordKinds{0} : at->second;
}

// ---- handshakes

uint64_t KeyAuditor::message_hash(uint8_t message, std::span<const uint8_t> bytes) {
  return core::keyed_hash({kOwn.k0 ^ message, kOwn.k1},
                          bytes.first(bytes.size() - std::min(bytes.size(), kLastBytes)));
}

void KeyAuditor::wrote(Life life, uint8_t message, std::span<const uint8_t> bytes) {
  written_[message_hash(message, bytes)] = life;
}

void KeyAuditor::read(Life life, uint8_t message, uint64_t hash, bool ok) {
  ++(ok ? totals_.messages_read : totals_.messages_refused);
  if (!ok) return;
  const auto writer = written_.find(hash);
  const std::string what = name(life) + " takes a handshake message " + std::to_string(message);
  if (writer == written_.end()) return complain_("S7: " + what + " for genuine that nobody wrote");
  if (lives_[writer->second].id == lives_[life].id) complain_("S7: " + what + " of its own");
}

}  // namespace trunkline::sim
