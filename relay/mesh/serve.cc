// Requests of peers: a track that is published here gets one more output, everything else gets an answer that
// says no. At once, always: a peer that is not answered has to wait for its deadline.
//
// A serve is the record of one request. What it needs done (an output added, an answer sent) waits in its
// link's list, because one datagram may hold many requests, and a step's outputs are bounded.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

void MeshState::on_acquire_request(Link& l, const Acquire& m) {
  counters.add(MeshCounter::requests_received);
  if (m.owner_core.value >= l.cores) {
    counters.add(MeshCounter::control_rejected);
    return;
  }
  const auto path = m.nodes();
  if (std::find(path.begin(), path.end(), config.id) != path.end()) {
    return answer_negative(l, m, Outcome::loop, 0);
  }
  const uint32_t t = find_track(m.track);
  const uint32_t p = t == kNil ? kNil : tracks[t].publication;
  if (p == kNil || publications[p].state == PublicationState::kOpening) {
    return answer_negative(l, m, Outcome::not_here, 0);
  }
  Publication& publication = publications[p];
  if (publication.state == PublicationState::kGone) {
    return answer_negative(l, m, Outcome::gone, publication.generation);
  }
  uint32_t s = find_serve(publication, l.id);
  if (s != kNil && serves[s].id == m.request_id && serves[s].label == m.label) {
    counters.add(MeshCounter::requests_repeated);
    List<&Serve::of_link>::move_to_back(serves, l.serves, s);
    serves[s].view = l.view;
    return set_serve(s, ServeState::kAdd);  // the same answer once more
  }
  if (s != kNil) set_serve(s, ServeState::kRemove);
  s = new_serve(l, m);
  if (s == kNil) return;
  Serve& serve = serves[s];
  serve.publication = p;
  serve.flow = publication.flow;
  serve.view = l.view;
  List<&Serve::of_publication>::push_back(serves, publication.serves, s);
  List<&Serve::of_link>::push_back(serves, l.serves, s);
  set_serve(s, ServeState::kAdd);
}

uint32_t MeshState::new_serve(Link& l, const Acquire& m) {
  const uint32_t s = serves.allocate();
  if (s == kNil) {
    // Answered BUSY from a small list; beyond that the peer's next attempt gets an answer.
    if (l.busy_count < l.busy.size()) l.busy[l.busy_count++] = m.request_id;
    return kNil;
  }
  Serve& serve = serves[s];
  serve.link = l.id;
  serve.id = m.request_id;
  serve.track = m.track;
  serve.label = m.label;
  serve.core = m.owner_core;
  return s;
}

// At most one per link.
uint32_t MeshState::find_serve(const Publication& p, LinkId link) const {
  uint32_t s = p.serves.first;
  while (s != kNil && (serves[s].link != link || serves[s].state == ServeState::kRemove)) {
    s = serves[s].of_publication.next;
  }
  return s;
}

void MeshState::answer_negative(Link& l, const Acquire& m, Outcome outcome, uint64_t generation) {
  if (!config.rules.negative_answers) return;
  const uint32_t s = new_serve(l, m);
  if (s == kNil) return;
  serves[s].outcome = outcome;
  serves[s].generation = generation;
  set_serve(s, ServeState::kNegative);
}

void MeshState::on_release_request(Link& l, const Release& m) {
  const uint32_t t = find_track(m.track);
  if (t == kNil || tracks[t].publication == kNil) return;
  const uint32_t s = find_serve(publications[tracks[t].publication], l.id);
  if (s != kNil && serves[s].id == m.request_id) set_serve(s, ServeState::kRemove);
}

void MeshState::set_serve(uint32_t s, ServeState state) {
  Serve& serve = serves[s];
  Link& l = links[serve.link];
  serve.state = state;
  if (state != ServeState::kAdd) List<&Serve::of_link>::remove(serves, l.serves, s);
  if (!serve.queue.linked) List<&Serve::queue>::push_back(serves, l.serve_work, s);
}

void MeshState::forget_serve(uint32_t s) {
  Serve& serve = serves[s];
  Link& l = links[serve.link];
  List<&Serve::queue>::remove(serves, l.serve_work, s);
  List<&Serve::of_link>::remove(serves, l.serves, s);
  if (serve.publication != kNil) {
    List<&Serve::of_publication>::remove(serves, publications[serve.publication].serves, s);
  }
  serves.release(s);
}

// Does what the serve needs done, and takes it off the list. False: the stream is full, it stays.
bool MeshState::pump_serve(Link& l, uint32_t s) {
  Serve& serve = serves[s];
  CoreCommand c;
  c.change.flow = serve.flow.id;
  c.change.output.kind = OutputKind::kLink;
  c.change.output.target = serve.link;
  c.change.output.label = serve.label;
  c.change.output.remote_core = serve.core;
  Answer answer;
  answer.request_id = serve.id;
  uint32_t& used = outputs_used[serve.flow.core.value];
  switch (serve.state) {
    case ServeState::kNegative:
      answer.outcome = serve.outcome;
      answer.authoritative = serve.outcome == Outcome::not_here || serve.outcome == Outcome::gone;
      answer.generation = serve.generation;
      if (!append(l, answer)) return false;
      counters.add(MeshCounter::answers_sent);
      forget_serve(s);
      return true;
    case ServeState::kAdd: {
      if (!serve.has_output && used == config.limits.max_outputs_per_core) {
        if (l.busy_count < l.busy.size()) l.busy[l.busy_count++] = serve.id;
        forget_serve(s);
        return true;
      }
      const Publication& publication = publications[serve.publication];
      answer.flowing = publication.flowing;
      answer.generation = publication.generation;
      answer.feedback_label = publication.flow.label;
      answer.core = publication.flow.core;
      answer.descriptor =
          std::span(published_descriptor[serve.publication]).first(publication.descriptor_bytes);
      if (!append(l, answer)) return false;
      counters.add(MeshCounter::answers_sent);
      if (!serve.has_output) {
        c.kind = CoreCommandKind::kOutputAdd;
        command(serve.flow.core, c);
        serve.has_output = true;
        ++used;
        ++served;
      }
      serve.state = ServeState::kServed;
      List<&Serve::queue>::remove(serves, l.serve_work, s);
      return true;
    }
    case ServeState::kServed:
      List<&Serve::queue>::remove(serves, l.serve_work, s);
      return true;
    case ServeState::kEnded: {
      Ended ended;
      ended.request_id = serve.id;
      ended.track = serve.track;
      ended.label = serve.label;
      ended.reason = serve.outcome;
      ended.generation = serve.generation;
      if (!append(l, ended)) return false;
      forget_serve(s);
      return true;
    }
    case ServeState::kRemove:
      if (serve.has_output) {
        c.kind = CoreCommandKind::kOutputRemove;
        command(serve.flow.core, c);
        --used;
        --served;
      }
      forget_serve(s);
      return true;
  }
  return true;
}

}  // namespace trunkline::relay::mesh
