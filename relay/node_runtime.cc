// See node_runtime.h.
#include "relay/node_runtime.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "io/device.h"
#include "io/impaired_port.h"
#include "io/port_factory.h"
#include "relay/include/trunkline/trunkline.h"
#include "relay/sealed_crypto.h"

namespace trunkline::relay {

namespace {

uint64_t unix_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

uint64_t random_seed() {
  uint64_t seed = 0;
  // Cannot fail for 8 bytes once the system is up; the clock then still tells two nodes apart.
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) seed = unix_ms();
  return seed;
}

io::PortKind port_kind(PortChoice choice) {
  switch (choice) {
    case PortChoice::kMmsg:
      return io::PortKind::kMmsg;
    case PortChoice::kUring:
      return io::PortKind::kUring;
    case PortChoice::kAuto:
    case PortChoice::kDpdk:  // makes its own (open_device)
      break;
  }
  return io::PortKind::kAuto;
}

}  // namespace

std::vector<io::ImpairedPath> impaired_paths(const NodeConfig& config) {
  const auto ms = [](double value) { return core::from_us(static_cast<int64_t>(value * 1'000)); };
  std::vector<io::ImpairedPath> paths;
  for (const ImpairmentConfig& from : config.impairments) {
    io::ImpairedPath path;
    path.to = from.to;
    path.prefix_bits = from.to.family == 6 ? 128 : 32;
    path.impairment.delay = ms(from.delay_ms);
    path.impairment.jitter = ms(from.jitter_ms);
    path.impairment.loss = from.loss;
    path.impairment.p_good_to_bad = from.burst_enter;
    path.impairment.p_bad_to_good = from.burst_leave;
    path.impairment.loss_in_bad = from.burst_loss;
    path.impairment.duplicate = from.duplicate;
    path.impairment.reorder = from.reorder;
    path.impairment.reorder_extra = ms(from.reorder_ms);
    path.impairment.corrupt = from.corrupt;
    path.impairment.rate_bps = from.rate_bps;
    path.impairment.queue_bytes = from.queue_bytes;
    path.impairment.cut = from.cut;
    paths.push_back(path);
  }
  return paths;
}

// ---- start

NodeRuntime::NodeRuntime(NodeConfig config, LogTarget log)
    : config_(std::move(config)),
      log_(log),
      incarnation_(unix_ms()),
      started_(io::monotonic_now()),
      rng_(random_seed()) {}

core::Result<std::unique_ptr<NodeRuntime>> NodeRuntime::start(NodeConfig config, LogTarget log) {
  std::unique_ptr<NodeRuntime> node(new NodeRuntime(std::move(config), log));
  node->rings_ = std::make_unique<NodeRings>(node->config_, node->pages_);
  if (auto made = node->make_crypto(); !made) return made.error();
  if (auto made = node->make_cores(); !made) return made.error();
  std::vector<uint16_t> ports;
  for (const auto& core : node->cores_) ports.push_back(core->port().endpoint_address(0).port);
  node->mesh_ =
      std::make_unique<MeshNode>(node->config_, node->incarnation_, ports, node->rng_, *node->crypto_);
  node->driver_ = std::make_unique<MeshDriver>(node->config_, *node->mesh_, *node->rings_);
  if (node->key_log_) node->driver_->log_keys_to(&*node->key_log_);
  for (uint32_t i = 0; i < node->mesh_->link_count(); ++i)
    node->links_.push_back(std::make_unique<Snapshot<LinkStatus>>());
  node->publish_state(node->started_);
  node->announce();
  if (auto started = node->start_threads(); !started) return core::Error{TL_ESYSTEM, started.error().text};
  return node;
}

core::Result<void> NodeRuntime::make_crypto() {
  if (!seals(config_)) {
    crypto_ = std::make_unique<NullCrypto>(rng_);
    security_ = "datagrams are neither encrypted nor authenticated: wire.suite is 'null'";
    return {};
  }
  const uint64_t unix_s = incarnation_ / 1'000;
  auto keys = read_node_keys(config_, unix_s);
  if (!keys) return core::Error{TL_ECONFIG, keys.error().text};
  auto made = SealedCrypto::make(config_, std::move(keys).value(), unix_s, started_, randomness_);
  if (!made) return core::Error{TL_ECONFIG, made.error().text};
  const uint64_t left_s = (*made)->identity().own().expires - unix_s;
  security_ = "datagrams are sealed by " + config_.find_setting("suite")->current +
              "; the certificate is valid for " + std::to_string(left_s / 86'400) + " days and " +
              std::to_string(left_s / 3'600 % 24) + " hours";
  identity_ = &(*made)->identity();
  if (!config_.security.key_log.empty()) {
    auto log = KeyLog::open(config_.security.key_log);
    if (!log) return core::Error{TL_ECONFIG, "security.key_log: " + log.error().text};
    key_log_ = std::move(log).value();
    security_ +=
        "; WARNING: whoever reads " + config_.security.key_log + " reads every session (security.key_log)";
  }
  crypto_ = std::move(made).value();
  return {};
}

core::Result<void> NodeRuntime::open_device() {
  if (config_.port != PortChoice::kDpdk) return {};
  io::DeviceOptions options = config_.device;
  options.queues = config_.data_cores;
  options.mtu = config_.mtu;
  auto device = io::open_device(options);
  if (!device) return core::Error{TL_ESYSTEM, device.error().text};
  device_ = std::move(device).value();
  return {};
}

core::Result<std::unique_ptr<io::Port>> NodeRuntime::make_wire(uint32_t core, std::string& why) {
  io::PortOptions options;
  options.pages = &pages_;
  options.core = static_cast<uint8_t>(core);
  if (device_ == nullptr) return io::make_port(port_kind(config_.port), options, &why);
  return io::make_device_port(*device_, core, options, &why);
}

core::Result<void> NodeRuntime::make_cores() {
  if (auto opened = open_device(); !opened) return opened;
  const std::vector<io::ImpairedPath> paths = impaired_paths(config_);
  for (uint32_t i = 0; i < config_.data_cores; ++i) {
    std::string why;
    auto port = make_wire(i, why);
    if (!port) return core::Error{TL_ESYSTEM, port.error().text};
    std::unique_ptr<io::Port> wire = std::move(port).value();
    if (!paths.empty()) {
      io::ImpairedOptions impaired;
      impaired.pages = &pages_;
      impaired.seed = config_.impairment_seed + i;
      wire = std::make_unique<io::ImpairedPort>(std::move(wire), paths, impaired);
    }
    auto core = std::make_unique<DataCore>(config_, CoreId{static_cast<uint8_t>(i)}, std::move(wire),
                                           *crypto_, pages_, *rings_, mesh_wake_, cores_);
    UdpAddress listen = config_.listen;
    if (listen.port != 0) listen.port = static_cast<uint16_t>(listen.port + i);
    auto bound = core->open_mesh(listen);
    if (!bound) return core::Error{TL_ESYSTEM, "node.listen: " + bound.error().text};
    if (i == 0) listen_ = *bound;
    description_ += "core " + std::to_string(i) + " on " + bound->to_string() + ": " + why + "; " +
                    core->port().describe() + "\n";
    cores_.push_back(std::move(core));
  }
  description_ += "memory: " + pages_.describe() + "\n";
  return device_ == nullptr ? core::Result<void>{} : start_device();
}

// A device spreads what it receives over its queues: each core takes datagrams for every other's address.
core::Result<void> NodeRuntime::start_device() {
  for (const auto& core : cores_) {
    for (const auto& other : cores_) {
      if (core == other) continue;
      if (auto open = core->listen_for(other->port().endpoint_address(0)); !open)
        return core::Error{TL_ESYSTEM, "node.listen: " + open.error().text};
    }
  }
  if (auto started = device_->start(); !started) return core::Error{TL_ESYSTEM, started.error().text};
  return {};
}

// Into the log's ring, while no mesh thread is there to write into it.
void NodeRuntime::say(LogLevel level, const std::string& text) {
  LogLine line;
  line.level = level;
  line.length = static_cast<uint16_t>(std::min(text.size(), line.text.size()));
  std::copy_n(text.data(), line.length, line.text.data());
  if (!rings_->log.try_push(line)) rings_->log_lost.add();
}

void NodeRuntime::announce() {
  say(LogLevel::kInfo, "node " + std::to_string(config_.id.value) + " '" + config_.name + "' in " +
                           config_.region + ", cluster " + config_.cluster + ", incarnation " +
                           std::to_string(incarnation_));
  say(seals(config_) && !key_log_ ? LogLevel::kInfo : LogLevel::kWarn, security_);
  for (size_t from = 0; from < description_.size();) {
    const size_t end = description_.find('\n', from);
    say(LogLevel::kInfo, description_.substr(from, end - from));
    from = end + 1;
  }
}

core::Result<void> NodeRuntime::start_threads() {
  const auto mesh = [](void* self) { static_cast<NodeRuntime*>(self)->run_mesh(); };
  const auto service = [](void* self) { static_cast<NodeRuntime*>(self)->run_service(); };
  const auto core = [](void* self) { static_cast<DataCore*>(self)->run(); };
  if (auto started = service_thread_.start("tl-service", -1, service, this); !started) return started;
  for (uint32_t i = 0; i < cores_.size(); ++i) {
    core_threads_.push_back(std::make_unique<io::Thread>());
    const std::string name = "tl-core-" + std::to_string(i);
    const int cpu = config_.pin.empty() ? -1 : config_.pin[i];
    if (auto started = core_threads_[i]->start(name.c_str(), cpu, core, cores_[i].get()); !started)
      return started;
  }
  return mesh_thread_.start("tl-mesh", -1, mesh, this);
}

// ---- stop

NodeRuntime::~NodeRuntime() {
  if (!stopped_) stop(Nanos{});
  if (device_ == nullptr) return;
  cores_.clear();
  const uint32_t missing = device_->close();
  if (missing == 0) return;
  const std::string line =
      std::to_string(missing) + " buffers of the device were not given back by its driver";
  write_log(static_cast<int>(LogLevel::kWarn), line.c_str());
}

NodeRuntime::StopReport NodeRuntime::stop(Nanos drain) {
  stopped_ = true;
  StopReport report;
  // Take back: ends when the mesh thread says so, or at the deadline.
  const Nanos deadline = io::monotonic_now() + drain;
  uint32_t expected = kRunning;
  mesh_phase_.compare_exchange_acq_rel(expected, kDrain);  // R1: nothing but the wish
  mesh_wake_.wake();
  for (;;) {
    stopper_.word.announce_sleep();                           // A1
    report.drained = mesh_phase_.load_acquire() == kDrained;  // A2
    const Nanos left = deadline - io::monotonic_now();
    if (report.drained || left.ns <= 0) break;
    stopper_.sleep(left);
  }
  mesh_phase_.store_release(kStop);  // R1
  mesh_wake_.event.signal();
  mesh_thread_.join();
  // The cores send what the mesh wrote last, then end.
  for (const auto& core : cores_) core->stop();
  for (const auto& thread : core_threads_) thread->join();
  report.usage = mesh_ != nullptr ? mesh_->usage() : MeshNode::Usage{};
  if (drain.ns > 0 && !report.drained) {
    say(LogLevel::kWarn,
        "stopped before everything was taken back: " + std::to_string(report.usage.publications) +
            " publications, " + std::to_string(report.usage.acquires) + " acquires, " +
            std::to_string(report.usage.subscriptions_down) + " subscriptions of peers");
  }
  service_stop_.store_release(true);  // R1: lines written before
  service_wake_.event.signal();
  service_thread_.join();
  for (const auto& core : cores_) {
    report.cores.push_back(core->conservation());
    report.conserved = report.conserved && report.cores.back().holds();
  }
  TL_CHECK(handover_adds_up());
  return report;
}

// What one core gave another took, or it waits between them.
bool NodeRuntime::handover_adds_up() const {
  uint64_t given = 0, taken = 0, waiting = 0;
  for (const auto& core : cores_) {
    given += core->path().counters().value(CoreCounter::handed_over);
    taken += core->path().counters().value(CoreCounter::taken_over);
  }
  for (const auto& handover : rings_->handovers) waiting += handover->waiting();
  return given == taken + waiting;
}

// ---- questions

core::Result<void> NodeRuntime::ask(Question question, Reply& reply) {
  bool idle = false;
  if (!asking_.compare_exchange_acq_rel(idle, true))  // A1, R1: the asking end, from one thread to the next
    return core::Error{TL_EINUSE, "another thread is asking this node: try again in a moment"};
  QuestionRings& rings = rings_->ask;
  question.serial = ++questions_;
  const Nanos deadline = io::monotonic_now() + QuestionRings::kPatience;
  bool answered = false;
  bool pushed = false;
  for (;;) {
    asker_.word.announce_sleep();  // A1, R2
    // What came too late for an earlier question is thrown away: it makes room.
    while (!answered && rings.replies.try_pop(reply)) answered = reply.serial == question.serial;
    pushed = pushed || rings.questions.try_push(question);
    wake_mesh();
    const Nanos left = deadline - io::monotonic_now();
    if (answered || left.ns <= 0) break;
    asker_.sleep(left);
  }
  asker_.word.awake();           // A1
  asking_.store_release(false);  // R1
  if (answered) return {};
  return core::Error{TL_ETIMEOUT,
                     "the mesh thread has not answered for a second: is the process stopped, or starved "
                     "of processor time?"};
}

// ---- the mesh thread

void NodeRuntime::run_mesh() noexcept {
  io::sharpen_thread_timers();
  for (;;) {
    const uint32_t phase = mesh_phase_.load_acquire();  // A1
    if (phase == kStop) return;
    if (phase == kDrain) driver_->begin_shutdown();
    const Nanos now = io::monotonic_now();
    if (const Nanos due = mesh_->next_deadline(); due.ns > 0 && due <= now)
      timer_lateness_.record((now - due).ns);
    const uint32_t done = driver_->run_once(now);
    wake(driver_->take_touched());
    state_stale_ = state_stale_ || done != 0;
    if (state_stale_ && now >= state_due_) publish_state(now);
    if (phase == kDrain && driver_->shut_down(now)) {
      uint32_t expected = kDrain;
      mesh_phase_.compare_exchange_acq_rel(expected, kDrained);  // R2
      stopper_.wake();
    }
    if (done != 0) continue;
    mesh_wake_.word.announce_sleep();  // A1, R2
    if (!driver_->has_input()) {
      // An idle node sleeps for as long as its timers allow; one that did something says so first.
      const Nanos due =
          state_stale_ ? std::min(driver_->next_deadline(), state_due_) : driver_->next_deadline();
      mesh_wake_.sleep(due - io::monotonic_now());
    }
    mesh_wake_.word.awake();  // A1
  }
}

void NodeRuntime::wake(const Touched& touched) noexcept {
  for (uint32_t bits = touched.cores; bits != 0; bits &= bits - 1)
    cores_[static_cast<size_t>(__builtin_ctz(bits))]->wake();
  for (uint64_t bits = touched.channels; bits != 0; bits &= bits - 1)
    rings_->channels[static_cast<size_t>(__builtin_ctzll(bits))]->host.wake();
  if (touched.log) service_wake_.wake();
  if (touched.asker) asker_.wake();
}

void NodeRuntime::publish_state(Nanos now) noexcept {
  state_due_ = now + kStateInterval;
  state_stale_ = false;
  gauges_.write(driver_->gauges());
  for (LinkId link = 0; link < links_.size(); ++link) links_[link]->write(mesh_->link(link));
}

// ---- the service thread

void NodeRuntime::run_service() noexcept {
  LogLine line;
  char text[sizeof line.text + 1];
  for (;;) {
    const bool stop = service_stop_.load_acquire();  // A1
    while (rings_->log.try_pop(line)) {
      std::copy_n(line.text.data(), line.length, text);
      text[line.length] = 0;
      write_log(static_cast<int>(line.level), text);
    }
    if (device_ != nullptr) write_device_log();
    if (stop) return;
    service_wake_.word.announce_sleep();  // A1, R2
    if (rings_->log.peek(1).empty() && !service_stop_.load_relaxed()) service_wake_.sleep(core::from_s(1));
    service_wake_.word.awake();  // A1
  }
}

void NodeRuntime::write_device_log() noexcept {
  for (const std::string& words : device_->take_log())
    write_log(static_cast<int>(LogLevel::kInfo), ("dpdk: " + words).c_str());
}

void NodeRuntime::write_log(int level, const char* line) noexcept {
  if (log_.write != nullptr) return log_.write(log_.user, level, line);
  static constexpr const char* kLevels[] = {"debug", "info", "warn", "error"};
  std::fprintf(stderr, "trunkline: %s: %s\n", kLevels[level & 3], line);
}

}  // namespace trunkline::relay
