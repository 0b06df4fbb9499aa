// The parent's side of one demo process: fork, orders, news, and an end that is certain.
#include "tools/demo/demo_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace trunkline::tools::demo {
namespace {

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}

}  // namespace

Process::~Process() {
  stop();
}

Process::Process(Process&& other) noexcept
    : place_(other.place_), pid_(std::exchange(other.pid_, -1)), fd_(std::exchange(other.fd_, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    stop();
    place_ = other.place_;
    pid_ = std::exchange(other.pid_, -1);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Process Process::start(const Place& place, const std::string& config) {
  Process p;
  p.place_ = place;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return p;
  const int bytes = 1 << 20;
  for (int fd : pair) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing outlives the demo
    signal(SIGINT, SIG_IGN);           // ctrl-C reaches the whole group: the parent decides
    _exit(run_demo_node(place, config, pair[1]));
  }
  close(pair[1]);
  p.pid_ = pid;
  p.fd_ = pair[0];
  return p;
}

void Process::send(const OrderMessage& order) const {
  (void)!::send(fd_, &order, sizeof order, MSG_NOSIGNAL);
}

bool Process::receive(NewsMessage& news, int timeout_ms) const {
  pollfd d{fd_, POLLIN, 0};
  if (poll(&d, 1, timeout_ms) <= 0) return false;
  return recv(fd_, &news, sizeof news, 0) == static_cast<ssize_t>(sizeof news);
}

bool Process::ask(const OrderMessage& order, News kind, NewsMessage& answer, int timeout_ms) const {
  send(order);
  const int64_t end = now_ms() + timeout_ms;
  while (now_ms() < end) {
    if (!receive(answer, static_cast<int>(end - now_ms()))) return false;
    if (answer.news == kind) return true;
  }
  return false;
}

void Process::pause() const {
  kill(pid_, SIGSTOP);
}
void Process::resume() const {
  kill(pid_, SIGCONT);
}

void Process::stop() {
  if (pid_ <= 0) return;
  resume();
  OrderMessage quit;
  quit.order = Order::kQuit;
  send(quit);
  close(fd_);
  fd_ = -1;
  int status = 0;
  const int64_t end = now_ms() + 3'000;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (now_ms() > end) {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      break;
    }
    usleep(5'000);
  }
  pid_ = -1;
}

}  // namespace trunkline::tools::demo
