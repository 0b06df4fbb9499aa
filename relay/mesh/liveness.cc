// Is the peer there, and does it hear us? Evidence comes from the data cores, which send and count heartbeats
// per lane; any authenticated datagram is as good as a heartbeat. They tell what must be acted on, and write
// the rest on a board (relay/evidence_board.h) that is read here before a silence counts.
//
//   nothing for 1.2 heartbeats        heartbeats go out each 10 ms, so that the verdict rests on many
//   nothing for down_after            down
//   the peer's heartbeat says that    down (half-open: its packets arrive, ours do not), because what it
//   it has not heard us for that long sends is of no use without what we answer
//   control not acknowledged for 3 s, up, and a new session is made: the two ends do not mean the same stream
//   any or what was never sent is         more, or a new one costs nothing
//
// Down keeps sessions, flows, outputs and subscriptions: media that still gets through is not to be dropped
// on suspicion. The first evidence brings the link back; meanwhile handshakes are tried.
#include <algorithm>
#include <utility>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

// Of all that a peer said and asked: longer than any pause that it may come back from as if nothing had been.
constexpr Nanos kLease = core::from_s(10);
// Six repeats at the longest interval: what is not acknowledged by then is not for losses.
constexpr Nanos kStalled = core::from_s(3);

}  // namespace

Link* MeshState::find_link(core::NodeId node) {
  const Link* found = std::as_const(*this).find_link(node);
  return found == nullptr ? nullptr : &links[found->id];
}

const Link* MeshState::find_link(core::NodeId node) const {
  const auto at = std::find_if(links.begin(), links.end(), [&](const Link& l) { return l.node == node; });
  return at == links.end() ? nullptr : &*at;
}

void MeshState::on_evidence(const CoreEvent& e) {
  const uint32_t slot = e.slot;
  if (slot / 2 >= links.size()) return;
  Link& l = links[slot / 2];
  const auto parity = static_cast<int8_t>(slot & 1);
  // What a data core heard before it took the command to install another there.
  if (e.core.value >= cores || l.sessions[parity].receive_index[e.core.value] != e.receive_index) return;
  // What was heard before the session was made is of one that had the slot before it.
  if (l.step == HandshakeStep::kAwaitProof && parity == l.made && e.heard > l.exchange_at) proven(l);
  // On the session that was replaced the peer speaks until it hears of the new one: if that never comes, it
  // has nothing but bad news, and only there.
  const bool replaced = parity != l.active;
  if (replaced && l.old_until.ns == 0) return;
  listen(l);
  if (!replaced && e.rtt_us != 0 && e.heard > l.sampled) {
    l.rtt.sample(e.rtt_us);
    l.sampled = e.heard;
  }
  if (core::from_us(e.peer_heard_age_us) < config.link.down_after) {
    if (replaced && !l.continues) return;  // a former life's
    if (!replaced) heard_by_peer(l, now);  // what it says there may be older than the new session
  } else {
    // What it said of the session before, or "nothing yet", counts once an answer has had time to come. Where
    // only keys were replaced, a time that it gives is of both sessions, and as true as ever.
    const bool excused = now < l.excused_until && (!l.continues || e.peer_heard_age_us == kNothingHeard);
    if (!excused && now - l.heard_by_peer >= doubt(l)) l.deaf = true;
  }
  heard(l, e.heard);
}

void MeshState::heard_by_peer(Link& l, Nanos at) {
  l.heard_by_peer = at;
  l.excused_until = {};
  l.deaf = false;
}

// How long good news outweighs bad. Each core of the peer speaks for itself, and one that nothing is sent to
// has not heard us: where there are several, what any of them said stands for two heartbeats and a bit.
Nanos MeshState::doubt(const Link& l) const {
  return l.cores > 1 ? config.link.heartbeat * 12 / 5 : Nanos{};
}

void MeshState::listen(Link& l) {
  if (l.active < 0) return;
  Nanos newest = l.active_since;
  for (uint32_t k = 0; k < cores; ++k) {
    const uint32_t slot = uint32_t{l.id} * 2 + static_cast<uint32_t>(l.active);
    const Evidence e = sink->evidence(CoreId{static_cast<uint8_t>(k)}, slot);
    if (l.old_until.ns != 0) {  // the peer speaks on the session that was replaced until it knows that
      newest = std::max(newest, sink->evidence(CoreId{static_cast<uint8_t>(k)}, slot ^ 1).heard);
    }
    if (e.heard <= l.active_since) continue;  // nothing, or of a session that had the slot before
    if (e.sampled > l.sampled) {
      l.rtt.sample(e.rtt_us);
      l.sampled = e.sampled;
    }
    if (e.heard_by_peer > l.heard_by_peer) heard_by_peer(l, e.heard_by_peer);
    newest = std::max(newest, e.heard);
  }
  // What is in the future is patience for the first word, not a word (activate_session).
  if (newest > l.active_since && (newest > l.heard || l.heard > now)) heard(l, newest);
}

// Links whose time has come. Nearly always it is only the end of a silence that a heartbeat has ended: then
// what was heard is taken over, of all links at once that come within half a heartbeat, and no other part of
// them is looked at. So a node with thirty well links looks twice per heartbeat, not thirty times.
void MeshState::listen_to_due() {
  if (links_due > now) return;
  const Nanos soon = now + config.link.heartbeat / 2;
  for (size_t i = 0; i < links.size(); ++i) {
    if (i + 2 < links.size()) core::prefetch_line(&links.untouched(i + 2));
    if (links.quiet_due(i) <= soon) {
      Link& l = links.untouched(i);
      if (l.alive && !l.missed && !l.deaf) {  // hearing more changes no state
        listen(l);
        links.set_quiet_due(i, quiet_deadline(l));
      }
    }
    if (links.due(i) <= now) links.touch(i);
  }
}

void MeshState::heard(Link& l, Nanos at) {
  // The first word of a session ends the patience that it was given for it (activate_session).
  l.heard = l.heard > now ? std::max(at, l.active_since) : std::max(l.heard, at);
  if (l.deaf) {
    if (l.alive) set_alive(l, false);
    return;
  }
  if (l.missed && now - l.heard < config.link.heartbeat) pace(l, false);
  if (!l.alive && config.rules.retry_links && now - l.heard < config.link.down_after) {
    set_alive(l, true);
    link_news(l);
  }
}

void MeshState::set_alive(Link& l, bool alive) {
  if (l.alive == alive) return;
  l.alive = alive;
  counters.add(alive ? MeshCounter::links_up : MeshCounter::links_down);
  if (alive) {
    log(LogLevel::kInfo, "link to node %llu is up", static_cast<unsigned long long>(l.node.value));
    l.lease_over = false;
    if (l.step == HandshakeStep::kAwaitMsg2 && !l.incompatible) l.step = HandshakeStep::kIdle;
    if (!l.incompatible) l.retry_at = core::kNever;
    l.retry_interval = Nanos{0};
  } else {
    log(LogLevel::kWarn, "link to node %llu is down: %s", static_cast<unsigned long long>(l.node.value),
        l.deaf ? "it does not hear this node" : "nothing heard");
    l.retry_interval = Nanos{0};
    l.retry_at = config.rules.retry_links ? now : core::kNever;
    pace(l, true);
    link_news(l);
    if (!config.rules.no_self_fencing) fence_self();
  }
  show_state(l);
}

// Without no_self_fencing only: what is published here goes (as much as one step holds) when no link is left.
void MeshState::fence_self() {
  if (std::any_of(links.begin(), links.end(), [](const Link& l) { return l.alive; })) return;
  uint32_t next = kNil;
  for (uint32_t p = changes.first; p != kNil && room(); p = next) {
    next = publications[p].changes.next;
    if (publications[p].state == PublicationState::kLive) end_publication(p);
  }
}

void MeshState::show_state(Link& l) {
  LinkState state = LinkState::kConnecting;
  if (l.incompatible) {
    state = LinkState::kIncompatible;
  } else if (l.alive) {
    state = LinkState::kUp;
  } else if (l.active >= 0 || l.lease_over) {
    state = LinkState::kDown;
  }
  if (state == l.shown) return;
  l.shown = state;
  l.since = now;
}

void MeshState::pace(Link& l, bool fast) {
  if (l.missed == fast) return;
  l.missed = fast;
  CoreCommand c;
  c.kind = CoreCommandKind::kLinkPace;
  c.pace = {l.id, fast ? config.link.probe : config.link.beat()};
  command_all(c);
}

Nanos MeshState::quiet_deadline(const Link& l) const {
  if (!l.alive) return core::kNever;
  return l.heard + (l.missed ? config.link.down_after : config.link.heartbeat * 6 / 5);
}

Nanos MeshState::other_deadline(const Link& l) const {
  Nanos earliest = l.retry_at;
  if (l.old_until.ns != 0) earliest = std::min(earliest, l.old_until);
  if (!l.alive && l.active >= 0) earliest = std::min(earliest, l.heard + lease());
  if (l.alive && config.rules.retry_links && l.retry_at == core::kNever) {
    if (l.untold || l.stream.contradicted()) earliest = Nanos{};
    earliest = std::min(earliest, l.rekey_at);
    if (l.stream.stalled_since() != core::kNever) {
      earliest = std::min(earliest, l.stream.stalled_since() + kStalled);
    }
  }
  return earliest;
}

void MeshState::link_timer(Link& l) {
  listen(l);
  if (l.old_until.ns != 0 && now >= l.old_until) {
    l.old_until = Nanos{0};
    remove_session(l, static_cast<int8_t>(1 - l.active));
  }
  if (l.alive) {
    const Nanos quiet = now - l.heard;
    if (quiet >= config.link.heartbeat * 6 / 5) pace(l, true);
    if (quiet >= config.link.down_after) set_alive(l, false);
  }
  if (!l.alive && l.active >= 0 && now - l.heard >= lease()) end_lease(l);
  if (l.retry_at == core::kNever && wants_new_stream(l)) {
    counters.add(MeshCounter::streams_stalled);
    log(LogLevel::kWarn, "node %llu %s: a new session is tried",
        static_cast<unsigned long long>(l.node.value),
        l.stream.contradicted() ? "acknowledges what this node never said"
        : l.untold              ? "was down when tracks ended"
                                : "has acknowledged no control for 3 s");
    l.retry_at = now;
  }
  if (l.retry_at == core::kNever && wants_new_keys(l)) {
    counters.add(MeshCounter::rekeys);
    l.retry_at = now;
  }
  if (now >= l.retry_at) handshake_timer(l);
}

bool MeshState::wants_new_keys(const Link& l) const {
  return l.alive && config.rules.retry_links && now >= l.rekey_at;
}

bool MeshState::wants_new_stream(const Link& l) const {
  const Nanos since = l.stream.stalled_since();
  const bool stalled = since != core::kNever && now >= since + kStalled;
  return l.alive && config.rules.retry_links && (stalled || l.untold || l.stream.contradicted());
}

Nanos MeshState::lease() const {
  return config.rules.down_keeps_media ? kLease : config.link.down_after;
}

// It is gone for good, as far as anybody can tell.
void MeshState::end_lease(Link& l) {
  counters.add(MeshCounter::leases_over);
  log(LogLevel::kWarn, "node %llu has been silent for %lld s: its tracks and its requests are forgotten",
      static_cast<unsigned long long>(l.node.value), static_cast<long long>(lease().ns / 1'000'000'000));
  forget_peer(l);
}

// Nothing is sent to it any more, and nothing expected from it. Should it come back, a new session tells
// everything anew.
void MeshState::forget_peer(Link& l) {
  set_alive(l, false);
  const int8_t parity = l.active;
  l.active = -1;
  remove_session(l, parity);
  // What a rekey replaced goes with it; but not what an exchange is making there.
  if (l.old_until.ns != 0) remove_session(l, static_cast<int8_t>(1 - parity));
  l.lease_over = true;
  l.view_valid = ++l.view;
  l.health.forget();
  link_news(l);
  show_state(l);
}

// Whoever asked this peer, or could, is to look again: a few at a time, in sweep().
void MeshState::link_news(Link& l) {
  l.news_from = l.asks.first;
  l.news_location = l.locations.first;
  l.news_hint = l.hints.first;
}

}  // namespace trunkline::relay::mesh
