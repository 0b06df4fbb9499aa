// The wires and the books behind MeshHarness: datagrams on their way, and what a data core would do with what
// the mesh told it.
#include "tests/support/mesh_harness.h"

namespace trunkline::relay {

void MeshHarness::make(uint32_t n, uint32_t cores) {
  for (uint32_t i = 0; i < n; ++i) {
    auto& node = *nodes_.emplace_back(std::make_unique<Node>());
    node.config.id = {i + 1};
    node.config.name = "n" + std::to_string(i + 1);
    node.config.cluster = "lab-test";
    node.config.region = "r" + std::to_string(i + 1);
    node.config.lab = true;
    node.config.data_cores = cores;
    node.config.listen = address(i);
    node.config.wire = {
        {"mtu", "1500", {"1500"}}, {"track_namespace", "test", {"test"}}, {"suite", "null", {"null"}}};
    node.config.limits.max_tracks = 256;
    node.config.limits.max_acquires = 256;
    node.config.limits.max_requests = 256;
    node.config.limits.max_flows_per_core = 256;
    node.config.limits.max_outputs_per_core = 512;
    node.config.limits.max_egress_per_core = 16;
    for (uint32_t j = 0; j < n; ++j) {
      if (j != i) node.config.peers.push_back({{j + 1}, "n" + std::to_string(j + 1), address(j)});
    }
    for (uint32_t k = 0; k < cores; ++k) node.ports.push_back(static_cast<uint16_t>(7'000 + k));
    node.sink.harness = this;
    node.sink.node = &node;
  }
  wires_.resize(size_t{n} * n);
}

void MeshHarness::start(uint32_t i) {
  Node& node = *nodes_[i];
  ++node.life;
  node.sessions.clear();
  node.active.clear();
  node.interval.clear();
  node.flows.clear();
  node.egress.clear();
  std::erase_if(held_, [i](const Event& e) { return e.to == i; });
  node.wanted.clear();
  node.published.clear();
  node.rng = std::make_unique<core::Rng>(rng_.next());
  node.crypto = make_crypto(node);
  node.mesh = std::make_unique<MeshNode>(node.config, node.incarnation, node.ports, *node.rng, *node.crypto);
  node.running = true;
  node.paused = false;
  node.deadline = now_;
}

void MeshHarness::resume(uint32_t i) {
  nodes_[i]->paused = false;
  nodes_[i]->deadline = now_;
  for (size_t n = held_.size(); n > 0; --n) {  // each once; those of other nodes go back
    const Event e = held_.front();
    held_.pop_front();
    e.to == i ? happen(e) : held_.push_back(e);
  }
}

void MeshHarness::run_until(Nanos end) {
  for (;;) {
    Nanos next = events_.empty() ? core::kNever : events_.top().at;
    Node* due = nullptr;
    for (auto& node : nodes_) {
      if (node->running && !node->paused && node->deadline < next) {
        next = node->deadline;
        due = node.get();
      }
    }
    if (next > end) break;
    now_ = std::max(now_, next);
    if (due != nullptr) {
      step(*due, {});
      continue;
    }
    const Event e = events_.top();
    events_.pop();
    happen(e);
  }
  now_ = end;
}

void MeshHarness::post(Node& from, uint32_t to, Event e) {
  if (to >= nodes_.size()) return;  // an address that is no node's
  const Wire& w = wire(index_of(from), to);
  if (w.cut || (w.loss > 0 && rng_.chance(w.loss))) return;
  if (e.what == What::kControl && e.session_index == w.muted_session) return;
  e.at = now_ + w.delay;
  e.order = ++order_;
  e.to = to;
  e.from = address(index_of(from));
  events_.push(std::move(e));
}

void MeshHarness::on_handshake(Node& node, const UdpAddress& to, std::span<const uint8_t> datagram) {
  if (see_handshake) see_handshake(node, to, datagram);
  if (node_at(to) >= nodes_.size() || (lose_handshake && lose_handshake(datagram))) return;
  Event e{};
  e.what = What::kHandshake;
  e.bytes = std::make_shared<std::vector<uint8_t>>(datagram.begin(), datagram.end());
  post(node, node_at(to), e);
}

void MeshHarness::on_control(Node& node, LinkId link, uint32_t session_index,
                             std::span<const uint8_t> bytes) {
  const auto active = node.active.find(link);
  if (active == node.active.end()) return;
  const Session& session = node.sessions[active->second];
  EXPECT_EQ(session.receive_index, session_index);
  Event e{};
  e.what = What::kControl;
  e.session_index = session.peer_index;
  e.bytes = std::make_shared<std::vector<uint8_t>>(bytes.begin(), bytes.end());
  post(node, node_at(session.peer), e);
}

void MeshHarness::on_event(Node& node, const HostEvent& e) {
  node.heard.push_back({e.kind, e.handle, e.outcome, e.authoritative, e.flowing, e.local, e.node, e.attempts,
                        now_, e.elapsed, e.generation, e.text.data(),
                        std::string(e.descriptor.begin(), e.descriptor.begin() + e.descriptor_bytes),
                        e.core});
  if (e.kind == HostEventKind::kPublished) {
    const auto index = flow_label(e.flow, e.core, core_bits_for(node.config.data_cores), 0).index();
    node.flows[index].truth = e.track;
  }
}

void MeshHarness::on_command(Node& node, CoreId core, const CoreCommand& c) {
  const uint32_t bits = core_bits_for(node.config.data_cores);
  const auto index = [&](FlowId flow) { return flow_label(flow, core, bits, 0).index(); };
  switch (c.kind) {
    case CoreCommandKind::kSessionInstall:
      if (core.value != 0) return;
      node.sessions[c.session.slot] = {true,
                                       c.session.link,
                                       c.session.receive_index,
                                       c.session.peer_indexes[0],
                                       c.session.peer_address,
                                       c.session.keys};
      return;
    case CoreCommandKind::kSessionActivate: {
      if (core.value != 0) return;
      EXPECT_TRUE(node.sessions[c.slot].installed);
      node.sessions[c.slot].continues = c.continues;
      const LinkId link = node.sessions[c.slot].link;
      const bool first = !node.active.contains(link);
      node.active[link] = c.slot;
      if (first) schedule_beat(node, link, Nanos{0});
      return;
    }
    case CoreCommandKind::kSessionRemove:
      if (core.value != 0) return;
      node.sessions.erase(c.slot);
      std::erase_if(node.active, [&](const auto& link) { return link.second == c.slot; });
      return;
    case CoreCommandKind::kLinkPace:
      if (core.value == 0) node.interval[c.pace.link] = c.pace.heartbeat_interval;
      return;
    case CoreCommandKind::kFlowOpen:
      EXPECT_FALSE(node.flows.contains(index(c.open.flow)));
      EXPECT_EQ(c.open.label.index(), index(c.open.flow));
      node.flows[index(c.open.flow)] = {c.open, {}, false, {}};
      node.newest = c.open;
      return;
    case CoreCommandKind::kFlowRedirect: {
      ASSERT_TRUE(node.flows.contains(index(c.redirect.flow)));
      FlowOpen& open = node.flows[index(c.redirect.flow)].open;
      EXPECT_EQ(open.source, FlowSource::kUpstream);
      node.flows[index(c.redirect.flow)].started = false;
      open.link = c.redirect.link;
      open.upstream_label = c.redirect.upstream_label;
      open.upstream_core = c.redirect.upstream_core;
      return;
    }
    case CoreCommandKind::kFlowClose:
      EXPECT_EQ(node.flows.erase(index(c.flow)), 1u);
      return;
    case CoreCommandKind::kOutputAdd: {
      ASSERT_TRUE(node.flows.contains(index(c.change.flow)));
      auto& outputs = node.flows[index(c.change.flow)].outputs;
      EXPECT_EQ(std::count(outputs.begin(), outputs.end(), c.change.output), 0);
      outputs.push_back(c.change.output);
      return;
    }
    case CoreCommandKind::kOutputRemove: {
      ASSERT_TRUE(node.flows.contains(index(c.change.flow)));
      auto& outputs = node.flows[index(c.change.flow)].outputs;
      EXPECT_EQ(std::erase(outputs, c.change.output), 1u);
      return;
    }
    case CoreCommandKind::kIngestOpen:
    case CoreCommandKind::kFlowQuery:  // the driver's, never the machine's
      return;
    case CoreCommandKind::kEgressOpen:
      EXPECT_EQ(++node.egress[std::pair(core.value, c.egress.egress)], 1);
      return;
    case CoreCommandKind::kEgressClose:
      EXPECT_EQ(node.egress.erase(std::pair(core.value, c.egress.egress)), 1u);
      return;
  }
}

void MeshHarness::schedule_beat(Node& node, LinkId link, Nanos in) {
  Event e{};
  e.at = now_ + in;
  e.order = ++order_;
  e.what = What::kBeat;
  e.to = index_of(node);
  e.life = node.life;
  e.link = link;
  events_.push(e);
}

void MeshHarness::beat(Node& node, LinkId link) {
  const auto active = node.active.find(link);
  if (active == node.active.end()) return;
  const Nanos interval = node.interval.contains(link) ? node.interval[link] : node.config.link.heartbeat;
  schedule_beat(node, link, node.paused ? core::from_ms(10) : interval);
  if (node.paused) return;
  const Session& session = node.sessions[active->second];
  Event e{};
  e.what = What::kHeartbeat;
  e.session_index = session.peer_index;
  e.heartbeat.sent_us = static_cast<uint64_t>(now_.us()) + 1;
  const auto before = node.sessions.find(active->second ^ 1);
  const bool from_before = !session.heard && session.continues && before != node.sessions.end();
  if (const Session& told = from_before ? before->second : session; told.heard)
    e.heartbeat.heard_age_us = static_cast<uint32_t>(static_cast<uint64_t>(now_.us()) - told.heard_us);
  if (session.last_sent_us != 0) {
    e.heartbeat.echo_us = session.last_sent_us;
    e.heartbeat.echo_hold_us = static_cast<uint32_t>(static_cast<uint64_t>(now_.us()) - session.heartbeat_us);
  }
  post(node, node_at(session.peer), e);
}

MeshHarness::Session* MeshHarness::find_session(Node& node, uint32_t index, uint32_t& slot) {
  slot = SessionIndex::slot(index);
  const auto found = node.sessions.find(slot);
  if (found == node.sessions.end() || found->second.receive_index != index) return nullptr;
  return &found->second;
}

void MeshHarness::evidence(Node& node, uint32_t slot, Session& session, const Heartbeat* heartbeat) {
  session.heard = true;
  session.heard_us = static_cast<uint64_t>(now_.us());
  CoreEvent e;
  e.kind = CoreEventKind::kEvidence;
  e.slot = slot;
  e.receive_index = session.receive_index;
  e.link = session.link;
  e.heard = now_;
  if (heartbeat != nullptr) {
    session.heartbeat_us = static_cast<uint64_t>(now_.us());
    session.last_sent_us = heartbeat->sent_us;
    session.peer_heard_age_us = heartbeat->heard_age_us;
    if (heartbeat->echo_us != 0) {
      e.rtt_us = static_cast<uint32_t>(static_cast<uint64_t>(now_.us()) + 1 - heartbeat->echo_us -
                                       heartbeat->echo_hold_us);
    }
  } else if (now_ - session.reported < core::from_ms(5)) {
    return;
  }
  e.peer_heard_age_us = session.peer_heard_age_us;
  session.reported = now_;
  give(node, e);
}

void MeshHarness::start_flow(Node& node, uint32_t index, FlowBook& flow) {
  if (flow.started) return;
  flow.started = true;
  CoreEvent e;
  e.kind = CoreEventKind::kFlowStarted;
  e.core = {static_cast<uint8_t>(index & ((1u << core_bits_for(node.config.data_cores)) - 1))};
  e.flow = label_flow(flow.open.label, core_bits_for(node.config.data_cores));
  e.label = flow.open.label;
  give(node, e);
}

void MeshHarness::forward(Node& node, const FlowBook& flow, const core::TrackId& track) {
  for (const Output& o : flow.outputs) {
    if (o.kind != OutputKind::kLink) {
      ++node.packets[o.handle];
      if (node.wanted[o.handle] != track) ++node.wrong_track;
      continue;
    }
    const auto active = node.active.find(o.target);
    if (active == node.active.end()) continue;
    Event e{};
    e.what = What::kMedia;
    e.session_index = node.sessions[active->second].peer_index;
    e.label = o.label;
    e.track = track;
    post(node, node_at(node.sessions[active->second].peer), e);
  }
}

void MeshHarness::happen(const Event& e) {
  Node& node = *nodes_[e.to];
  if (e.what == What::kBeat) {
    if (node.running && node.life == e.life) beat(node, e.link);
    return;
  }
  if (!node.running) return;
  if (node.paused) return held_.push_back(e);
  if (e.what == What::kHandshake) {
    Frame f;
    f.kind = FrameKind::kHandshake;
    f.address = e.from;
    f.length = static_cast<uint16_t>(e.bytes->size());
    std::copy(e.bytes->begin(), e.bytes->end(), f.bytes.begin());
    return give_frame(node, f);
  }
  uint32_t slot = 0;
  Session* session = find_session(node, e.session_index, slot);
  if (session == nullptr) return;
  if (e.what == What::kControl) {
    if (node.deaf_control) return evidence(node, slot, *session, nullptr);
    Frame f;
    f.kind = FrameKind::kControl;
    f.link = session->link;
    f.session_index = session->receive_index;
    f.length = static_cast<uint16_t>(e.bytes->size());
    std::copy(e.bytes->begin(), e.bytes->end(), f.bytes.begin());
    evidence(node, slot, *session, nullptr);
    return give_frame(node, f);
  }
  if (e.what == What::kHeartbeat) return evidence(node, slot, *session, &e.heartbeat);
  const auto flow = node.flows.find(e.label.index());
  if (flow == node.flows.end() || flow->second.open.label != e.label) {
    ++node.no_route;
  } else if (flow->second.open.source != FlowSource::kUpstream || flow->second.open.link != session->link) {
    ++node.foreign;
  } else {
    start_flow(node, flow->first, flow->second);
    forward(node, flow->second, e.track);
  }
}

}  // namespace trunkline::relay
