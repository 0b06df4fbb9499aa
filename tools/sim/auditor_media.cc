// What the auditor demands of media, packet by packet and end by end: S2, S5, S10 (auditor.h).
#include <algorithm>

#include "tools/sim/auditor.h"

namespace trunkline::sim {

using relay::HostEvent;

// ---- S2

void Auditor::packet(NodeIndex node, uint64_t handle, std::span<const uint8_t> bytes, Nanos now) {
  if (is_publication(handle) || handle >> 1 >= acquisitions_.size()) {
    return violate(now, "S2: a packet for handle " + std::to_string(handle) + ", which is no acquisition");
  }
  Acquisition& a = acquisition(handle);
  const auto stamp = read_stamp(bytes);
  if (a.node != node) return violate(now, "S2: a packet for " + name(a, handle) + " on another node");
  if (!stamp) return violate(now, "S2: a packet for " + name(a, handle) + " was changed on the way");
  if (stamp->track != a.id) {
    return violate(now, "S2: " + name(a, handle) + " got a packet of track " + stamp->track.hex());
  }
  if (stamp->publication >= publications_.size() || publications_[stamp->publication].track != a.track ||
      stamp->number >= publications_[stamp->publication].sent) {
    return violate(now, "S2: " + name(a, handle) + " got a packet that nobody sent");
  }
  ++report_.packets_delivered;
  if (stamp->number >= a.steady_from) ++a.steady_came;
  const NodeIndex source = publications_[stamp->publication].node;
  if (evidence_ != nullptr && source != node && !evidence_->link_up(node, source))
    report_.marks.hit(Mark::media_while_down);
  if (a.last_packet.ns != 0 && now - a.last_packet >= core::from_s(1)) report_.marks.hit(Mark::media_resumed);
  a.last_packet = now;
  if (a.publication != stamp->publication) {
    judge_epoch(a, handle, stamp->publication, now);
    judge_told(a, handle, stamp->publication, now);
    a.publication = stamp->publication;
    a.highest = stamp->number;
    a.seen = 1;
    return;
  }
  if (stamp->number > a.highest) {
    const uint32_t ahead = stamp->number - a.highest;
    if (ahead > 1) report_.marks.hit(Mark::media_lost);
    a.seen = ahead >= 64 ? 1 : (a.seen << ahead) | 1;
    a.highest = stamp->number;
    return;
  }
  const uint32_t behind = a.highest - stamp->number;
  if (behind >= 64) return;
  const uint64_t bit = uint64_t{1} << behind;
  if ((a.seen & bit) != 0)
    violate(now, "S2: " + name(a, handle) + " got packet " + std::to_string(stamp->number) + " twice");
  a.seen |= bit;
}

// ---- S5

// The acquisition's media changes from one publication to another. Never from a younger one to an older,
// while the younger is still published and can be reached.
void Auditor::judge_epoch(const Acquisition& a, uint64_t handle, uint32_t publication, Nanos now) {
  if (a.publication == UINT32_MAX) return;
  const Publication& before = publications_[a.publication];
  const Publication& next = publications_[publication];
  const bool lives = before.confirmed && before.until == core::kNever;
  if (epoch(next) >= epoch(before) || !lives || !well(a.node, before.node, now - core::from_s(1))) return;
  violate(now, "S5: " + name(a, handle) + " got a packet of generation " + std::to_string(next.generation) +
                   " of node " + std::to_string(node_id(next.node).value) + " after generation " +
                   std::to_string(before.generation) + " of node " +
                   std::to_string(node_id(before.node).value) + " was delivered");
}

// A host that is to get another generation is told that this one is over, and acquires again. What comes
// before the OK is judged when that says which generation it is: it may be of an older one, or of a younger
// one that ended while the OK was waited for, never of a younger one that lives.
void Auditor::judge_told(const Acquisition& a, uint64_t handle, uint32_t publication, Nanos now) {
  const uint64_t came = publications_[publication].generation;
  const bool before = now == a.ended && (came < a.generation || publications_[publication].until <= now);
  if (a.state != Acquisition::State::kOk || came == a.generation || before) return;
  violate(now, "S5: " + name(a, handle) + " got a packet of generation " + std::to_string(came) +
                   " of node " + std::to_string(node_id(publications_[publication].node).value) +
                   ", and its host was told of generation " + std::to_string(a.generation));
}

// ---- S10

// Who fed it still publishes, is the only one, and can be reached.
bool Auditor::source_is_well(const Acquisition& a) const {
  // What went wrong before it was asked for may still be on its way to being noticed: a link takes up to
  // three seconds to recover, and what it then brings another one.
  const Nanos since = a.submitted - core::from_s(4);
  bool alone = true, published = false;
  for (const Publication& p : publications_) {
    if (p.track != a.track) continue;
    if (p.confirmed && p.from <= a.submitted && p.until == core::kNever) {
      alone = alone && !published;
      published = true;
    } else {
      alone = alone && p.until < since;
    }
  }
  if (!published || !alone) return false;
  // It may come by way of any nodes, several one after the other.
  const Nanos wires_since = std::max(since, core::from_ms(200));
  for (NodeIndex x = 0; x < nodes_.size(); ++x) {
    for (NodeIndex y = 0; y < nodes_.size(); ++y) {
      if (!well(x, y, wires_since)) return false;
    }
  }
  return true;
}

void Auditor::judge_end(const Acquisition& a, const HostEvent& event, Nanos now) {
  const bool of_the_way =
      event.outcome == relay::Outcome::stalled || event.outcome == relay::Outcome::link_down;
  if ((of_the_way && !wires_known_) || !source_is_well(a)) return;
  violate(now, "S10: " + name(a, event.handle) + " ended " + relay::outcome_name(event.outcome) +
                   ", and its publisher, the nodes and the wires are as well as ever");
}

void Auditor::begin_steady() {
  for (Acquisition& a : acquisitions_) {
    if (a.state != Acquisition::State::kOk || a.released) continue;
    const Publication* only = nullptr;
    uint32_t live = 0;
    for (const Publication& p : publications_) {
      if (p.track != a.track || !p.confirmed || p.until != core::kNever) continue;
      only = &p;
      ++live;
    }
    // What it was told of may have gone with its node, and an older one go on: that is not what it is fed.
    if (live != 1 || only->generation != a.generation) continue;
    a.steady_from = only->sent;
    a.steady_came = 0;
  }
}

void Auditor::end_steady(Nanos now, Nanos on_their_way, Nanos packets_every) {
  // What was sent just before begin_steady() may come in addition; what was sent last may not have come yet.
  const auto last = static_cast<uint32_t>(on_their_way.ns / packets_every.ns + 2);
  for (size_t i = 0; i < acquisitions_.size(); ++i) {
    Acquisition& a = acquisitions_[i];
    if (a.steady_from == UINT32_MAX || a.released || a.state != Acquisition::State::kOk) continue;
    const auto is_source = [&](const Publication& p) {
      return p.track == a.track && p.confirmed && p.until == core::kNever;
    };
    const auto source = std::find_if(publications_.begin(), publications_.end(), is_source);
    if (source == publications_.end() || source->sent < a.steady_from + last) continue;
    const uint32_t wanted = source->sent - a.steady_from - last;
    if (a.steady_came >= wanted) continue;
    violate(now, "S10: " + name(a, acquisition_handle(i)) + " got " + std::to_string(a.steady_came) +
                     " of the " + std::to_string(wanted) + " packets that were sent while all was well");
  }
}

bool Auditor::publishes(NodeIndex node, const core::TrackId& track) const {
  return std::any_of(publications_.begin(), publications_.end(),
                     [&](const Publication& p) { return p.node == node && p.id == track && !p.closed; });
}

bool Auditor::changed_hands(const core::TrackId& track, Nanos since) const {
  return std::any_of(publications_.begin(), publications_.end(), [&](const Publication& p) {
    return p.id == track && (p.from >= since || (p.until != core::kNever && p.until >= since));
  });
}

bool Auditor::wanted_throughout(NodeIndex node, const core::TrackId& track, Nanos since) const {
  Nanos until = since;  // without a break
  for (bool longer = true; longer;) {
    longer = false;
    for (const Acquisition& a : acquisitions_) {
      if (a.node != node || a.id != track || a.submitted >= until || a.until <= until) continue;
      until = a.until;
      longer = true;
    }
  }
  return until == core::kNever;
}

}  // namespace trunkline::sim
