// SPDX-License-Identifier: GPL-2.0-or-later
#include "recorder.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "names.hpp"

namespace vt::cli {
namespace {

/// VM entries, exits, exceptions and interrupts come by the million: those are counted, not kept.
constexpr bool kept(EventKind k) {
  switch (k) {
    case EventKind::none: case EventKind::vm_entry: case EventKind::vm_exit: case EventKind::exception: case EventKind::interrupt: return false;
    default: return true;
  }
}

}  // namespace

std::string events_header() {
  using nlohmann::ordered_json;
  ordered_json j;
  j["schema"] = "vitrine.events/1";
  j["byte_order"] = "little";
  j["record_size"] = kEventRecord;
  ordered_json fields = ordered_json::array();
  auto field = [&](const char* name, const char* type) { fields.push_back({{"name", name}, {"type", type}}); };
  field("kind", "u16"), field("cpu", "u16"), field("reserved", "u32");
  for (const char* f : {"step", "rip", "a", "b", "c", "d"}) field(f, "u64");
  j["fields"] = fields;
  ordered_json kinds = ordered_json::array();
  for (unsigned k = 0; k < kEventKinds; ++k) kinds.push_back(event_name(static_cast<EventKind>(k)));
  j["kinds"] = kinds;
  return j.dump() + '\n';
}

Recorder::~Recorder() { if (file_) std::fclose(file_); }

void Recorder::keep(const std::string& file) {
  file_ = std::fopen(file.c_str(), "wb");
  if (!file_) throw std::runtime_error(fmt::format("{}: cannot be written ({})", file, std::strerror(errno)));
  const std::string head = events_header();
  if (std::fwrite(head.data(), 1, head.size(), file_) != head.size()) wrong_ = true;
}

void Recorder::write(const Event& e) {
  u8 r[kEventRecord] = {};
  const auto kind = static_cast<u16>(e.kind);
  std::memcpy(r, &kind, 2);
  std::memcpy(r + 2, &e.cpu, 2);
  const u64 words[] = {e.step, e.rip, e.a, e.b, e.c, e.d};
  std::memcpy(r + 8, words, sizeof words);
  if (std::fwrite(r, 1, sizeof r, file_) != sizeof r) wrong_ = true;
}

void Recorder::see(u64 vmcs, u64 eptp, u64 step) {
  if (!eptp) return;
  if (!eptps_.empty() && eptps_.back().eptp == eptp) { eptps_.back().last_step = step; return; }
  for (auto& s : eptps_)
    if (s.eptp == eptp) { s.last_step = step; return; }
  eptps_.push_back({eptp, vmcs, step, step});
}

void Recorder::reached(u64) { stop_.request(StopReason::until, until_.text); }

void Recorder::on(const Event& e) {
  ++counts_[static_cast<unsigned>(e.kind) & 31];
  switch (e.kind) {
    case EventKind::vm_entry:
      ++entries_;
      see(e.a, e.b, e.step);
      if (until_.kind == When::Kind::entry_count && entries_ == until_.number) reached(e.step);
      break;
    case EventKind::vm_exit:
      ++exits_;
      if ((until_.kind == When::Kind::exit_count && exits_ == until_.number) || (until_.kind == When::Kind::exit_name && (e.a & 0xffff) == until_.number))
        reached(e.step);
      break;
    case EventKind::eptp_change: see(e.a, e.b, e.step); break;
    default: break;
  }
  if (file_ && kept(e.kind)) write(e);
}

void Recorder::flush() { if (file_ && std::fflush(file_) != 0) wrong_ = true; }
bool Recorder::finish() {
  if (file_) {
    if (std::fclose(file_) != 0) wrong_ = true;
    file_ = nullptr;
  }
  return !wrong_;
}

}  // namespace vt::cli
