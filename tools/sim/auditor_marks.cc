// Which situations an outcome, a publication or a look at the mesh stands for (marks.h), judged by the truth.
#include <algorithm>

#include "tools/sim/auditor.h"
#include "tools/sim/auditor_mesh.h"

namespace trunkline::sim {

using relay::HostEvent;
using relay::Outcome;

void Auditor::notice_outcome(const Acquisition& a, const HostEvent& event, Nanos now) {
  Marks& marks = report_.marks;
  const Nanos took = now - a.submitted;
  const Nanos due = a.submitted + a.deadline;
  if (took >= a.deadline && took <= a.deadline + relay::kMeshTick) marks.hit(Mark::ended_at_deadline);
  const NodeTruth& node = nodes_[a.node];
  if (due >= node.still_from && due < node.still_until && now >= node.still_until)
    marks.hit(Mark::ended_after_pause);
  if (event.outcome == Outcome::not_here || event.outcome == Outcome::gone) {
    marks.hit(event.authoritative ? Mark::negative_by_owner : Mark::negative_by_all);
    if (event.attempts == 0 && took.ns == 0) marks.hit(Mark::negative_cached);
  }
  if (event.outcome != Outcome::ok) return;
  if (event.local) return marks.hit(Mark::ok_local);
  marks.hit(event.flowing ? Mark::ok_flowing : Mark::ok_muted);
  if (a.joined) marks.hit(Mark::ok_joined);
  if (event.attempts == 2) marks.hit(Mark::ok_second);
  if (event.attempts >= 4) marks.hit(Mark::ok_after_many);
  if (took * 10 >= a.deadline * 9) marks.hit(Mark::ok_near_deadline);
  if (told(a.node, a.track).denied > a.submitted) marks.hit(Mark::outlived_leader);
  const Publication* said = nullptr;
  bool younger = false, drains = false, any = false, near = false;
  any_of_track(a.track, [&](const Publication& p) {
    if (!p.confirmed || p.until != core::kNever) return false;
    any = true;
    drains = drains || (evidence_ != nullptr && evidence_->drains(p.node));
    near = near || evidence_ == nullptr || p.node == a.node || evidence_->are_peers(a.node, p.node);
    if (node_id(p.node) == event.node) {
      said = &p;
    } else {
      younger = younger || p.generation > event.generation;
    }
    return false;
  });
  if (younger) marks.hit(Mark::ok_superseded);
  if (drains) marks.hit(Mark::ok_while_draining);
  if (any && !near) marks.hit(Mark::ok_over_hops);
  if (said != nullptr && said->from > a.submitted) marks.hit(Mark::ok_published_later);
}

void Auditor::notice_published(const Publication& publication) {
  any_of_track(publication.track, [&](const Publication& p) {
    if (&p == &publication || !p.confirmed) return false;
    const bool same = p.node == publication.node;
    if (!same && p.until == core::kNever) report_.marks.hit(Mark::published_twice);
    report_.marks.hit(same ? Mark::republished : Mark::published_elsewhere);
    return false;
  });
}

void MeshAuditor::notice() {
  Marks& marks = report_.marks;
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    const Relations& r = relations_[i];
    if (r.feeds.size() >= 5) marks.hit(Mark::fed_many);
    if (r.waits.size() >= 5) marks.hit(Mark::waited_for_many);
    uint32_t same = 0;
    for (const Relations::Serve& s : r.serves) {
      same += s.track == r.serves.front().track && !s.waiting ? 1 : 0;
      const auto feeds_back = [&](const Relations::Feed& f) { return f.from == s.to; };
      if (std::any_of(r.feeds.begin(), r.feeds.end(), feeds_back)) marks.hit(Mark::served_and_fed);
      if (s.waiting) marks.hit(Mark::kept_waiting);
      if (!s.waiting && drains(i)) marks.hit(Mark::served_while_draining);
    }
    if (nodes_.size() > 1 && same == nodes_.size() - 1) marks.hit(Mark::served_many);
    notice_hops(i);
  }
}

// How this node is fed, beside how it was and how the others are; and whom it waits for.
void MeshAuditor::notice_hops(NodeIndex index) {
  Marks& marks = report_.marks;
  const Relations& r = relations_[index];
  for (const Relations::Feed& feed : r.feeds) {
    if (!feed.established) continue;
    if (feed.path.size() >= 2) marks.hit(Mark::relayed);
    if (feed.path.size() >= 3) marks.hit(Mark::relayed_far);
    for (const Relations::Feed& was : before_[index].feeds) {
      if (was.established && was.track == feed.track && was.from != feed.from)
        marks.hit(Mark::source_changed);
    }
    for (NodeIndex other = 0; other < index; ++other) {
      for (const Relations::Feed& theirs : relations_[other].feeds) {
        if (theirs.established && theirs.track == feed.track && theirs.generation != feed.generation)
          marks.hit(Mark::epochs_apart);
      }
    }
  }
  for (const Relations::Wait& wait : r.waits) {
    const auto on = static_cast<NodeIndex>(wait.on.value - 1);
    if (!wait.pending || on >= relations_.size()) continue;
    for (const Relations::Wait& next : relations_[on].waits) {
      if (next.track == wait.track && next.pending && next.on != node_id(index))
        marks.hit(Mark::waited_in_a_row);
    }
  }
}

}  // namespace trunkline::sim
