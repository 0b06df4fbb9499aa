// The relay: a PacketPath on a DpdkPort, with the commands that the mesh thread would send put into its
// rings.
#include <cstdio>
#include <cstdlib>

#include "bench/path/contestants.h"
#include "core/rng.h"
#include "io/dpdk_plugin.h"
#include "io/page_source.h"
#include "relay/null_suite.h"
#include "relay/packet_path.h"

namespace trunkline::bench {
namespace {

using relay::CoreCommand;
using relay::CoreCommandKind;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

relay::NodeConfig config_for(const LoadShape& shape, uint32_t outputs) {
  relay::NodeConfig config;
  config.cluster = "lab-bench";
  config.lab = true;
  config.listen = kRelayAddress;
  config.limits.max_peers = outputs + 1;
  config.limits.max_flows_per_core = shape.labels;
  config.limits.max_outputs_per_core = shape.labels * outputs;
  config.limits.core_ring_depth = 1 << 14;
  return config;
}

class Relay final : public Contestant {
 public:
  Relay(const LoadShape& shape, uint32_t outputs)
      : load_(shape),
        config_(config_for(shape, outputs)),
        device_(open(shape)),
        port_(port_of(*device_)),
        rings_(config_.limits, 0),
        path_(config_, core::CoreId{0}, *port_, crypto_, pages_, rings_) {
    if (auto bound = path_.open_mesh(kRelayAddress); !bound) give_up(bound.error().text);
    if (auto started = device_->start(); !started) give_up(started.error().text);
    port_->enter_thread();
    load_.attach("net_null0");
    load_.introduce(true);
    turn();
    load_.introduce(false);
    open_session(0, kFromAddress, false);
    for (uint16_t i = 0; i < outputs; ++i) {
      core::UdpAddress to = kToAddress;
      to.port = static_cast<uint16_t>(to.port + i);
      open_session(static_cast<uint16_t>(i + 1), to, true);
    }
    for (uint32_t flow = 0; flow < shape.labels; ++flow) open_flow(flow, outputs);
    while (rings_.commands.size_approx() != 0) turn();
    dropped_before_ = path_.drops().total();
  }
  ~Relay() override {
    load_.detach();
    port_->leave_thread();
  }

  uint32_t turn() override {
    now_ += core::Nanos{500};  // what a burst takes
    path_.run_once(now_);
    const uint64_t done = path_.counters().value(relay::CoreCounter::media_in);
    return static_cast<uint32_t>(done - std::exchange(moved_, done));
  }
  void check() const override {
    if (path_.drops().total() == dropped_before_) return;
    for (uint32_t i = 0; i < static_cast<uint32_t>(relay::DropReason::kCount); ++i) {
      const auto reason = static_cast<relay::DropReason>(i);
      if (path_.drops().value(reason) != 0)
        std::fprintf(stderr, "bench: %lu x %s\n", path_.drops().value(reason),
                     relay::drop_reason_text(reason));
    }
    give_up("the relay dropped packets");
  }

 private:
  static std::unique_ptr<io::Device> open(const LoadShape& shape) {
    io::DeviceOptions options;
    options.device = "net_null0,copy=0,size=" + std::to_string(Load(shape).frame_bytes());
    options.addresses = {{kRelayAddress, 24}};
    options.addresses[0].address.port = 0;
    options.buffers = 16'384;
    options.udp_checksum_ipv4 = false;  // the peers do not sum the payload either
    auto device = io::open_device(options);
    if (!device) give_up(device.error().text);
    return std::move(device).value();
  }
  std::unique_ptr<io::Port> port_of(io::Device& device) {
    io::PortOptions options;
    options.pages = &pages_;
    auto port = device.make_port(0, options);
    if (!port) give_up(port.error().text);
    return std::move(port).value();
  }

  void push(const CoreCommand& command) {
    while (!rings_.commands.try_push(command)) turn();
  }
  void open_session(uint16_t link, const core::UdpAddress& address, bool active) {
    CoreCommand c;
    c.kind = CoreCommandKind::kSessionInstall;
    c.session.slot = link;
    c.session.link = link;
    c.session.receive_index = relay::SessionIndex::make(core::CoreId{0}, link, 77);
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
  void open_flow(uint32_t flow, uint32_t outputs) {
    CoreCommand c;
    c.kind = CoreCommandKind::kFlowOpen;
    c.open = {.flow = flow,
              .label = relay::flow_label(flow, core::CoreId{0}, 0, 1),
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

  Load load_;
  relay::NodeConfig config_;
  core::Rng rng_{1};
  relay::NullCrypto crypto_{rng_};
  io::MmapPageSource pages_;
  std::unique_ptr<io::Device> device_;
  std::unique_ptr<io::Port> port_;
  relay::CoreRings rings_;
  relay::PacketPath path_;
  core::Nanos now_ = core::from_s(1);
  uint64_t moved_ = 0;
  uint64_t dropped_before_ = 0;
};

}  // namespace

std::unique_ptr<Contestant> make_relay(const LoadShape& shape, uint32_t outputs) {
  return std::make_unique<Relay>(shape, outputs);
}

}  // namespace trunkline::bench
