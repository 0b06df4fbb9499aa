// See static_tracks.h.
#include "relay/static_tracks.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace trunkline::relay {

StaticTracks::StaticTracks(const NodeConfig& config, uint16_t queue) : config_(config), queue_(queue) {
  const WireSetting* setting = config.find_setting("track_namespace");
  const std::string_view track_namespace = setting != nullptr ? std::string_view(setting->current) : "";
  const auto add = [&](Kind kind, size_t index, const core::TrackId& track) {
    Entry entry;
    entry.kind = kind;
    entry.index = static_cast<uint32_t>(index);
    entry.track = track;
    entries_.push_back(entry);
  };
  for (size_t i = 0; i < config.locations.size(); ++i) add(Kind::kLocation, i, config.locations[i].track);
  for (size_t i = 0; i < config.ingest.size(); ++i)
    add(Kind::kIngest, i, track_id(track_namespace, config.ingest[i].track));
  for (size_t i = 0; i < config.egress.size(); ++i)
    add(Kind::kEgress, i, track_id(track_namespace, config.egress[i].track));
}

std::string_view StaticTracks::name(const Entry& entry) const {
  return entry.kind == Kind::kIngest ? config_.ingest[entry.index].track : config_.egress[entry.index].track;
}

void StaticTracks::fill(const Entry& entry, HostCommand& command) const {
  command.queue = queue_;
  command.handle = static_cast<uint64_t>(&entry - entries_.data()) + 1;
  command.track = entry.track;
  if (entry.kind == Kind::kLocation) {
    command.kind = HostCommandKind::kHint;
    command.node = config_.locations[entry.index].node;
  } else if (entry.kind == Kind::kIngest) {
    const IngestConfig& ingest = config_.ingest[entry.index];
    command.kind = HostCommandKind::kPublish;
    command.generation = ingest.generation;
    command.traffic_class = ingest.traffic_class;
    command.ingest = true;
    command.tap.listen = ingest.listen;
    command.tap.from = ingest.from;
    command.tap.ssrc = ingest.ssrc;
    command.tap.vp8 = ingest.codec == "vp8";
    command.tap.h264 = ingest.codec == "h264";
    char text[64];
    const int length = std::snprintf(text, sizeof text, "1 codec=%s ssrc=%u",
                                     ingest.codec.empty() ? "?" : ingest.codec.c_str(), ingest.ssrc);
    command.descriptor_bytes = static_cast<uint16_t>(length);
    std::memcpy(command.descriptor.data(), text, command.descriptor_bytes);
  } else {
    const EgressConfig& egress = config_.egress[entry.index];
    command.kind = HostCommandKind::kAcquire;
    command.deadline = egress.deadline;
    command.rendezvous = egress.rendezvous;
    command.egress = true;
    command.to = egress.to;
  }
}

bool StaticTracks::next(Nanos now, HostCommand& command) {
  for (Entry& entry : entries_) {
    const bool take_back = stopping_ && (entry.state == State::kAsked || entry.state == State::kRunning);
    if (!take_back && (stopping_ || entry.state != State::kWaiting || entry.due > now)) continue;
    command = HostCommand{};
    command.submitted = now;
    fill(entry, command);
    if (take_back) {
      command.kind = entry.kind == Kind::kIngest ? HostCommandKind::kUnpublish : HostCommandKind::kRelease;
      entry.state = State::kStopping;
    } else {
      entry.state = entry.kind == Kind::kLocation ? State::kDone : State::kAsked;
    }
    return true;
  }
  return false;
}

Nanos StaticTracks::next_due() const {
  Nanos due = core::kNever;
  for (const Entry& entry : entries_) {
    if (stopping_ && (entry.state == State::kAsked || entry.state == State::kRunning)) return Nanos{};
    if (!stopping_ && entry.state == State::kWaiting) due = std::min(due, entry.due);
  }
  return due;
}

void StaticTracks::again(Entry& entry, Nanos now) {
  entry.state = stopping_ ? State::kDone : State::kWaiting;
  entry.due = now + entry.backoff;
  entry.backoff = std::min(entry.backoff * 2, kRetryMax);
}

void StaticTracks::on_event(Nanos now, const HostEvent& event, MeshSink& log) {
  if (event.handle == 0 || event.handle > entries_.size()) return;
  Entry& entry = entries_[event.handle - 1];
  const std::string_view track = name(entry);
  char line[400];
  int length = 0;
  LogLevel level = LogLevel::kInfo;
  const auto running = [&] {
    if (entry.state == State::kAsked) entry.state = State::kRunning;
    entry.backoff = kRetryMin;
  };
  const auto print = [&](const char* format, auto... values) {
    length =
        std::snprintf(line, sizeof line, format, static_cast<int>(track.size()), track.data(), values...);
  };
  switch (event.kind) {
    case HostEventKind::kPublished:
      running();
      print("ingest %.*s: published, listening on %s", event.address.to_string().c_str());
      break;
    case HostEventKind::kPublishFailed:
      again(entry, now);
      level = LogLevel::kError;
      print("ingest %.*s: not published: %s", event.text.data());
      break;
    case HostEventKind::kUnpublished:
      again(entry, now);
      print("ingest %.*s: withdrawn");
      break;
    case HostEventKind::kOutcome:
      if (event.outcome == Outcome::ok) {
        running();
      } else {
        again(entry, now);
        level = LogLevel::kWarn;
      }
      print("egress %.*s: %s after %lld us%s%s", outcome_name(event.outcome),
            static_cast<long long>(event.elapsed.us()), event.text[0] != 0 ? ": " : "", event.text.data());
      break;
    case HostEventKind::kEnded:
      entry.backoff = kRetryMin;
      again(entry, now);
      print("egress %.*s: ended: %s", outcome_name(event.outcome));
      break;
    case HostEventKind::kTooBig:
      level = LogLevel::kWarn;
      print("ingest %.*s: a packet of %u bytes does not fit the path; at most %u do", event.size,
            event.size_max);
      break;
  }
  const auto limit = static_cast<int>(sizeof line) - 1;
  log.log(level, {line, static_cast<size_t>(std::clamp(length, 0, limit))});
}

void StaticTracks::stop() {
  stopping_ = true;
}

bool StaticTracks::idle() const {
  return std::none_of(entries_.begin(), entries_.end(), [](const Entry& entry) {
    return entry.state == State::kAsked || entry.state == State::kRunning || entry.state == State::kStopping;
  });
}

}  // namespace trunkline::relay
