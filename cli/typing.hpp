// SPDX-License-Identifier: GPL-2.0-or-later
/// What is typed at the serial console, by orders of the command line.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "input.hpp"

namespace vt::cli {

/// What --type orders: KEYS when TEXT is complete for the first time, or before a step.
struct TypeOrder {
  std::string text;       ///< empty: at `step`
  u64 step = 0;
  std::string keys;       ///< bytes
  std::optional<u64> memory = {};   ///< --poke: physical address
  std::string typed;      ///< the time, as given
  bool done = false;
};
/// console:'TEXT'=KEYS or STEP=KEYS. Throws UsageError.
TypeOrder parse_type(std::string_view s);
/// console:'TEXT'=ADDRESS:BYTES or STEP=ADDRESS:BYTES. Throws UsageError.
TypeOrder parse_poke(std::string_view s);
/// \r \n \t \e \b \a \0 \xHH \\ \^ \' \", ^A to ^_ and ^?. Throws UsageError that begins with `option`.
std::string parse_keys(std::string_view s, std::string_view option);

/// Stands between the serial port and the next sink, and tells when a text is complete. Changes nothing.
class ConsoleTap final : public emu::SerialSink {
 public:
  explicit ConsoleTap(emu::SerialSink* next = nullptr) : next_(next) {}
  /// `found` is called each time `text` is complete, from within the step that prints its last byte.
  void wait_for(std::string text, std::function<void()> found);
  /// The last bytes, as many as the longest text that is waited for needs: whoever puts the machine back to an earlier moment puts back those of then.
  const std::string& heard() const { return heard_; }
  void hear(std::string bytes) { heard_ = std::move(bytes); }
  /// Complete lines without CR and NUL, with the step of their first byte as `step` tells it.
  void lines(std::function<u64()> step, std::function<void(u64, const std::string&)> f) { step_ = std::move(step), line_ = std::move(f); }
  void bytes(std::function<void(u8)> f) { byte_ = std::move(f); }
  void put(u8 byte) override;
  const std::string& last_line() const { return text_.empty() ? last_ : text_; }
  /// What has come of the unfinished line.
  const std::string& unfinished() const { return text_; }
  u64 unfinished_step() const { return first_; }   ///< of its first byte

 private:
  struct Wait { std::string text; std::function<void()> found; };
  emu::SerialSink* next_;
  std::vector<Wait> waits_;
  std::string heard_;
  std::size_t longest_ = 0;
  std::function<u64()> step_;
  std::function<void(u64, const std::string&)> line_;
  std::function<void(u8)> byte_;
  std::string text_, last_;
  u64 first_ = 0;
};

/// Carries the orders out while a run goes on.
class Typist {
 public:
  Typist(std::vector<TypeOrder> orders, InputLog& log) : orders_(std::move(orders)), log_(log) {}
  /// Console texts are waited for by `tap`; a complete one asks `m` to stop, so that it is typed at the next boundary. Throws UsageError where --poke
  /// does not name memory.
  void attach(emu::Machine& m, ConsoleTap& tap);
  /// First step after the present one at which something is to be typed; none: all ones.
  u64 next_step() const;
  /// Where the machine stopped for us, it may go on.
  void go_on(emu::Machine& m);
  /// Types what is due; true if something was.
  bool type_due(emu::Machine& m);
  const std::vector<Arrival>& input() const { return log_.all(); }
  const std::vector<TypeOrder>& orders() const { return orders_; }

 private:
  std::vector<TypeOrder> orders_;
  InputLog& log_;
  std::vector<const TypeOrder*> due_;   ///< by console texts
};

}  // namespace vt::cli
