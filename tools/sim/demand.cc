// See demand.h.
#include "tools/sim/demand.h"

#include <algorithm>
#include <initializer_list>

#include "tools/sim/builds.h"

namespace trunkline::sim {

using relay::Outcome;

namespace {

constexpr uint64_t any_of(std::initializer_list<Outcome> outcomes) {
  uint64_t bits = 0;
  for (const Outcome outcome : outcomes) bits |= uint64_t{1} << static_cast<uint32_t>(outcome);
  return bits;
}

// The product's promises (docs/architecture.md), in the words of its design.
constexpr Nanos kSlack = core::from_ms(20);       // of an OK, over all round trips
constexpr Nanos kNoSlack = core::from_us(2'001);  // of a no; datagrams due at once are set some ns apart
constexpr Nanos kLease = core::from_s(10);        // a peer that is silent is forgotten
constexpr Nanos kNoticed = core::from_ms(500);    // how late the last word before a break may have arrived
constexpr Nanos kPerLie = core::from_ms(5);       // beyond its round trip
constexpr size_t kMaxRelays = 3;                  // who are asked to ask further, one after the other
constexpr int64_t kMaxRedirects = 2;

}  // namespace

// What is published must be had, what is not must be denied, and soon.
Demand Demands::of(NodeIndex node, const TrackTruth& track, Nanos deadline) const {
  // With hardly any room, its own or that of whoever has the track, only the deadline is promised.
  if (options_.is_small(node)) return {};
  // Of two publishers, as while a track moves, only the newer one counts for those who have heard of it.
  bool to_be_had = false, elsewhere = lost_lately(track) || lost_unnoticed(track);
  Nanos within{};
  for (const NodeIndex publisher : track.publishers) {
    if (options_.is_small(publisher)) return {};
    const bool near = publisher == node || may_have(node, publisher);
    const Nanos time = near ? direct(node, publisher, track) : over_relay(node, publisher, track);
    // Further off than a bound can be given for; it may be the newer one all the same, like one that is lost.
    if (time == core::kNever) {
      elsewhere = true;
      continue;
    }
    to_be_had = true;
    within = std::max(within, time);
  }
  if (!to_be_had) {
    Demand d = absent(node, track);
    if (d.within < deadline) return d;
    return {d.expect, d.also | any_of({Outcome::deadline, Outcome::no_reply}), {}};
  }
  // Who has it refuses this node: a peer that carries it may serve it all the same, and need not.
  uint64_t also = 0;
  const auto& peers = options_.links.peers(node);
  const bool refused = std::any_of(peers.begin(), peers.end(),
                                   [&](NodeIndex peer) { return meets(node, peer) && !serves(peer, node); });
  for (const NodeIndex publisher : track.publishers) {
    // Or whoever would have to ask for it.
    const bool over_relays = publisher != node && !meets(node, publisher);
    if (over_relays && refused) also |= any_of({Outcome::unauthorized, Outcome::link_down});
    if (publisher != node && meets(node, publisher) && !serves(publisher, node))
      also |= any_of({Outcome::unauthorized});
  }
  if (elsewhere) {
    // The newer one may be the one that is not to be had, or is not any more: then the no to it is as good.
    also |= absent(node, track).also;
    also |= any_of(
        {Outcome::deadline, Outcome::no_reply, Outcome::not_here, Outcome::gone, Outcome::future_epoch});
    return {Expect::kOk, also, {}};
  }
  if (within < deadline) return {Expect::kOk, also, within};
  // The way may be longer than the deadline: then that is the answer, or that there is no shorter one.
  return {Expect::kOk, also | any_of({Outcome::deadline, Outcome::no_reply, Outcome::link_down}), {}};
}

bool Demands::serves(NodeIndex node, NodeIndex peer) const {
  const std::pair<NodeIndex, NodeIndex> pair{node, peer};
  return std::find(options_.unserved.begin(), options_.unserved.end(), pair) == options_.unserved.end();
}

// Each lie about the track's location that the node was told costs a round trip, and so does being sent
// elsewhere by a peer that was told one; a peer tells on what it was told only where meshes are partial.
Nanos Demands::lies(NodeIndex node, const TrackTruth& track) const {
  int64_t rounds = 0;
  bool of_peers = false;
  for (const Fleet::Hint& hint : fleet_.hints(node)) rounds += hint.track == track.id ? 1 : 0;
  for (const NodeIndex peer : options_.links.peers(node)) {
    const auto& hints = fleet_.hints(peer);
    of_peers = of_peers || std::any_of(hints.begin(), hints.end(),
                                       [&](const Fleet::Hint& hint) { return hint.track == track.id; });
  }
  if (of_peers && !options_.links.full()) rounds += kMaxRedirects;
  return (fleet_.largest_round_trip(node) + renewal(node) + kPerLie) * rounds;
}

// Two round trips; OK of a track that flows is said with its first packet, which may be as late as the
// distance of two packets.
Nanos Demands::direct(NodeIndex node, NodeIndex publisher, const TrackTruth& track) const {
  if (node == publisher) return kSlack;
  return fleet_.largest_round_trip(node) * 2 + renewal(node) + kSlack + options_.media_every +
         lies(node, track);
}

// The node asks all its peers, and one says who has it; that one is asked to ask for it: a round trip there,
// its own way to the publisher, and the next packet. Who is not served by the publisher says so too, and may
// be the first to be asked. More than so many are not asked.
Nanos Demands::over_relay(NodeIndex node, NodeIndex publisher, const TrackTruth& track) const {
  if (meets(node, publisher)) return core::kNever;  // refused there: nobody is asked to go around that
  size_t relays = 0, vain = 0;
  Nanos slowest{};
  for (const NodeIndex relay : options_.links.peers(node)) {
    if (relay == publisher || !may_have(node, relay) || !meets(relay, publisher)) continue;
    const bool good = serves(publisher, relay) && !options_.is_small(relay);
    ++(good ? relays : vain);
    slowest = std::max(slowest, fleet_.round_trip(node, relay) + direct(relay, publisher, track));
  }
  if (relays == 0 || vain >= kMaxRelays) return core::kNever;
  return fleet_.largest_round_trip(node) + renewal(node) + lies(node, track) +
         slowest * static_cast<int64_t>(vain + 1) + options_.media_every + kSlack;
}

// A message that falls into the replacement of a link's keys is said again on the new session, a round trip
// later at most. Who asks one peer after the other may meet that at each of them.
Nanos Demands::renewal(NodeIndex node) const {
  const bool renewed = options_.rekey < relay::LinkTiming{}.rekey;
  return renewed ? fleet_.largest_round_trip(node) : Nanos{};
}

// ---- what is not to be had

Demand Demands::absent(NodeIndex node, const TrackTruth& track) const {
  // Where questions and answers fill half a window, a segment waits for company, such that the other half
  // lasts a round trip (relay/mesh/pump.cc).
  const bool burst = options_.tracks * 2 > kControlWindow / 2;
  const Nanos company = burst ? fleet_.largest_round_trip(node) * 2 / kControlWindow : Nanos{};
  Demand d{Expect::kNotHere, 0,
           fleet_.largest_round_trip(node) + renewal(node) + company + kNoSlack + lies(node, track)};
  const uint64_t dead = of_the_dead(node, track);
  d.also = of_peers(node) | of_hints(node, track) | dead;
  // A feed of theirs that stands is tried first: whoever is asked then may be asked too late.
  if ((dead & any_of({Outcome::stalled})) != 0) {
    d.also |= any_of({Outcome::no_reply});
    d.within = {};
  }
  if (lost_unnoticed(track)) d.within = {};  // and whoever is believed to have it
  const auto& peers = options_.links.peers(node);
  if (std::any_of(peers.begin(), peers.end(), [this](NodeIndex peer) { return options_.is_small(peer); }))
    d.within = {};
  // It is somewhere, and who is fed may pass it on, over a way that may have become too long; nothing is
  // promised but an answer.
  const bool carried = std::any_of(track.publishers.begin(), track.publishers.end(),
                                   [&](NodeIndex publisher) { return connected(node, publisher); });
  if (carried) d.also |= any_of({Outcome::ok, Outcome::stalled});
  if (sent_elsewhere(node, track)) {
    // A peer asks further for it, and may come to one that has no room to say no.
    const auto& all = options_.nodes;
    for (NodeIndex other = 0; other < all.size(); ++other) {
      if (options_.is_small(other)) d.also |= any_of({Outcome::no_reply});
    }
    // A feed of theirs that stands was tried first: whoever is asked then may be asked too late.
    if (carried) d.also |= any_of({Outcome::no_reply});
    // Or it is further off than a packet may go: whoever is next to it says where it is all the same.
    d.also |= any_of({Outcome::deadline, Outcome::busy, Outcome::loop, Outcome::moved});
    d.within = {};
  }
  return d;
}

// A peer says that it is where this node cannot ask: because it is there, because the peer was told so, or
// because it was there, on a node with hardly any room, which forgets what it had before it has told
// everybody.
bool Demands::sent_elsewhere(NodeIndex node, const TrackTruth& track) const {
  for (const NodeIndex peer : options_.links.peers(node)) {
    if (!may_have(node, peer)) continue;
    const auto names = [&](NodeIndex there) {
      return there != node && !meets(node, there) && meets(peer, there);
    };
    if (std::any_of(track.publishers.begin(), track.publishers.end(), names)) return true;
    const auto& theirs = options_.links.peers(peer);
    if (std::any_of(theirs.begin(), theirs.end(),
                    [&](NodeIndex there) { return options_.is_small(there) && names(there); }))
      return true;
    for (const Fleet::Hint& hint : fleet_.hints(peer)) {
      if (hint.track == track.id && !options_.links.full() && names(hint.named)) return true;
    }
  }
  return false;
}

// Over any number of nodes that meet, as they do or as they would if those who are gone were there.
bool Demands::connected(NodeIndex node, NodeIndex to, std::span<const NodeIndex> gone) const {
  const auto is_gone = [&](NodeIndex other) {
    return std::find(gone.begin(), gone.end(), other) != gone.end();
  };
  const auto met = [&](NodeIndex a, NodeIndex b) {
    if (!is_gone(a) && !is_gone(b)) return meets(a, b);
    return (is_gone(a) || fleet_.is_up(a)) && (is_gone(b) || fleet_.is_up(b));
  };
  std::vector<uint8_t> seen(fleet_.size(), 0);
  std::vector<NodeIndex> queue{node};
  seen[node] = 1;
  for (size_t at = 0; at < queue.size(); ++at) {
    for (const NodeIndex peer : options_.links.peers(queue[at])) {
      if (seen[peer] != 0 || !met(queue[at], peer)) continue;
      seen[peer] = 1;
      queue.push_back(peer);
    }
  }
  return seen[to] != 0;
}

// Why a peer cannot be asked.
uint64_t Demands::unreachable(NodeIndex node, NodeIndex peer) const {
  if (meets(node, peer)) return 0;
  // An end that is down was refused as long as it was up, perhaps with another build than its next one.
  const bool there = fleet_.meeting(node, peer).has_value();
  uint64_t why = there ? 0 : any_of({Outcome::link_down});
  if (!there && options_.has(Fault::version)) why |= any_of({Outcome::unsupported});
  if (!there && options_.has(Fault::setting)) why |= any_of({Outcome::config_mismatch});
  const Meeting would = meeting(options_.wrong, fleet_.build(node), fleet_.build(peer));
  if (would == Meeting::kOtherVersion) why |= any_of({Outcome::unsupported});
  if (would == Meeting::kOtherSetting) why |= any_of({Outcome::config_mismatch});
  return why;
}

// Who refuses this node might have it; so might, if nobody at all can be asked, those who cannot be. One with
// hardly any room has none to say no, and sometimes not even to say that: its stream's window is two
// segments.
uint64_t Demands::of_peers(NodeIndex node) const {
  uint64_t also = 0, instead = 0;
  bool anybody = false;
  for (const NodeIndex peer : options_.links.peers(node)) {
    anybody = anybody || meets(node, peer);
    instead |= unreachable(node, peer);
    if (meets(node, peer) && !serves(peer, node)) also |= any_of({Outcome::unauthorized});
    if (options_.is_small(peer))
      also |= any_of({Outcome::busy, Outcome::no_reply, Outcome::stalled}) | unreachable(node, peer);
  }
  return anybody ? also : also | instead;
}

// Where it was told that the track is it cannot ask.
uint64_t Demands::of_hints(NodeIndex node, const TrackTruth& track) const {
  uint64_t also = 0;
  for (const Fleet::Hint& hint : fleet_.hints(node)) {
    if (hint.track == track.id && hint.named != node) also |= unreachable(node, hint.named);
  }
  return also;
}

// How long ago the permanent phase began.
Nanos Demands::broken_for() const {
  const Phases& p = options_.phases;
  const Nanos begin = p.warm_up + p.faults + p.heal + p.liveness;
  return std::max(Nanos{}, fleet_.now() - begin);
}

// What its peers believed of it may still stand.
bool Demands::recent(Nanos loss) const {
  return fleet_.now() - loss < kLease + kNoticed;
}

// One that published it went down, and may come back yet as far as its peers know: what is there again is
// refused, or does not get through.
bool Demands::lost_lately(const TrackTruth& track) const {
  const auto known_again = [this](NodeIndex node) {
    const auto& peers = options_.links.peers(node);
    return fleet_.is_up(node) && std::all_of(peers.begin(), peers.end(), [&](NodeIndex peer) {
             return !fleet_.is_up(peer) || meets(peer, node);
           });
  };
  return std::any_of(track.lost.begin(), track.lost.end(), [&](const TrackTruth::Loss& loss) {
    return recent(loss.when) && !known_again(loss.node);
  });
}

// One that published it is back as a copy of what it was before, with the keys that its peers know: they take
// it for the same, and believe what it announced until it denies it once.
bool Demands::lost_unnoticed(const TrackTruth& track) const {
  return std::any_of(track.lost.begin(), track.lost.end(), [&](const TrackTruth::Loss& loss) {
    return fleet_.is_up(loss.node) && fleet_.restored(loss.node) >= loss.when;
  });
}

// Its publisher is well, and the only way there was over nodes that are gone. What they fed stands for their
// lease, as if the publisher itself were gone: whoever met them keeps it, and those behind get nothing and
// are not told why.
bool Demands::lost_on_the_way(NodeIndex node, const TrackTruth& track) const {
  const auto cut_off = [&](const TrackTruth::LossBetween& loss) {
    if (!recent(loss.when) || fleet_.is_up(loss.node) || connected(node, loss.publisher)) return false;
    std::vector<NodeIndex> gone;
    for (const TrackTruth::LossBetween& other : track.lost_between) {
      if (other.publisher == loss.publisher && !fleet_.is_up(other.node)) gone.push_back(other.node);
    }
    return connected(node, loss.publisher, gone);
  };
  return std::any_of(track.lost_between.begin(), track.lost_between.end(), cut_off);
}

// What went for good is given up with its lease: until then feeds from it stand, and what it announced. Where
// a path works in one direction the deaf end says so for its own lease, and only then does the other's begin.
uint64_t Demands::of_the_dead(NodeIndex node, const TrackTruth& track) const {
  // Such a feed may have come by way of the node itself.
  constexpr uint64_t kMeanwhile = any_of({Outcome::ok, Outcome::stalled, Outcome::loop});
  const bool died = lost_lately(track);
  const bool broken = broken_for().ns > 0 && broken_for() < kLease * 2 + kNoticed;
  const bool cut_off = broken && (!track.publishers.empty() || !track.lost.empty());
  // A feed, or an announcement, was of a peer that is not there any more.
  const auto& peers = options_.links.peers(node);
  const bool own = std::any_of(peers.begin(), peers.end(),
                               [&](NodeIndex peer) { return !fleet_.meeting(node, peer).has_value(); });
  // What it withdrew while it could not be heard stands as well, until its lease is over; and a request that
  // was under way when the link went down is waited for, because the link may come back. Whoever asked on
  // behalf of somebody says that as DEADLINE.
  const bool leases_run = broken_for() < kLease * 2 + kNoticed;
  uint64_t also = own && leases_run ? any_of({Outcome::link_down, Outcome::no_reply, Outcome::deadline}) : 0;
  if (died || cut_off || lost_on_the_way(node, track)) also |= kMeanwhile;
  // Its publisher is known again, but somebody over whom it came is not there.
  const bool lost = std::any_of(track.lost.begin(), track.lost.end(),
                                [this](const TrackTruth::Loss& loss) { return recent(loss.when); });
  if (lost && fleet_.any_down()) also |= any_of({Outcome::loop});
  return also;
}

}  // namespace trunkline::sim
