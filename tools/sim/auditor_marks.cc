// Which situations an outcome or a publication stands for (marks.h), judged by the truth.
#include <algorithm>

#include "tools/sim/auditor.h"

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
  bool younger = false;
  any_of_track(a.track, [&](const Publication& p) {
    if (!p.confirmed || p.until != core::kNever) return false;
    if (node_id(p.node) == event.node) {
      said = &p;
    } else {
      younger = younger || p.generation > event.generation;
    }
    return false;
  });
  if (younger) marks.hit(Mark::ok_superseded);
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

}  // namespace trunkline::sim
