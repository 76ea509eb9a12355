// SPDX-License-Identifier: GPL-2.0-or-later
#include "views/event_log.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace vt::views {
namespace {

constexpr const char* kNames[] = {"none", "vm-entry", "vm-exit", "exception", "interrupt", "eptp-change", "invept", "invvpid", "vtd-register",
                                  "vtd-translation", "vtd-invalidate", "vtd-fault", "stale-translation", "reset", "vtd-pointer", "table-write", "table-page",
                                  "table-gone", "frame", "attempt", "attempt-more", "attempt-result", "cache-line-flush", "cache-flush", "msr-read", "msr-write", "port-read",
                                  "port-write", "mmio-read", "mmio-write"};
static_assert(std::size(kNames) == kEventKinds);

std::string header() {
  std::string s = R"({"schema":"vitrine.events/1","byte_order":"little","record_size":56,"fields":[)"
                  R"({"name":"kind","type":"u16"},{"name":"cpu","type":"u16"},{"name":"chain","type":"u32"})";
  for (const char* f : {"step", "rip", "a", "b", "c", "d"}) s += std::string(R"(,{"name":")") + f + R"(","type":"u64"})";
  s += R"(],"kinds":[)";
  for (unsigned k = 0; k < kEventKinds; ++k) s += std::string(k ? ",\"" : "\"") + kNames[k] + '"';
  return s + "]}\n";
}

/// The kinds of a file, by number; what this version does not know is `none`.
std::vector<EventKind> kinds_of(const std::string& head) {
  std::vector<EventKind> kinds;
  std::size_t at = head.find("\"kinds\":[");
  const std::size_t end = at == head.npos ? at : head.find(']', at);
  if (end == head.npos) return kinds;
  at += 9;
  while (at < end) {
    const std::size_t open = head.find('"', at), close = head.find('"', open + 1);
    if (open >= end || close >= end) break;
    const std::string name = head.substr(open + 1, close - open - 1);
    EventKind k = EventKind::none;
    for (unsigned n = 0; n < kEventKinds; ++n) if (name == kNames[n]) k = static_cast<EventKind>(n);
    kinds.push_back(k);
    at = close + 1;
  }
  return kinds;
}

}  // namespace

const char* event_kind_name(EventKind k) { return static_cast<unsigned>(k) < kEventKinds ? kNames[static_cast<unsigned>(k)] : "none"; }

EventWriter::~EventWriter() { close(); }

void EventWriter::open(const std::string& file) {
  file_ = std::fopen(file.c_str(), "wb");
  if (!file_) throw std::runtime_error(file + ": cannot be written (" + std::strerror(errno) + ")");
  const std::string head = header();
  if (std::fwrite(head.data(), 1, head.size(), file_) != head.size()) wrong_ = true;
}

void EventWriter::write(const Event& e) {
  if (!file_) return;
  u8 r[kEventRecord] = {};
  const auto kind = static_cast<u16>(e.kind);
  std::memcpy(r, &kind, 2);
  std::memcpy(r + 2, &e.cpu, 2);
  std::memcpy(r + 4, &e.chain, 4);
  const u64 words[] = {e.step, e.rip, e.a, e.b, e.c, e.d};
  std::memcpy(r + 8, words, sizeof words);
  if (std::fwrite(r, 1, sizeof r, file_) != sizeof r) wrong_ = true;
}

void EventWriter::flush() { if (file_ && std::fflush(file_) != 0) wrong_ = true; }

bool EventWriter::close() {
  if (file_) {
    if (std::fclose(file_) != 0) wrong_ = true;
    file_ = nullptr;
  }
  return !wrong_;
}

std::vector<Event> read_events(const std::string& file) {
  std::FILE* f = std::fopen(file.c_str(), "rb");
  if (!f) throw std::runtime_error(file + ": cannot be opened (" + std::strerror(errno) + ")");
  std::string head;
  for (int c; (c = std::fgetc(f)) != EOF && c != '\n' && head.size() < 65536;) head += static_cast<char>(c);
  if (head.find("\"schema\":\"vitrine.events/1\"") == head.npos || head.find("\"record_size\":56,") == head.npos) {
    std::fclose(f);
    throw std::runtime_error(file + ": is not an event file of this version (vitrine.events/1); run again");
  }
  const std::vector<EventKind> kinds = kinds_of(head);
  std::vector<Event> events;
  std::vector<u8> buffer(kEventRecord * 4096);
  std::size_t have = 0;
  while (const std::size_t n = std::fread(buffer.data() + have, 1, buffer.size() - have, f)) {
    have += n;
    std::size_t at = 0;
    for (; at + kEventRecord <= have; at += kEventRecord) {
      const u8* r = buffer.data() + at;
      u16 kind;
      u64 words[6];
      Event e;
      std::memcpy(&kind, r, 2);
      std::memcpy(&e.cpu, r + 2, 2);
      std::memcpy(&e.chain, r + 4, 4);
      std::memcpy(words, r + 8, sizeof words);
      e.kind = kind < kinds.size() ? kinds[kind] : EventKind::none;
      e.step = words[0], e.rip = words[1], e.a = words[2], e.b = words[3], e.c = words[4], e.d = words[5];
      if (e.kind != EventKind::none) events.push_back(e);
    }
    std::memmove(buffer.data(), buffer.data() + at, have - at);
    have -= at;
  }
  std::fclose(f);
  return events;
}

}  // namespace vt::views
