// What a refusal does to a link: it names the setting and both values at both ends, and handshakes go on,
// seldom. A session that the two had before ends: it was with another start of the peer. One refusal repairs
// itself: of an incarnation, which the refused node raises.
#include <algorithm>
#include <charconv>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

// A peer that remembers ever more makes this node, for all its peers, a new incarnation after a second, two,
// four, and at last once an hour.
constexpr Nanos kHeedEach = core::from_s(1);
constexpr Nanos kHeedAtMost = core::from_s(3'600);

}  // namespace

// The peer answers as an earlier start of itself than is remembered: its clock was set back. It reads so in
// the place of the confirm, raises its incarnation, and begins an exchange of its own. It must be told here:
// when this node's id is the lower one, what it sends meanwhile is ignored.
void MeshState::refuse_answer(Link& l, const Frame& frame, const Hello& theirs) {
  l.step = HandshakeStep::kIdle;
  l.made = -1;
  l.retry_at = now + kProof + kLongestRetry;  // if this is lost, it asks first, and is refused then
  std::array<uint8_t, kMaxHelloBytes> payload;
  const size_t length = encode(outlived(l.incarnation, theirs.incarnation), payload);
  if (write_message(l, DatagramType::kHandshakeConfirm, theirs.cores[0].receive_index,
                    std::span(payload).first(length)) != 0) {
    send_message(l, frame.address);
  }
}

// We refused the peer or were refused by it: the same to both ends.
void MeshState::refused(Link& l, const Refusal& refusal) {
  counters.add(MeshCounter::handshakes_refused);
  if (refusal.code == RefusalCode::kIncarnation) {
    if (now < l.heed_at) {
      l.retry_at = l.heed_at;
      return;
    }
    l.heed_each = std::min(std::max(l.heed_each * 2, kHeedEach), kHeedAtMost);
    l.heed_at = now + l.heed_each;
    // The peer remembers a later start of ours than this one: our clock was set back. Raise and go on.
    uint64_t remembered = 0;
    const std::string_view text = refusal.theirs.view();
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), remembered);
    if (config.rules.clock_set_back && parsed.ec == std::errc{} && remembered >= incarnation &&
        remembered < started_as + kFurthestIncarnation) {
      incarnation = remembered + 1;
      for (Link& other : links) other.rekey_at = now;  // all learn it, or it ends what they have at a rekey
      log(LogLevel::kWarn, "incarnation raised to %llu: node %llu remembers a later start of this node",
          static_cast<unsigned long long>(incarnation), static_cast<unsigned long long>(l.node.value));
    }
    l.retry_at = config.rules.clock_set_back ? now : now + kLongestRetry;
    return;
  }
  ask_seldom(l, refusal);
}

// A msg1 shows nobody that it is of now: it may be an old one, of a life with other settings. What stands,
// and an exchange under way, go on, and have the last word; and our own next attempt does not come later for
// it.
void MeshState::refused_by_us(Link& l, const Refusal& refusal) {
  if (l.alive) return;
  if (l.step != HandshakeStep::kIdle) {
    incompatible(l, refusal);
    return;
  }
  const Nanos before = l.retry_at;
  ask_seldom(l, refusal);
  l.retry_at = std::min(before, l.retry_at);
}

void MeshState::ask_seldom(Link& l, const Refusal& refusal) {
  const bool news = incompatible(l, refusal);
  l.retry_interval = news ? kLongestRetry : std::max(l.retry_interval, kLongestRetry);
  l.retry_at = now + l.retry_interval;
}

// What both ends say of it until a session comes about. No exchange is touched. True: it was not known.
bool MeshState::incompatible(Link& l, const Refusal& refusal) {
  // Those two that agreed once agree as long as both live: this is another start of the peer, or the peer of
  // another start of ours. What the session was about died with the former one.
  if (l.active >= 0) {
    log(LogLevel::kWarn,
        "node %llu has started anew: the tracks and requests of its former life are forgotten",
        static_cast<unsigned long long>(l.node.value));
    forget_peer(l);
  }
  const std::array<char, 192> text = refusal.text();
  const bool same = l.incompatible && std::string_view(l.text.data()) == std::string_view(text.data());
  if (!same) l.told = false;
  if (!l.told && may_log(l)) {
    log(LogLevel::kError, "node %llu is incompatible: %s", static_cast<unsigned long long>(l.node.value),
        text.data());
    l.told = true;
  }
  l.text = text;
  l.incompatible = true;
  l.incompatible_outcome = refusal.code == RefusalCode::kVersion || refusal.code == RefusalCode::kFeature
                               ? Outcome::unsupported
                               : Outcome::config_mismatch;
  show_state(l);
  link_news(l);
  return !same;
}

}  // namespace trunkline::relay::mesh
