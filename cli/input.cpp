// SPDX-License-Identifier: GPL-2.0-or-later
#include "input.hpp"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "run_dir.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

std::string line_of(const Arrival& in) {
  std::string s = fmt::format("{{\"step\":{},\"device\":\"{}\"", in.step, in.memory ? "memory" : in.card ? fmt::format("net{}", *in.card) : "com1");
  if (in.memory) s += fmt::format(",\"address\":\"{}\"", hex(*in.memory));
  s += ",\"bytes\":\"";
  static constexpr char kDigits[] = "0123456789abcdef";
  for (char c : in.bytes) s += kDigits[static_cast<u8>(c) >> 4], s += kDigits[c & 15];
  s += '"';
  if (in.waits) s += fmt::format(",\"waits\":{}", *in.waits);
  return s + "}\n";
}

std::optional<std::string> unhex(std::string_view s) {
  std::string bytes;
  for (std::size_t n = 0; n < s.size(); n += 2) {
    auto b = hex_byte(s.substr(n, 2));
    if (!b) return {};
    bytes += static_cast<char>(*b);
  }
  return bytes;
}

/// net3 -> 3
std::optional<u32> card_of(std::string_view device) {
  u32 n = 0;
  if (!device.starts_with("net")) return {};
  device.remove_prefix(3);
  auto [end, error] = std::from_chars(device.data(), device.data() + device.size(), n);
  if (device.empty() || error != std::errc{} || end != device.data() + device.size()) return {};
  return n;
}

}  // namespace

void give(emu::Machine& m, const Arrival& in) {
  if (in.memory) {
    if (!m.memory().present(Hpa{*in.memory})) throw UsageError(fmt::format("--poke {:#x}: there is no memory", *in.memory));
    m.memory().write(Hpa{*in.memory}, in.bytes.data(), in.bytes.size(), WriteCause::loader);
  } else if (in.card) {
    if (*in.card >= m.network_cards().size()) throw InputError(fmt::format("{}: a frame for net{}, and the machine has {} network cards", kInput, *in.card, m.network_cards().size()));
    m.network_cards()[*in.card]->receive({reinterpret_cast<const u8*>(in.bytes.data()), in.bytes.size()});
  } else {
    for (char c : in.bytes) m.type(static_cast<u8>(c));
  }
}

void InputLog::give(emu::Machine& m, Arrival in) {
  cli::give(m, in);
  if (!path_.empty() && ok_) {
    if (!file_) file_ = std::fopen(path_.c_str(), "w");
    const std::string line = line_of(in);
    ok_ = file_ && std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fflush(file_) == 0;
  }
  if (!in.card) all_.push_back(std::move(in));
}

bool InputLog::finish() {
  if (file_ && std::fclose(file_) != 0) ok_ = false;
  file_ = nullptr;
  return ok_;
}

std::vector<Arrival> read_inputs(const std::string& run_dir) {
  std::vector<Arrival> all;
  const std::string file = run_dir + "/" + kInput;
  std::ifstream in(file, std::ios::binary);
  std::string line;
  while (std::getline(in, line)) {
    if (in.eof()) break;   // no line feed: cut off
    auto wrong = [&](const std::string& what) { return InputError(fmt::format("{}:{}: {}", file, all.size() + 1, what)); };
    const auto j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object()) throw wrong("is no JSON object");
    Arrival i;
    if (!j.contains("step") || !j["step"].is_number_unsigned()) throw wrong("step: has to be a number");
    i.step = j["step"].get<u64>();
    if (!j.contains("device") || !j["device"].is_string()) throw wrong("device: is missing");
    const std::string device = j["device"].get<std::string>();
    if (device == "memory") {
      i.memory = j.contains("address") && j["address"].is_string() ? parse_number(j["address"].get<std::string>()) : std::nullopt;
      if (!i.memory) throw wrong("address: is no address");
    } else if (device != "com1" && !(i.card = card_of(device))) {
      throw wrong(fmt::format("device: this version knows com1, memory and net0, net1 ..., not '{}'", device));
    }
    const auto bytes = j.contains("bytes") && j["bytes"].is_string() ? unhex(j["bytes"].get<std::string>()) : std::nullopt;
    if (!bytes) throw wrong("bytes: have to be hexadecimal, two digits each");
    i.bytes = *bytes;
    if (i.memory && *i.memory % kPageSize + i.bytes.size() > kPageSize) throw wrong("bytes: leave their page");
    if (j.contains("waits")) {
      if (!j["waits"].is_number_unsigned()) throw wrong("waits: is not a cycle");
      i.waits = j["waits"].get<u64>();
    }
    if (!all.empty() && i.step < all.back().step) throw wrong("step: is before that of the line above");
    all.push_back(std::move(i));
  }
  return all;
}

}  // namespace vt::cli
