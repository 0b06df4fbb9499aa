// See relay_core.h.
#include "bench/path/relay_core.h"

#include <cstdio>
#include <cstdlib>

#include "io/dpdk_plugin.h"
#include "io/thread.h"

namespace trunkline::bench {
namespace {

using relay::CoreCommand;
using relay::CoreCommandKind;

// DPDK names are of the process.
std::string next_device() {
  static uint32_t made = 0;
  return "net_null" + std::to_string(made++);
}

}  // namespace

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

relay::NodeConfig relay_config(const LoadShape& shape, uint32_t outputs) {
  relay::NodeConfig config;
  config.cluster = "lab-bench";
  config.lab = true;
  config.listen = kRelayAddress;
  config.data_cores = shape.cores;
  config.host_queues = 0;
  config.limits.max_peers = outputs + 1;
  config.limits.max_flows_per_core = shape.labels;
  config.limits.max_outputs_per_core = shape.labels * outputs;
  config.limits.core_ring_depth = 1 << 14;
  return config;
}

RelayCore::RelayCore(const relay::NodeConfig& config, core::CoreId id, relay::CoreRings& rings,
                     const LoadShape& shape, uint32_t outputs)
    : id_(id),
      core_bits_(relay::core_bits_for(config.data_cores)),
      rings_(rings),
      load_(shape),
      name_(next_device()),
      device_(open(shape, name_)),
      port_(make_port(id)),
      path_(config, id, *port_, crypto_, pages_, rings),
      now_(io::monotonic_now()) {
  if (auto bound = path_.open_mesh(kRelayAddress); !bound) give_up(bound.error().text);
  if (auto started = device_->start(); !started) give_up(started.error().text);
  load_.attach(name_.c_str());
  enter();
  introduce(now_);
  load_.arrive(Arrivals::kNothing);
  open_session(0, kFromAddress, false);
  for (uint16_t i = 0; i < outputs; ++i) {
    core::UdpAddress to = kToAddress;
    to.port = static_cast<uint16_t>(to.port + i);
    open_session(static_cast<uint16_t>(i + 1), to, true);
  }
  for (uint32_t flow = 0; flow < shape.labels; ++flow) open_flow(flow, outputs);
  while (rings_.commands.size_approx() != 0) run(now_);
  load_.arrive(Arrivals::kMedia);
  leave();
}

RelayCore::~RelayCore() {
  load_.detach();
}

std::unique_ptr<io::Device> RelayCore::open(const LoadShape& shape, const std::string& name) {
  io::DeviceOptions options;
  options.device = name + ",copy=0,size=" + std::to_string(DeviceLoad(shape).frame_bytes());
  options.addresses = {{kRelayAddress, 24}};
  options.addresses[0].address.port = 0;
  options.buffers = 16'384;
  options.udp_checksum_ipv4 = false;  // the peers do not sum the payload either
  auto device = io::open_device(options);
  if (!device) give_up(device.error().text);
  return std::move(device).value();
}

std::unique_ptr<io::Port> RelayCore::make_port(core::CoreId id) {
  io::PortOptions options;
  options.pages = &pages_;
  options.core = id.value;
  auto port = device_->make_port(0, options);
  if (!port) give_up(port.error().text);
  return std::move(port).value();
}

void RelayCore::introduce(core::Nanos now) {
  load_.arrive(Arrivals::kIntroductions);
  run(now);
  load_.arrive(Arrivals::kMedia);
}

void RelayCore::check_drops(relay::DropReason allowed) const {
  bool found = false;
  for (uint32_t i = 0; i < static_cast<uint32_t>(relay::DropReason::kCount); ++i) {
    const auto reason = static_cast<relay::DropReason>(i);
    if (reason == allowed || path_.drops().value(reason) == 0) continue;
    found = true;
    std::fprintf(stderr, "bench: %lu x %s\n", path_.drops().value(reason), relay::drop_reason_text(reason));
  }
  if (found) give_up("the relay dropped packets");
}

// ---- the mesh thread's part

void RelayCore::push(const CoreCommand& command) {
  while (!rings_.commands.try_push(command)) run(now_);
}

void RelayCore::open_session(uint16_t link, const core::UdpAddress& address, bool active) {
  CoreCommand c;
  c.kind = CoreCommandKind::kSessionInstall;
  c.session.slot = link;
  c.session.link = link;
  c.session.receive_index = link == 0 ? load_session(id_) : relay::SessionIndex::make(id_, link, 77);
  c.session.keys = load_keys();
  c.session.peer_address = address;
  c.session.peer_cores = 1;
  c.session.peer_ports[0] = address.port;
  c.session.peer_indexes[0] = relay::SessionIndex::make(core::CoreId{0}, 5, 0x1234);
  push(c);
  if (!active) return;
  c.kind = CoreCommandKind::kSessionActivate;
  c.slot = link;
  push(c);
}

void RelayCore::open_flow(uint32_t flow, uint32_t outputs) {
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowOpen;
  c.open = {.flow = flow,
            .label = relay::flow_label(flow, id_, core_bits_, 1),
            .source = relay::FlowSource::kUpstream,
            .link = 0};
  push(c);
  c.kind = CoreCommandKind::kOutputAdd;
  for (uint16_t i = 0; i < outputs; ++i) {
    c.change = {flow,
                {.kind = relay::OutputKind::kLink,
                 .target = static_cast<uint16_t>(i + 1),
                 .label = relay::flow_label(flow, core::CoreId{0}, 0, 2)}};
    push(c);
  }
}

}  // namespace trunkline::bench
