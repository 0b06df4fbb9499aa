// See node_driver.h.
#include "relay/node_driver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace trunkline::relay {

namespace {

constexpr Nanos kConnect = core::from_s(1);  // the naive variant's patience with a peer that does not answer

}  // namespace

MeshDriver::MeshDriver(const NodeConfig& config, MeshNode& node, NodeRings& rings)
    : node_(node),
      rings_(rings),
      static_(config, static_cast<uint16_t>(config.host_queues)),
      never_blocks_(config.rules.never_blocks) {
  for (const auto& channel : rings.channels) live_.push_back(std::make_unique<Live>(channel->handles.size()));
}

uint32_t MeshDriver::run_once(Nanos now) {
  now_ = now;
  blocked_ = false;
  if (!never_blocks_ && connecting(now)) return 0;
  connecting_until_ = Nanos{0};
  // What has happened comes before what falls due: media that is here is not missed. Each step looks at the
  // timers too, so no deadline waits for more than one event.
  uint32_t done = 0;
  for (const auto& core : rings_.cores) done += run_core(now, *core);
  done += run_timers(now);
  for (uint16_t queue = 0; queue < rings_.channels.size(); ++queue) done += run_channel(queue);
  done += run_static(now_);
  done += run_questions(now_);
  if (blocked_) ++passes_blocked_;
  return done;
}

// ---- inputs

// Without never_blocks: msg1 is a call that returns with the peer's answer, or after kConnect.
bool MeshDriver::connecting(Nanos now) const {
  if (now >= connecting_until_) return false;
  const auto& frames = rings_.cores[0]->frames_out.peek(kBurst);
  return std::none_of(frames.begin(), frames.end(),
                      [](const Frame& frame) { return frame.kind == FrameKind::kHandshake; });
}

bool MeshDriver::has_room() const {
  const auto room = [](const auto& ring) { return ring.free_approx() >= MeshNode::kMaxOutputs; };
  return std::all_of(rings_.cores.begin(), rings_.cores.end(),
                     [&](const auto& core) { return room(core->commands); }) &&
         room(rings_.cores[0]->frames_in);
}

bool MeshDriver::step(Nanos now, const MeshInput& input) {
  if (input.kind == MeshInput::Kind::kCoreEvent && take_facts(*input.core_event)) return true;
  if (!has_room()) {
    blocked_ = true;
    return false;
  }
  node_.step(now, input, *this);
  return true;
}

uint32_t MeshDriver::run_timers(Nanos now) {
  uint32_t done = 0;
  while (done < kBurst && node_.next_deadline() <= now && step(now, MeshInput{})) ++done;
  return done;
}

uint32_t MeshDriver::run_core(Nanos now, CoreRings& core) {
  uint32_t done = 0;
  const auto take = [&](auto& ring, uint32_t most, auto&& to_input) {
    uint32_t taken = 0;
    for (const auto& item : ring.peek(most)) {
      if (!step(now, to_input(item))) break;
      ++taken;
    }
    ring.release(taken);
    return taken;
  };
  // Twice: a ring's end may lie within what is there. What comes of it does not depend on where that is.
  const auto drain = [&](auto& ring, auto&& to_input) {
    const uint32_t first = take(ring, kBurst, to_input);
    done += first + (first < kBurst ? take(ring, kBurst - first, to_input) : 0);
  };
  drain(core.events, [](const CoreEvent& event) {
    return MeshInput{MeshInput::Kind::kCoreEvent, nullptr, &event, nullptr};
  });
  drain(core.frames_out, [](const Frame& frame) {
    return MeshInput{MeshInput::Kind::kFrame, &frame, nullptr, nullptr};
  });
  return done;
}

uint32_t MeshDriver::run_channel(uint16_t queue) {
  HostChannel& channel = *rings_.channels[queue];
  const HostChannel::State state = channel.state();  // before the ring: a closing host sent nothing later
  if (state == HostChannel::kClosed) return 0;
  uint32_t taken = 0;
  for (const HostCommand& command : channel.commands.peek(kBurst)) {
    if (!has_room()) {
      blocked_ = true;
      break;
    }
    ++taken;
    now_ = std::max(now_, command.submitted);  // it may have come while this pass was under way
    if (!shutting_down_ && admit(command, *live_[queue]))
      node_.step(now_, {MeshInput::Kind::kHostCommand, nullptr, nullptr, &command}, *this);
  }
  channel.commands.release(taken);
  uint32_t done = taken;
  if (state == HostChannel::kClosing || shutting_down_) {
    if (channel.commands.peek(1).empty()) done += sweep(now_, queue);
    if (state == HostChannel::kClosing && live_[queue]->count == 0 && channel.commands.peek(1).empty())
      channel.closed();
  }
  return done;
}

// Keeps the list of what is live; false for what has ended by itself meanwhile.
bool MeshDriver::admit(const HostCommand& command, Live& live) {
  if (command.kind == HostCommandKind::kHint || command.kind == HostCommandKind::kDrain) return true;
  uint64_t& here = live.by_slot[handle_slot(command.handle)];
  if (command.kind == HostCommandKind::kPublish || command.kind == HostCommandKind::kAcquire) {
    here = command.handle;
    live.swept[handle_slot(command.handle)] = 0;
    ++live.count;
    return true;
  }
  return here == command.handle;
}

// Takes back a few of what the queue still has; each ends with its last event, in event().
uint32_t MeshDriver::sweep(Nanos now, uint16_t queue) {
  Live& live = *live_[queue];
  const auto slots = static_cast<uint32_t>(live.by_slot.size());
  uint32_t done = 0;
  for (uint32_t looked = 0; live.count > 0 && done < kBurst && looked < slots; ++looked) {
    const uint64_t handle = live.by_slot[live.sweep];
    if (handle != 0 && live.swept[live.sweep] == 0) {
      HostCommand command;
      command.kind = is_publication(handle) ? HostCommandKind::kUnpublish : HostCommandKind::kRelease;
      command.queue = queue;
      command.handle = handle;
      command.submitted = now;
      live.swept[live.sweep] = 1;  // before the step, which may end it
      if (!step(now, {MeshInput::Kind::kHostCommand, nullptr, nullptr, &command})) {
        live.swept[live.sweep] = 0;
        break;
      }
      ++done;
    }
    live.sweep = (live.sweep + 1) % slots;
  }
  return done;
}

uint32_t MeshDriver::run_static(Nanos now) {
  uint32_t done = 0;
  HostCommand command;
  while (done < kBurst && has_room() && static_.next(now, command)) {
    step(now, {MeshInput::Kind::kHostCommand, nullptr, nullptr, &command});
    ++done;
  }
  return done;
}

// ---- questions

// One at a time: while a reply waits for its data core, the next question waits in its ring. A reply that
// nobody takes keeps its place, so there may be no room: then the question waits too.
uint32_t MeshDriver::run_questions(Nanos now) {
  if (facts_due_.ns != 0) {
    if (now >= facts_due_) end_reply();  // without its word
    return 0;
  }
  const std::span<Question> question = rings_.ask.questions.peek(1);
  const std::span<Reply> reply = rings_.ask.replies.claim(1);
  if (question.empty() || reply.empty()) return 0;
  if (begin_reply(now, question[0], reply[0])) end_reply();
  rings_.ask.questions.release(1);
  return 1;
}

// True: the reply is complete.
bool MeshDriver::begin_reply(Nanos now, const Question& question, Reply& reply) {
  reply.serial = question.serial;
  reply.now = now;
  if (question.kind == QuestionKind::kFlights) {
    reply.flight_count = node_.flights().copy(question.before, question.track, reply.flights);
    return true;
  }
  node_.explain(now, question.track, reply.explanation);
  const FlowFacts& flow = reply.explanation.flow;
  if (!flow.open || flow.core.value >= rings_.cores.size()) return true;
  CoreCommand query;
  query.kind = CoreCommandKind::kFlowQuery;
  query.flow = flow.flow;
  if (!rings_.cores[flow.core.value]->commands.try_push(query)) return true;  // it is far behind: said so
  touched_.cores |= 1u << flow.core.value;
  facts_due_ = now + QuestionRings::kCorePatience;
  return false;
}

void MeshDriver::end_reply() {
  rings_.ask.replies.commit(1);
  facts_due_ = Nanos{};
  touched_.asker = true;
}

// The data core's word on a flow: for the reply that waits for it, if it is of the same label still.
bool MeshDriver::take_facts(const CoreEvent& event) {
  if (event.kind != CoreEventKind::kFlowFacts) return false;
  if (facts_due_.ns == 0) return true;  // too late
  FlowFacts& flow = rings_.ask.replies.claim(1)[0].explanation.flow;
  if (event.core != flow.core || event.flow != flow.flow) return true;
  if (event.label == flow.label) {
    flow.answered = true;
    flow.packets = event.packets;
    flow.bytes = event.bytes;
    flow.last_packet = event.packets > 0 ? event.last_packet : Nanos{-1};
    flow.outputs = event.outputs;
  }
  end_reply();
  return true;
}

bool MeshDriver::has_input() const {
  if (blocked_) return false;
  if (!never_blocks_ && connecting_until_.ns != 0) return !connecting(now_);
  if (facts_due_.ns == 0 && rings_.ask.questions.size_approx() != 0 && rings_.ask.replies.free_approx() != 0)
    return true;
  for (const auto& core : rings_.cores) {
    if (core->events.size_approx() != 0 || core->frames_out.size_approx() != 0) return true;
  }
  for (uint32_t queue = 0; queue < rings_.channels.size(); ++queue) {
    const HostChannel& channel = *rings_.channels[queue];
    if (channel.commands.size_approx() != 0) return true;
    if (channel.state() == HostChannel::kClosing) return true;
  }
  return false;
}

Nanos MeshDriver::next_deadline() const {
  // Without room nothing can be done earlier, however due it is.
  if (blocked_) return now_ + kBlockedRetry;
  if (connecting_until_ > now_) return connecting_until_;
  Nanos due = std::min(node_.next_deadline(), static_.next_due());
  if (facts_due_.ns != 0) due = std::min(due, facts_due_);
  return shutting_down_ ? std::min(due, now_ + kBlockedRetry) : due;
}

Touched MeshDriver::take_touched() {
  return std::exchange(touched_, Touched{});
}

void MeshDriver::begin_shutdown() noexcept {
  shutting_down_ = true;
  static_.stop();
}

bool MeshDriver::shut_down(Nanos now) const {
  const bool empty =
      std::all_of(live_.begin(), live_.end(), [](const auto& live) { return live->count == 0; });
  // What is due at once is the rest of telling the peers; a withdrawal that is lost on the way is repeated.
  return empty && static_.idle() && node_.next_deadline() > now && node_.all_told();
}

// ---- outputs. There is room: has_room() said so before the step, and a step that writes more is a defect.

void MeshDriver::command(CoreId core, const CoreCommand& command) {
  TL_CHECK(core.value < rings_.cores.size());
  TL_CHECK(rings_.cores[core.value]->commands.try_push(command));
  touched_.cores |= 1u << core.value;
  if (key_log_ != nullptr && command.kind == CoreCommandKind::kSessionInstall)
    log_keys(core, command.session);
}

// What is sent to this core; and with the first of them, what is sent to each core of the peer. A log that
// cannot be written any more is closed, and said.
void MeshDriver::log_keys(CoreId core, const SessionInstall& session) {
  const std::span<const uint32_t> own(&session.receive_index, 1);
  const std::span<const uint32_t> theirs(session.peer_indexes.data(),
                                         core.value == 0 ? session.peer_cores : 0);
  const auto written = key_log_->write_session(session.keys, own, theirs);
  if (written) return;
  log(LogLevel::kError, written.error().text + "; no more keys are logged");
  key_log_ = nullptr;
}

void MeshDriver::send(const Frame& header, std::span<const uint8_t> bytes) {
  TL_CHECK(bytes.size() <= kMaxFrameBytes);
  auto& ring = rings_.cores[0]->frames_in;
  const std::span<Frame> slot = ring.claim(1);
  TL_CHECK(!slot.empty());
  slot[0].kind = header.kind;
  slot[0].link = header.link;
  slot[0].session_index = header.session_index;
  slot[0].address = header.address;
  slot[0].length = static_cast<uint16_t>(bytes.size());
  std::memcpy(slot[0].bytes.data(), bytes.data(), bytes.size());
  ring.commit(1);
  touched_.cores |= 1u;
}

void MeshDriver::control(LinkId link, uint32_t session_index, std::span<const uint8_t> bytes) {
  Frame header;
  header.kind = FrameKind::kControl;
  header.link = link;
  header.session_index = session_index;
  send(header, bytes);
}

void MeshDriver::handshake(const UdpAddress& to, std::span<const uint8_t> datagram) {
  Frame header;
  header.kind = FrameKind::kHandshake;
  header.address = to;
  send(header, datagram);
  if (never_blocks_ || decode_header(datagram.data()).type != DatagramType::kHandshake1) return;
  connecting_until_ = now_ + kConnect;
}

void MeshDriver::event(const HostEvent& event) {
  if (event.queue == static_.queue()) return static_.on_event(now_, event, *this);
  TL_CHECK(event.queue < rings_.channels.size());
  const bool first = event.kind == HostEventKind::kPublished ||
                     (event.kind == HostEventKind::kOutcome && event.outcome == Outcome::ok);
  if (!first && event.kind != HostEventKind::kTooBig) {  // the handle's last
    Live& live = *live_[event.queue];
    uint64_t& here = live.by_slot[handle_slot(event.handle)];
    TL_CHECK(here == event.handle);
    here = 0;
    --live.count;
  }
  HostChannel& channel = *rings_.channels[event.queue];
  channel.post(event);
  touched_.channels |= uint64_t{1} << event.queue;
}

void MeshDriver::log(LogLevel level, std::string_view text) {
  const std::span<LogLine> slot = rings_.log.claim(1);
  if (slot.empty()) return rings_.log_lost.add();
  slot[0].level = level;
  slot[0].length = static_cast<uint16_t>(std::min(text.size(), slot[0].text.size()));
  std::memcpy(slot[0].text.data(), text.data(), slot[0].length);
  rings_.log.commit(1);
  touched_.log = true;
}

}  // namespace trunkline::relay
