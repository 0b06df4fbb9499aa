// Log lines through spdlog: a pattern for people, or one whose lines are JSON objects.
#include "tools/node/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "trunkline/trunkline.h"

namespace trunkline::tools {
namespace {

bool g_json = false;  // set once before the first line

}  // namespace

std::string configure_logging(LogFormat format, const std::string& level) {
  static const std::pair<const char*, spdlog::level::level_enum> kLevels[] = {
      {"debug", spdlog::level::debug},
      {"info", spdlog::level::info},
      {"warn", spdlog::level::warn},
      {"error", spdlog::level::err},
  };
  for (const auto& [name, value] : kLevels) {
    if (level != name) continue;
    auto logger =
        std::make_shared<spdlog::logger>("trunkline", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    g_json = format == LogFormat::kJson;
    // A JSON line's message is a ready JSON string, quotes included.
    logger->set_pattern(g_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%v})"
                               : "%H:%M:%S.%e %-5l %v");
    logger->set_level(value);
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
    return "";
  }
  return "--log-level: '" + level + "' is none of debug, info, warn, error";
}

void log_line(void* /*user*/, int level, const char* line) {
  static constexpr spdlog::level::level_enum kMap[] = {spdlog::level::debug, spdlog::level::info,
                                                       spdlog::level::warn, spdlog::level::err};
  const auto mapped = level >= 0 && level <= 3 ? kMap[level] : spdlog::level::err;
  if (!g_json) {
    spdlog::log(mapped, "{}", line);
    return;
  }
  const nlohmann::json text = std::string(line);
  spdlog::log(mapped, "{}", text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace trunkline::tools
