// PacketPath's conversation with the mesh thread: commands in, events out, and the slow look at flows that
// notices what no packet tells. Nothing here runs per packet.
#include <algorithm>
#include <cstdio>

#include "relay/packet_path.h"

namespace trunkline::relay {

void PacketPath::prefetch(uint32_t session_slot) const noexcept {
  constexpr size_t kTransmitterHead = 320;  // before its arrays
  core::prefetch_between(this, reinterpret_cast<const char*>(&transmitter_) + kTransmitterHead);
  core::prefetch_between(&sessions_, open_jobs_.data() + 1);
  core::prefetch_line(&open_counters_[0]);
  core::prefetch_between(&record_count_, &records_[1]);
  core::prefetch_line(&received_[0]);
  rings_.prefetch(session_slot);
  sessions_.prefetch(session_slot);
}

// ---- commands

uint32_t PacketPath::take_commands() noexcept {
  uint32_t taken = 0;
  while (taken < kCommandsPerRun) {
    const std::span<CoreCommand> commands = rings_.commands.peek(kCommandsPerRun - taken);
    if (commands.empty()) break;
    uint32_t done = 0;
    for (const CoreCommand& command : commands) {
      // A tap and a question are answered, and the answer must not be lost: without room for it the command
      // stays in its ring.
      const bool answered =
          command.kind == CoreCommandKind::kIngestOpen || command.kind == CoreCommandKind::kFlowQuery;
      if (answered && rings_.events.free_approx() == 0) break;
      if (!apply(command)) accounting_.count(CoreCounter::commands_refused);
      ++done;
    }
    rings_.commands.release(done);
    accounting_.count(CoreCounter::commands, done);
    taken += done;
    if (done < commands.size()) {
      unfinished_ = true;
      break;
    }
  }
  if (taken == kCommandsPerRun) unfinished_ = true;
  if (taken > 0) {  // its session may be gone
    opening_index_ = kNoSession;
    appending_ = {};
  }
  return taken;
}

bool PacketPath::apply(const CoreCommand& command) noexcept {
  switch (command.kind) {
    case CoreCommandKind::kSessionInstall: {
      const uint32_t slot = command.session.slot;
      if (slot >= sessions_.slots()) return false;
      lanes_.finish_link(sessions_.at(slot).link, now_);  // sealed with the keys it was begun with
      liveness_.forget(slot);
      return sessions_.install(command.session);
    }
    case CoreCommandKind::kSessionActivate: {
      if (command.slot >= sessions_.slots()) return false;
      const LinkId link = sessions_.at(command.slot).link;
      lanes_.finish_link(link, now_);
      if (!sessions_.activate(command.slot, command.continues)) return false;
      liveness_.restart(link);
      return true;
    }
    case CoreCommandKind::kSessionRemove:
      if (command.slot >= sessions_.slots()) return false;
      lanes_.finish_link(sessions_.at(command.slot).link, now_);
      liveness_.forget(command.slot);
      return sessions_.remove(command.slot);
    case CoreCommandKind::kLinkPace:
      return liveness_.set_pace(command.pace);
    case CoreCommandKind::kFlowOpen:
      return open_flow(command.open);
    case CoreCommandKind::kFlowRedirect:
      return flows_.redirect(command.redirect, now_);
    case CoreCommandKind::kFlowClose:
      return close_flow(command.flow);
    case CoreCommandKind::kOutputAdd:
      return change_output(command.change, true);
    case CoreCommandKind::kOutputRemove:
      return change_output(command.change, false);
    case CoreCommandKind::kIngestOpen:
      return open_ingest(command.ingest);
    case CoreCommandKind::kEgressOpen:
      return open_egress(command.egress);
    case CoreCommandKind::kEgressClose:
      return taps_.close_egress(command.egress.egress);
    case CoreCommandKind::kFlowQuery:
      return report_facts(command.flow);
  }
  return false;
}

bool PacketPath::open_flow(const FlowOpen& open) noexcept {
  close_flow(open.flow);
  if (!flows_.open(open)) return false;
  flow_check_at_ = std::min(flow_check_at_, liveness_.beat_after(now_, kFlowCheckInterval));
  return true;
}

bool PacketPath::close_flow(FlowId id) noexcept {
  if (!flows_.is_open(id)) return false;
  taps_.close_ingest(id);
  flows_.for_each_output(flows_.at(id), [&](OutputSlot& output, const uint64_t&) {
    if (output.kind == OutputKind::kLink) liveness_.lane_unused(output.target, output.remote_core);
    if (output.kind == OutputKind::kEgress) taps_.set_egress_flow(output.target, flows_.none());
    return true;
  });
  return flows_.close(id);
}

bool PacketPath::change_output(const OutputChange& change, bool add) noexcept {
  const Output& output = change.output;
  if (output.kind == OutputKind::kLink && output.target >= sessions_.links()) return false;
  if (!(add ? flows_.add_output(change.flow, output) : flows_.remove_output(change.flow, output)))
    return false;
  if (output.kind == OutputKind::kLink) {
    add ? liveness_.lane_used(output.target, output.remote_core.value)
        : liveness_.lane_unused(output.target, output.remote_core.value);
  }
  if (output.kind == OutputKind::kEgress) {
    taps_.set_egress_flow(output.target, add ? change.flow : flows_.none());
  }
  return true;
}

namespace {

void set_text(CoreEvent& event, const std::string& text) noexcept {
  std::snprintf(event.text.data(), event.text.size(), "%s", text.c_str());
}

}  // namespace

bool PacketPath::open_ingest(const IngestOpen& open) noexcept {
  const core::Result<UdpAddress> bound = taps_.open_ingest(open);
  CoreEvent event;
  event.kind = bound ? CoreEventKind::kTapReady : CoreEventKind::kTapFailed;
  event.flow = open.flow;
  event.address = bound ? *bound : open.listen;
  if (!bound) set_text(event, bound.error().text);
  return try_report(event) && bound.has_value();
}

// A tap that cannot send is reported with the address it was for; its packets are counted as no_output.
bool PacketPath::open_egress(const EgressOpen& open) noexcept {
  const core::Result<void> opened = taps_.open_egress(open);
  if (opened) return true;
  CoreEvent event;
  event.kind = CoreEventKind::kTapFailed;
  event.flow = flows_.none();
  event.address = open.to;
  set_text(event, opened.error().text);
  try_report(event);
  return false;
}

// ---- events

bool PacketPath::try_report(const CoreEvent& event) noexcept {
  CoreEvent filled = event;
  filled.core = core_;
  if (flows_.is_open(event.flow)) filled.label = flows_.at(event.flow).label;
  if (rings_.events.try_push(filled)) return true;
  accounting_.count(CoreCounter::events_lost);
  return false;
}

bool PacketPath::report_facts(FlowId id) noexcept {
  CoreEvent event;
  event.kind = CoreEventKind::kFlowFacts;
  event.flow = id;
  if (flows_.is_open(id)) {
    const Flow& flow = flows_.at(id);
    event.packets = flow.packets;
    event.bytes = flow.bytes;
    event.last_packet = flow.last_packet;
    event.outputs = flow.output_count;
  }
  return try_report(event);
}

// Level-triggered: what does not fit into the ring is said again when the flow is looked after.
void PacketPath::report_started(FlowId id) noexcept {
  Flow& flow = flows_.at(id);
  flow.start = FlowStart::kReported;
  CoreEvent event;
  event.kind = CoreEventKind::kFlowStarted;
  event.core = core_;
  event.flow = id;
  event.label = flow.label;
  if (rings_.events.try_push(event)) return;
  accounting_.count(CoreCounter::events_retried);
  flow.start = FlowStart::kUnreported;
}

void PacketPath::report_too_big(FlowId id, uint32_t size, uint32_t size_max) noexcept {
  FlowDetail& detail = flows_.detail(id);
  if (flows_.at(id).source != FlowSource::kLocal) return;  // its publisher is told by the first node
  if (detail.too_big_told && now_ - detail.too_big_reported < kTooBigInterval) return;
  CoreEvent event;
  event.kind = CoreEventKind::kTooBig;
  event.flow = id;
  event.size = size;
  event.size_max = size_max;
  if (!try_report(event)) return;
  detail.too_big_told = true;
  detail.too_big_reported = now_;
}

// ---- what no packet tells

// A slice of the flows each kFlowCheckInterval, a quarter of them or 1024, so that each is seen within 200
// ms. In step with heartbeats: one waking for both.
void PacketPath::look_after_flows() noexcept {
  if (now_ < flow_check_at_) return;
  flow_check_at_ = liveness_.beat_after(now_, kFlowCheckInterval);
  const FlowId end = flows_.high_water();
  const uint32_t slice = std::min(end, std::max(1024u, end / 4 + 1));
  for (uint32_t i = 0; i < slice; ++i) {
    if (flow_check_from_ >= end) flow_check_from_ = 0;
    const FlowId id = flow_check_from_++;
    if (!flows_.is_open(id)) continue;
    Flow& flow = flows_.at(id);
    if (flow.start == FlowStart::kUnreported) report_started(id);
    if (flows_.detail(id).keyframe_waits) feedback_.retry(id, now_);
    const bool idle = flow.start == FlowStart::kReported && now_ - flow.last_packet >= kFlowIdleAfter;
    if (!idle) continue;
    CoreEvent event;
    event.kind = CoreEventKind::kFlowIdle;
    event.flow = id;
    event.core = core_;
    event.label = flow.label;
    if (rings_.events.try_push(event)) {
      flow.start = FlowStart::kNone;
    } else {
      accounting_.count(CoreCounter::events_retried);
    }
  }
}

// Runs that the port refused: the frames they cut are broken for their outputs, and asked for again. The
// requests wait in their lanes for the next turn, which comes at once.
void PacketPath::break_frames_of_lost_runs() noexcept {
  for (const Loss& loss : transmitter_.take_losses()) {
    if (!flows_.is_open(loss.note.flow)) continue;
    OutputSlot* output =
        flows_.find_output(flows_.at(loss.note.flow), loss.kind, loss.target, loss.remote_core);
    if (output == nullptr) continue;
    if (loss.note.frame_open) {
      output->broken = true;
      output->broken_timestamp = loss.note.timestamp;
    }
    feedback_.request_keyframe(loss.note.flow, loss.note.ssrc, now_);
    unfinished_ = true;
  }
}

}  // namespace trunkline::relay
