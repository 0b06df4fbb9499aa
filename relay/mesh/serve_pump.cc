// What the serves of a link have to say and to do, one at a time, while its stream takes it.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kPendingEach = core::from_ms(100);     // how often PENDING is renewed
constexpr Nanos kPendingPromise = core::from_ms(200);  // and what it says

}  // namespace

// Does what the serve needs done, and takes it off the list. False: the stream is full, it stays.
bool MeshState::pump_serve(Link& l, uint32_t s) {
  Serve& serve = serves[s];
  switch (serve.state) {
    case ServeState::kNegative:
      if (!send_negative(l, serve)) return false;
      forget_serve(s);
      return true;
    case ServeState::kWaiting:
      return send_pending(l, s);
    case ServeState::kAdd:
      return send_ok(l, s);
    case ServeState::kServed:
      List<&Serve::queue>::remove(serves, l.serve_work, s);
      return true;
    case ServeState::kEnded: {
      if (serve.has_output) change_output(serve, false);
      Ended ended;
      ended.request_id = serve.id;
      ended.track = serve.track_id;
      ended.label = serve.label;
      ended.reason = serve.outcome;
      ended.generation = serve.generation;
      if (!append(l, ended)) return false;  // the output is gone already
      // Once more: it may have waited for a new session, which has forgotten it.
      remember_ended(l, serve);
      forget_serve(s);
      return true;
    }
    case ServeState::kRemove:
      if (serve.has_output) change_output(serve, false);
      forget_serve(s);
      return true;
  }
  return true;
}

bool MeshState::send_negative(Link& l, const Serve& serve) {
  Answer answer;
  answer.request_id = serve.id;
  answer.outcome = serve.outcome < Outcome::no_reply ? serve.outcome : Outcome::deadline;
  answer.authoritative = serve.authoritative;
  answer.generation = serve.generation;
  answer.node = serve.node;
  const RoleText why = serve.lack.node.value != 0 ? lack_text(serve.lack) : RoleText{};
  answer.text = why.data();
  if (serve.outcome == Outcome::busy) answer.retry_after_us = kBusyRetryUs;
  if (!append(l, answer)) return false;
  counters.add(MeshCounter::answers_sent);
  return true;
}

bool MeshState::send_pending(Link& l, uint32_t s) {
  Serve& serve = serves[s];
  const Nanos left = serve.deadline - now;
  if (now >= serve.renew_at && left.ns > 0) {
    Answer answer;
    answer.request_id = serve.id;
    answer.pending = true;
    answer.next_by_us = static_cast<uint32_t>(std::min(kPendingPromise, left).us());
    if (!append(l, answer)) return false;
    counters.add(MeshCounter::pendings_sent);
    serve.renew_at = now + kPendingEach;
  }
  List<&Serve::queue>::remove(serves, l.serve_work, s);
  wheel.arm(serve_timer(s), std::max(now, std::min(serve.deadline, serve.renew_at)));
  return true;
}

bool MeshState::send_ok(Link& l, uint32_t s) {
  Serve& serve = serves[s];
  if (!serve.told_ok && now >= serve.deadline && config.rules.shed_expired) {
    counters.add(MeshCounter::requests_expired);
    deny(s, {Outcome::deadline});
    return pump_serve(l, s);
  }
  if (!serve.has_output && outputs_used[serve.flow.core.value] == config.limits.max_outputs_per_core) {
    busy(l, serve.id);
    forget_serve(s);
    return true;
  }
  if (!append(l, ok_answer(serve))) return false;
  counters.add(MeshCounter::answers_sent);
  if (!serve.has_output) change_output(serve, true);
  serve.state = ServeState::kServed;
  serve.told_ok = true;
  List<&Serve::queue>::remove(serves, l.serve_work, s);
  return true;
}

// The path that the media takes to whoever reads this: what fed us told, and this node.
Answer MeshState::ok_answer(const Serve& serve) const {
  const Track& track = tracks[serve.track];
  Answer answer;
  answer.request_id = serve.id;
  answer.feedback_label = serve.flow.label;
  answer.core = serve.flow.core;
  if (serve.carried) {
    answer.flowing = track.media || asks[track.feed].flowing;  // a feed that has broken is not muted
    answer.generation = track.generation;
    answer.path = track.path;
    answer.path_length = std::min<uint8_t>(track.path_length, kMaxPath - 1);
    answer.descriptor = std::span(received_descriptor[serve.track]).first(track.descriptor_bytes);
  } else {
    const Publication& publication = publications[track.publication];
    answer.flowing = publication.flowing;
    answer.generation = publication.generation;
    answer.descriptor =
        std::span(published_descriptor[track.publication]).first(publication.descriptor_bytes);
  }
  answer.path[answer.path_length++] = config.id;
  return answer;
}

void MeshState::change_output(Serve& serve, bool add) {
  CoreCommand c;
  c.kind = add ? CoreCommandKind::kOutputAdd : CoreCommandKind::kOutputRemove;
  c.change.flow = serve.flow.id;
  c.change.output.kind = OutputKind::kLink;
  c.change.output.target = serve.link;
  c.change.output.label = serve.label;
  c.change.output.remote_core = serve.core;
  command(serve.flow.core, c);
  serve.has_output = add;
  uint32_t& used = outputs_used[serve.flow.core.value];
  used += add ? 1 : UINT32_MAX;  // wraps to one less
  served += add ? 1 : UINT32_MAX;
}

}  // namespace trunkline::relay::mesh
