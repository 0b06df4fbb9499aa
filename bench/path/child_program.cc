// See child_program.h.
#include "bench/path/child_program.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace trunkline::bench {
namespace {

constexpr int kEndsWithinMs = 3'000;  // after its input has ended; then it is killed

[[noreturn]] void become(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  std::perror(arguments[0]);
  _exit(127);
}

}  // namespace

ChildProgram::ChildProgram(const std::vector<std::string>& words, const std::function<bool()>& prepare) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return;
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    if (prepare && !prepare()) _exit(126);
    become(words);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
  signal(SIGPIPE, SIG_IGN);  // a child that has ended is found out by what it does not say
}

ChildProgram::~ChildProgram() {
  if (to_ >= 0) close(to_);
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    int waited = 0;
    while (waitpid(pid_, nullptr, WNOHANG) == 0 && waited < kEndsWithinMs) {
      std::array<char, 4096> rest;  // so that it does not wait for us to read
      pollfd more{from_, POLLIN, 0};
      if (poll(&more, 1, 10) > 0 && read(from_, rest.data(), rest.size()) <= 0) usleep(10'000);
      waited += 10;
    }
    if (waited >= kEndsWithinMs) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  if (from_ >= 0) close(from_);
}

void ChildProgram::tell(const std::string& line) const {
  const std::string whole = line + "\n";
  if (write(to_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
    std::fprintf(stderr, "bench: a child does not listen\n");
}

bool ChildProgram::wait_for(const std::string& text, double seconds) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
  while (said_.find(text) == std::string::npos) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd more{from_, POLLIN, 0};
    if (left <= 0 || poll(&more, 1, static_cast<int>(left)) <= 0) return false;
    std::array<char, 4096> bytes;
    const ssize_t got = read(from_, bytes.data(), bytes.size());
    if (got <= 0) return false;
    said_.append(bytes.data(), static_cast<size_t>(got));
  }
  return true;
}

uint64_t ChildProgram::workers_cpu_ns() const {
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  DIR* const folder = opendir(tasks.c_str());
  if (folder == nullptr) return 0;
  uint64_t sum = 0;
  while (const dirent* const task = readdir(folder)) {
    if (task->d_name[0] == '.' || task->d_name == std::to_string(pid_)) continue;
    FILE* const file = std::fopen((tasks + "/" + task->d_name + "/schedstat").c_str(), "r");
    if (file == nullptr) continue;
    unsigned long long ns = 0;
    if (std::fscanf(file, "%llu", &ns) == 1) sum += ns;
    std::fclose(file);
  }
  closedir(folder);
  return sum;
}

bool is_installed(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  for (size_t colon = 0; !rest.empty(); rest.erase(0, colon == std::string::npos ? colon : colon + 1)) {
    colon = rest.find(':');
    if (access((rest.substr(0, colon) + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace trunkline::bench
