// The C ABI, part 2: queues. Commands go to the mesh thread through the queue's channel, packets to the data
// core that owns their track through rings of slots; both are pushed first and their reader is woken after.
//
// Owned by the one host thread that has the queue open. Nothing here blocks or allocates.
#include <algorithm>

#include "relay/abi_state.h"
#include "relay/tap_address.h"

namespace {

using namespace trunkline;
using relay::abi_error;
using relay::HandleTable;
using relay::HostCommand;
using relay::HostCommandKind;
using relay::HostEvent;
using relay::HostEventKind;
using relay::HostPacket;
using relay::HostPacketKind;

constexpr uint32_t kMaxWaitMs = 60'000;

int check_queue(const tl_queue* queue, const char* function) {
  if (queue == nullptr) return abi_error(TL_EINVAL, "%s: queue is NULL", function);
  if (!queue->open) return abi_error(TL_EINVAL, "%s: the queue was closed", function);
  return 0;
}

core::TrackId to_track(const uint8_t bytes[16]) {
  core::TrackId track;
  std::memcpy(track.bytes.data(), bytes, track.bytes.size());
  return track;
}

// "host:port" of a tap.
int read_address(const char* function, const char* what, const char* text, bool any_port,
                 core::UdpAddress& address) {
  const auto parsed = core::UdpAddress::parse(text);
  if (!parsed || (parsed->port == 0 && !any_port))
    return abi_error(TL_EINVAL, "%s: %s '%s' is not an address; write IP:port, as \"192.0.2.1:5004\"",
                     function, what, text);
  address = *parsed;
  return 0;
}

// Where an ingest tap listens, and whom it hears. What is not given stays as it is.
int read_ingest(const tl_publish_options& given, core::UdpAddress& listen, core::UdpAddress& from) {
  if (given.ingest != nullptr) {
    if (const int error = read_address("tl_publish", "ingest", given.ingest, true, listen)) return error;
  }
  if (given.ingest_from == nullptr) return 0;
  if (const int error = read_address("tl_publish", "ingest_from", given.ingest_from, true, from))
    return error;
  if (given.ingest == nullptr)
    return abi_error(
        TL_EINVAL,
        "tl_publish: ingest_from is '%s', and ingest is NULL: only an ingest tap hears addresses; "
        "say where it listens",
        given.ingest_from);
  if (const char* const unheard = relay::why_unheard(listen, from))
    return abi_error(TL_EINVAL, "tl_publish: ingest_from '%s' %s", given.ingest_from, unheard);
  return 0;
}

// A free place for a command, to be filled in and pushed.
HostCommand* claim_command(tl_queue* queue, HostCommandKind kind) {
  const std::span<HostCommand> slot = queue->channel->commands.claim(1);
  if (slot.empty()) return nullptr;
  slot[0] = HostCommand{};
  slot[0].kind = kind;
  slot[0].queue = static_cast<uint16_t>(queue->channel->index());
  slot[0].submitted = io::monotonic_now();
  return &slot[0];
}

void push_command(tl_queue* queue) {
  queue->channel->commands.commit(1);
  queue->runtime->wake_mesh();
}

int commands_full(const char* function) {
  return abi_error(TL_EFULL,
                   "%s: the mesh thread has not taken the last commands yet: try again in a moment "
                   "(limits.command_depth)",
                   function);
}

int handles_full(const char* function, const tl_queue* queue) {
  return abi_error(TL_EFULL,
                   "%s: this queue has %u handles in use, all there are: take events, release some, or "
                   "raise limits.max_acquires",
                   function, queue->channel->handles.in_use());
}

// Ends a publication or an acquisition. The second time is not an error: the first event may cross it.
int end_handle(tl_queue* queue, uint64_t handle, bool publication, const char* function) {
  if (const int error = check_queue(queue, function)) return error;
  HandleTable::Entry* entry = queue->channel->handles.find(handle);
  if (entry == nullptr || relay::is_publication(handle) != publication)
    return abi_error(TL_ENOHANDLE, "%s: no %s of this queue has the handle %#llx", function,
                     publication ? "publication" : "acquisition", static_cast<unsigned long long>(handle));
  if (entry->ending) return 0;
  HostCommand* command =
      claim_command(queue, publication ? HostCommandKind::kUnpublish : HostCommandKind::kRelease);
  if (command == nullptr) return commands_full(function);
  command->handle = handle;
  push_command(queue);
  entry->ending = true;
  return 0;
}

}  // namespace

// ---- opening and closing

int tl_queue_open(tl_node* node, uint32_t index, tl_queue** queue) {
  if (queue == nullptr) return abi_error(TL_EINVAL, "tl_queue_open: queue is NULL");
  *queue = nullptr;
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_queue_open: node is NULL");
  if (index >= node->queues.size())
    return abi_error(TL_EINVAL, "tl_queue_open: index %u, and node.host_queues is %zu", index,
                     node->queues.size());
  tl_queue* opened = node->queues[index].get();
  if (!opened->channel->open()) {
    const bool closing = opened->channel->state() == relay::HostChannel::kClosing;
    return abi_error(TL_EINUSE, "tl_queue_open: queue %u is %s", index,
                     closing ? "still closing: try again in a moment" : "open already");
  }
  opened->open = true;
  *queue = opened;
  return 0;
}

int tl_queue_close(tl_queue* queue) {
  if (queue == nullptr) return 0;
  if (const int error = check_queue(queue, "tl_queue_close")) return error;
  tl_rx_release(queue);
  queue->claimed = {};
  queue->claim_handle = 0;
  queue->open = false;
  queue->channel->close();
  queue->runtime->wake_mesh();
  return 0;
}

int tl_queue_fd(const tl_queue* queue) {
  if (const int error = check_queue(queue, "tl_queue_fd")) return error;
  return queue->channel->host.event.fd();
}

int tl_queue_arm(tl_queue* queue) {
  if (const int error = check_queue(queue, "tl_queue_arm")) return error;
  relay::Sleeper& host = queue->channel->host;
  host.word.announce_sleep();  // A1, R2
  const bool ready = queue->channel->has_event() ||
                     std::any_of(queue->rings.begin(), queue->rings.end(),
                                 [](const auto* ring) { return ring->to_host.size_approx() != 0; });
  if (ready) host.word.awake();  // A1
  return ready ? 1 : 0;
}

// ---- tracks

int tl_publish(tl_queue* queue, const tl_publish_options* options, uint64_t* handle) {
  if (const int error = check_queue(queue, "tl_publish")) return error;
  if (options == nullptr || handle == nullptr)
    return abi_error(TL_EINVAL, "tl_publish: options and handle must not be NULL");
  tl_publish_options given{};
  if (!relay::read_options(options, given))
    return abi_error(TL_EABI, "tl_publish: options.size is %u, and this library knows %zu bytes",
                     options->size, sizeof given);
  if (given.traffic_class > TL_CLASS_AUDIO)
    return abi_error(TL_EINVAL, "tl_publish: traffic_class is %u; it must be one of TL_CLASS_..., 0 to 2",
                     given.traffic_class);
  if (given.descriptor_bytes > TL_DESCRIPTOR_BYTES_MAX)
    return abi_error(TL_ETOOBIG, "tl_publish: the descriptor has %u bytes; at most %u fit",
                     given.descriptor_bytes, TL_DESCRIPTOR_BYTES_MAX);
  if (given.descriptor == nullptr && given.descriptor_bytes != 0)
    return abi_error(TL_EINVAL, "tl_publish: descriptor is NULL, and descriptor_bytes is %u",
                     given.descriptor_bytes);
  const core::TrackId track = to_track(given.track);
  if (track.is_zero())
    return abi_error(TL_EINVAL, "tl_publish: track is all zero: make one with tl_track_id");
  core::UdpAddress listen{}, from{};
  if (const int error = read_ingest(given, listen, from)) return error;
  HandleTable::Entry* entry = queue->channel->handles.try_alloc(true);
  if (entry == nullptr) return handles_full("tl_publish", queue);
  HostCommand* command = claim_command(queue, HostCommandKind::kPublish);
  if (command == nullptr) {
    queue->channel->handles.free(entry);
    return commands_full("tl_publish");
  }
  command->handle = entry->handle;
  command->track = track;
  command->generation = given.generation;
  command->traffic_class = static_cast<relay::TrafficClass>(given.traffic_class);
  command->ingest = given.ingest != nullptr;
  command->tap.listen = listen;
  command->tap.from = from;
  command->tap.ssrc = given.ssrc;
  const std::string_view codec = given.codec != nullptr ? given.codec : "";
  command->tap.vp8 = codec == "vp8";
  command->tap.h264 = codec == "h264";
  command->descriptor_bytes = static_cast<uint16_t>(given.descriptor_bytes);
  if (given.descriptor_bytes != 0)
    std::memcpy(command->descriptor.data(), given.descriptor, given.descriptor_bytes);
  *handle = entry->handle;
  push_command(queue);
  return 0;
}

int tl_unpublish(tl_queue* queue, uint64_t handle) {
  return end_handle(queue, handle, true, "tl_unpublish");
}

int tl_acquire(tl_queue* queue, const tl_acquire_options* options, uint64_t* handle) {
  if (const int error = check_queue(queue, "tl_acquire")) return error;
  if (options == nullptr || handle == nullptr)
    return abi_error(TL_EINVAL, "tl_acquire: options and handle must not be NULL");
  tl_acquire_options given{};
  if (!relay::read_options(options, given))
    return abi_error(TL_EABI, "tl_acquire: options.size is %u, and this library knows %zu bytes",
                     options->size, sizeof given);
  if (given.deadline_ms > kMaxWaitMs)
    return abi_error(TL_EINVAL, "tl_acquire: deadline_ms is %u; at most %u", given.deadline_ms, kMaxWaitMs);
  if (given.rendezvous_ms < -1 || given.rendezvous_ms > static_cast<int32_t>(kMaxWaitMs))
    return abi_error(TL_EINVAL, "tl_acquire: rendezvous_ms is %d; it must be from -1 to %u",
                     given.rendezvous_ms, kMaxWaitMs);
  const core::TrackId track = to_track(given.track);
  if (track.is_zero())
    return abi_error(TL_EINVAL, "tl_acquire: track is all zero: make one with tl_track_id");
  core::UdpAddress to{};
  if (given.egress != nullptr) {
    if (const int error = read_address("tl_acquire", "egress", given.egress, false, to)) return error;
  }
  HandleTable::Entry* entry = queue->channel->handles.try_alloc(false);
  if (entry == nullptr) return handles_full("tl_acquire", queue);
  HostCommand* command = claim_command(queue, HostCommandKind::kAcquire);
  if (command == nullptr) {
    queue->channel->handles.free(entry);
    return commands_full("tl_acquire");
  }
  command->handle = entry->handle;
  command->track = track;
  command->deadline = core::from_ms(given.deadline_ms);
  if (given.rendezvous_ms != 0) command->rendezvous = core::from_ms(std::max(given.rendezvous_ms, 0));
  command->egress = given.egress != nullptr;
  command->to = to;
  *handle = entry->handle;
  push_command(queue);
  return 0;
}

int tl_release(tl_queue* queue, uint64_t handle) {
  return end_handle(queue, handle, false, "tl_release");
}

int tl_hint(tl_queue* queue, const uint8_t track[16], uint64_t node_id) {
  if (const int error = check_queue(queue, "tl_hint")) return error;
  if (track == nullptr || node_id == 0)
    return abi_error(TL_EINVAL, "tl_hint: track must not be NULL, and node_id not 0");
  HostCommand* command = claim_command(queue, HostCommandKind::kHint);
  if (command == nullptr) return commands_full("tl_hint");
  command->track = to_track(track);
  command->node = {node_id};
  push_command(queue);
  return 0;
}

int tl_drain(tl_queue* queue, int on, uint64_t successor) {
  if (const int error = check_queue(queue, "tl_drain")) return error;
  if (on != 0 && on != 1) return abi_error(TL_EINVAL, "tl_drain: on is %d; it must be 0 or 1", on);
  if (on == 0 && successor != 0)
    return abi_error(TL_EINVAL,
                     "tl_drain: a successor is named, and on is 0: who drains no more refers nobody");
  if (on == 1 && successor == queue->runtime->config().id.value)
    return abi_error(TL_EINVAL, "tl_drain: successor %llu is this node: name another one, or 0",
                     static_cast<unsigned long long>(successor));
  HostCommand* command = claim_command(queue, HostCommandKind::kDrain);
  if (command == nullptr) return commands_full("tl_drain");
  command->on = on != 0;
  command->node = {successor};
  push_command(queue);
  return 0;
}

// ---- events

namespace {

uint32_t event_kind(HostEventKind kind) {
  switch (kind) {
    case HostEventKind::kPublished:
      return TL_EVENT_PUBLISHED;
    case HostEventKind::kPublishFailed:
      return TL_EVENT_PUBLISH_FAILED;
    case HostEventKind::kUnpublished:
      return TL_EVENT_UNPUBLISHED;
    case HostEventKind::kOutcome:
      return TL_EVENT_OUTCOME;
    case HostEventKind::kEnded:
      return TL_EVENT_ENDED;
    case HostEventKind::kTooBig:
      return TL_EVENT_TOO_BIG;
  }
  return TL_EVENT_ENDED;
}

void translate(const HostEvent& from, tl_event& to) {
  to = tl_event{};
  to.kind = event_kind(from.kind);
  to.outcome = static_cast<uint32_t>(from.outcome);
  to.handle = from.handle;
  std::memcpy(to.track, from.track.bytes.data(), sizeof to.track);
  to.node_id = from.node.value;
  to.generation = from.generation;
  to.elapsed_us = static_cast<uint64_t>(from.elapsed.us());
  to.attempts = from.attempts;
  to.authoritative = from.authoritative;
  to.flowing = from.flowing;
  to.local = from.local;
  to.size = from.size;
  to.size_max = from.size_max;
  if (from.address.family != 0) {
    const std::string address = from.address.to_string();
    std::memcpy(to.address, address.data(), std::min(address.size(), sizeof to.address - 1));
  }
  std::memcpy(to.text, from.text.data(), sizeof to.text - 1);
  const bool has_descriptor = from.kind == HostEventKind::kOutcome && from.outcome == relay::Outcome::ok;
  if (has_descriptor) {
    to.descriptor_bytes = std::min<uint32_t>(from.descriptor_bytes, sizeof to.descriptor);
    std::memcpy(to.descriptor, from.descriptor.data(), to.descriptor_bytes);
  }
}

// What the event means for its handle: ready for packets, or free.
void settle(HandleTable& handles, HandleTable::Entry* entry, const HostEvent& event) {
  const bool ok = event.kind == HostEventKind::kPublished ||
                  (event.kind == HostEventKind::kOutcome && event.outcome == relay::Outcome::ok);
  if (ok) {
    entry->ready = true;
    entry->flow = event.flow;
    entry->core = event.core;
  } else if (event.kind != HostEventKind::kTooBig) {
    handles.free(entry);
  }
}

}  // namespace

int tl_queue_events(tl_queue* queue, tl_event* events, uint32_t n) {
  if (const int error = check_queue(queue, "tl_queue_events")) return error;
  if (events == nullptr && n != 0) return abi_error(TL_EINVAL, "tl_queue_events: events is NULL");
  HandleTable& handles = queue->channel->handles;
  uint32_t count = 0;
  HostEvent event;
  while (count < std::min(n, 1u << 20) && queue->channel->take(event)) {
    HandleTable::Entry* entry = handles.find(event.handle);
    if (entry == nullptr) continue;  // a notice that was overtaken by its handle's end
    translate(event, events[count++]);
    settle(handles, entry, event);
  }
  return static_cast<int>(count);
}
