// SPDX-License-Identifier: GPL-2.0-or-later
#include "console.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "text.hpp"

namespace vt::cli {

std::string stamp(u64 step) { return fmt::format("[{:>15}] ", grouped(step)); }

Console::~Console() { if (file_) std::fclose(file_); }

void Console::keep(const std::string& file) {
  file_ = std::fopen(file.c_str(), "wb");
  if (!file_) throw std::runtime_error(fmt::format("{}: cannot be written ({})", file, std::strerror(errno)));
}

void Console::put(u8 byte) {
  ++bytes_;
  if (line_.empty() && step_) line_step_ = step_();
  if (mode_ == Mode::raw) { clear_progress(); std::fputc(byte, stdout); }
  if (byte == '\n') end_line();
  else if (byte != '\r' && byte != 0) line_ += static_cast<char>(byte);
  if (found_) {
    seen_ += static_cast<char>(byte);
    if (seen_.size() > want_.size()) seen_.erase(0, seen_.size() - want_.size());
    if (seen_ == want_) {
      auto found = std::move(found_);
      found_ = nullptr;
      found();
    }
  }
}

void Console::end_line() {
  const std::string text = stamp(line_step_) + line_ + '\n';
  if (mode_ == Mode::stdio) {
    clear_progress();
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  } else if (mode_ == Mode::raw) {
    std::fflush(stdout);
  }
  // Each line at once: it is what a reader looks for after a crash.
  if (file_ && (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0)) wrong_ = true;
  if (!line_.empty()) last_ = std::move(line_);
  line_.clear();
}

void Console::flush() {
  std::fflush(stdout);
  if (file_ && std::fflush(file_) != 0) wrong_ = true;
}

bool Console::finish() {
  if (!line_.empty()) end_line();
  clear_progress();
  flush();
  if (file_) {
    if (std::fclose(file_) != 0) wrong_ = true;
    file_ = nullptr;
  }
  return !wrong_;
}

void Console::progress(const std::string& line) {
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
  progress_shown_ = true;
}
void Console::clear_progress() {
  if (!progress_shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  progress_shown_ = false;
}

}  // namespace vt::cli
