// SPDX-License-Identifier: GPL-2.0-or-later
/// A few bytes of code under the debugger's stub, for tests and for the fuzzer.
#pragma once
#include <algorithm>
#include <memory>

#include "base/check.hpp"
#include "firmware/image.hpp"
#include "gdb/monitor.hpp"
#include "gdb/packet.hpp"
#include "gdb/stub.hpp"
#include "prepare.hpp"
#include "typing.hpp"

namespace vt::cli::gdb {

/// Code at 1 MiB in flat 32-bit mode, run by itself.
class Bare final : public Source {
 public:
  explicit Bare(std::vector<u8> code, u64 end, unsigned cpus = 1) : end_(end) {
    PlatformOptions o;
    o.memory = "64M", o.cpus = cpus;
    const fw::Platform p = make_platform(o);
    machine_ = std::make_unique<emu::Machine>(p, tap_);
    fw::Image image;
    image.blobs.push_back({Hpa{0x100000}, std::move(code)});
    image.entry.mode = fw::Entry::Mode::protected_flat32;
    image.entry.eip = 0x100000, image.entry.esp = 0x200000;
    machine_->load({}, image);
  }
  emu::Machine& machine() override { return *machine_; }
  void to(u64 step) override { machine_->run(std::min(step, end_)); }
  void rewound() override { ++rewinds; }
  u64 end() const override { return end_; }
  void watch(EventSink* s) override { machine_->watch(s); }
  void unwatch(EventSink*) override { machine_->watch(nullptr); }
  void on_text(const std::string& text, std::function<void()> f) override { tap_.wait_for(text, std::move(f)); }
  std::string heard() const override { return tap_.heard(); }
  void hear(std::string bytes) override { tap_.hear(std::move(bytes)); }
  int rewinds = 0;

 private:
  ConsoleTap tap_;
  std::unique_ptr<emu::Machine> machine_;
  const u64 end_;
};

// 100000: mov ecx, 1000        100005: mov eax, [102000]   10000a: inc eax    10000b: mov [102000], eax    100010: loop 100005    100012: jmp 100012
inline const std::vector<u8> kCount{0xb9, 0xe8, 0x03, 0, 0, 0xa1, 0x00, 0x20, 0x10, 0x00, 0x40, 0xa3, 0x00, 0x20, 0x10, 0x00, 0xe2, 0xf3, 0xeb, 0xfe};
inline constexpr u64 kEnd = 5000;

struct Session {
  explicit Session(std::vector<u8> code = kCount, u64 end = kEnd, unsigned cpus = 1)
      : source(std::move(code), end, cpus), player(source), monitor(player, nullptr, {}, {}),
        stub(player, {[this](const std::string& p) { sent.push_back(p); }, {}, [this](const std::string& l, unsigned c) { return monitor.run(l, c); }}) {}
  std::string operator()(std::string_view p) { return stub.handle(p).reply; }
  u32 counter() { u32 v; source.machine().memory().read(Hpa{0x102000}, &v, 4); return v; }
  u64 rip() { return source.machine().processor(0).rip; }
  Bare source;
  Player player;
  Monitor monitor;
  std::vector<std::string> sent;
  Stub stub;
};

inline std::string plain_hash(u64 end = kEnd) {
  Bare b(kCount, end);
  b.to(end);
  return b.machine().state_hash();
}

/// Whatever a client sends: bytes through the packet reader to the stub, in pieces. The run stays what it is.
class Client {
 public:
  void send(std::string_view bytes, std::size_t piece) {
    PacketReader reader;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      reader.feed(bytes.substr(at, piece));
      while (auto item = reader.next()) {
        if (item->kind != PacketReader::Kind::packet) continue;
        reply = std::max(reply, session_.stub.handle(item->data).reply.size());
        session_.sent.clear();
      }
    }
    // It goes away, in the middle of whatever it was.
    session_.player.forget();
    if (session_.player.now() >= kEnd) session_.player.seek(0, {});
    if (++count_ % 256 == 0) CHECK(end_hash() == plain(), "a client has changed the run");
  }
  std::string end_hash() {
    if (!session_.player.seek(kEnd, {})) return "the end cannot be reached";
    std::string hash = session_.source.machine().state_hash();
    session_.player.seek(0, {});
    return hash;
  }
  static const std::string& plain() {
    static const std::string hash = plain_hash();
    return hash;
  }
  std::size_t reply = 0;   ///< longest

 private:
  Session session_;
  u64 count_ = 0;
};

}  // namespace vt::cli::gdb
