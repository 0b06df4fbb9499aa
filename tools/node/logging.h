// Log lines of the command: spdlog on stderr, for people by default, one JSON object per line with
// --log-format json. Fed by the library's service thread and by the command's main thread; never by a data
// core.
#pragma once

#include <string>

namespace trunkline::tools {

enum class LogFormat { kHuman, kJson };

// level: "debug" | "info" | "warn" | "error". Returns "" or what is wrong.
std::string configure_logging(LogFormat format, const std::string& level);
// The library's log callback (tl_options::log).
void log_line(void* user, int level, const char* line);

}  // namespace trunkline::tools
