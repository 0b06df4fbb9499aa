// A host with a crowd before its door: an SFU that embeds libtrunkline and acquires thousands of tracks at
// once.
//
//   crowd_host CONFIG HOT DISTINCT ABSENT SPREAD_MS DEADLINE_MS
//
// Opens the node of CONFIG, whose taps relay live media meanwhile, and says "ready". At a line on its input
// it acquires, evenly spread over SPREAD_MS: HOT times the track "hot", "one-0".."one-N" once each, and
// "absent-0".. that nobody has. It takes every event until each acquire has ended and half a second longer,
// in case one ends twice; then it prints one JSON object each: what came of the crowd, the node's statistics,
// and why "hot" and "live-1000" (do not) flow. Through the C ABI alone, as any host would.
// One thread beside the node's own; at most ten seconds.
#include <trunkline/trunkline.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kStride = 7919;  // a prime: all kinds are asked throughout
constexpr uint64_t kTickUs = 1000;
constexpr std::chrono::milliseconds kPatience{8000};
constexpr std::chrono::milliseconds kLonger{500};

enum Kind : std::size_t { kHot, kOne, kAbsent, kKinds };
constexpr std::array<const char*, kKinds> kNames{"hot", "one", "absent"};

struct Acquire {
  trunkline::TrackBytes track;
  Kind kind;
  uint32_t outcomes = 0;
};

int64_t us_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
}

class Crowd {
 public:
  Crowd(trunkline::Queue& queue, std::vector<Acquire> acquires, uint32_t deadline_ms)
      : queue_(queue), acquires_(std::move(acquires)), deadline_ms_(deadline_ms) {}

  // False: an acquire was not accepted; said on stderr.
  bool ask(int64_t spread_us) {
    const Clock::time_point begin = Clock::now();
    for (std::size_t asked = 0; asked < acquires_.size();) {
      const auto due = static_cast<std::size_t>(
          std::min<int64_t>(us_since(begin) * static_cast<int64_t>(acquires_.size()) / spread_us + 1,
                            static_cast<int64_t>(acquires_.size())));
      for (; asked < due; ++asked) {
        const auto handle = queue_.acquire({.track = acquires_[asked].track, .deadline_ms = deadline_ms_});
        if (!handle) {
          std::fprintf(stderr, "acquire %zu: %s\n", asked, handle.error().text.c_str());
          return false;
        }
        by_handle_[*handle] = asked;
      }
      take();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    asked_us_ = us_since(begin);
    return true;
  }

  void finish() {
    const Clock::time_point until = Clock::now() + kPatience;
    while (ended_ < acquires_.size() && Clock::now() < until) {
      take();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const Clock::time_point longer = Clock::now() + kLonger;
    while (Clock::now() < longer) {
      take();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void print() const {
    std::size_t never = 0, again = 0;
    for (const Acquire& a : acquires_) {
      never += a.outcomes == 0 ? 1 : 0;
      again += a.outcomes > 1 ? 1 : 0;
    }
    std::printf(
        "{\"asked_us\":%lld,\"never\":%zu,\"again\":%zu,\"ended_later\":%zu,\"late\":%zu,\"slowest_us\":%llu",
        static_cast<long long>(asked_us_), never, again, ended_later_, late_,
        static_cast<unsigned long long>(slowest_us_));
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
      std::printf(",\"%s\":{", kNames[kind]);
      const char* comma = "";
      for (const auto& [outcome, count] : outcomes_[kind]) {
        std::printf("%s\"%s\":%zu", comma, tl_outcome_name(outcome), count);
        comma = ",";
      }
      std::printf("}");
    }
    std::printf("}\n");
  }

 private:
  void take() {
    std::array<trunkline::Event, 256> room;
    for (int rounds = 0; rounds < 16; ++rounds) {
      const auto events = queue_.events(room);
      for (const trunkline::Event& event : events) on(event);
      if (events.size() < room.size()) return;
    }
  }

  void on(const trunkline::Event& event) {
    const auto found = by_handle_.find(event.handle);
    if (found == by_handle_.end()) return;
    if (event.kind == TL_EVENT_ENDED) ++ended_later_;
    if (event.kind != TL_EVENT_OUTCOME) return;
    Acquire& acquire = acquires_[found->second];
    if (++acquire.outcomes == 1) ++ended_;
    ++outcomes_[acquire.kind][event.outcome];
    slowest_us_ = std::max(slowest_us_, event.elapsed_us);
    if (event.elapsed_us >= deadline_ms_ * uint64_t{1000} + kTickUs) ++late_;
  }

  trunkline::Queue& queue_;
  std::vector<Acquire> acquires_;
  uint32_t deadline_ms_;
  std::unordered_map<trunkline::Handle, std::size_t> by_handle_;
  std::array<std::map<uint32_t, std::size_t>, kKinds> outcomes_;
  std::size_t ended_ = 0, ended_later_ = 0, late_ = 0;
  uint64_t slowest_us_ = 0;
  int64_t asked_us_ = 0;
};

// The tracks by id, made before the clock starts. Empty: said on stderr.
std::vector<Acquire> crowd_of(const trunkline::Node& node, const std::array<std::size_t, kKinds>& sizes) {
  std::vector<Acquire> in_order;
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    for (std::size_t i = 0; i < sizes[kind]; ++i) {
      const std::string name = kind == kHot ? "hot" : std::string(kNames[kind]) + "-" + std::to_string(i);
      const auto track = node.track_id(name);
      if (!track) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), track.error().text.c_str());
        return {};
      }
      in_order.push_back({*track, static_cast<Kind>(kind)});
    }
  }
  std::vector<Acquire> mixed;
  for (std::size_t i = 0; i < in_order.size(); ++i) mixed.push_back(in_order[i * kStride % in_order.size()]);
  return mixed;
}

void log_line(void*, int, const char* line) {
  std::fprintf(stderr, "%s\n", line);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: crowd_host CONFIG HOT DISTINCT ABSENT SPREAD_MS DEADLINE_MS\n");
    return 2;
  }
  const auto number = [&](int i) { return std::strtoul(argv[i], nullptr, 10); };
  auto node = trunkline::Node::open({.config_path = argv[1], .log = log_line});
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().text.c_str());
    return 1;
  }
  auto queue = node->queue(0);
  std::vector<Acquire> acquires = crowd_of(*node, {number(2), number(3), number(4)});
  if (!queue || acquires.empty() || acquires.size() % kStride == 0) return 1;
  Crowd crowd(*queue, std::move(acquires), static_cast<uint32_t>(number(6)));
  std::printf("ready\n");
  std::fflush(stdout);
  if (std::getchar() == EOF) return 0;
  if (!crowd.ask(static_cast<int64_t>(number(5)) * 1000)) return 1;
  crowd.finish();
  crowd.print();
  const auto stats = node->stats_json();
  std::printf("%s\n", stats ? stats->c_str() : "{}");
  for (const char* name : {"hot", "live-1000"}) {
    const auto track = node->track_id(name);
    const auto why =
        track ? node->explain_json(*track, name) : trunkline::Expected<std::string>(track.error());
    std::printf("%s\n", why ? why->c_str() : "{}");
  }
  std::fflush(stdout);
  // The relayed media goes on until the test has counted it.
  while (std::getchar() != EOF) {
  }
  return 0;
}
