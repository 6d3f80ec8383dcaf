// SPDX-License-Identifier: MIT
#include "util/log.h"

#include <memory>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

namespace vmemfs::log {
namespace {

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
  case Level::debug: return spdlog::level::debug;
  case Level::info: return spdlog::level::info;
  case Level::warning: return spdlog::level::warn;
  case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::shared_ptr<spdlog::logger> make_stderr_logger() {
  auto logger = spdlog::stderr_color_mt("vmemfs");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %n %^%l%$: %v");
  logger->set_level(spdlog::level::info);
  return logger;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = make_stderr_logger();
  return instance;
}

} // namespace

void to_syslog() {
  const auto level = logger()->level();
  spdlog::drop("vmemfs");
  logger() = spdlog::syslog_logger_mt("vmemfs", "vmemfs", LOG_PID, LOG_DAEMON);
  logger()->set_level(level);
}

void set_level(Level level) { logger()->set_level(spdlog_level(level)); }

bool enabled(Level level) { return logger()->should_log(spdlog_level(level)); }

void write(Level level, std::string_view text) { logger()->log(spdlog_level(level), text); }

} // namespace vmemfs::log
