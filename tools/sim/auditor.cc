// The rules of auditor.h, each where its evidence arrives.
#include "tools/sim/auditor.h"

#include <algorithm>
#include <utility>

namespace trunkline::sim {

using relay::HostEvent;
using relay::HostEventKind;
using relay::Outcome;

namespace {

std::string ms(Nanos time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", static_cast<double>(time.ns) * 1e-6);
  return text;
}

}  // namespace

void Auditor::violate(Nanos now, std::string text) {
  constexpr size_t kKept = 20;  // the first ones explain; a thousand more do not
  if (violations_.size() < kKept) violations_.push_back({now, std::move(text)});
}

std::string Auditor::name(const Acquisition& a, uint64_t handle) const {
  return "acquire " + std::to_string(handle) + " of track " + std::to_string(a.track) + " on node " +
         std::to_string(node_id(a.node).value) + " (asked at " + ms(a.submitted) + ", deadline " +
         ms(a.deadline) + ")";
}

// ---- what the world does

void Auditor::started(NodeIndex node, uint64_t incarnation) {
  nodes_[node].incarnation = incarnation;
}

void Auditor::stopped(NodeIndex node, Nanos now) {
  for (Acquisition& a : acquisitions_) {
    if (a.node != node) continue;
    a.until = std::min(a.until, now);
    if (a.state == Acquisition::State::kAsked) {
      ++report_.with_node;
      report_.marks.hit(Mark::lost_with_crash);
    }
    if (a.state != Acquisition::State::kOver) a.state = Acquisition::State::kWithNode;
  }
  for (Publication& p : publications_) {
    if (p.node != node || p.closed) continue;
    report_.marks.hit(Mark::crashed_publishing);
    p.until = std::min(p.until, now);
    p.closed = true;
  }
  const bool may_refuse = nodes_[node].may_refuse;
  nodes_[node] = {};
  nodes_[node].may_refuse = may_refuse;
}

void Auditor::still(NodeIndex node, Nanos from, Nanos until) {
  nodes_[node].still_from = from;
  nodes_[node].still_until = until;
}

void Auditor::late_by(NodeIndex node, Nanos most) {
  nodes_[node].late_by = most;
}

void Auditor::may_refuse(NodeIndex node) {
  nodes_[node].may_refuse = true;
}

uint64_t Auditor::publish(const Publication& publication) {
  if (newest_of_.size() <= publication.track) newest_of_.resize(publication.track + 1, UINT64_MAX);
  publications_.push_back(publication);
  publications_.back().before = std::exchange(newest_of_[publication.track], publications_.size() - 1);
  return publication_handle(publications_.size() - 1);
}

void Auditor::unpublish(uint64_t handle, Nanos now) {
  publication(handle).until = now;
}

uint64_t Auditor::acquire(const Acquisition& acquisition) {
  acquisitions_.push_back(acquisition);
  ++report_.asked;
  const uint64_t handle = acquisition_handle(acquisitions_.size() - 1);
  due_.push({last_moment(acquisition), handle});
  earliest_ = due_.top().at;
  Told& here = told(acquisition.node, acquisition.track);
  acquisitions_.back().joined = here.asking > 0;
  if (++here.asking == 10) report_.marks.hit(Mark::crowd);
  bool reaches = evidence_ == nullptr;
  for (NodeIndex peer = 0; peer < nodes_.size() && !reaches; ++peer)
    reaches = peer != acquisition.node && evidence_->link_up(acquisition.node, peer);
  if (!reaches) report_.marks.hit(Mark::asked_while_cut_off);
  return handle;
}

void Auditor::release(uint64_t handle, Nanos now) {
  Acquisition& a = acquisition(handle);
  a.released = true;
  a.until = std::min(a.until, now);
  if (a.state == Acquisition::State::kAsked) report_.marks.hit(Mark::cancelled_early);
  if (a.state == Acquisition::State::kOk && a.publication != UINT32_MAX)
    report_.marks.hit(Mark::released_fed);
}

// ---- S1

// The last instant at which the outcome may come, as things stand.
Nanos Auditor::last_moment(const Acquisition& a) const {
  const NodeTruth& node = nodes_[a.node];
  const Nanos due = a.submitted + a.deadline + relay::kMeshTick;
  const Nanos last = due + node.late_by;
  // A slow node that was stopped before it came round to it acts when it goes on, and late even then.
  const bool met_stop = last >= node.still_from && due <= node.still_until;
  return met_stop ? node.still_until + node.late_by : last;
}

void Auditor::check_due(Nanos now) {
  while (!due_.empty() && now > due_.top().at) {
    const Due due = due_.top();
    due_.pop();
    const Acquisition& a = acquisition(due.handle);
    if (a.state != Acquisition::State::kAsked) continue;
    const Nanos last = last_moment(a);
    if (now <= last) {
      due_.push({last, due.handle});  // its node was paused or slowed down since
      continue;
    }
    violate(now, "S1: " + name(a, due.handle) + " has not ended");
  }
  earliest_ = due_.empty() ? core::kNever : due_.top().at;
}

// ---- what the nodes say

void Auditor::event(NodeIndex node, const HostEvent& event, Nanos now) {
  if (event.kind == HostEventKind::kTooBig) return violate(now, "a packet was called too big");
  if (is_publication(event.handle)) return published_event(node, event, now);
  if (event.handle >> 1 >= acquisitions_.size()) {
    return violate(now,
                   "S1: an event for handle " + std::to_string(event.handle) + ", which nobody was given");
  }
  Acquisition& a = acquisition(event.handle);
  if (a.node != node || a.queue != event.queue || a.id != event.track) {
    return violate(now, "S1: " + name(a, event.handle) + ": an event on node " +
                            std::to_string(node_id(node).value) + ", queue " + std::to_string(event.queue) +
                            " or of another track");
  }
  if (event.kind == HostEventKind::kOutcome) return outcome(a, event.handle, event, now);
  if (event.kind != HostEventKind::kEnded) {
    return violate(now, "S1: " + name(a, event.handle) + ": an event that is not for acquisitions");
  }
  if (a.state != Acquisition::State::kOk) {
    return violate(now, "S1: " + name(a, event.handle) + " ended without having been OK");
  }
  a.state = Acquisition::State::kOver;
  a.until = std::min(a.until, now);
  if (event.outcome == Outcome::cancelled && !a.released) {
    violate(now, "S1: " + name(a, event.handle) + " ended as CANCELLED, and nobody released it");
  }
  if (a.released) return;
  ++report_.ended_later;
  ended_.push_back(event.handle);
  if (event.outcome == Outcome::gone) report_.marks.hit(Mark::ended_gone);
  if (event.outcome == Outcome::link_down) report_.marks.hit(Mark::ended_link_down);
  if (event.outcome == Outcome::moved) report_.marks.hit(Mark::ended_moved);
  judge_end(a, event, now);
}

void Auditor::outcome(Acquisition& a, uint64_t handle, const HostEvent& event, Nanos now) {
  const std::string said = relay::outcome_name(event.outcome);
  if (a.state != Acquisition::State::kAsked)
    return violate(now, "S1: " + name(a, handle) + " ended again: " + said);
  a.state = event.outcome == Outcome::ok ? Acquisition::State::kOk : Acquisition::State::kOver;
  a.outcome = event.outcome;
  a.ended = now;
  if (a.state == Acquisition::State::kOver) a.until = std::min(a.until, now);
  a.text = event.text.data();
  a.source = event.local ? node_id(a.node) : event.node;
  a.generation = event.generation;
  if (a.publication != UINT32_MAX) judge_told(a, handle, a.publication, now);
  report_.count_outcome(event.outcome, now - a.submitted);
  notice_outcome(a, event, now);
  Told& here = told(a.node, a.track);
  if (here.asking > 0) --here.asking;
  if (event.outcome != Outcome::ok && event.outcome != Outcome::cancelled) here.denied = now;
  if (now > last_moment(a)) {
    violate(now, "S1: " + name(a, handle) + " ended too late: " + said + " at " + ms(now));
  }
  if (event.outcome == Outcome::cancelled && !a.released) {
    violate(now, "S1: " + name(a, handle) + " was CANCELLED, and nobody released it");
  }
  judge_truth(a, event, now);
  judge_expectation(a, event, now);
}

// T1
void Auditor::judge_truth(const Acquisition& a, const HostEvent& event, Nanos now) {
  const Nanos before = a.submitted - memory_;
  if (event.outcome == Outcome::ok) {
    const core::NodeId who = event.local ? node_id(a.node) : event.node;
    // Whoever carries a track may serve it; somebody must have published it.
    const bool anybody = any_of_track(a.track, [](const Publication&) { return true; });
    if (event.local ? !ever_published(a.track, who) : !anybody) {
      violate(now, "T1: " + name(a, event.handle) + ": OK from node " + std::to_string(who.value) +
                       ", and nobody ever published it");
    }
  }
  const bool negative = event.outcome == Outcome::not_here || event.outcome == Outcome::gone;
  if (negative && event.authoritative && published_throughout(a.track, event.node, before, now)) {
    violate(now, "T1: " + name(a, event.handle) + ": an authoritative " + relay::outcome_name(event.outcome) +
                     " from node " + std::to_string(event.node.value) + ", which had it all the time");
  }
  if (negative && published_throughout(a.track, node_id(a.node), before, now)) {
    violate(now, "T1: " + name(a, event.handle) + ": " + relay::outcome_name(event.outcome) +
                     " on the node that publishes it");
  }
}

// T2
void Auditor::judge_expectation(const Acquisition& a, const HostEvent& event, Nanos now) {
  if (a.expect == Expect::kNothing || a.released) return;
  const Outcome wanted = a.expect == Expect::kOk ? Outcome::ok : Outcome::not_here;
  // Whoever remembers that it had the track says so: as good a denial.
  const bool gone = event.outcome == Outcome::gone && wanted == Outcome::not_here;
  if ((a.also >> static_cast<uint32_t>(event.outcome) & 1) != 0) return;
  const Nanos took = now - a.submitted;
  if (event.outcome != wanted && !gone) {
    violate(now, "T2: " + name(a, event.handle) + ": all is well, and it ended " +
                     relay::outcome_name(event.outcome) + " instead of " + relay::outcome_name(wanted) +
                     " (" + event.text.data() + ")");
  } else if (a.expect_within.ns != 0 && took > a.expect_within) {
    violate(now, "T2: " + name(a, event.handle) + ": all is well, and " + relay::outcome_name(wanted) +
                     " took " + ms(took) + ", more than " + ms(a.expect_within));
  }
}

void Auditor::published_event(NodeIndex node, const HostEvent& event, Nanos now) {
  const std::string what = "publication " + std::to_string(event.handle);
  if (event.handle >> 1 >= publications_.size() || publication(event.handle).node != node) {
    return violate(now, "S1: an event on node " + std::to_string(node_id(node).value) + " for " + what +
                            ", which is not its own");
  }
  Publication& p = publication(event.handle);
  if (event.kind == HostEventKind::kPublished) {
    if (p.confirmed || p.closed) return violate(now, "S1: " + what + " was published twice");
    p.confirmed = true;
    p.core = event.core;
    p.flow = event.flow;
    if (event.generation < p.generation)
      violate(now, "S5: " + what + " got an older generation than asked for");
    p.generation = event.generation;
    notice_published(p);
  } else if (event.kind == HostEventKind::kUnpublished) {
    if (p.until == core::kNever || p.closed)
      violate(now, "S1: " + what + " was unpublished by nobody, or twice");
    p.closed = true;
  } else {
    p.until = std::min(p.until, now);
    p.closed = true;
    // Its host was overtaken: a later one has published the track elsewhere, and this node has heard of it.
    const bool overtaken = std::any_of(publications_.begin(), publications_.end(), [&](const Publication& q) {
      return q.track == p.track && q.generation > p.generation && q.confirmed;
    });
    if (!nodes_[node].may_refuse && !overtaken) violate(now, "T2: " + what + " failed: " + event.text.data());
  }
}

// ---- judgement

void Auditor::finish(Nanos now) {
  for (size_t i = 0; i < acquisitions_.size(); ++i) {
    const Acquisition& a = acquisitions_[i];
    if (a.state == Acquisition::State::kAsked || a.state == Acquisition::State::kOk) {
      violate(now, "E1: " + name(a, acquisition_handle(i)) + " is still open after everything was released");
    }
  }
  for (size_t i = 0; i < publications_.size(); ++i) {
    if (!publications_[i].closed) {
      violate(now, "E1: publication " + std::to_string(publication_handle(i)) + " is still open");
    }
  }
}

Auditor::Told& Auditor::told(NodeIndex node, uint32_t track) {
  return nodes_[node].told[track];
}

bool Auditor::ever_published(uint32_t track, core::NodeId node) const {
  return any_of_track(track, [&](const Publication& p) { return node_id(p.node) == node; });
}

bool Auditor::published_throughout(uint32_t track, core::NodeId node, Nanos from, Nanos to) const {
  return any_of_track(track, [&](const Publication& p) {
    return node_id(p.node) == node && p.confirmed && p.from <= from && p.until >= to;
  });
}

}  // namespace trunkline::sim
