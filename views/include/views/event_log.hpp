// SPDX-License-Identifier: GPL-2.0-or-later
/// Events in a file ("vitrine.events/1", docs/formats.md): one line of JSON that describes the rest, then records of one
/// size, appended as they happen. Readable while it grows and after a crash.
#pragma once
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/events.hpp"

namespace vt::views {

inline constexpr std::size_t kEventRecord = 56;
inline constexpr unsigned kEventKinds = static_cast<unsigned>(EventKind::mmio_write) + 1;

/// "eptp-change"; as in the file's header, where names and not numbers count.
const char* event_kind_name(EventKind k);

class EventWriter {
 public:
  EventWriter() = default;
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;
  /// Throws std::runtime_error.
  void open(const std::string& file);
  bool is_open() const { return file_; }
  void write(const Event& e);
  void flush();
  bool close();   ///< false: something could not be written

 private:
  std::FILE* file_ = nullptr;
  bool wrong_ = false;
};

/// The whole file; an incomplete last record is left out, and so are kinds that this version does not know. Throws std::runtime_error
/// that names the file.
std::vector<Event> read_events(const std::string& file);

}  // namespace vt::views
