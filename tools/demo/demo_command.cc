// The demo's story, told by the parent process. Each act prints a table and returns whether everything held.
#include "tools/demo/demo_command.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "core/histogram.h"
#include "tools/demo/demo_plan.h"
#include "tools/demo/demo_process.h"
#include "trunkline/trunkline.h"

namespace trunkline::tools {
namespace {

using namespace demo;

constexpr int kStartMs = 5'000;  // a node is up well within this
constexpr int kLinksMs = 5'000;  // three handshakes over 242 ms
constexpr uint32_t kDeadlineMs = 1'000;

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}

OrderMessage order(Order kind, const char* track = "", uint64_t node = 0, uint32_t deadline_ms = 0,
                   int tracks = 0) {
  OrderMessage o;
  o.order = kind;
  o.node = node;
  o.deadline_ms = deadline_ms;
  o.tracks = static_cast<uint32_t>(tracks);
  std::snprintf(o.track.data(), o.track.size(), "%s", track);
  return o;
}

// Prints "ok" or "FAILED" at the end of a line and remembers.
class Verdict {
 public:
  bool check(bool held, const char* what) {
    if (!held) std::printf("  FAILED: %s\n", what);
    all_ = all_ && held;
    return held;
  }
  bool all() const { return all_; }

 private:
  bool all_ = true;
};

struct Mesh {
  std::vector<Member> members;
  std::vector<Process> nodes;  // in the order of members
};

bool start_mesh(Mesh& mesh, const std::vector<Place>& places, const std::vector<Variant>& variants,
                const std::string& port, const DevCluster& keys, std::string& description) {
  const std::vector<uint16_t> ports = free_ports(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) mesh.members.push_back({places[i], ports[i]});
  for (std::size_t i = 0; i < places.size(); ++i) {
    mesh.nodes.push_back(
        Process::start(places[i], config_text(places[i], mesh.members, variants[i], port, keys)));
  }
  NewsMessage news;
  for (const Process& node : mesh.nodes) {
    if (!node.receive(news, kStartMs) || news.news != News::kReady) {
      std::printf("node %s did not start: %s\n", node.place().name, news.text.data());
      return false;
    }
    if (description.empty()) description = news.text.data();
  }
  return true;
}

bool wait_for_links(const Mesh& mesh) {
  const int64_t end = now_ms() + kLinksMs;
  NewsMessage news;
  for (const Process& node : mesh.nodes) {
    for (;;) {
      if (node.ask(order(Order::kLinks), News::kLinks, news, 1'000) && news.number + 1 == mesh.nodes.size())
        break;
      if (now_ms() > end) return false;
      usleep(20'000);
    }
  }
  return true;
}

bool order_all(const Mesh& mesh, Order kind, int tracks) {
  for (const Process& node : mesh.nodes) node.send(order(kind, "", 0, 0, tracks));
  NewsMessage news;
  bool all = true;
  for (const Process& node : mesh.nodes) {
    bool done = false;
    while (!done && node.receive(news, kStartMs)) done = news.news == News::kDone;
    all = all && done;
  }
  return all;
}

Counts add_up(const Mesh& mesh, Order kind, core::Histogram* added) {
  Counts sum;
  NewsMessage news;
  for (const Process& node : mesh.nodes) {
    if (!node.ask(order(kind), kind == Order::kCounts ? News::kCounts : News::kSummary, news, 2'000))
      continue;
    sum.sent += news.counts.sent;
    sum.expected += news.counts.expected;
    sum.received += news.counts.received;
    sum.repeated += news.counts.repeated;
    sum.damaged += news.counts.damaged;
    sum.datagrams += news.counts.datagrams;
    sum.media_sent += news.counts.media_sent;
    sum.acquired += news.counts.acquired;
    for (uint32_t i = 0; added != nullptr && i < news.buckets; ++i) {
      added->record_n(news.histogram[i].value, news.histogram[i].count);
    }
  }
  return sum;
}

double milliseconds(int64_t ns) {
  return static_cast<double>(ns) * 1e-6;
}

void print_act_one(const Counts& sum, const core::Histogram& added, int subscriptions) {
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("\n  acquired        %llu of %d subscriptions\n", number(sum.acquired), subscriptions);
  std::printf("  relayed         %llu packets\n", number(sum.received));
  std::printf("  lost            %llu\n", number(sum.expected - std::min(sum.expected, sum.received)));
  std::printf("  repeated        %llu      damaged or of the wrong track   %llu\n", number(sum.repeated),
              number(sum.damaged));
  std::printf("  added latency   p50 %.2f ms   p99 %.2f ms   p99.9 %.2f ms   (beyond the wire's own delay)\n",
              milliseconds(added.percentile(50)), milliseconds(added.percentile(99)),
              milliseconds(added.percentile(99.9)));
  if (sum.media_sent > 0) {
    std::printf("  datagrams       %.2f per media packet between nodes (heartbeats and control included)\n",
                static_cast<double>(sum.datagrams) / static_cast<double>(sum.media_sent));
  }
}

bool act_one(const Mesh& mesh, const DemoCommand& command) {
  Verdict verdict;
  std::printf("\nAct one: %d tracks, %d s, every track wanted at both other nodes\n", command.tracks,
              command.seconds);
  if (!verdict.check(wait_for_links(mesh), "not every link came up within 5 s")) return false;
  verdict.check(order_all(mesh, Order::kPublishAll, command.tracks), "not every track was published");
  verdict.check(order_all(mesh, Order::kAcquireAll, command.tracks), "not every acquire ended");
  for (const Process& node : mesh.nodes) node.send(order(Order::kSend));
  std::printf("\n     t   published/s   delivered/s   lost so far (in flight included)\n");
  Counts before;
  for (int second = 1; second <= command.seconds; ++second) {
    usleep(1'000'000);
    const Counts now = add_up(mesh, Order::kCounts, nullptr);
    std::printf("  %3d s   %11llu   %11llu   %llu\n", second,
                static_cast<unsigned long long>(now.sent - before.sent),
                static_cast<unsigned long long>(now.received - before.received),
                static_cast<unsigned long long>(now.expected - std::min(now.expected, now.received)));
    std::fflush(stdout);
    before = now;
  }
  for (const Process& node : mesh.nodes) node.send(order(Order::kStopSending));
  usleep(600'000);  // what is still on the wire arrives
  core::Histogram added;
  const Counts sum = add_up(mesh, Order::kSummary, &added);
  const int subscriptions = 2 * command.tracks;
  print_act_one(sum, added, subscriptions);
  verdict.check(sum.acquired == static_cast<uint64_t>(subscriptions), "an acquire did not end OK");
  verdict.check(sum.received == sum.expected && sum.received > 0, "packets were lost");
  verdict.check(sum.repeated == 0 && sum.damaged == 0, "packets were repeated, damaged or misdelivered");
  return verdict.all();
}

struct Answer {
  bool came = false;
  const char* outcome = "still waiting";
  double ms = 0;
  uint64_t node = 0;
};

Answer wait_outcome(const Process& asker, int timeout_ms) {
  Answer a;
  NewsMessage news;
  const int64_t end = now_ms() + timeout_ms;
  while (now_ms() < end && asker.receive(news, static_cast<int>(end - now_ms()))) {
    if (news.news != News::kOutcome) continue;
    a.came = true;
    a.outcome = tl_outcome_name(news.outcome);
    a.ms = static_cast<double>(news.elapsed_us) * 1e-3;
    a.node = news.node;
    return a;
  }
  return a;
}

std::string told(const Answer& a) {
  char text[96];
  if (!a.came) return "still waiting after 3 s";
  std::snprintf(text, sizeof text, "%s in %.1f ms", a.outcome, a.ms);
  return text;
}

void row(const char* what, const std::string& naive, const std::string& ours) {
  std::printf("  %-34s | %-26s | %s\n", what, naive.c_str(), ours.c_str());
  std::fflush(stdout);
}

// A location says that `owner` has a track; it does not.
void ask_stale(const Process& asker, const Process& owner, const char* track) {
  asker.send(order(Order::kHint, track, owner.place().id));
  asker.send(order(Order::kAcquire, track, owner.place().id, kDeadlineMs));
}

bool act_two_waiting(const Mesh& ours, const Mesh& naive) {
  Verdict verdict;
  const Process &asker = ours.nodes[0], &owner = ours.nodes[1], &third = ours.nodes[2];
  row("", "naive: silent owner,", "Trunkline");
  row("", "no deadline", "");
  row("----------------------------------", "--------------------------", "--------------------------");

  ask_stale(naive.nodes[0], naive.nodes[1], "stale");
  ask_stale(asker, owner, "stale");
  const Answer mine = wait_outcome(asker, 3'000);
  const Answer theirs = wait_outcome(naive.nodes[0], 3'000);
  row("location names london, which does", told(theirs), told(mine));
  char rtt[64];
  std::snprintf(rtt, sizeof rtt, "(round trip: %d ms)", kWashingtonLondonMs);
  row("not have the track", "", rtt);
  verdict.check(!theirs.came, "the naive variant answered: it should have waited");
  verdict.check(mine.came && std::strcmp(mine.outcome, "NOT_HERE") == 0,
                "Trunkline should have answered NOT_HERE");

  naive.nodes[1].pause();
  third.pause();
  ask_stale(naive.nodes[0], naive.nodes[1], "paused");
  ask_stale(asker, third, "paused");
  const Answer mine_paused = wait_outcome(asker, 3'000);
  const Answer theirs_paused = wait_outcome(naive.nodes[0], 3'000);
  third.resume();
  naive.nodes[1].resume();
  row("the owner is paused (SIGSTOP)", told(theirs_paused), told(mine_paused));
  char named[64];
  std::snprintf(named, sizeof named, "(deadline %u ms; node %llu named)", kDeadlineMs,
                static_cast<unsigned long long>(mine_paused.node));
  row("", "", named);
  verdict.check(!theirs_paused.came, "the naive variant answered: it should have waited");
  verdict.check(mine_paused.came && std::strcmp(mine_paused.outcome, "NO_REPLY") == 0,
                "Trunkline should have ended with NO_REPLY at the deadline");
  verdict.check(mine_paused.node == third.place().id, "the paused owner should have been named");
  return verdict.all();
}

bool names_setting(const NewsMessage& news) {
  return std::strstr(news.text.data(), "track_namespace") != nullptr &&
         std::strstr(news.text.data(), "other") != nullptr;
}

// Waits until `node`'s link to `peer` is refused, and keeps the sentence.
bool wait_refused(const Process& node, uint64_t peer, NewsMessage& news) {
  const int64_t end = now_ms() + kLinksMs;
  while (now_ms() < end) {
    if (node.ask(order(Order::kLinks, "", peer), News::kLinks, news, 1'000) && names_setting(news))
      return true;
    usleep(20'000);
  }
  return false;
}

bool act_two_configuration(const std::string& port, const DevCluster& keys) {
  Verdict verdict;
  std::printf("\n  A node whose wire.track_namespace differs:\n");
  Mesh pair;
  std::string description;
  Variant other;
  other.track_namespace = "other";
  if (!start_mesh(pair, {kWashington, kLondon}, {Variant{}, other}, port, keys, description)) return false;
  NewsMessage at_washington, at_london;
  verdict.check(wait_refused(pair.nodes[0], kLondon.id, at_washington),
                "washington did not name the setting");
  verdict.check(wait_refused(pair.nodes[1], kWashington.id, at_london), "london did not name the setting");
  std::printf("    washington  %s\n    london      %s\n", at_washington.text.data(), at_london.text.data());

  std::printf("\n  A node without a setting that its wire version requires:\n");
  Variant without;
  without.without_namespace = true;
  const Process refused =
      Process::start(kWashington, config_text(kWashington, pair.members, without, port, keys));
  NewsMessage news;
  const bool told_why = refused.receive(news, kStartMs) && news.news == News::kFailed;
  std::printf("    does not start: %s\n", news.text.data());
  verdict.check(told_why && std::strstr(news.text.data(), "track_namespace") != nullptr,
                "a node without a required setting must not start, and must name it");
  return verdict.all();
}

bool act_two(const Mesh& ours, const std::string& port, const DevCluster& keys) {
  std::printf("\nAct two: the outage. A location is stale; what does the server that asks get to hear?\n\n");
  Variant naive;
  naive.silent = true;
  naive.endless = true;
  Mesh naive_mesh;
  std::string description;
  if (!start_mesh(naive_mesh, {kWashington, kLondon}, {naive, naive}, port, keys, description) ||
      !wait_for_links(naive_mesh)) {
    std::printf("  FAILED: the naive variant's nodes did not link up\n");
    return false;
  }
  const bool waited = act_two_waiting(ours, naive_mesh);
  return act_two_configuration(port, keys) && waited;
}

// In a directory that goes with the demo.
std::optional<DevCluster> throw_away_keys() {
  std::string directory = "/tmp/trunkline-demo-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    std::printf("  no place for keys: %s: %s\n", directory.c_str(), std::strerror(errno));
    return std::nullopt;
  }
  std::vector<DevNode> nodes;
  for (const Place& place : {kWashington, kLondon, kTokyo}) nodes.push_back({place.id, place.name});
  auto keys = DevCluster::open(directory, "lab-demo", nodes);
  if (!keys) {
    std::printf("  no keys: %s\n", keys.error().text.c_str());
    return std::nullopt;
  }
  std::optional<DevCluster> made(std::move(keys).value());
  made->remove_at_end();
  return made;
}

}  // namespace

int run_demo(const DemoCommand& command) {
  std::printf(
      "trunkline demo: three nodes as three processes, over a loopback wire that is as slow as the planet:\n"
      "  washington - london %d ms, washington - tokyo %d ms, london - tokyo %d ms round trip\n"
      "  sealed with throw-away keys (%s); loopback, shared CPU: not a benchmark\n",
      kWashingtonLondonMs, kWashingtonTokyoMs, kLondonTokyoMs, DevCluster::suite().c_str());
  std::fflush(stdout);
  Mesh mesh;
  std::string description;
  const Variant as_it_is;
  std::optional<DevCluster> keys = throw_away_keys();
  if (!keys || !start_mesh(mesh, {kWashington, kLondon, kTokyo}, {as_it_is, as_it_is, as_it_is}, command.port,
                           *keys, description)) {
    return 1;
  }
  std::printf("  %s\n", description.c_str());
  std::fflush(stdout);
  const bool one = act_one(mesh, command);
  const bool two = act_two(mesh, command.port, *keys);
  for (Process& node : mesh.nodes) node.stop();
  std::printf(one && two ? "\nEverything held. " : "\nSomething did not hold: see FAILED above. ");
  std::printf(
      "(loopback, shared CPU: not a benchmark)\n"
      "Next: trunkline doctor      what this machine offers\n"
      "      trunkline node --dev 1     a node on this machine; --dev 2 beside it links up, sealed\n"
      "      trunkline node --config tools/examples/node.toml --check-config\n");
  return one && two ? 0 : 1;
}

}  // namespace trunkline::tools
