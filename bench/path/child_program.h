// A second process that a figure needs: started with its standard streams in our hands, told what to do in
// lines, read until it has said something. Ends with its owner, by its process id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trunkline::bench {

class ChildProgram {
 public:
  // `prepare` runs in the new process before the program does (a namespace, an affinity); false: it ends.
  ChildProgram(const std::vector<std::string>& words, const std::function<bool()>& prepare);
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  void tell(const std::string& line) const;
  // Reads what it says, on either stream, until `text` is among it. False: it ended, or said it not in time;
  // said() has the rest.
  bool wait_for(const std::string& text, double seconds);
  // All since the last forget().
  const std::string& said() const { return said_; }
  void forget() { said_.clear(); }

  // CPU nanoseconds of all its threads but the first, softirq work in their context included (scheduler
  // statistics). The first is the one that we speak to.
  uint64_t workers_cpu_ns() const;

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  std::string said_;
};

// Whether PATH has it.
bool is_installed(const std::string& program);

}  // namespace trunkline::bench
