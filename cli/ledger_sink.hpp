// SPDX-License-Identifier: GPL-2.0-or-later
/// A ledger that is kept while a machine runs.
#pragma once
#include "emu/machine.hpp"
#include "hypervisor/symbols.hpp"
#include "views/event_log.hpp"
#include "views/ledger.hpp"
#include "views/words.hpp"

namespace vt::cli {

/// The words for a kernel with these symbols (null: none, and must outlive what is returned).
std::unique_ptr<views::Words> words_for(bool xen, const hv::Symbols* symbols);

class LedgerSink final : public EventSink {
 public:
  /// Follows `m` from here on and writes to `to`; `first` (may be null) hears every event before; `also` gets what the ledger keeps.
  LedgerSink(emu::Machine& m, bool xen, const hv::Symbols* symbols, views::EventWriter& to, EventSink* first, views::Ledger::Out also = {});
  void on(const Event& e) override {
    if (first_) first_->on(e);
    ledger_.on(e);
  }
  const views::Ledger& ledger() const { return ledger_; }
  void hear_from(const u64* step) { ledger_.hear_from(step); }   ///< as the ledger's

 private:
  EventSink* first_;
  views::Ledger ledger_;
};

}  // namespace vt::cli
