// The relay with one data core, as a contestant. Its clock moves by what a burst takes, so that time is as
// cheap as it is for the peers, who have none.
#include <memory>
#include <utility>

#include "bench/path/contestants.h"
#include "bench/path/relay_core.h"
#include "io/thread.h"

namespace trunkline::bench {
namespace {

class Relay final : public Contestant {
 public:
  Relay(const LoadShape& shape, uint32_t outputs)
      : config_(relay_config(shape, outputs)),
        rings_(config_.limits, config_.host_queues),
        core_(config_, core::CoreId{0}, rings_, shape, outputs) {
    core_.enter();
  }
  ~Relay() override { core_.leave(); }

  uint32_t turn() override {
    now_ += kBurstTakes;
    core_.run(now_);
    const uint64_t done = core_.path().counters().value(relay::CoreCounter::media_in);
    return static_cast<uint32_t>(done - std::exchange(moved_, done));
  }
  void check() const override { core_.check_drops(); }
  void time_stages(bool on) override { core_.path().time_stages(on ? times_.get() : nullptr); }

 private:
  static constexpr core::Nanos kBurstTakes{500};

  relay::NodeConfig config_;
  relay::CoreRings rings_;
  std::unique_ptr<relay::StageTimes> times_ = std::make_unique<relay::StageTimes>();
  RelayCore core_;
  core::Nanos now_ = io::monotonic_now();
  uint64_t moved_ = 0;
};

}  // namespace

std::unique_ptr<Contestant> make_relay(const LoadShape& shape, uint32_t outputs) {
  return std::make_unique<Relay>(shape, outputs);
}

}  // namespace trunkline::bench
