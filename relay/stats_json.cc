// See stats_json.h. One function per member of the object.
#include "relay/stats_json.h"

#include <algorithm>

#include "relay/include/trunkline/trunkline.h"
#include "relay/json_writer.h"

namespace trunkline::relay {
namespace {

template <class Set, class Enum, class Name>
void write_counters(JsonWriter& json, std::string_view key, const Set& set, Enum, Name name) {
  json.object(key);
  for (uint32_t i = 0; i < set.size(); ++i)
    json.number(name(static_cast<Enum>(i)), set.value(static_cast<Enum>(i)));
  json.end_object();
}

// Nanoseconds in, microseconds out.
void write_times(JsonWriter& json, std::string_view key, const core::Histogram& times) {
  const auto us = [](int64_t ns) { return (ns + 500) / 1'000; };
  json.object(key)
      .number("count", times.count())
      .signed_number("min", us(times.min()))
      .signed_number("mean", us(static_cast<int64_t>(times.mean())))
      .signed_number("p50", us(times.percentile(50)))
      .signed_number("p90", us(times.percentile(90)))
      .signed_number("p99", us(times.percentile(99)))
      .signed_number("p99_9", us(times.percentile(99.9)))
      .signed_number("max", us(times.max()))
      .end_object();
}

// Picoseconds in, nanoseconds out.
void write_stages(JsonWriter& json, const StageTimes& times) {
  json.object("stage_ns_per_packet");
  for (uint32_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    const core::Histogram& ps = times.of(stage);
    json.object(stage_name(stage))
        .number("count", ps.count())
        .thousandths("p50", ps.percentile(50))
        .thousandths("p99", ps.percentile(99))
        .thousandths("max", ps.max())
        .end_object();
  }
  json.end_object();
}

void write_node(JsonWriter& json, const NodeRuntime& node) {
  const NodeConfig& config = node.config();
  json.object("node")
      .number("id", config.id.value)
      .text("name", config.name)
      .text("cluster", config.cluster)
      .text("region", config.region)
      .text("colour", config.colour)
      .number("incarnation", node.incarnation())
      .signed_number("uptime_ms", (io::monotonic_now() - node.started()).ms())
      .text("version", tl_version())
      .text("listen", node.listen_address().to_string());
  MeshDriver::Gauges gauges;
  if (node.read_gauges(gauges)) {
    json.boolean("draining", gauges.draining.on).number("successor", gauges.draining.successor.value);
  }
  json.end_object();
}

void write_core(JsonWriter& json, const DataCore& core) {
  const PacketPath& path = core.path();
  json.object().number("core", core.id().value).number("turns", core.turns()).number("sleeps", core.sleeps());
  json.object("port").text("name", core.port().name());
  write_counters(json, "counters", core.port().counters(), io::PortCounter{}, io::port_counter_name);
  if (const auto more = core.port().more_counters(); !more.empty()) {
    json.object("ip");
    for (const io::NamedCounter& counter : more) json.number(counter.name, counter.value);
    json.end_object();
  }
  json.end_object();
  write_counters(json, "counters", path.counters(), CoreCounter{}, core_counter_name);
  write_counters(json, "drops", path.drops(), DropReason{}, drop_reason_name);
  write_stages(json, core.stages());
  // Drops and deliveries first: a packet that moves on meanwhile then counts as held, never as missing.
  const uint64_t dropped = path.drops().total();
  const uint64_t forwarded = path.counters().value(CoreCounter::units_forwarded);
  const uint64_t received = path.counters().value(CoreCounter::units_received);
  const uint64_t held = received > forwarded + dropped ? received - forwarded - dropped : 0;
  json.object("conservation")
      .number("received", received)
      .number("forwarded", forwarded)
      .number("dropped", dropped)
      .number("held", held)
      .end_object();
  json.end_object();
}

void write_outcomes(JsonWriter& json, const MeshNode& mesh) {
  json.object("outcomes");
  for (uint32_t number = 0; number < kOutcomeNumbers; ++number) {
    const auto outcome = static_cast<Outcome>(number);
    const std::string_view name = outcome_name(outcome);
    if (name == "?") continue;
    json.object(name).number("count", mesh.outcomes(outcome));
    write_times(json, "time_us", mesh.acquire_time(outcome));
    json.end_object();
  }
  json.end_object();
}

void write_links(JsonWriter& json, const NodeRuntime& node) {
  json.array("links");
  for (LinkId link = 0; link < node.link_count(); ++link) {
    LinkStatus status;
    if (!node.read_link(link, status)) continue;
    json.object()
        .number("node", status.node.value)
        .text("state", link_state_name(status.state))
        .number("incarnation", status.incarnation)
        .number("rtt_us", status.rtt_us)
        .number("rtt_p99_us", status.rtt_p99_us)
        .signed_number("for_ms", (io::monotonic_now() - std::max(status.since, node.started())).ms())
        .text("text", status.text.data())
        .end_object();
  }
  json.end_array();
}

void write_usage(JsonWriter& json, const NodeRuntime& node) {
  MeshDriver::Gauges gauges;
  if (!node.read_gauges(gauges)) return;
  json.object("usage")
      .number("tracks", gauges.usage.tracks)
      .number("acquires", gauges.usage.acquires)
      .number("requests", gauges.usage.requests)
      .number("publications", gauges.usage.publications)
      .number("subscriptions_up", gauges.usage.subscriptions_up)
      .number("subscriptions_down", gauges.usage.subscriptions_down)
      .number("labels", gauges.usage.labels)
      .number("timers", gauges.usage.timers)
      .number("passes_blocked", gauges.passes_blocked)
      .end_object();
}

void write_queues(JsonWriter& json, const NodeRuntime& node) {
  static constexpr const char* kStates[] = {"closed", "open", "closing"};
  const NodeRings& rings = node.rings();
  json.array("queues");
  for (size_t i = 0; i < rings.channels.size(); ++i) {
    const HostChannel& channel = *rings.channels[i];
    json.object()
        .number("queue", i)
        .text("state", kStates[channel.state()])
        .number("commands_waiting", channel.commands.size_approx())
        .number("events_waiting", channel.events_waiting())
        .number("notices_lost", channel.notices_lost());
    json.array("cores");
    for (const auto& core : rings.cores) {
      json.object()
          .number("to_core", core->queues[i]->to_core.size_approx())
          .number("to_host", core->queues[i]->to_host.size_approx())
          .number("depth", core->queues[i]->to_host.capacity())
          .end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
}

}  // namespace

std::string stats_json(const NodeRuntime& node) {
  JsonWriter json;
  json.object();
  write_node(json, node);
  json.array("cores");
  for (const auto& core : node.cores()) write_core(json, *core);
  json.end_array();
  write_counters(json, "mesh", node.mesh().counters(), MeshCounter{}, mesh_counter_name);
  if (const SealedCounters* const sealed = node.sealed_counters(); sealed != nullptr)
    write_counters(json, "sealed", *sealed, SealedCounter{}, sealed_counter_name);
  write_outcomes(json, node.mesh());
  write_links(json, node);
  write_usage(json, node);
  write_queues(json, node);
  json.object("service").number("log_lost", node.rings().log_lost.value());
  write_times(json, "timer_lateness_us", node.timer_lateness());
  json.end_object();
  json.end_object();
  return json.take();
}

}  // namespace trunkline::relay
